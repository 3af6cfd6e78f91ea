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
/// A process has a row in every segment in which it occurs, but must have one in the view, or joins would count twice.
const PROCESS_VIEW: &str = include_str!("process_view.sql");

/// The statements that attach `segments` of `folder` (an absolute path) and make one view per table. They can be run
/// again, on the same connection, after segments have changed.
pub fn attach_sql(folder: &Path, segments: &[SegmentName]) -> String {
    let mut sql = format!("{HEAD}ATTACH IF NOT EXISTS ':memory:' AS {EMPTY};\n{}\n", schema_in(EMPTY));
    for name in segments {
        sql += &attach_one(folder, name);
    }
    for table in PLAIN_TABLES {
        let _ = writeln!(sql, "CREATE OR REPLACE VIEW {table} AS\n{};", union_of(table, segments));
    }
    sql + &PROCESS_VIEW.replace("$processes", &union_of("process", segments))
}

fn union_of(table: &str, segments: &[SegmentName]) -> String {
    let mut sql = format!("SELECT * FROM {EMPTY}.{table}");
    for name in segments {
        let _ = write!(sql, "\nUNION ALL BY NAME SELECT * FROM {}.{table}", quote_identifier(&name.alias()));
    }
    sql
}
