//! The wish for more samples while somebody watches a host.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest lease that is believed, in ms: a server that is gone costs no host more than this.
const MAX_LEASE_MS: u32 = 60_000;
/// As for an interval that is set: more often, a pass would cost more than it tells.
const MIN_INTERVAL_MS: u32 = 100;

/// A lease: samples are wanted this often, until it ends or is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    interval_ms: u32,
    lease_ms: u32,
}

impl Watch {
    /// Samples every `interval` for the time of `lease`.
    pub fn new(interval: Duration, lease: Duration) -> Self {
        let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        Self { interval_ms: ms(interval), lease_ms: ms(lease) }
    }

    /// The wished time between two samples: a tenth of a second at least.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms.max(MIN_INTERVAL_MS).into())
    }

    /// For how long: a minute at most.
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms.min(MAX_LEASE_MS).into())
    }
}
