//! The process table as it was at a moment.

use fleetps_nats::HostName;

use super::{
    History, HistoryError,
    answers::{AtMoment, Listing, Span},
};

impl History {
    /// The snapshot of `host` at `at_us`: the last one captured then or before.
    pub fn snapshot_at(&self, host: &HostName, at_us: i64) -> Result<AtMoment, HistoryError> {
        let _ = (host, at_us);
        Err(HistoryError::NotYet("snapshot_at"))
    }

    /// When snapshots of `host` that have a process table were captured, within `span`; the first `limit`.
    pub fn snapshots(&self, host: &HostName, span: Span, limit: usize) -> Result<Listing<i64>, HistoryError> {
        let _ = (host, span, limit);
        Err(HistoryError::NotYet("snapshots"))
    }
}
