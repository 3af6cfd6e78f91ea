//! Looks for damage before anybody needs what is damaged: reads every value of each merged segment, one at a time.
//!
//! DuckDB checks a block against its checksum when it reads it, so a flipped bit or a missing end shows here.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use fleetps_nats::with_causes;

use crate::{
    error::IngestError,
    history::attach_one,
    segment::{Level, SegmentName, open_engine, quote_identifier},
    shelf::{Shelf, Shelved},
};

/// For reading a segment; the sums over its rows take next to nothing.
const MEMORY_MIB: u64 = 256;
/// Each segment is read this often.
const READ_EVERY: Duration = Duration::from_secs(7 * 24 * 3600);

/// When which segment was read last. After a start, none was.
#[derive(Debug, Default)]
pub(super) struct Scrub {
    read: HashMap<SegmentName, Instant>,
}

impl Scrub {
    /// The next segment to read: those that never were first, then those for which it is time. Fresh ones are not looked
    /// at, because merging reads them soon.
    pub(super) fn next(&mut self, segments: &[Shelved], now: Instant) -> Option<SegmentName> {
        let merged = || segments.iter().map(|segment| segment.name).filter(|name| name.level != Level::Fresh);
        if self.read.len() > 2 * segments.len() {
            self.read.retain(|name, _| merged().any(|other| other == *name));
        }
        let next = merged().min_by_key(|name| self.read.get(name))?;
        let is_due = self.read.get(&next).is_none_or(|read| now.duration_since(*read) >= READ_EVERY);
        if is_due {
            self.read.insert(next, now);
        }
        is_due.then_some(next)
    }
}

/// Reads a segment whole, and sets it aside where that shows damage.
pub(super) fn set_aside_if_damaged(shelf: &Shelf, name: &SegmentName) -> Result<(), IngestError> {
    match find_damage(shelf.folder(), name) {
        Some(error) => {
            tracing::error!(segment = %name, "set aside: {}", with_causes(&error));
            shelf.put_aside(*name)
        }
        None => Ok(()),
    }
}

/// Reads a segment whole; what is wrong with it, if it is damaged.
pub(crate) fn find_damage(folder: &Path, name: &SegmentName) -> Option<duckdb::Error> {
    let read = || read_whole(folder, name);
    // Twice, because there may have been no memory or no file handle for it at the first time.
    read().or_else(|_| read()).err().filter(is_damage)
}

/// Whether an error is not about this moment: DuckDB has no other way to say so than its text.
pub(crate) fn is_damage(error: &duckdb::Error) -> bool {
    let text = error.to_string();
    !["Out of Memory Error", "Too many open files"].iter().any(|passing| text.contains(passing))
}

/// Reads every value of a segment; fails where one is damaged, or where it cannot be read now.
fn read_whole(folder: &Path, name: &SegmentName) -> duckdb::Result<()> {
    let engine = open_engine(MEMORY_MIB, 1, None)?;
    engine.execute_batch(&attach_one(folder, name))?;
    let tables: Vec<String> = engine
        .prepare("SELECT table_name FROM duckdb_tables() WHERE database_name = ?")?
        .query_map([name.alias()], |row| row.get(0))?
        .collect::<duckdb::Result<_>>()?;
    for table in tables {
        let (alias, table) = (quote_identifier(&name.alias()), quote_identifier(&table));
        // Not count: DuckDB knows that a hash is never NULL, and would read nothing.
        let sql = format!("SELECT bit_xor(hash(t)) FROM {alias}.{table} t");
        engine.query_row(&sql, [], |row| row.get::<_, Option<u64>>(0))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::SCHEMA_VERSION;

    fn shelved(level: Level, sequence: u64) -> Shelved {
        let (first_sequence, last_sequence) = (sequence, sequence);
        let name = SegmentName {
            level,
            partition: 0,
            epoch_s: 1,
            first_sequence,
            last_sequence,
            first_stored_s: 0,
            schema_version: SCHEMA_VERSION,
        };
        Shelved { name, rows: 1, bytes: 1 }
    }

    #[test]
    fn each_merged_segment_is_read_once_and_again_a_week_later() {
        let segments = [shelved(Level::Day, 1), shelved(Level::Hour, 2), shelved(Level::Fresh, 3)];
        let (mut scrub, start) = (Scrub::default(), Instant::now());
        let mut read: Vec<_> = (0..3).map(|_| scrub.next(&segments, start)).collect();
        read.sort_by_key(|name| name.map(|name| name.first_sequence));
        assert_eq!(read, [None, Some(segments[0].name), Some(segments[1].name)]);
        assert_eq!(scrub.next(&segments, start + READ_EVERY / 2), None);
        assert!(scrub.next(&segments, start + READ_EVERY).is_some());
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let (mut scrub, now) = (Scrub::default(), Instant::now());
        for sequence in 1..100 {
            scrub.next(&[shelved(Level::Hour, sequence)], now);
        }
        assert!(scrub.read.len() < 4);
    }
}
