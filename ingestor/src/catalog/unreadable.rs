//! Segments that should be read and cannot be: why, and when each is tried again.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use crate::segment::{Fault, RowCounts, SegmentName, verify_segment};

/// The first wait before a file is tried again; it doubles. A lock is often gone after a moment.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait: what can be read again is back within this.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// A segment that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnreadableSegment {
    pub(crate) name: SegmentName,
    pub(crate) fault: Fault,
    /// When it was first found damaged, if it was.
    suspected_since: Option<Instant>,
    retry_at: Instant,
    delay: Duration,
}

/// All of them, by file name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UnreadableSegments(BTreeMap<String, UnreadableSegment>);

impl UnreadableSegments {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &UnreadableSegment> {
        self.0.values()
    }

    pub(crate) fn has(&self, name: &SegmentName) -> bool {
        self.0.contains_key(&name.to_string())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The files to be tried again at `now`.
    pub(crate) fn due(&self, now: Instant) -> Vec<UnreadableSegment> {
        self.0.values().filter(|unreadable| unreadable.retry_at <= now).cloned().collect()
    }

    /// Notes that a segment cannot be read, for the first time or again; logs it where the fault is another than before,
    /// with `what` is done about it.
    pub(crate) fn add(&mut self, what: &str, name: SegmentName, fault: Fault) {
        let now = Instant::now();
        let before = self.0.remove(&name.to_string());
        if before.as_ref().is_none_or(|before| before.fault != fault) {
            tracing::error!(segment = %name, "{what}: {fault}");
        }
        let first = before.as_ref().and_then(|before| before.suspected_since);
        let suspected_since = first.or_else(|| fault.is_damage().then_some(now));
        let delay = before.map_or(FIRST_RETRY, |before| (before.delay * 2).min(MAX_RETRY));
        let unreadable = UnreadableSegment { name, fault, suspected_since, retry_at: now + delay, delay };
        self.0.insert(name.to_string(), unreadable);
    }

    /// Whether a segment was first found damaged at least `quarantine_after` ago.
    pub(crate) fn is_suspected_for(&self, name: &SegmentName, quarantine_after: Duration) -> bool {
        let since = self.0.get(&name.to_string()).and_then(|unreadable| unreadable.suspected_since);
        since.is_some_and(|since| since.elapsed() >= quarantine_after)
    }

    pub(crate) fn remove(&mut self, name: &SegmentName) {
        self.0.remove(&name.to_string());
    }

    /// Forgets those whose files are gone.
    pub(crate) fn forget_gone(&mut self, folder: &Path) {
        self.0.retain(|file_name, _| folder.join(file_name).symlink_metadata().is_ok());
    }
}

/// Tries to read a segment that could not be read before.
pub(crate) fn read_again(folder: &Path, name: &SegmentName) -> Result<(), Fault> {
    RowCounts::of(folder).read(name)?;
    // Its beginning is whole; what could not be read may lie behind it.
    verify_segment(folder, name)
}
