//! Segments that should be read and cannot be: why, and when each is tried again.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use crate::segment::{Fault, SegmentName};

/// The first wait before a file is tried again; it doubles. A lock is often gone after a moment.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait: what can be read again is back within this.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// A segment that cannot be read.
#[derive(Debug, Clone)]
pub(super) struct Unread {
    pub(super) name: SegmentName,
    pub(super) fault: Fault,
    /// When it was first found damaged, if it was.
    suspected_since: Option<Instant>,
    retry_at: Instant,
    delay: Duration,
}

/// All of them, by file name.
#[derive(Debug, Default)]
pub(super) struct UnreadSegments(BTreeMap<String, Unread>);

impl UnreadSegments {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Unread> {
        self.0.values()
    }

    pub(super) fn has(&self, name: &SegmentName) -> bool {
        self.0.contains_key(&name.to_string())
    }

    /// Those to be tried again at `now`.
    pub(super) fn due(&self, now: Instant) -> Vec<Unread> {
        self.0.values().filter(|unread| unread.retry_at <= now).cloned().collect()
    }

    /// Notes that a segment cannot be read, for the first time or again.
    pub(super) fn add(&mut self, name: SegmentName, fault: Fault) {
        let now = Instant::now();
        let before = self.0.remove(&name.to_string());
        if before.as_ref().is_none_or(|before| before.fault != fault) {
            tracing::error!(segment = %name, "left out: {fault}");
        }
        let first = before.as_ref().and_then(|before| before.suspected_since);
        let suspected_since = first.or_else(|| fault.is_damage().then_some(now));
        let delay = before.map_or(FIRST_RETRY, |before| (before.delay * 2).min(MAX_RETRY));
        let unread = Unread { name, fault, suspected_since, retry_at: now + delay, delay };
        self.0.insert(name.to_string(), unread);
    }

    /// Whether a segment was first found damaged at least `quarantine_after` ago.
    pub(super) fn is_suspected_for(&self, name: &SegmentName, quarantine_after: Duration) -> bool {
        let since = self.0.get(&name.to_string()).and_then(|unread| unread.suspected_since);
        since.is_some_and(|since| since.elapsed() >= quarantine_after)
    }

    pub(super) fn remove(&mut self, name: &SegmentName) {
        self.0.remove(&name.to_string());
    }

    /// Forgets those whose files are gone.
    pub(super) fn forget_gone(&mut self, folder: &Path) {
        self.0.retain(|file_name, _| folder.join(file_name).symlink_metadata().is_ok());
    }
}
