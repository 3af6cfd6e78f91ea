//! The history for a person who may not see all of it: a copy in memory of the visible rows, and nothing else.
//!
//! A view hides nothing: an attached database can be asked by its own name. So the rows are copied, and the segments
//! are detached before the question is parsed.

use std::sync::Arc;

use askama::Template;
use duckdb::Connection;

use super::{error::EngineError, limits::MAX_SEEN_ROWS};
use crate::{
    catalog::{Tables, attach_empty, columns_of_latest, views_sql},
    fields,
    history::{Scope, ScopeTables},
    segment::{SegmentName, plain_schema_in, quote_identifier},
    template::render,
};

/// The database in memory that the copies are in.
const SEEN: &str = "seen";
/// The tables of hosts, and what says when a row was. Of the others, which count everybody's rows, there is nothing.
const TABLES: [(&str, Option<&str>); 8] = [
    ("event", Some("occurred_at")),
    ("host_info", None),
    ("host_sample", Some("captured_at")),
    ("filesystem_sample", Some("captured_at")),
    ("interface_sample", Some("captured_at")),
    ("process", Some("last_seen")),
    ("process_earlier", Some("last_seen")),
    ("process_hour", Some("hour")),
];

/// Copies the samples of processes.
#[derive(Template)]
#[template(path = "sql/seen_samples.sql")]
struct SeenSamplesSql<'a> {
    process_sample: &'a str,
    /// The condition of a sample that is copied.
    is_recent: &'a str,
}

/// The time since when the rows fit.
#[derive(Template)]
#[template(path = "sql/seen_since.sql")]
struct SeenSinceSql<'a> {
    host_sample: &'a str,
}

/// Replaces the attached `segments` by a copy of their rows within `scope`, the newest first, as many as fit. Returns
/// since when the copy is complete, in µs since 1970 UTC, unless it has everything.
///
/// # Errors
/// When it cannot be copied, or not even the newest minute fits.
pub(super) fn keep(
    connection: &Connection,
    segments: &[SegmentName],
    scope: &Scope,
) -> Result<Option<i64>, EngineError> {
    connection.execute_batch(&attach_empty())?;
    let mut tables = ScopeTables::default();
    let scope = tables.conditions(connection, &Arc::new(scope.clone()))?;
    let rows = |table| scope.rows(table, columns_of_latest(table, segments));
    let since_ms = since_ms(connection, &rows("host_sample"))?;
    // Compressed, a row takes an eighth, which the question then has for itself.
    connection
        .execute_batch(&format!("ATTACH ':memory:' AS {SEEN} (COMPRESS);\n{}", plain_schema_in(SEEN)))?;
    let is_recent = |at: &str| match since_ms {
        Some(since_ms) => format!("{at} >= make_timestamp_ms({since_ms}::BIGINT)::TIMESTAMP_MS"),
        None => "true".to_owned(),
    };
    for (table, at) in TABLES {
        let (rows, is_recent) = (rows(table), at.map_or_else(|| "true".to_owned(), is_recent));
        connection.execute_batch(&format!(
            "INSERT INTO {SEEN}.{table} BY NAME FROM {rows} WHERE {is_recent};\nCHECKPOINT {SEEN};"
        ))?;
    }
    let samples =
        SeenSamplesSql { process_sample: &rows("process_sample"), is_recent: &is_recent("captured_at") };
    connection.execute_batch(&render(&samples))?;
    // The question is about the history, and nothing else is there.
    tables.drop_all(connection)?;
    for name in segments {
        connection.execute_batch(&format!("DETACH {}", quote_identifier(&name.alias())))?;
    }
    connection.execute_batch(&views_sql(&[Tables::of_catalog(SEEN)]))?;
    Ok(since_ms.map(|since_ms| since_ms.saturating_mul(1000)))
}

/// Since when the rows fit, counted from the newest; `None` where all of them do.
fn since_ms(connection: &Connection, host_sample: &str) -> Result<Option<i64>, EngineError> {
    let sql = render(&SeenSinceSql { host_sample });
    let (since_ms, newest_ms): (Option<i64>, Option<i64>) =
        connection.query_row(&sql, [], |row| Ok((row.get("since_ms")?, row.get("newest_ms")?)))?;
    if since_ms > newest_ms {
        return Err(EngineError::TooMuch);
    }
    Ok(since_ms)
}
