//! `fleetps sql`: one question in SQL over the history in the data folder.

use std::{
    io::{self, Read},
    path::PathBuf,
    time::Instant,
};

use anyhow::Context;
use clap::ValueEnum;
use fleetps_ingestor::{
    history::{Holding, Scope, Span},
    sql::{AskError, Choice, SqlClient},
};
use tokio_util::sync::CancellationToken;

use super::{
    json,
    table::{Heading, render},
    write,
};
use crate::{
    console::{Answered, limits},
    display::visible,
};

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns, for people.
    Table,
    /// Comma-separated values, for spreadsheets.
    Csv,
    /// One JSON object.
    Json,
}

/// Asks the history in the folder `history`, of a span or as far back as fits; `-` reads the question from standard input.
///
/// # Errors
/// When the question has no answer, or it cannot be written.
pub(crate) fn sql(
    history: PathBuf,
    question: &str,
    span: Option<Span>,
    format: Format,
) -> anyhow::Result<()> {
    anyhow::ensure!(
        history.is_dir(),
        "there is no history at {}; name the data folder of the ingestor with --data DIR",
        history.display()
    );
    let mut sql = question.to_owned();
    if question == "-" {
        sql.clear();
        io::stdin().read_to_string(&mut sql).context("cannot read the question from standard input")?;
    }
    let asked = Instant::now();
    // Ctrl-C ends this program, and the process that answers ends with it.
    let client = SqlClient::with_this_program(history)?;
    let choice = span.map_or_else(Choice::default, |span| Choice::of(span, Holding::default()));
    let answer = client.ask_about(&sql, &choice, &Scope::everything(), &CancellationToken::new());
    let answer = answer.map_err(explained)?;
    let answered = Answered { answer, took: asked.elapsed() };
    match format {
        Format::Table => write(&table(&answered))?,
        Format::Csv => write(&String::from_utf8_lossy(&answered.csv()))?,
        Format::Json => write(&json(&serde_json::to_value(answered.json())?))?,
    }
    fleetps_nats::errln!("{}", visible(&answered.summary()));
    fleetps_nats::errln!("The limits are {}.", limits());
    Ok(())
}

fn table(answered: &Answered) -> String {
    let columns = &answered.answer.columns;
    let headings: Vec<_> =
        columns.iter().map(|column| Heading { name: &column.name, is_number: column.is_number() }).collect();
    let cell = |value: &Option<String>| value.clone().unwrap_or_else(|| "NULL".to_owned());
    render(&headings, answered.answer.rows.iter().map(|row| row.iter().map(cell).collect()))
}

/// An error with its next step, safe for a terminal: DuckDB repeats texts of the history.
fn explained(error: AskError) -> anyhow::Error {
    let said = error.to_string();
    let said: Vec<_> = said.lines().map(visible).collect();
    let said = said.join("\n");
    match error {
        AskError::Refused { place: Some((line, column)), .. } => {
            anyhow::anyhow!("{said}\n(line {line}, column {column} of the question)")
        }
        AskError::TooSlow | AskError::OutOfMemory => {
            anyhow::anyhow!(
                "{said}; ask for less (a shorter time, one host, fewer columns), or open the files with DuckDB itself: \
                duckdb -init DATA/history/attach.sql\nThe limits are {}.",
                limits()
            )
        }
        AskError::TooManySegments(_) => anyhow::anyhow!("{said}; ask about a shorter time (--from and --to)"),
        AskError::Start(source) => anyhow::Error::new(source).context(said),
        _ => anyhow::anyhow!("{said}"),
    }
}
