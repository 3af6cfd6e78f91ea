//! Counts refusals by reason, so that a host that retries over and over does not fill the log.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// One line for each reason in this time; it says how many there were.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// How often each reason was given.
#[derive(Debug, Default)]
pub struct Refusals {
    reasons: Mutex<BTreeMap<&'static str, Counted>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    all: u64,
    unlogged: u64,
    logged_at: Option<Instant>,
}

impl Refusals {
    /// Counts one; how many to speak of now, if it is time to.
    pub fn count(&self, reason: &'static str, now: Instant) -> Option<u64> {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = reasons.entry(reason).or_default();
        counted.all += 1;
        counted.unlogged += 1;
        let is_recent = |at: Instant| now.duration_since(at) < LOG_EVERY;
        if counted.logged_at.is_some_and(is_recent) {
            return None;
        }
        counted.logged_at = Some(now);
        Some(std::mem::take(&mut counted.unlogged))
    }

    /// Adds to the count without logging; the caller logs.
    pub(super) fn add(&self, reason: &'static str, times: u64) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.entry(reason).or_default().all += times;
    }

    /// All of them, by reason.
    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        let reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.iter().map(|(reason, counted)| (*reason, counted.all)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_and_one_a_minute_is_spoken_of() {
        let refusals = Refusals::default();
        let start = Instant::now();
        let spoken: Vec<_> = [0, 1, 59, 60, 61, 200]
            .map(|second| refusals.count("revoked", start + Duration::from_secs(second)))
            .to_vec();
        assert_eq!(spoken, [Some(1), None, None, Some(3), None, Some(2)]);
        assert_eq!(refusals.count("waiting", start), Some(1));
        assert_eq!(refusals.all(), BTreeMap::from([("revoked", 6), ("waiting", 1)]));
    }
}
