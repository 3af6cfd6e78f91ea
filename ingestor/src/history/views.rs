//! Many segments as one database: the text of `attach.sql`, which the ingestor's own queries and merges use as well.

use std::{fmt::Write, path::Path};

use super::attach_one;
use crate::segment::{SegmentName, quote_identifier, schema_in};

/// An attached database in memory with the same tables, empty. Every view starts with it, so that the views exist when
/// there are no segments, and have all columns when a segment of an older version lacks some.
const EMPTY: &str = "fleetps_empty";
/// What `attach.sql` begins with.
const HEAD: &str = "\
-- The history of fleetps, one view per table over all segments: duckdb -init attach.sql
-- Rewritten whenever segments change. Run it again to see newer ones. Times are UTC.
";
/// Tables whose rows stand for themselves.
const PLAIN_TABLES: [&str; 6] =
    ["segment", "gap", "host_info", "host_sample", "filesystem_sample", "process_sample"];
/// Since then, every segment has all columns that people see, in the same order.
const COMPLETE_SINCE_VERSION: u32 = 2;
/// Of `process_sample`.
const SAMPLE_COLUMNS: &str = "host, boot_id, pid, started_at, captured_at, state, threads, cpu_percent, cpu_time_ms, \
    resident_bytes, virtual_bytes, read_bytes, written_bytes";
/// A process has a row in every segment in which it occurs, but must have one in the view, or joins would count twice.
const PROCESS_VIEW: &str = include_str!("process_view.sql");
/// The same of the hours of a process, which may lie in two segments.
const PROCESS_HOUR_VIEW: &str = include_str!("process_hour_view.sql");
/// What people ask most, over the views.
const MACROS: [&str; 2] = [include_str!("processes_at_macro.sql"), include_str!("top_macro.sql")];

/// The statements that attach `segments` of `folder` (an absolute path) and make one view per table, and the macros
/// `processes_at(host, moment)` and `top(from, to)`. They can be run again, on the same connection, after segments have
/// changed.
pub fn attach_sql(folder: &Path, segments: &[SegmentName]) -> String {
    let mut sql = format!("{HEAD}{}", attach_empty());
    for name in segments {
        sql += &attach_one(folder, name);
    }
    sql + &views_sql(|table| relation(table, segments))
}

/// The statements that make the views and macros over what `rows` says the rows of a table are.
pub(crate) fn views_sql(rows: impl Fn(&str) -> String) -> String {
    let mut sql = String::new();
    for table in PLAIN_TABLES {
        let _ = writeln!(sql, "CREATE OR REPLACE VIEW {table} AS FROM {};", rows(table));
    }
    sql += &PROCESS_VIEW.replace("$processes", &rows("process"));
    sql += &PROCESS_HOUR_VIEW.replace("$hours", &rows("process_hour"));
    sql + "\n" + &MACROS.concat()
}

/// The statements that attach the empty tables which every relation starts with.
pub(crate) fn attach_empty() -> String {
    format!("ATTACH IF NOT EXISTS ':memory:' AS {EMPTY};\n{}\n", schema_in(EMPTY))
}

/// The rows of `table` in attached segments as something to select from, with all columns of the latest version.
pub(crate) fn relation<'a>(table: &str, segments: impl IntoIterator<Item = &'a SegmentName>) -> String {
    let segments: Vec<_> = segments.into_iter().collect();
    // Planning a query takes DuckDB half the time without the empty tables and matching columns by name.
    if !segments.is_empty() && segments.iter().all(|name| name.schema_version >= COMPLETE_SINCE_VERSION) {
        let rows: Vec<String> = segments.iter().filter_map(|name| rows_of(table, name)).collect();
        return format!("({})", rows.join("\nUNION ALL "));
    }
    let mut sql = format!("({}", rows_in(EMPTY, table));
    for rows in segments.iter().filter_map(|name| rows_of(table, name)) {
        let _ = write!(sql, "\nUNION ALL BY NAME {rows}");
    }
    sql + ")"
}

/// The query for the rows of a table of one segment; `None` where its version of the schema has no such table.
fn rows_of(table: &str, name: &SegmentName) -> Option<String> {
    let alias = quote_identifier(&name.alias());
    match table {
        "process_hour" if name.schema_version < 2 => None,
        "host_sample" if name.schema_version < 2 => {
            Some(format!("SELECT *, true AS has_processes FROM {alias}.{table}"))
        }
        _ => Some(rows_in(&alias, table)),
    }
}

/// The query for the rows of a table of the attached `catalog`, with the columns that people see: not those that these are
/// worked out from, which earlier versions do not have.
pub(crate) fn rows_in(catalog: &str, table: &str) -> String {
    let columns = if table == "process_sample" { SAMPLE_COLUMNS } else { "*" };
    format!("SELECT {columns} FROM {catalog}.{table}")
}
