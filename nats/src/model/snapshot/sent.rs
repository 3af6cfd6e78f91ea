//! When a message was sent and taken, and what that says about its host's clock.
//!
//! A host's clock may be an hour off. A question about the fleet is asked on one clock, the broker's. So an agent says with each
//! message how old its snapshot is by the monotonic clock, which nobody sets, and a snapshot that waited half an hour for
//! the broker keeps its time. When the broker took the message, less this age, is when the snapshot was captured, apart from
//! the time on the way. What differs from that by less than [`MAX_OFFSET_US`] stays as the host says it.

use super::Snapshot;

/// A host's clock that is off by more is corrected for, in µs: two intervals of an attentive agent and some seconds on a slow
/// way are less; people notice more.
pub const MAX_OFFSET_US: i64 = 5_000_000;
/// Boot times of one boot differ by less, in µs, unless the clock was set: they are worked out from two clocks.
const SAME_BOOT_TIME_US: u64 = 2_000_000;

/// When a message was sent and taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// When the broker took it, in µs since 1970 UTC.
    pub stored_at_us: i64,
    /// How old its snapshot was when it was sent, in µs by the host's monotonic clock; absent where the agent does not say.
    pub age_us: Option<i64>,
}

impl Sent {
    /// A message that the broker took at `stored_at_us`, with the value of its header [`crate::stream::AGE_HEADER`]. One that
    /// is no number of µs counts as absent.
    pub fn new(stored_at_us: i64, age: Option<&str>) -> Self {
        Self { stored_at_us, age_us: age.and_then(|age| age.parse().ok()).filter(|age_us| *age_us >= 0) }
    }

    /// Puts the times of `snapshot` on the broker's clock where its host's is off by more than [`MAX_OFFSET_US`].
    pub(super) fn correct(self, snapshot: &mut Snapshot) {
        let Some(age_us) = self.age_us else { return };
        let captured_at_us = self.stored_at_us.saturating_sub(age_us);
        let offset_us = snapshot.captured_at_us.saturating_sub(captured_at_us);
        snapshot.clock_offset_us = Some(offset_us);
        if offset_us.saturating_abs() > MAX_OFFSET_US {
            snapshot.captured_at_us = captured_at_us;
            snapshot.move_starts(offset_us.saturating_neg());
        }
    }
}

impl Snapshot {
    /// How much was taken from its times, in µs: the offset of its host's clock where that is corrected for, otherwise 0.
    pub fn corrected_us(&self) -> i64 {
        self.clock_offset_us
            .filter(|offset_us| offset_us.saturating_abs() > MAX_OFFSET_US)
            .unwrap_or_default()
    }

    /// Lets it have booted at `boot_at_us`, if it says about the same: a boot time that is worked out anew differs a little.
    pub fn settle_boot(&mut self, boot_at_us: i64) {
        let Some(said_us) = self.host_info.boot_at_us else { return };
        if said_us.abs_diff(boot_at_us) <= SAME_BOOT_TIME_US {
            self.move_starts(boot_at_us - said_us);
        }
    }

    /// Moves when the host was booted, and what is counted from there.
    fn move_starts(&mut self, by_us: i64) {
        if by_us == 0 {
            return;
        }
        if let Some(boot_at_us) = &mut self.host_info.boot_at_us {
            *boot_at_us = boot_at_us.saturating_add(by_us);
        }
        // A start before 1970 is one of a clock that was never set.
        let moved = |started_at_us: i64| started_at_us.saturating_add(by_us).max(0);
        for process in self.processes.iter_mut().filter(|process| process.start_ticks.is_some()) {
            process.started_at_us = moved(process.started_at_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{HostInfo, Process};

    const NOW_US: i64 = 1_795_000_000_000_000;
    const HOUR_US: i64 = 3_600_000_000;

    /// Of a host whose clock is this wrong, a minute after its boot, with a process of each kind.
    fn snapshot(wrong_us: i64) -> Snapshot {
        let boot_at_us = NOW_US - 60_000_000 + wrong_us;
        let process =
            |pid, start_ticks| Process { pid, start_ticks, started_at_us: boot_at_us, ..Process::default() };
        Snapshot {
            captured_at_us: NOW_US + wrong_us,
            host_info: HostInfo { boot_at_us: Some(boot_at_us), ..HostInfo::default() },
            processes: vec![process(1, Some(0)), process(2, None)],
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_clock_that_is_an_hour_off_is_corrected_for_however_long_the_snapshot_waited() {
        for wrong_us in [-HOUR_US, HOUR_US, 400 * 24 * HOUR_US] {
            for age_us in [0, HOUR_US / 2] {
                let mut corrected = snapshot(wrong_us);
                Sent { stored_at_us: NOW_US + age_us, age_us: Some(age_us) }.correct(&mut corrected);
                assert_eq!((corrected.captured_at_us, corrected.corrected_us()), (NOW_US, wrong_us));
                assert_eq!(corrected.host_info.boot_at_us, Some(NOW_US - 60_000_000));
                let starts: Vec<i64> =
                    corrected.processes.iter().map(|process| process.started_at_us).collect();
                assert_eq!(
                    starts,
                    [NOW_US - 60_000_000, NOW_US - 60_000_000 + wrong_us],
                    "only those by ticks"
                );
            }
        }
    }

    #[test]
    fn a_clock_that_is_a_little_off_stays_as_the_host_says_and_one_without_an_age_as_well() {
        let said = snapshot(4_000_000);
        let mut taken = said.clone();
        Sent { stored_at_us: NOW_US, age_us: Some(0) }.correct(&mut taken);
        assert_eq!((taken.clock_offset_us, taken.corrected_us()), (Some(4_000_000), 0));
        assert_eq!(Snapshot { clock_offset_us: None, ..taken }, said);
        for age in [None, Some(""), Some("-1"), Some("1e3"), Some("9999999999999999999999")] {
            let mut taken = snapshot(HOUR_US);
            Sent::new(NOW_US, age).correct(&mut taken);
            assert_eq!(taken, snapshot(HOUR_US));
        }
    }

    #[test]
    fn a_boot_time_that_differs_by_milliseconds_is_the_one_before() {
        let (first, mut again) = (snapshot(0), snapshot(7_000));
        let boot_at_us = first.host_info.boot_at_us.unwrap();
        again.settle_boot(boot_at_us);
        assert_eq!(again.host_info.boot_at_us, Some(boot_at_us));
        assert_eq!(again.processes[0], first.processes[0]);
        let mut set = snapshot(HOUR_US);
        set.settle_boot(boot_at_us);
        assert_eq!(set, snapshot(HOUR_US), "the clock was set");
    }

    #[test]
    fn no_age_and_no_clock_is_too_much() {
        for age_us in [0, i64::MAX] {
            for captured_at_us in [i64::MIN, 0, i64::MAX] {
                let mut hostile = Snapshot { captured_at_us, ..snapshot(0) };
                Sent { stored_at_us: NOW_US, age_us: Some(age_us) }.correct(&mut hostile);
                hostile.settle_boot(i64::MAX);
            }
        }
    }
}
