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
            let mut is_whole = true;
            let mut segments = BTreeMap::new();
            for segment in &listed.current {
                let file_name = segment.name.to_string();
                let read = match self.segments.get(&file_name) {
                    Some(segment) => Ok(segment.rows),
                    None => self.index_log.rows(&mut counts, segment.name),
                };
                match read {
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
                self.segments = segments;
                self.take(listed);
                return Ok(());
            }
        }
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
