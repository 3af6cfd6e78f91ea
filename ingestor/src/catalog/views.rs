//! Many segments as one database: the text of `attach.sql`, which the ingestor's own queries and merges use as well.

use std::{fmt::Write, path::Path};

use super::{
    table_columns::{HOURS_SINCE_VERSION, IDENTITY, SPANS_SINCE_VERSION, columns_of, identity_in, packing},
    templates::{
        ProcessHourViewSql, ProcessViewSql, ProcessesAtMacroSql, SamplesAtSql, SpansBetweenSql, TopMacroSql,
    },
};
use crate::{
    fields::{columns, columns_in, facts, figures},
    segment::{
        EVENTS_SINCE_VERSION, INTERFACES_SINCE_VERSION, SCHEMA_VERSION, SegmentName, TICKS_SINCE_VERSION,
        attach_statement, plain_schema_in, quote_identifier, samples_sql,
    },
    template::render,
};

/// An attached database in memory with the same tables, empty. Every view starts with it, so that the views exist when
/// there are no segments, and have all columns when a segment of an older version lacks some.
const EMPTY: &str = "fleetps_empty";
/// The beginning of `attach.sql`.
const HEAD: &str = "\
-- The history of fleetps, one view per table over all segments: duckdb -init attach.sql
-- Rewritten whenever segments change. Run it again to see newer ones. Times are UTC.
";
/// Tables whose rows are independent of other files.
const PLAIN_TABLES: [&str; 10] = [
    "segment",
    "event",
    "gap",
    "host_info",
    "host_sample",
    "filesystem_sample",
    "interface_sample",
    "process_earlier",
    "process_span",
    "process_sample",
];
/// The tables of one segment, or of a database in memory that is like one.
pub(crate) struct Tables {
    /// The name of the attached database, quoted.
    catalog: String,
    schema_version: u32,
    /// Whether it stores what [`packed_rows`] works out. A file of an earlier version is asked for its own columns.
    is_packed: bool,
}

impl Tables {
    /// A database with the tables of the latest version.
    pub(crate) fn of_catalog(catalog: &str) -> Self {
        Self { catalog: quote_identifier(catalog), schema_version: SCHEMA_VERSION, is_packed: false }
    }

    /// Whether a table is there under its name, with all columns.
    fn has_itself(&self, table: &str) -> bool {
        // Fields that a later version added are NULL in the view alone.
        self.schema_version >= SCHEMA_VERSION && !matches!(table, "process_sample" | "process_history")
    }
}

impl From<&SegmentName> for Tables {
    fn from(name: &SegmentName) -> Self {
        let SegmentName { schema_version, .. } = *name;
        let is_packed = schema_version >= SCHEMA_VERSION;
        Self { catalog: quote_identifier(&name.alias()), schema_version, is_packed }
    }
}

/// A selection of segments' rows. Times are SQL expressions of `TIMESTAMP_MS`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// All of a table.
    Of(&'a str),
    /// Rows of `process_sample` captured from one time until before another: all of a long segment are many.
    SamplesBetween(&'a str, &'a str),
    /// All of `process_span`, with a column `file`: the place of their segment among those that were named.
    SpansByFile,
    /// Rows of `process_span` with a snapshot from one time until before another.
    SpansBetween(&'a str, &'a str),
    /// Rows of `process_sample` captured at the times in a relation (host, captured_at).
    SamplesAt(&'a str, Narrow<'a>),
}

/// What is known of the samples that are asked for, so that fewer are looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Narrow<'a> {
    /// The first and the last time.
    pub(crate) times: Option<(&'a str, &'a str)>,
    /// A relation of the processes (host, boot_id, pid, start_ticks).
    pub(crate) processes: Option<&'a str>,
}

impl Narrow<'_> {
    /// Those of all `spans` that it leaves.
    fn spans(&self, spans: &str, tables: &[Tables]) -> String {
        let at_times = self.times.map(|(first, last)| {
            format!("WHERE last_captured_at >= {first} AND first_captured_at <= {last}")
        });
        let at_times = at_times.unwrap_or_default();
        let Some(processes) = self.processes else { return format!("(FROM {spans} {at_times})") };
        let of_processes =
            format!("SEMI JOIN {processes} USING (host, boot_id, pid, start_ticks) {at_times}");
        // A row has thirty columns. The place of a row is found by a few of them, and DuckDB then reads no others.
        let only = |Tables { catalog, .. }: &Tables| {
            let worked_out = packing("process_span").map(|(_, worked_out)| worked_out).unwrap_or_default();
            let places = format!("SELECT rowid AS place, *, {worked_out} FROM {catalog}.process_span");
            format!(" WHERE rowid IN (SELECT place FROM ({places}) {of_processes})")
        };
        format!("(FROM {} {of_processes})", union_of_files_where("process_span", tables, &only))
    }
}

impl Rows<'_> {
    /// The table that they are of.
    pub(crate) fn table(&self) -> &str {
        match self {
            Self::Of(table) => table,
            Self::SamplesBetween(..) | Self::SamplesAt(..) => "process_sample",
            Self::SpansByFile | Self::SpansBetween(..) => "process_span",
        }
    }

    /// The query for them in all `tables`.
    fn select(&self, tables: &[Tables]) -> String {
        let (spans, captures) = (union_of_files("process_span", tables), union_of_files("capture", tables));
        let between = |from: &str, to: &str| {
            let spans =
                format!("(FROM {spans} WHERE last_captured_at >= {from} AND first_captured_at < {to})");
            let wanted = format!("(FROM {captures} WHERE captured_at >= {from} AND captured_at < {to})");
            (spans, wanted)
        };
        match *self {
            Self::Of("process_sample") => samples_sql(&spans, &captures, &captures),
            Self::Of(table) => union(table, tables),
            Self::SamplesBetween(from, to) => {
                let (spans, wanted) = between(from, to);
                samples_sql(&spans, &captures, &wanted)
            }
            Self::SpansByFile => format!("FROM {spans}"),
            Self::SpansBetween(from, to) => {
                let (spans, wanted) = between(from, to);
                render(&SpansBetweenSql { spans: &spans, wanted: &wanted, from, to })
            }
            Self::SamplesAt(moments, narrow) => {
                let spans = narrow.spans(&spans, tables);
                render(&SamplesAtSql { spans: &spans, captures: &captures, moments })
            }
        }
    }
}

/// The statement that attaches one segment.
pub(crate) fn attach_one(folder: &Path, name: &SegmentName) -> String {
    attach_statement(&folder.join(name.to_string()), &name.alias())
}

/// The statements that attach `segments` of `folder` (an absolute path) and make one view per table, and the macros
/// `processes_at(host, moment)` and `top(from, to)`. They can be run again, on the same connection, after segments have
/// changed.
pub fn attach_sql(folder: &Path, segments: &[SegmentName]) -> String {
    let mut sql = format!("{HEAD}{}", attach_empty());
    for name in segments {
        sql += &attach_one(folder, name);
    }
    let tables: Vec<Tables> = segments.iter().map(Tables::from).collect();
    sql + &views_sql(&tables)
}

/// The statements that make the views and macros over all `tables`.
pub(crate) fn views_sql(tables: &[Tables]) -> String {
    let rows = |rows: Rows<'_>| format!("({})", rows.select(tables));
    let mut sql = String::new();
    for table in PLAIN_TABLES {
        let _ = writeln!(sql, "CREATE OR REPLACE VIEW {table} AS FROM {};", rows(Rows::Of(table)));
    }
    let between = Rows::SpansBetween("from_time::TIMESTAMP_MS", "to_time::TIMESTAMP_MS");
    let history = rows(Rows::Of("process_history"));
    let statements = [
        render(&ProcessViewSql { processes: rows(Rows::Of("process")), history: history.clone() }),
        render(&ProcessHourViewSql { hours: rows(Rows::Of("process_hour")) }),
        render(&ProcessesAtMacroSql { samples: rows(Rows::SamplesAt("latest", Narrow::default())), history }),
        render(&TopMacroSql { spans: rows(between) }),
    ];
    sql + &statements.join("\n") + "\n"
}

/// The statements that attach the empty tables which every relation starts with.
pub(crate) fn attach_empty() -> String {
    format!("ATTACH IF NOT EXISTS ':memory:' AS {EMPTY};\n{}\n", plain_schema_in(EMPTY))
}

/// Whether relations of a segment need [`attach_empty`], because its version lacks columns.
pub(super) fn needs_empty(name: &SegmentName) -> bool {
    name.schema_version < HOURS_SINCE_VERSION
}

/// These rows of attached segments as something to select from, with all columns of the latest version, if not more.
pub(crate) fn relation<'a>(rows: Rows<'_>, segments: impl IntoIterator<Item = &'a SegmentName>) -> String {
    let tables: Vec<Tables> = segments.into_iter().map(Tables::from).collect();
    // A name alone is planned in three quarters of the time, and planning is most of a small question.
    if let (Rows::Of(table), [only]) = (rows, &tables[..])
        && only.has_itself(table)
    {
        return format!("{}.{table}", only.catalog);
    }
    format!("({})", rows.select(&tables))
}

/// The same with exactly the columns of the latest version, as to copy them.
pub(crate) fn columns_of_latest<'a>(
    table: &str,
    segments: impl IntoIterator<Item = &'a SegmentName>,
) -> String {
    let tables: Vec<Tables> = segments.into_iter().map(Tables::from).collect();
    format!("({})", Rows::Of(table).select(&tables))
}

/// The query for all rows of `table`.
fn union(table: &str, tables: &[Tables]) -> String {
    if table == "process_history" {
        return history(tables);
    }
    let rows = |tables: &Tables| rows_of(table, tables);
    let (packed, others): (Vec<&Tables>, Vec<&Tables>) =
        tables.iter().partition(|tables| tables.is_packed && packing(table).is_some());
    let packed = packed_rows(table, packed.iter().map(|tables| (None, *tables)), &all_rows);
    // Planning a query takes DuckDB half the time without the empty tables and matching columns by name.
    if !tables.is_empty() && tables.iter().all(|tables| tables.schema_version >= HOURS_SINCE_VERSION) {
        let all: Vec<String> = others.iter().copied().filter_map(rows).chain(packed.clone()).collect();
        if !all.is_empty() {
            return all.join("\nUNION ALL ");
        }
    }
    let empty = Tables::of_catalog(EMPTY);
    let all: Vec<String> = std::iter::once(&empty).chain(others).filter_map(rows).chain(packed).collect();
    all.join("\nUNION ALL BY NAME ")
}

/// The query for all rows of a table of segments that are packed, each with its number if it has one as a column `file`. What is
/// worked out is so over all of them: planned for each, that would be most of the work of a small question.
/// `only` says which rows of a table, behind its name.
fn packed_rows<'a>(
    table: &str,
    tables: impl Iterator<Item = (Option<usize>, &'a Tables)>,
    only: &dyn Fn(&Tables) -> String,
) -> Option<String> {
    let (stored, worked_out) = packing(table)?;
    let mut file_column = "";
    let mut rows = Vec::new();
    for (file, tables) in tables {
        let (catalog, only) = (&tables.catalog, only(tables));
        let number = file.map(|file| format!("{file} AS file, ")).unwrap_or_default();
        file_column = if file.is_some() { "file, " } else { "" };
        rows.push(format!("SELECT {number}{stored} FROM {catalog}.{table}{only}"));
    }
    let columns = columns_of(table, SCHEMA_VERSION);
    let rows = Some(rows.join("\nUNION ALL ")).filter(|rows| !rows.is_empty())?;
    Some(format!("SELECT {file_column}{columns} FROM (SELECT *, {worked_out} FROM ({rows}))"))
}

/// The same with a column `file`, which joins rows of one file; in brackets.
fn union_of_files(table: &str, tables: &[Tables]) -> String {
    union_of_files_where(table, tables, &all_rows)
}

/// No condition.
fn all_rows(_: &Tables) -> String {
    String::new()
}

/// The same, of files that are packed only some rows.
fn union_of_files_where(table: &str, tables: &[Tables], only: &dyn Fn(&Tables) -> String) -> String {
    let empty = [Tables::of_catalog(EMPTY)];
    let tables = if tables.is_empty() { &empty } else { tables };
    let is_packed = |tables: &Tables| tables.is_packed && packing(table).is_some();
    let (packed, others): (Vec<_>, Vec<_>) =
        tables.iter().enumerate().partition(|(_, tables)| is_packed(tables));
    let rows = others.into_iter().filter_map(|(file, tables)| {
        Some(format!("SELECT {file} AS file, * FROM ({})", rows_of(table, tables)?))
    });
    let packed = packed_rows(table, packed.into_iter().map(|(file, tables)| (Some(file), tables)), only);
    format!("({})", rows.chain(packed).collect::<Vec<_>>().join("\nUNION ALL "))
}

/// A table of one segment as something to select [`columns_of`] from.
fn source(table: &str, Tables { catalog, schema_version, .. }: &Tables) -> String {
    let has_identity =
        matches!(table, "event" | "process" | "process_span" | "process_sample" | "process_hour");
    match has_identity && *schema_version < TICKS_SINCE_VERSION {
        true => format!(
            "{catalog}.{table} LEFT JOIN (SELECT host, list(DISTINCT epoch_us(boot_at)) AS boots \
             FROM {catalog}.host_info GROUP BY host) USING (host)"
        ),
        false => format!("{catalog}.{table}"),
    }
}

/// The query for the rows of a table of one segment; `None` where its version of the schema has no such table.
fn rows_of(table: &str, tables: &Tables) -> Option<String> {
    let Tables { schema_version, .. } = tables;
    let has_spans = *schema_version >= SPANS_SINCE_VERSION;
    let has_hours = *schema_version >= HOURS_SINCE_VERSION;
    let columns = columns_of(table, *schema_version);
    let from = source(table, tables);
    Some(match table {
        "process_hour" if !has_hours => return None,
        "event" if *schema_version < EVENTS_SINCE_VERSION => return None,
        "process_earlier" if *schema_version < TICKS_SINCE_VERSION => return None,
        "interface_sample" if *schema_version < INTERFACES_SINCE_VERSION => return None,
        "host_sample" => {
            let told = |since: u32, column: &str, unknown: &str| match *schema_version >= since {
                true => column.to_owned(),
                false => format!("{unknown} AS {column}"),
            };
            let later = [
                told(HOURS_SINCE_VERSION, "has_processes", "true"),
                told(EVENTS_SINCE_VERSION, "stream_sequence", "NULL::BIGINT"),
                told(TICKS_SINCE_VERSION, "clock_offset_ms", "NULL::BIGINT"),
            ];
            format!("SELECT {columns}, {} FROM {from}", later.join(", "))
        }
        "process_span" if !has_spans => {
            let (identity, figures) = (identity_in(*schema_version), columns_in(figures(), *schema_version));
            format!(
                "SELECT {identity}, captured_at AS first_captured_at, captured_at AS last_captured_at, \
                 1::UINTEGER AS snapshots, {figures} FROM {}",
                source("process_sample", tables)
            )
        }
        // Without spans nothing refers to the number.
        "capture" if !has_spans => {
            let all = rows_of("host_sample", tables)?;
            format!("SELECT host, 0::UINTEGER AS number, captured_at FROM ({all}) WHERE has_processes")
        }
        _ => format!("SELECT {columns} FROM {from}"),
    })
}

/// The query for what processes were from one time to another.
fn history(tables: &[Tables]) -> String {
    let facts = columns(facts());
    let select = |table: &str, first_seen: &str| {
        let rows = union(table, tables);
        format!(
            "SELECT {IDENTITY}, {facts}, {first_seen} AS first_seen, facts_since, last_seen FROM ({rows})"
        )
    };
    [select("process", "first_seen"), select("process_earlier", "facts_since")].join("\nUNION ALL ")
}

#[cfg(test)]
#[path = "views_tests.rs"]
mod tests;
