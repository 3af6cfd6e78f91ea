//! The engine that answers one question: its segments attached, everything else locked away.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use arrow::array::{Array, AsArray};
use askama::Template;
use duckdb::{Config, Connection};

use super::{
    answer::{Answer, Column, Cut, Reply, Row},
    choice::{Attached, Choice},
    error::EngineError,
    limits::{LIMITS, threads},
    scoped_copy,
};
use crate::{
    catalog::{SegmentFolder, Tables, attach_empty, views_sql},
    history::Scope,
    segment::{Fault, FolderError, SegmentName, attach_segment, quote_text},
    template::render,
};

/// Where DuckDB says that a question is about the text around it, which the sql_client has not written.
const AROUND: [&str; 2] = ["Expected a single SELECT statement", "in query() function"];

/// DuckDB's errors that come from the files' content, not from the question.
const OF_THE_FILES: [&str; 4] = ["Data Corruption", "IO", "Serialization", "FATAL"];

/// The columns of the answer.
#[derive(Template)]
#[template(path = "sql/columns.sql")]
struct ColumnsSql<'a> {
    /// The quoted question.
    question: &'a str,
}

/// The rows of the answer.
#[derive(Template)]
#[template(path = "sql/rows.sql")]
struct RowsSql<'a> {
    /// The quoted question.
    question: &'a str,
    limit: usize,
}

/// Locks everything but the attached segments away.
#[derive(Template)]
#[template(path = "sql/lock_down.sql")]
struct LockDownSql {
    /// The time that a question may take.
    milliseconds: u128,
}

/// The settings of [`LockDownSql`] that DuckDB did not take.
#[derive(Template)]
#[template(path = "sql/lock_down_check.sql")]
struct LockDownCheckSql {
    /// The time that a question may take.
    milliseconds: u128,
}

/// An engine over the history, locked.
pub(super) struct Engine {
    connection: Connection,
    is_scoped: bool,
    history_from_us: Option<i64>,
    history_to_us: Option<i64>,
    attached: Attached,
    incomplete: Vec<String>,
}

/// The segments that are attached.
struct Opened {
    names: Vec<SegmentName>,
    attached: Attached,
    /// Those that cannot be read.
    incomplete: Vec<String>,
}

impl Engine {
    /// Attaches the current segments of `folder` that are of the `choice`, or a copy of their rows within a `scope` that is not
    /// everything, and locks everything else.
    pub(super) fn open(folder: &Path, scope: &Scope, choice: &Choice) -> Result<Self, EngineError> {
        let folder = std::path::absolute(folder).map_err(FolderError::at(folder))?;
        let config = Config::default()
            .enable_autoload_extension(false)?
            .threads(threads())?
            .max_memory(&format!("{}B", LIMITS.memory_bytes))?
            .with("temp_directory", "")?;
        let connection = Connection::open_in_memory_with_flags(config)?;
        use_utc(&connection)?;
        let Opened { names, attached, incomplete } = attach(&connection, &folder, choice)?;
        let is_scoped = !scope.is_everything();
        let history_from_us = if is_scoped {
            scoped_copy::keep(&connection, &names, scope)?
        } else {
            let tables: Vec<Tables> = names.iter().map(Tables::from).collect();
            connection.execute_batch(&(attach_empty() + &views_sql(&tables)))?;
            None
        };
        let newest = "SELECT epoch_us(max(captured_at)) FROM host_sample";
        let history_to_us = connection.query_row(newest, [], |row| row.get(0))?;
        lock(&connection, &folder)?;
        Ok(Self { connection, is_scoped, history_from_us, history_to_us, attached, incomplete })
    }

    /// Answers a question, or says why not.
    pub(super) fn answer(self, question: &str) -> Reply {
        match self.ask(question) {
            Ok((columns, rows, cut)) => Reply::Answer(Answer {
                columns,
                rows,
                cut,
                is_scoped: self.is_scoped,
                history_from_us: self.history_from_us,
                history_to_us: self.history_to_us,
                attached: self.attached,
                incomplete: self.incomplete,
            }),
            Err(error) => refusal(&error.to_string()),
        }
    }

    fn ask(&self, question: &str) -> duckdb::Result<(Vec<Column>, Vec<Row>, Option<Cut>)> {
        // Inside a string nothing of the question can reach beyond it: the text around it is always one statement.
        let question = &quote_text(question);
        let mut describe = self.connection.prepare(&render(&ColumnsSql { question }))?;
        let column = |row: &duckdb::Row<'_>| {
            Ok(Column { name: row.get("column_name")?, kind: row.get("column_type")? })
        };
        let columns = describe.query_map([], column)?.collect::<duckdb::Result<_>>()?;
        let (rows, cut) = self.rows(&render(&RowsSql { question, limit: LIMITS.rows + 1 }))?;
        Ok((columns, rows, cut))
    }

    /// The rows up to the limits, fetched as DuckDB finds them.
    fn rows(&self, sql: &str) -> duckdb::Result<(Vec<Row>, Option<Cut>)> {
        let mut statement = self.connection.prepare(sql)?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for batch in statement.stream_arrow([])? {
            let batch = batch?;
            let columns: Vec<_> = batch.columns().iter().map(AsArray::as_string_opt::<i32>).collect();
            for index in 0..batch.num_rows() {
                let value = |column: &Option<&arrow::array::StringArray>| {
                    column
                        .filter(|column| column.is_valid(index))
                        .map(|column| column.value(index).to_owned())
                };
                let row: Vec<_> = columns.iter().map(value).collect();
                bytes += row.iter().flatten().map(String::len).sum::<usize>();
                if rows.len() == LIMITS.rows {
                    return Ok((rows, Some(Cut::Rows)));
                }
                if bytes > LIMITS.bytes {
                    return Ok((rows, Some(Cut::Bytes)));
                }
                rows.push(row);
            }
        }
        Ok((rows, None))
    }
}

/// Times with a zone are shown in UTC. A DuckDB with the extension `icu` would show them in the zone of this machine.
fn use_utc(connection: &Connection) -> duckdb::Result<()> {
    let sql = "SELECT count(*) > 0 FROM duckdb_settings() WHERE name = 'TimeZone'";
    if connection.query_row(sql, [], |row| row.get(0))? {
        connection.execute_batch("SET TimeZone = 'UTC'")?;
    }
    Ok(())
}

/// Attaches what there is of the `choice`: the segments that can be read, and the names of those that cannot. What these were
/// merged from takes their place where that is still there.
fn attach(connection: &Connection, folder: &Path, choice: &Choice) -> Result<Opened, EngineError> {
    let (mut readable, mut unread) = (BTreeMap::new(), BTreeSet::new());
    loop {
        let is_unread = |name: &SegmentName| unread.contains(&name.to_string());
        let listed = SegmentFolder::scan_without(folder, is_unread)?;
        let (chosen, mut attached) = choice.among(&listed.current)?;
        let before = unread.len();
        for segment in listed.current.iter().rev() {
            let file_name = segment.name.to_string();
            if readable.contains_key(&file_name) || !chosen.contains(&file_name) {
                continue;
            }
            match attach_segment(connection, folder, &segment.name) {
                Ok(_) => drop(readable.insert(file_name, segment.name)),
                // Too old, or merged more than a minute after the folder was listed.
                Err(Fault::Gone) => {}
                Err(_) => drop(unread.insert(file_name)),
            }
        }
        if unread.len() == before {
            let is_asked_about = |name: &SegmentName| choice.is_about_the_time_of(name);
            let damaged = listed.damaged.iter().filter(|name| is_asked_about(name));
            let skipped = listed.skipped.into_iter().filter(|file| is_asked_about(&file.name));
            let incomplete =
                damaged.map(SegmentName::to_string).chain(skipped.map(|file| file.file_name)).chain(unread);
            let incomplete = incomplete.collect();
            let current = listed.current.iter().map(|segment| segment.name.to_string());
            let current = current.filter(|file_name| chosen.contains(file_name));
            let names: Vec<_> = current.filter_map(|file_name| readable.get(&file_name).copied()).collect();
            attached.segments = names.len();
            return Ok(Opened { names, attached, incomplete });
        }
    }
}

/// Locks everything away, and looks whether it is.
fn lock(connection: &Connection, folder: &Path) -> Result<(), EngineError> {
    let milliseconds = LIMITS.deadline().as_millis();
    connection.execute_batch(&render(&LockDownSql { milliseconds }))?;
    let check = render(&LockDownCheckSql { milliseconds });
    let missing: String = connection.query_row(&check, [], |row| row.get(0))?;
    if !missing.is_empty() {
        return Err(EngineError::Open(format!("it did not keep {missing}")));
    }
    // What `disabled_filesystems` holds cannot be read back; so try.
    let everything = quote_text(&folder.join("*").to_string_lossy());
    match connection.execute_batch(&format!("FROM glob({everything})")) {
        Err(error) if error.to_string().contains("has been disabled by configuration") => Ok(()),
        _ => Err(EngineError::Open("it still reads folders".to_owned())),
    }
}

/// What DuckDB said, which is JSON since `errors_as_json`.
fn refusal(said: &str) -> Reply {
    let Some(parsed) =
        said.find('{').and_then(|start| serde_json::from_str::<serde_json::Value>(&said[start..]).ok())
    else {
        return Reply::Refused { message: said.to_owned(), position: None };
    };
    let text = |key: &str| parsed[key].as_str().unwrap_or_default();
    let message = text("exception_message").to_owned();
    match text("exception_type") {
        "Out of Memory" => Reply::OutOfMemory,
        "INTERRUPT" => Reply::TooSlow,
        kind if OF_THE_FILES.contains(&kind) => Reply::Damaged(message),
        _ => {
            let is_around = AROUND.iter().any(|about| message.contains(about));
            let position = text("position").parse().ok().filter(|_| !is_around);
            Reply::Refused { message, position }
        }
    }
}
