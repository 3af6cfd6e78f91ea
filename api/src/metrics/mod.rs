//! Metrics, as Prometheus and OpenMetrics read them.
//!
//! `family` says what a metric is, `names` declares every one with its help: docs/metrics.md is made from that table and
//! compared by a test. `exposition` writes them as text, in either format. `request_times` counts answers by route and
//! how long they took.
//!
//! Nothing is collected in the background: a scrape reads what the parts know anyway (`handlers::metrics`), and what the
//! ingestors say in their status. So an unread `/metrics` costs nothing.

mod exposition;
mod family;
pub(crate) mod names;
mod request_times;

pub(crate) use exposition::{Exposition, TextFormat, Value, label};
pub use family::{Family, Kind};
pub(crate) use request_times::RequestTimes;

/// Something that is bounded: a queue, a limit of what goes on at once, or a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounded {
    /// Its name, as in `live-pages`; of a cache it ends in `-bytes`.
    pub of: &'static str,
    /// How much of it is in use.
    pub in_use: u64,
    /// How much there is.
    pub limit: u64,
    /// What was refused, dropped or pushed out for want of room, since the start.
    pub refused: u64,
}
