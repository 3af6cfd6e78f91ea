//! Hosts and processes over time.

use fleetps_nats::HostName;

use super::{
    History, HistoryError,
    answers::{Breakdown, BreakdownOf, HostMetrics, Identity, ProcessMetrics, Span},
};

impl History {
    /// `host` over `span`, in at most `points` points.
    pub fn host_metrics(
        &self,
        host: &HostName,
        span: Span,
        points: usize,
    ) -> Result<HostMetrics, HistoryError> {
        let _ = (host, span, points);
        Err(HistoryError::NotYet("host_metrics"))
    }

    /// A process over `span`, in at most `points` points.
    pub fn process_metrics(
        &self,
        process: &Identity,
        span: Span,
        points: usize,
    ) -> Result<ProcessMetrics, HistoryError> {
        let _ = (process, span, points);
        Err(HistoryError::NotYet("process_metrics"))
    }

    /// Which programs made up the use of `host` over `span`: the `layers` greatest, in `parts` equal parts of the span.
    pub fn breakdown(
        &self,
        host: &HostName,
        span: Span,
        of: BreakdownOf,
        parts: usize,
        layers: usize,
    ) -> Result<Breakdown, HistoryError> {
        let _ = (host, span, of, parts, layers);
        Err(HistoryError::NotYet("breakdown"))
    }
}
