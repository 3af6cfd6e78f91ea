//! Copies of a day's segments for later days: making each of them anew would take most of an hour.

use std::path::Path;

use duckdb::Connection;
use fleetps_ingestor::segment::SegmentName;

const DAY_S: i64 = 86_400;
/// More than a day has snapshots.
pub const SEQUENCES_PER_DAY: u64 = 1_000_000;

/// Copies the segment `name` to as many `days` later: its times, its sequences, and its boots and runs under other names.
pub fn copy_later(folder: &Path, name: SegmentName, days: i64) {
    let sequences = days.cast_unsigned() * SEQUENCES_PER_DAY;
    let later = SegmentName {
        first_sequence: name.first_sequence + sequences,
        last_sequence: name.last_sequence + sequences,
        first_stored_s: name.first_stored_s + days * DAY_S,
        ..name
    };
    let path = |name: SegmentName| folder.join(name.to_string());
    let connection = Connection::open_in_memory().unwrap();
    let attach = include_str!("sql/later.sql")
        .replace("$source", &path(name).to_string_lossy())
        .replace("$later", &path(later).to_string_lossy());
    connection.execute_batch(&attach).unwrap();
    let statements = include_str!("sql/later_rows.sql")
        .replace("$days", &days.to_string())
        .replace("$sequences", &sequences.to_string());
    let mut statements = connection.prepare(&statements).unwrap();
    let statements = statements.query_map([], |row| row.get::<_, String>(0)).unwrap();
    for statement in statements.map(Result::unwrap) {
        connection.execute_batch(&statement).unwrap();
    }
    connection.execute_batch("DETACH later").unwrap();
}
