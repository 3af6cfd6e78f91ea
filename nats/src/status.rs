//! How an ingestor or admission says how it is doing: a small message on its own subject, when something has changed and
//! every few seconds.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// How often each says how it is doing; readiness believes it for three times as long.
pub const STATUS_INTERVAL_S: u64 = 5;

/// How often a status is checked for changes, and so the least delay of a change.
pub const STATUS_LOOK: Duration = Duration::from_millis(500);

/// Decides when a status is published: when it has changed, and every [`STATUS_INTERVAL_S`] in any case.
#[derive(Debug)]
pub struct StatusTimer<T> {
    published: Option<(T, Instant)>,
}

impl<T> Default for StatusTimer<T> {
    fn default() -> Self {
        Self { published: None }
    }
}

impl<T: PartialEq> StatusTimer<T> {
    /// Whether `status`, less the time that it says, is to be published at `now`; it then counts as published.
    pub fn is_due(&mut self, status: T, now: Instant) -> bool {
        let interval = Duration::from_secs(STATUS_INTERVAL_S);
        let is_known = |(known, at): &(T, Instant)| *known == status && now.duration_since(*at) < interval;
        if self.published.as_ref().is_some_and(is_known) {
            return false;
        }
        self.published = Some((status, now));
        true
    }
}

/// How one ingestor is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IngestorStatus {
    /// The partition it stores.
    pub partition: u32,
    /// When it said so, in µs since 1970 UTC, by its own clock.
    pub written_at_us: i64,
    /// The last stream sequence that is in a sealed segment.
    pub sealed_sequence: u64,
    /// The last stream sequence that it has read.
    pub read_sequence: u64,
    /// Messages in the stream that it has not read yet.
    pub pending: u64,
    /// Snapshots stored since it started.
    pub stored: u64,
    /// Snapshots not stored because they were stored already.
    pub duplicates: u64,
    /// Messages refused since it started, by [`crate::snapshot::BadSnapshot::reason`].
    pub refused: Vec<(String, u64)>,
    /// Refused messages that were only counted, because more came than could be put into the stream of dead letters.
    pub lost_dead_letters: u64,
    /// Events that could not be published when they were decided; they are in the segments.
    pub unpublished_events: u64,
    /// How often reading waited for each consumer of the stream, because its queue was full.
    pub waits_for: Vec<(String, u64)>,
    /// Why the history cannot be written now; absent while it can.
    pub write_error: Option<String>,
    /// A problem of the history's disk that still allows writing.
    pub disk_warning: Option<String>,
    /// Why the history folder cannot be looked after now; absent while it can.
    pub upkeep_error: Option<String>,
    /// Why the audit is not in segments, or cannot all be read; absent while all is well.
    pub audit_error: Option<String>,
    /// Segments whose content is missing, the first 200.
    pub set_aside: Vec<String>,
    /// The same, each with the reason.
    pub set_aside_reasons: Vec<(String, String)>,
    /// The first segment of each merge that failed and is tried again later, with the reason; the first 200.
    pub failed_merges: Vec<(String, String)>,
    /// Why nothing is thinned or removed for its age now; absent while the clock is believed.
    pub waits_for_clock: Option<String>,
    /// Hosts that take more than their share of the history, so that less is kept of them; with their share.
    pub beyond_share: Vec<String>,
    /// When the broker stored the message that was read last, in µs since 1970 UTC; 0 where none was.
    pub read_stored_us: i64,
    /// Since when snapshots wait to be sealed: when the broker stored the last sealed one, or the first that waits, in µs
    /// since 1970 UTC; 0 where none wait.
    pub unsealed_since_us: i64,
    /// The segments in use: the name of each level, their number and their bytes.
    pub segments: Vec<(String, u64, u64)>,
    /// When the broker stored the first message of the oldest fresh segment, in s since 1970 UTC; 0 where none waits to be merged.
    pub unmerged_since_s: i64,
    /// Segments sealed since it started.
    pub seals: u64,
    /// The time that this took, in ms.
    pub seal_ms: u64,
    /// Segments made of others since it started.
    pub merges: u64,
    /// The time that this took, in ms.
    pub merge_ms: u64,
    /// Merges that failed since it started.
    pub merge_failures: u64,
    /// The queues between its parts.
    pub queues: Vec<QueueStatus>,
    /// The evaluation of alerts.
    pub alerts: AlertStatus,
}

/// How the evaluation of alerts is doing. It reads the stream by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertStatus {
    /// The last stream sequence that was evaluated.
    pub read_sequence: u64,
    /// When the broker stored that message, in µs since 1970 UTC; 0 where none was.
    pub read_stored_us: i64,
    /// Messages in the stream that were not evaluated yet.
    pub pending: u64,
    /// Rules that are evaluated.
    pub rules: u64,
    /// Instances of rules of which something is remembered.
    pub instances: u64,
    /// Changes of alerts that were published since it started.
    pub published: u64,
    /// Changes that were not, because the stream of alerts had them.
    pub repeated: u64,
    /// Alerts that were not raised, because their rule had too many.
    pub beyond: u64,
    /// Why alerts cannot be evaluated or published now; absent while they can.
    pub error: Option<String>,
}

/// A bounded queue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueStatus {
    /// Its name, as in `deliveries`.
    pub name: String,
    /// How many wait in it.
    pub waiting: u64,
    /// How many can.
    pub bound: u64,
    /// What was dropped because it was full; a queue for which the sender waits drops nothing.
    pub dropped: u64,
}

impl IngestorStatus {
    /// The message that carries it, MessagePack with named fields.
    pub fn to_message(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).unwrap_or_default()
    }

    /// Reads a message; `None` when it is no status.
    pub fn from_message(message: &[u8]) -> Option<Self> {
        rmp_serde::from_slice(message).ok()
    }
}

/// The refusals that one of the broker's services counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AdmissionStatus {
    /// Which of them: another word for each, and at every start.
    pub service: String,
    /// Connections and subjects refused since it started, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Networks in which no place to wait for approval is left, so that the longest waiting make room.
    pub full_networks: Vec<String>,
    /// What it works on at a time.
    pub queues: Vec<QueueStatus>,
}

impl AdmissionStatus {
    /// The message that carries it, MessagePack with named fields.
    pub fn to_message(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).unwrap_or_default()
    }

    /// Reads a message; `None` when it is no status.
    pub fn from_message(message: &[u8]) -> Option<Self> {
        rmp_serde::from_slice(message).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_published_when_it_changes_and_otherwise_every_interval() {
        let (mut timer, start) = (StatusTimer::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        assert!(timer.is_due(1, start));
        assert!(!timer.is_due(1, after(500)));
        assert!(timer.is_due(2, after(1000)));
        assert!(!timer.is_due(2, after(5999)));
        assert!(timer.is_due(2, after(6000)));
        assert!(!timer.is_due(2, after(6500)));
    }
}
