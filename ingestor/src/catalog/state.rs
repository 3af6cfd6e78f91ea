//! The state of the folder: which segments are read, which cannot be, and which are no longer used.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    folder::{SegmentFolder, SkippedFile},
    index_log::IndexLog,
    meta::SegmentMeta,
    selection::{MAX_ATTACHED, newest},
    unreadable::UnreadableSegments,
};
use crate::{
    audit::{self, AuditFolder, AuditName},
    segment::{Fault, FolderError, Resolved, RowCounts, SegmentName},
};

/// The log message about a segment that cannot be read.
pub(super) const LEFT_OUT: &str = "left out";

#[derive(Debug, Default)]
pub(super) struct State {
    /// The readable segments, by file name.
    pub(super) segments: BTreeMap<String, SegmentMeta>,
    /// The segments that cannot be read now.
    pub(super) unreadable: UnreadableSegments,
    /// Segments of a newer version, and anything that is not a regular file.
    pub(super) skipped: Vec<SkippedFile>,
    /// The quarantined segments.
    pub(super) damaged: Vec<SegmentName>,
    /// The retired segments, by file name.
    pub(super) retired: BTreeMap<String, Retired>,
    /// The segments that were opened since the start. One that cannot be opened would keep `attach.sql` from attaching
    /// anything, so it names no others.
    pub(super) opened: HashSet<SegmentName>,
    /// The audit segments that could be attached.
    pub(super) attachable_audit: HashSet<AuditName>,
    /// Whether `attach.sql` is up to date.
    pub(super) is_published: bool,
    /// What segments hold.
    pub(super) index_log: IndexLog,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Retired {
    pub(super) since: Instant,
    /// Nothing took its place: it was too old, or too much.
    pub(super) is_removed: bool,
}

impl State {
    /// Sets this to the folder's content, as far as it can be read.
    pub(super) fn look(&mut self, folder: &Path) -> Result<(), FolderError> {
        let mut counts = RowCounts::of(folder);
        self.unreadable.forget_gone(folder);
        loop {
            let is_unused =
                |name: &SegmentName| self.unreadable.has(name) || self.is_removed(&name.to_string());
            let listed = SegmentFolder::scan_without(folder, is_unused)?;
            let names = listed.current.iter().map(|segment| segment.name).collect();
            let attached: HashSet<SegmentName> = newest(names, MAX_ATTACHED).names.into_iter().collect();
            let mut is_whole = true;
            let mut segments = BTreeMap::new();
            for segment in &listed.current {
                let file_name = segment.name.to_string();
                match self.rows(&mut counts, segment.name, attached.contains(&segment.name)) {
                    Ok(rows) => {
                        segments.insert(
                            file_name,
                            SegmentMeta { name: segment.name, rows, bytes: segment.bytes },
                        );
                    }
                    Err(Fault::Gone) => {}
                    Err(fault) => {
                        self.unreadable.add(LEFT_OUT, segment.name, fault);
                        is_whole = false;
                    }
                }
            }
            // A covered segment may have to take its place.
            if is_whole {
                self.opened.retain(|name| segments.contains_key(&name.to_string()));
                self.segments = segments;
                self.take(listed);
                return Ok(());
            }
        }
    }

    /// How many rows of processes a segment has; opens it where that is not known, or where it `is_attached` by `attach.sql` and
    /// was not opened yet.
    fn rows(
        &mut self,
        counts: &mut RowCounts<'_>,
        name: SegmentName,
        is_attached: bool,
    ) -> Result<u64, Fault> {
        let known = || {
            let here = self.segments.get(&name.to_string()).map(|segment| segment.rows);
            here.or_else(|| self.index_log.known_rows(name))
        };
        if (!is_attached || self.opened.contains(&name))
            && let Some(rows) = known()
        {
            return Ok(rows);
        }
        self.open(counts, name)
    }

    /// Opens a segment, and notes that it could be.
    pub(super) fn open(&mut self, counts: &mut RowCounts<'_>, name: SegmentName) -> Result<u64, Fault> {
        let rows = self.index_log.open_segment(counts, name)?;
        if self.opened.insert(name) {
            self.is_published = false;
        }
        Ok(rows)
    }

    /// The segments in use, but for those that `attach.sql` would attach and that were not opened yet.
    pub(super) fn attachable(&self) -> Vec<SegmentName> {
        let mut names: Vec<SegmentName> = self.current().iter().map(|segment| segment.name).collect();
        let attached: HashSet<SegmentName> = newest(names.clone(), MAX_ATTACHED).names.into_iter().collect();
        names.retain(|name| self.opened.contains(name) || !attached.contains(name));
        names
    }

    pub(super) fn take(&mut self, listed: SegmentFolder) {
        for file in listed.skipped.iter().filter(|file| !self.skipped.contains(file)) {
            tracing::error!(segment = %file.file_name, "left out: {}", file.fault);
        }
        (self.skipped, self.damaged) = (listed.skipped, listed.damaged);
        // Left by a merge that was done; they may just be in use by a reader.
        let covered: BTreeSet<String> = listed.covered.iter().map(SegmentName::to_string).collect();
        self.retired.retain(|file_name, retired| retired.is_removed || covered.contains(file_name));
        for file_name in covered {
            let retired = Retired { since: Instant::now(), is_removed: false };
            self.retired.entry(file_name).or_insert(retired);
        }
    }

    /// Updates the state after another look at an unreadable segment.
    pub(super) fn judged(
        &mut self,
        folder: &Path,
        name: SegmentName,
        verdict: Result<(), Fault>,
        quarantine_after: Duration,
    ) {
        match verdict {
            Ok(()) => {
                tracing::info!(segment = %name, "can be read again");
                self.unreadable.remove(&name);
            }
            Err(Fault::Gone) => self.unreadable.remove(&name),
            Err(fault) => {
                let is_proven =
                    fault.is_damage() && self.unreadable.is_suspected_for(&name, quarantine_after);
                self.unreadable.add(LEFT_OUT, name, fault);
                if is_proven && quarantine_file(folder, &name.to_string(), &name.damaged_file_name()) {
                    self.unreadable.remove(&name);
                }
            }
        }
    }

    /// The audit segments that can be attached; one that cannot would keep `attach.sql` from attaching anything.
    pub(super) fn attachable_audit(&mut self, folder: &Path) -> Vec<AuditName> {
        let mut names = AuditFolder::scan(folder).map(|found| found.current).unwrap_or_default();
        self.attachable_audit.retain(|name| names.contains(name));
        names.retain(|name| self.attachable_audit.contains(name) || audit::is_attachable(folder, name));
        self.attachable_audit.extend(names.iter().copied());
        names
    }

    /// The segments that are in the folder and are not read; those found damaged twice are not among them.
    pub(super) fn absent(&self) -> impl Iterator<Item = SegmentName> {
        self.unreadable.iter().map(|segment| segment.name).chain(self.skipped.iter().map(|file| file.name))
    }

    pub(super) fn is_removed(&self, file_name: &str) -> bool {
        self.retired.get(file_name).is_some_and(|retired| retired.is_removed)
    }

    pub(super) fn put(&mut self, segment: SegmentMeta) {
        // A merge that was broken off may have left a file of this name, which this one replaced.
        self.retired.remove(&segment.name.to_string());
        self.segments.insert(segment.name.to_string(), segment);
    }

    pub(super) fn retire(&mut self, names: &[SegmentName], is_removed: bool) {
        self.is_published = false;
        for name in names {
            if self.segments.remove(&name.to_string()).is_some() {
                self.retired.insert(name.to_string(), Retired { since: Instant::now(), is_removed });
            }
        }
    }

    pub(super) fn current(&self) -> Vec<SegmentMeta> {
        let names = self.segments.values().map(|segment| segment.name).collect();
        Resolved::of(names)
            .current
            .iter()
            .filter_map(|name| self.segments.get(&name.to_string()).copied())
            .collect()
    }
}

/// Gives a file that was found damaged twice the name of one; false where that fails.
pub(crate) fn quarantine_file(folder: &Path, file_name: &str, damaged_file_name: &str) -> bool {
    let renamed = fs::rename(folder.join(file_name), folder.join(damaged_file_name));
    match &renamed {
        Ok(()) => tracing::error!(segment = %file_name, "set aside: it was found damaged twice"),
        Err(error) => tracing::warn!(segment = %file_name, %error, "cannot be set aside; trying again"),
    }
    renamed.is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use fleetps_nats::snapshot::{Process, Snapshot};

    use super::*;
    use crate::segment::{SegmentRows, seal};

    #[test]
    fn the_log_is_believed_of_what_attach_sql_does_not_name_and_what_it_names_is_opened_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut rows = SegmentRows::new(0, 1_000, 10, 5_000_000);
        let processes = vec![Process { state: 'S', ..Process::default() }];
        rows.push(10, 0, &"host".parse().unwrap(), &Snapshot { processes, ..Snapshot::default() });
        let name = seal(folder, &mut rows).unwrap();
        let begun = || State { index_log: IndexLog::open(folder), ..State::default() };
        begun().look(folder).unwrap();
        // Damaged without a trace in its size and its time.
        let path = folder.join(name.to_string());
        let (whole, modified) = (fs::read(&path).unwrap(), path.metadata().unwrap().modified().unwrap());
        let write = |content: &[u8]| {
            fs::remove_file(&path).unwrap();
            fs::write(&path, content).unwrap();
            File::open(&path).unwrap().set_modified(modified).unwrap();
        };
        write(&vec![0; whole.len()]);
        let mut counts = RowCounts::of(folder);
        assert_eq!(begun().rows(&mut counts, name, false), Ok(1));
        assert!(begun().rows(&mut counts, name, true).is_err());
        write(&whole);
        let mut state = begun();
        assert_eq!(state.rows(&mut counts, name, true), Ok(1));
        write(&vec![0; whole.len()]);
        assert_eq!(state.rows(&mut counts, name, true), Ok(1), "it is verified from time to time");
        File::open(&path).unwrap().set_modified(modified + Duration::from_secs(1)).unwrap();
        assert!(begun().rows(&mut counts, name, false).is_err(), "another file");
    }
}
