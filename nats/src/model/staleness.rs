//! Whether a host is up, paused, silent or down, and for how long a snapshot says how its host is.
//!
//! A host sends a snapshot every `interval_ms`, which each snapshot says. The age of its last snapshot, in such
//! intervals, is all that is known of a host that no longer sends. Live pages ask for the state now, the history for
//! the state at a past moment, events and charts for the time between two snapshots: a silence in the past is a time in
//! which a live page would have said "silent".

use std::fmt::Write;

/// A host is silent when its last snapshot is older than this many intervals: one or two get lost where a host or its
/// network is busy, three do not.
pub const SILENT_AFTER_INTERVALS: i64 = 3;
/// A host is down when its last snapshot is older than this many intervals: long enough for a reboot or a broker's
/// restart at the default of 10 s.
pub const DOWN_AFTER_INTERVALS: i64 = 10;
/// The time between two snapshots where one a minute is kept.
const MINUTE_MS: u32 = 60_000;

/// Whether a host is heard of. The worst comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HostState {
    /// No snapshot for [`DOWN_AFTER_INTERVALS`].
    Down,
    /// No snapshot for [`SILENT_AFTER_INTERVALS`].
    Silent,
    /// It was asked to take no samples, and its last snapshot says so.
    Paused,
    /// Its snapshots arrive.
    Up,
}

/// Which of a host's snapshots are kept where its last one was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// All of them: the present, and the past before it is thinned.
    EverySample,
    /// The last of each minute. A host that sends more often is not silent because its other snapshots are gone: up to two
    /// minutes pass between the one kept of a minute and the one kept of the next.
    OneAMinute,
}

impl Spacing {
    /// The least time between two kept snapshots, in ms.
    pub fn least_ms(self) -> u32 {
        match self {
            Self::EverySample => 0,
            Self::OneAMinute => MINUTE_MS,
        }
    }
}

impl HostState {
    /// The state of a host that sends every `interval_ms` and whose last snapshot is `age_us` old.
    pub fn after(age_us: i64, interval_ms: u32, spacing: Spacing) -> Self {
        let interval_us = i64::from(interval_ms.max(spacing.least_ms())).saturating_mul(1000);
        if age_us > interval_us.saturating_mul(DOWN_AFTER_INTERVALS) {
            Self::Down
        } else if age_us > silent_after_ms(interval_ms, spacing).saturating_mul(1000) {
            Self::Silent
        } else {
            Self::Up
        }
    }

    /// The same of a host whose last snapshot says whether it pauses.
    #[must_use]
    pub fn or_paused(self, is_paused: bool) -> Self {
        if is_paused { Self::Paused } else { self }
    }

    /// Whether its processes are known now, or were a moment ago.
    pub fn is_current(self) -> bool {
        matches!(self, Self::Up | Self::Silent)
    }

    /// The word for it, in pages, JSON and filters.
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Silent => "silent",
            Self::Paused => "paused",
            Self::Down => "down",
        }
    }
}

/// The age in ms above which a last snapshot makes its host silent.
pub fn silent_after_ms(interval_ms: u32, spacing: Spacing) -> i64 {
    i64::from(interval_ms.max(spacing.least_ms())) * SILENT_AFTER_INTERVALS
}

/// In SQL, the age in ms above which a last snapshot makes its host silent: a BIGINT.
///
/// `intervals_ms` are expressions; the longest counts, and NULL does not. [`Spacing::least_ms`] is one of them where
/// snapshots may be thinned.
pub fn sql_silent_after_ms(intervals_ms: &[&str]) -> String {
    let mut sql = format!("({SILENT_AFTER_INTERVALS} * greatest(0");
    for interval_ms in intervals_ms {
        // Writing into a String does not fail.
        let _ = write!(sql, ", {interval_ms}");
    }
    sql + ")::BIGINT)"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_is_silent_after_three_intervals_and_down_after_ten() {
        for (quiet_ms, state) in [
            (-5_000, HostState::Up),
            (0, HostState::Up),
            (3_000, HostState::Up),
            (3_001, HostState::Silent),
            (10_000, HostState::Silent),
            (10_001, HostState::Down),
            (i64::MAX / 1000, HostState::Down),
        ] {
            let found = HostState::after(quiet_ms * 1000, 1000, Spacing::EverySample);
            assert_eq!(found, state, "{quiet_ms} ms");
        }
    }

    #[test]
    fn a_host_with_one_snapshot_a_minute_is_silent_after_three_minutes_or_its_own_three_intervals() {
        let state =
            |age_ms: i64, interval_ms| HostState::after(age_ms * 1000, interval_ms, Spacing::OneAMinute);
        assert_eq!(state(180_000, 10_000), HostState::Up);
        assert_eq!(state(180_001, 10_000), HostState::Silent);
        assert_eq!(state(900_000, 300_000), HostState::Up);
        assert_eq!(state(900_001, 300_000), HostState::Silent);
    }

    proptest! {
        #[test]
        fn a_host_gets_no_better_by_waiting(age_us: i64, more_us in 0..i64::MAX, interval_ms: u32) {
            let state = |age_us| HostState::after(age_us, interval_ms, Spacing::EverySample);
            prop_assert!(state(age_us.saturating_add(more_us)) <= state(age_us));
        }

        #[test]
        fn thinned_snapshots_say_how_it_was_for_at_least_as_long(age_us: i64, interval_ms: u32) {
            let state = |spacing| HostState::after(age_us, interval_ms, spacing);
            prop_assert!(state(Spacing::OneAMinute) >= state(Spacing::EverySample));
        }
    }
}
