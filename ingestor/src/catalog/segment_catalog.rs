//! Which segments there are now, and `attach.sql`, which tells everybody else.
//!
//! Sealing adds segments, and the compactor replaces or retires them; both go through here. A retired segment is no longer in
//! `attach.sql`, but stays on disk for a while, for readers that have just read the old one.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    CatalogError,
    cleanup::{protect, remove_temporary},
    index_log::IndexLog,
    meta::SegmentMeta,
    script::newest_script,
    selection::MAX_ATTACHED,
    state::{LEFT_OUT, State},
    unreadable::{UnreadableSegment, read_again},
};
use crate::{
    audit::{AuditName, attach_audit_sql},
    segment::{Fault, FileError, FolderError, RowCounts, SegmentName, TEMPORARY_EXTENSION, publish_file},
};

/// The file beside the segments that tells everybody how to attach them.
pub const ATTACH_SQL: &str = "attach.sql";

/// Why a segment is missing that was found damaged twice.
const QUARANTINED: &str = "it was found damaged twice and set aside; `fleetps history check --restore` puts it back if \
    it can be read after all";

/// The segments of one folder.
#[derive(Debug)]
pub(crate) struct SegmentCatalog {
    folder: PathBuf,
    state: Mutex<State>,
}

impl SegmentCatalog {
    /// The segments in `folder`. Removes what a crash left; so only for the holder of the lock on the folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, FolderError> {
        remove_temporary(folder).map_err(FolderError::at(folder))?;
        // Absolute, because attach.sql is run from any folder.
        let folder = fs::canonicalize(folder).map_err(FolderError::at(folder))?;
        protect(&folder)?;
        let mut state = State { index_log: IndexLog::open(&folder), ..State::default() };
        state.look(&folder)?;
        Ok(Self { folder, state: Mutex::new(state) })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The usable segments, in the order of the stream.
    pub(crate) fn segments(&self) -> Vec<SegmentMeta> {
        self.state().current()
    }

    /// The segments that may be merged: not those that share sequences with a file that is unreadable now, because both
    /// would be stored when that one is back.
    pub(crate) fn mergeable(&self) -> Vec<SegmentMeta> {
        let state = self.state();
        let absent: Vec<SegmentName> = state.absent().collect();
        let mut segments = state.current();
        segments.retain(|segment| !absent.iter().any(|absent| absent.overlaps(&segment.name)));
        segments
    }

    /// The files whose content is missing, each with the reason.
    pub(crate) fn missing_files(&self) -> Vec<(String, String)> {
        let state = self.state();
        let unreadable =
            state.unreadable.iter().map(|segment| (segment.name.to_string(), segment.fault.to_string()));
        let skipped = state.skipped.iter().map(|file| (file.file_name.clone(), file.fault.to_string()));
        let damaged = state.damaged.iter().map(|name| (name.to_string(), QUARANTINED.to_owned()));
        unreadable.chain(skipped).chain(damaged).collect()
    }

    /// The latest numbering of a partition, with the highest sequence that a name in it says; readable or not.
    pub(crate) fn highest(&self, partition: u32) -> Option<(i64, u64)> {
        let state = self.state();
        let names = state.segments.values().map(|segment| segment.name).chain(state.absent());
        let names = names.chain(state.damaged.iter().copied());
        let of_partition = names.filter(|name| name.partition == partition);
        of_partition.map(|name| (name.epoch_s, name.last_sequence)).max()
    }

    /// Lists the folder again: adds new and again readable segments, and drops those that are gone. A segment found
    /// damaged a second time, `quarantine_after` the first, is quarantined.
    pub(crate) fn look_again(&self, quarantine_after: Duration) -> Result<(), CatalogError> {
        let due = self.state().unreadable.due(Instant::now());
        self.look_at(due, quarantine_after)
    }

    /// The same, whether or not it is time to look at a segment again.
    pub(crate) fn look_at_all_again(&self, quarantine_after: Duration) -> Result<(), CatalogError> {
        let all = self.state().unreadable.iter().cloned().collect();
        self.look_at(all, quarantine_after)
    }

    fn look_at(&self, due: Vec<UnreadableSegment>, quarantine_after: Duration) -> Result<(), CatalogError> {
        // Without the lock: sealing does not wait for a file to be read.
        let judged: Vec<_> = due.iter().map(|due| (due.name, read_again(&self.folder, &due.name))).collect();
        let mut state = self.state();
        for (name, verdict) in judged {
            state.judged(&self.folder, name, verdict, quarantine_after);
        }
        let before = state.current();
        state.look(&self.folder)?;
        if state.current() != before {
            state.is_published = false;
        }
        Ok(())
    }

    /// Takes a segment out of use that turned out to be unreadable.
    pub(crate) fn doubt(&self, name: SegmentName, fault: Fault) -> Result<(), CatalogError> {
        let mut state = self.state();
        state.unreadable.add(LEFT_OUT, name, fault);
        state.look(&self.folder)?;
        Ok(self.publish_locked(&mut state)?)
    }

    /// Adds a sealed segment.
    pub(crate) fn add(&self, name: SegmentName, rows: u64) -> Result<(), FileError> {
        self.replace(&[], &[(name, rows)])
    }

    /// Adds merged segments, each with its rows, and retires what they were merged from, in one step for readers of
    /// `attach.sql`.
    pub(crate) fn replace(
        &self,
        sources: &[SegmentName],
        merged: &[(SegmentName, u64)],
    ) -> Result<(), FileError> {
        // The size only matters for planning; the segment must be named in any case.
        let bytes = |name: &SegmentName| {
            fs::metadata(self.folder.join(name.to_string())).map_or(0, |metadata| metadata.len())
        };
        let segments: Vec<SegmentMeta> = merged
            .iter()
            .map(|(name, rows)| SegmentMeta { name: *name, rows: *rows, bytes: bytes(name) })
            .collect();
        let mut state = self.state();
        for segment in segments {
            if let Err(fault) = state.open(&mut RowCounts::of(&self.folder), segment.name) {
                tracing::warn!(segment = %segment.name, "a new segment cannot be read yet: {fault}");
            }
            state.put(segment);
        }
        state.retire(sources, false);
        self.publish_locked(&mut state)
    }

    /// Removes segments.
    pub(crate) fn retire(&self, names: &[SegmentName]) -> Result<(), FileError> {
        let mut state = self.state();
        state.retire(names, true);
        self.publish_locked(&mut state)
    }

    /// Writes `attach.sql` if it is out of date.
    pub(crate) fn publish(&self) -> Result<(), FileError> {
        let mut state = self.state();
        if state.is_published { Ok(()) } else { self.publish_locked(&mut state) }
    }

    /// Writes `attach.sql` after an audit segment became unreadable, or readable again.
    pub(crate) fn doubt_audit(&self, name: &AuditName) -> Result<(), FileError> {
        let mut state = self.state();
        state.attachable_audit.remove(name);
        self.publish_locked(&mut state)
    }

    /// Writes `attach.sql` after audit segments came or went.
    pub(crate) fn publish_again(&self) -> Result<(), FileError> {
        self.publish_locked(&mut self.state())
    }

    /// Unlinks segments retired more than `delay` ago, unless `attach.sql` may still name them.
    pub(crate) fn unlink_retired(&self, delay: Duration) {
        let mut state = self.state();
        if !state.is_published {
            return;
        }
        state.retired.retain(|file_name, retired| {
            if retired.since.elapsed() < delay {
                return true;
            }
            match fs::remove_file(self.folder.join(file_name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(segment = %file_name, error = %error, "cannot remove a segment; trying again later");
                    true
                }
                _ => false,
            }
        });
    }

    fn publish_locked(&self, state: &mut State) -> Result<(), FileError> {
        state.is_published = false;
        let names = state.attachable();
        let path = self.folder.join(ATTACH_SQL);
        let temporary = path.with_extension(format!("sql.{TEMPORARY_EXTENSION}"));
        let audit = state.attachable_audit(&self.folder);
        let script = newest_script(&self.folder, names, MAX_ATTACHED);
        let sql = script.sql + "\n" + &attach_audit_sql(&self.folder, &audit);
        // A new file: something else with that name, such as a pipe, would be waited for.
        let _ = fs::remove_file(&temporary);
        let written = File::create_new(&temporary).and_then(|mut file| file.write_all(sql.as_bytes()));
        written.map_err(FileError::at(&temporary))?;
        publish_file(&temporary, &path)?;
        state.is_published = true;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use fleetps_nats::snapshot::Snapshot;

    use super::*;
    use crate::segment::{SegmentRows, seal, verify_segment};

    #[test]
    fn a_damaged_segment_keeps_its_name_until_it_is_found_damaged_again_later() {
        let folder = tempfile::tempdir().unwrap();
        let mut rows = SegmentRows::new(0, 1_000, 10, 5_000_000);
        rows.push(10, 0, &"host".parse().unwrap(), &Snapshot::default());
        let name = seal(folder.path(), &mut rows).unwrap();
        let path = folder.path().join(name.to_string());
        let whole = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let catalog = SegmentCatalog::open(folder.path()).unwrap();
        for _ in 0..3 {
            catalog.look_at_all_again(Duration::from_secs(3600)).unwrap();
            assert_eq!(
                (catalog.segments(), catalog.missing_files().len(), path.exists()),
                (Vec::new(), 1, true)
            );
        }
        // Where to go on is known from its name.
        assert_eq!(catalog.highest(0), Some((1_000, 10)));
        catalog.look_at_all_again(Duration::ZERO).unwrap();
        assert!(!path.exists() && folder.path().join(name.damaged_file_name()).exists());
        assert_eq!((catalog.missing_files().len(), catalog.highest(0)), (1, Some((1_000, 10))));
    }

    #[test]
    fn what_cannot_be_read_behind_the_beginning_of_a_file_is_not_back_because_that_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut rows = SegmentRows::new(0, 1_000, 10, 5_000_000);
        rows.push(10, 0, &"host".parse().unwrap(), &Snapshot::default());
        let name = seal(folder.path(), &mut rows).unwrap();
        let path = folder.path().join(name.to_string());
        let whole = fs::read(&path).unwrap();
        let is_hidden = |place: &usize| {
            let mut content = whole.clone();
            content[*place..].iter_mut().take(1024).for_each(|byte| *byte ^= 1);
            fs::remove_file(&path).unwrap();
            fs::write(&path, content).unwrap();
            RowCounts::of(folder.path()).read(&name).is_ok() && verify_segment(folder.path(), &name).is_err()
        };
        (3 * 4096..whole.len()).step_by(4096).find(is_hidden).expect("a block that is read last");
        let catalog = SegmentCatalog::open(folder.path()).unwrap();
        assert_eq!(catalog.segments().len(), 1);
        catalog.doubt(name, Fault::Unavailable("an I/O error".to_owned())).unwrap();
        catalog.look_at_all_again(Duration::from_secs(3600)).unwrap();
        assert_eq!((catalog.segments(), catalog.missing_files().len()), (Vec::new(), 1));
    }
}
