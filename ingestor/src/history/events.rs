//! What happened: processes that started and exited, hosts that fell silent.

use fleetps_nats::HostName;

use super::{
    History, HistoryError,
    answers::{Event, EventKind, Listing, Span},
};

impl History {
    /// What happened on `host`, or anywhere, within `span`: the newest `limit`, newest first; only those of `kinds`, or all
    /// when it is empty.
    pub fn events(
        &self,
        host: Option<&HostName>,
        span: Span,
        kinds: &[EventKind],
        limit: usize,
    ) -> Result<Listing<Event>, HistoryError> {
        let _ = (host, span, kinds, limit);
        Err(HistoryError::NotYet("events"))
    }
}
