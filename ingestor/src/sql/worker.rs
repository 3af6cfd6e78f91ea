//! The process that answers: reads one question, answers it, ends.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
    sync::mpsc,
    thread,
};

use super::{
    answer::{Question, Reply},
    engine::Engine,
    error::EngineError,
    limits::{self, MAX_QUESTION_BYTES},
};
use fleetps_nats::error_chain;

/// A question in JSON: each of its bytes takes at most six (`\u0000`). Its scope comes on top: 100,000 hosts with names
/// of 64 bytes take 7 MB, twice. Names of 20,000 segments take 2 MB.
const MAX_LINE_BYTES: u64 = 6 * MAX_QUESTION_BYTES as u64 + (16 << 20);

/// Answers the question on standard input, over the history in `folder`, on standard output. Ends the process when the
/// input ends before the answer: the sql_client is gone.
///
/// # Errors
/// When the system refuses to limit this process, or input and output are not an [`super::SqlClient`]'s.
pub fn serve(folder: &Path) -> io::Result<()> {
    limits::contain()?;
    let question = read_question()?;
    let reply = match Engine::open(folder, &question.scope, &question.choice) {
        Ok(engine) => engine.answer(&question.sql),
        Err(error @ EngineError::TooManySegments { .. }) => Reply::TooManySegments(error.to_string()),
        Err(error @ EngineError::TooMuch) => Reply::Refused { message: error.to_string(), position: None },
        Err(error) => Reply::Failed(error_chain(&error)),
    };
    let mut output = io::stdout().lock();
    serde_json::to_writer(&mut output, &reply)?;
    output.flush()
}

/// The question; then goes on reading on a thread of its own.
fn read_question() -> io::Result<Question> {
    let (asked, question) = mpsc::channel();
    thread::Builder::new().name("sql_client".to_owned()).spawn(move || {
        let mut input = BufReader::new(io::stdin().take(MAX_LINE_BYTES));
        let mut line = String::new();
        let read = input.read_line(&mut line).map(|_| line);
        let _ = asked.send(read);
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        // Not `exit`, which would wait for what DuckDB is doing.
        std::process::abort();
    })?;
    let line = question.recv().map_err(io::Error::other)??;
    Ok(serde_json::from_str(&line)?)
}
