//! How fast couriers go, and for how long they try.

use std::time::Duration;

/// How fast couriers go.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long a courier has what it sends for itself: longer than the longest attempt.
    pub lease: Duration,
    /// The pause after the first failed attempt; it doubles with each.
    pub first_pause: Duration,
    /// The longest pause that a courier makes by itself.
    pub longest_pause: Duration,
    /// After this time without success a notification is undeliverable.
    pub give_up_after: Duration,
    /// The pause after each message to the same channel: chats take one a second.
    pub between: Duration,
    /// How long records of what is over are kept: longer than anything is tried.
    pub remember: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            first_pause: Duration::from_secs(5),
            longest_pause: Duration::from_secs(15 * 60),
            give_up_after: Duration::from_secs(24 * 3600),
            between: Duration::from_secs(1),
            remember: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

impl Pace {
    /// The pause after `attempts` that failed, between half and all of what doubling makes: what failed together does not
    /// come back together.
    pub(super) fn pause(&self, attempts: u32) -> Duration {
        let doubled = self.first_pause.saturating_mul(1 << attempts.saturating_sub(1).min(20));
        doubled.min(self.longest_pause).mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}
