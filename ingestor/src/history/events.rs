//! What happened: processes that started and exited, hosts that fell silent.

use fleetps_nats::HostName;

use super::{
    History, HistoryError,
    answers::{Event, Listing, Span},
};

impl History {
    /// What happened on `host`, or anywhere, within `span`: the newest `limit`, newest first.
    pub fn events(
        &self,
        host: Option<&HostName>,
        span: Span,
        limit: usize,
    ) -> Result<Listing<Event>, HistoryError> {
        let _ = (host, span, limit);
        Err(HistoryError::NotYet("events"))
    }
}
