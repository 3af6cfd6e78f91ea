//! What the log says while a server takes no snapshots: once for each cause, and then once a minute.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Instant,
};

use fleetps_nats::{HostName, admission::Refusals};

/// The failures of one host's way to its server since the last snapshot that was stored.
#[derive(Debug, Default)]
pub(super) struct Outage {
    failures: Refusals,
    is_reported: AtomicBool,
}

impl Outage {
    /// Counts one; a cause is logged when it is new, and once a minute from then on. `why` is the cause in words.
    pub(super) fn report(&self, host: &HostName, cause: &'static str, why: &str) {
        match self.to_report(cause, Instant::now()) {
            Some(times) => {
                tracing::warn!(host = %host, times, reason = why, "the server takes no snapshots; trying again");
            }
            None => tracing::debug!(host = %host, reason = why, "posting again"),
        }
    }

    /// A snapshot was stored.
    pub(super) fn end(&self, host: &HostName) {
        if self.has_ended() {
            tracing::info!(host = %host, "the server takes snapshots again");
        }
    }

    /// How many failures of this cause to report now, if any.
    fn to_report(&self, cause: &'static str, now: Instant) -> Option<u64> {
        let times = self.failures.count(cause, now)?;
        self.is_reported.store(true, Relaxed);
        Some(times)
    }

    /// Whether there was one that was reported.
    fn has_ended(&self) -> bool {
        self.is_reported.swap(false, Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_cause_is_reported_when_it_is_new_and_once_a_minute_and_its_end_once() {
        let (outage, start) = (Outage::default(), Instant::now());
        let reported = |cause, second| outage.to_report(cause, start + Duration::from_secs(second));
        assert!(!outage.has_ended(), "nothing has failed");
        assert_eq!([reported("unreachable", 0), reported("unreachable", 8)], [Some(1), None]);
        assert_eq!([reported("Bad Gateway", 16), reported("unreachable", 24)], [Some(1), None]);
        assert_eq!([reported("unreachable", 60), reported("Bad Gateway", 70)], [Some(3), None]);
        assert_eq!([outage.has_ended(), outage.has_ended()], [true, false]);
        assert_eq!(reported("unreachable", 80), None, "a server that comes and goes fills no log");
        assert!(!outage.has_ended());
    }
}
