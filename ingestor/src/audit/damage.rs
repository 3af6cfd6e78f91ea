//! Audit segments that are damaged. They get another name, as other segments do, so that the rest goes on without them; no
//! file is ever removed for it.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use fleetps_nats::with_causes;

use super::{AuditName, attach_one};
use crate::{
    segment::{FileError, open_engine, quote_identifier},
    shelf::Shelf,
    upkeep::is_damage,
};

/// For reading a segment; the sums over its rows take next to nothing.
const MEMORY_MIB: u64 = 256;
/// Each segment is read this often, as the others are.
const READ_EVERY: Duration = Duration::from_secs(7 * 24 * 3600);

/// When which segment was read last. After a start, none was.
#[derive(Debug, Default)]
pub(super) struct Scrub(HashMap<AuditName, Instant>);

impl Scrub {
    /// The next of `names` to read: those that never were first, then those for which it is time.
    pub(super) fn next(&mut self, names: &[AuditName], now: Instant) -> Option<AuditName> {
        self.0.retain(|name, _| names.contains(name));
        let next = *names.iter().min_by_key(|name| self.0.get(name))?;
        let is_due = self.0.get(&next).is_none_or(|read| now.duration_since(*read) >= READ_EVERY);
        if is_due {
            self.0.insert(next, now);
        }
        is_due.then_some(next)
    }
}

/// Reads a segment whole; what is wrong with it, if it is damaged.
pub(super) fn find_damage(folder: &Path, name: &AuditName) -> Option<duckdb::Error> {
    let read = || {
        let engine = open_engine(MEMORY_MIB, 1, None)?;
        engine.execute_batch(&attach_one(folder, name))?;
        // Not count: DuckDB knows that a hash is never NULL, and would read nothing.
        let sql = format!("SELECT bit_xor(hash(t)) FROM {}.audit t", quote_identifier(&name.alias()));
        engine.query_row(&sql, [], |row| row.get::<_, Option<u64>>(0)).map(drop)
    };
    // Twice, because there may have been no memory or no file handle for it at the first time.
    read().or_else(|_| read()).err().filter(is_damage)
}

/// Reads `names` whole, and sets aside those that are damaged; which they were.
pub(super) fn set_aside_damaged(shelf: &Shelf, names: &[AuditName]) -> Result<Vec<AuditName>, FileError> {
    let mut damaged = Vec::new();
    for name in names {
        if let Some(error) = find_damage(shelf.folder(), name) {
            tracing::error!(segment = %name, "set aside: {}", with_causes(&error));
            set_aside(shelf.folder(), name)?;
            shelf.publish_again()?;
            damaged.push(*name);
        }
    }
    Ok(damaged)
}

/// Gives a damaged segment the name of one. Fails where the file cannot even be opened.
fn set_aside(folder: &Path, name: &AuditName) -> Result<(), FileError> {
    let path = folder.join(name.to_string());
    let renamed =
        fs::File::open(&path).and_then(|_| fs::rename(&path, folder.join(name.damaged_file_name())));
    renamed.map_err(FileError::at(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_segment_is_read_once_and_again_a_week_later_and_what_is_gone_is_forgotten() {
        let name = |sequence| AuditName {
            epoch_s: 1,
            first_sequence: sequence,
            last_sequence: sequence,
            first_at_s: 0,
        };
        let (names, mut scrub, start) = ([name(1), name(2)], Scrub::default(), Instant::now());
        let mut read: Vec<_> = (0..3).map(|_| scrub.next(&names, start)).collect();
        read.sort_by_key(|name| name.map(|name| name.first_sequence));
        assert_eq!(read, [None, Some(name(1)), Some(name(2))]);
        assert_eq!(scrub.next(&names, start + READ_EVERY / 2), None);
        assert!(scrub.next(&names, start + READ_EVERY).is_some());
        scrub.next(&names[..1], start);
        assert_eq!(scrub.0.len(), 1);
    }
}
