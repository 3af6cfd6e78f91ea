//! Hosts and processes over time.
//!
//! `parts` is the downsampling, pure; `host` and `process` read the samples for it; `breakdown` divides a host's use by
//! program.

mod breakdown;
mod extent;
mod host;
mod parts;
mod process;
mod samples;

pub use breakdown::{Breakdown, BreakdownOf, Layer};
pub use extent::Extent;
use fleetps_nats::{HostName, Snapshot};
pub use host::{HostMetrics, HostPoint};
pub use process::{ProcessMetrics, ProcessPoint};

use super::{History, HistoryError, Identity, Span};

impl History {
    /// `host` over `span`, in at most `points` points. Of the snapshots in `newer`, which are in the order of capture, those
    /// count that are later than what segments have: they are not in one yet.
    ///
    /// # Errors
    /// When a query fails.
    pub fn host_metrics(
        &self,
        host: &HostName,
        span: Span,
        points: usize,
        newer: &[Snapshot],
    ) -> Result<HostMetrics, HistoryError> {
        self.ask(|reading| host::host_metrics(reading, host, span.bounded(), points, newer))
    }

    /// A process over `span`, in at most `points` points.
    ///
    /// # Errors
    /// When a query fails.
    pub fn process_metrics(
        &self,
        process: &Identity,
        span: Span,
        points: usize,
    ) -> Result<ProcessMetrics, HistoryError> {
        self.ask(|reading| process::process_metrics(reading, process, span.bounded(), points))
    }

    /// The breakdown of the use of `host` over `span` by program: the `layers` greatest, in at most `parts` equal parts
    /// of the span. Over two days and more, and where only that is kept, the parts are whole hours.
    ///
    /// # Errors
    /// When a query fails.
    pub fn breakdown(
        &self,
        host: &HostName,
        span: Span,
        of: BreakdownOf,
        parts: usize,
        layers: usize,
    ) -> Result<Breakdown, HistoryError> {
        self.ask(|reading| breakdown::breakdown(reading, host, span.bounded(), of, parts, layers))
    }
}
