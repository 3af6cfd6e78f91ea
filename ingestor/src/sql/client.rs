//! The process that asks: starts one that answers, waits until the deadline, and kills it.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{
    answer::{Answer, Question, Reply},
    choice::Choice,
    limits::{LIMITS, MAX_QUESTION_BYTES},
};
use crate::history::Scope;

/// How often it is looked whether the question was cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The longest answer as JSON: each of its bytes takes at most six, and each value a few around it.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// What the answering process keeps of the environment: where the system finds libraries.
const KEPT_VARIABLES: [&str; 3] = ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SystemRoot"];

/// A question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// DuckDB refused it.
    #[error("{message}")]
    Refused {
        /// What DuckDB said.
        message: String,
        /// The line and column of the question that it is about, counted from 1.
        place: Option<(usize, usize)>,
    },
    /// It is too long.
    #[error("the question has more than {} KiB", MAX_QUESTION_BYTES >> 10)]
    TooLong,
    /// What it is about is in too many segments.
    #[error("{0}")]
    TooManySegments(String),
    /// It took too long.
    #[error("the question was stopped after {} s", LIMITS.seconds)]
    TooSlow,
    /// It needed more memory than it may have.
    #[error("the question needs more than the {} MiB of memory that it may have", LIMITS.memory_bytes >> 20)]
    OutOfMemory,
    /// It came upon a damaged segment.
    #[error("a file of the history is damaged: {0}")]
    Damaged(String),
    /// The request was cancelled.
    #[error("the question was cancelled")]
    Cancelled,
    /// The process that should answer did not.
    #[error("the question was not answered: {0}")]
    Failed(String),
    /// There is no such process.
    #[error("cannot start the process that answers")]
    Start(#[source] io::Error),
}

/// Asks the history in a folder.
#[derive(Debug, Clone)]
pub struct SqlClient {
    program: PathBuf,
    history: PathBuf,
}

impl SqlClient {
    /// Asks the history in the folder `history` by running `program` as `program sql-worker FOLDER`, which calls
    /// [`super::serve`].
    pub fn new(program: PathBuf, history: PathBuf) -> Self {
        Self { program, history }
    }

    /// Asks by running this program.
    ///
    /// # Errors
    /// When the system does not say which program this is.
    pub fn with_this_program(history: PathBuf) -> Result<Self, AskError> {
        // On Linux the program itself, even when its file has been replaced by a newer one.
        let own = PathBuf::from("/proc/self/exe");
        let program = if own.exists() { own } else { std::env::current_exe().map_err(AskError::Start)? };
        Ok(Self::new(program, history))
    }

    /// Asks about as much of the history within `scope` as fits, and waits for the answer, which comes within the deadline.
    /// Blocks: call it from a blocking thread.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn ask(&self, sql: &str, scope: &Scope, cancelled: &CancellationToken) -> Result<Answer, AskError> {
        self.ask_about(sql, &Choice::default(), scope, cancelled)
    }

    /// The same about a part of the history.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn ask_about(
        &self,
        sql: &str,
        choice: &Choice,
        scope: &Scope,
        cancelled: &CancellationToken,
    ) -> Result<Answer, AskError> {
        if sql.len() > MAX_QUESTION_BYTES {
            return Err(AskError::TooLong);
        }
        let deadline = Instant::now() + LIMITS.deadline();
        let mut process = Process::start(self).map_err(AskError::Start)?;
        let answer = process.ask(sql, choice, scope).map_err(AskError::Start)?;
        let said = loop {
            match answer.recv_timeout(LOOK_EVERY) {
                Ok(said) => break said,
                Err(RecvTimeoutError::Disconnected) => break Vec::new(),
                Err(RecvTimeoutError::Timeout) if cancelled.is_cancelled() => {
                    return Err(AskError::Cancelled);
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() > deadline => return Err(AskError::TooSlow),
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        match serde_json::from_slice(&said) {
            Ok(Reply::Answer(answer)) => Ok(answer),
            Ok(Reply::Refused { message, position }) => {
                Err(AskError::Refused { message, place: position.and_then(|position| place(sql, position)) })
            }
            Ok(Reply::TooManySegments(why)) => Err(AskError::TooManySegments(why)),
            Ok(Reply::TooSlow) => Err(AskError::TooSlow),
            Ok(Reply::Damaged(what)) => Err(AskError::Damaged(what)),
            Ok(Reply::OutOfMemory) => Err(AskError::OutOfMemory),
            Ok(Reply::Failed(why)) => Err(AskError::Failed(why)),
            Err(_) => Err(process.died()),
        }
    }
}

/// A process that answers; killed when this is dropped.
struct Process(Child);

impl Process {
    fn start(sql_client: &SqlClient) -> io::Result<Self> {
        let mut command = Command::new(&sql_client.program);
        command
            .arg("sql-worker")
            .arg(std::path::absolute(&sql_client.history)?)
            .env_clear()
            .envs(KEPT_VARIABLES.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        #[cfg(unix)]
        {
            // Relative names mean nothing in `/`, and no key on the terminal reaches a process group of its own.
            command.current_dir("/");
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
        }
        command.spawn().map(Self)
    }

    /// Writes the question; everything that the process says in return will come at once.
    fn ask(&mut self, sql: &str, choice: &Choice, scope: &Scope) -> io::Result<Receiver<Vec<u8>>> {
        let question = Question { sql: sql.to_owned(), scope: scope.clone(), choice: choice.clone() };
        let mut question = serde_json::to_vec(&question)?;
        question.push(b'\n');
        if let Some(input) = &mut self.0.stdin {
            input.write_all(&question)?;
        }
        let output = self.0.stdout.take();
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new().name("sql answer".to_owned()).spawn(move || {
            let mut said = Vec::new();
            if let Some(output) = output {
                // A truncated answer cannot be parsed.
                let _ = output.take(MAX_ANSWER_BYTES).read_to_end(&mut said);
            }
            let _ = sender.send(said);
        })?;
        Ok(receiver)
    }

    /// Why there is no answer: the process ended, or said something else.
    fn died(&mut self) -> AskError {
        let _ = self.0.kill();
        match self.0.wait() {
            // Running out of address space outside of DuckDB's own bookkeeping ends a process by `abort`, or by SIGSEGV: the
            // kernel sends that when a stack cannot grow.
            Ok(status) if ran_out_of_address_space(status) => {
                tracing::warn!(
                    "a question in SQL: its process ended with {status}, as one does without memory"
                );
                AskError::OutOfMemory
            }
            Ok(status) => AskError::Failed(format!("its process ended with {status}")),
            Err(error) => AskError::Failed(format!("its process is gone: {error}")),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
fn ran_out_of_address_space(status: std::process::ExitStatus) -> bool {
    /// SIGABRT and SIGSEGV have these numbers on every Unix.
    const ABORT: i32 = 6;
    const SEGMENTATION_FAULT: i32 = 11;
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    signal == Some(ABORT) || (signal == Some(SEGMENTATION_FAULT) && LIMITS.address_space_bytes.is_some())
}

#[cfg(not(unix))]
fn ran_out_of_address_space(_: std::process::ExitStatus) -> bool {
    false
}

/// The line and column of a byte in a text, counted from 1.
fn place(text: &str, position: usize) -> Option<(usize, usize)> {
    let before = text.get(..position)?;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_counted_in_lines_and_characters() {
        let text = "SELECT 'ä',\n nosuch";
        assert_eq!(place(text, 0), Some((1, 1)));
        assert_eq!(place(text, 11), Some((1, 11)));
        assert_eq!(place(text, 14), Some((2, 2)));
        assert_eq!((place(text, 9), place(text, 99)), (None, None));
    }
}
