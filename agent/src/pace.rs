//! When a host is sampled for those who watch: as often as they wish, as far as it may cost that.

use std::time::{Duration, Instant};

use crate::sample::FIRST_WAIT;

/// Sampling for those who watch takes at most a twentieth of a core, counted in CPU time of the thread that samples: a host of 500
/// processes has a tenth of that every second, and one of 20,000 is sampled every few seconds. By the clock, a machine that is
/// busy with something else would slow down an agent that costs nothing.
const SHARE_OF_A_CORE: u32 = 20;
/// How soon after a command has ended those who watch are shown: the parent of a process that has ended takes note of it within a
/// millisecond mostly, and until then it is listed as a zombie.
const TAKEN_NOTE: Duration = Duration::from_millis(5);
/// The shortest time between two passes for those who watch: in a shorter one, CPU percent would be counted in clock ticks of 10 ms.
const BETWEEN_PASSES: Duration = Duration::from_millis(100);
/// Passes after a command has ended: the second sees what the first came too early for.
const REFRESHES: u32 = 2;

/// The moments at which passes begin.
#[derive(Debug)]
pub(crate) struct Pace {
    wished: Duration,
    interval: Duration,
    due: Instant,
    /// When the last pass began, and the shortest time from it to the next.
    passed: Instant,
    rests: Duration,
    /// Passes that are still to come before their time.
    refreshes: u32,
}

impl Pace {
    /// As often as `wished` from `now` on; the first comes soon.
    pub(crate) fn new(wished: Duration, now: Instant) -> Self {
        let due = now + wished.min(FIRST_WAIT);
        Self { wished, interval: wished, due, passed: now, rests: FIRST_WAIT, refreshes: 0 }
    }

    /// When the next pass begins.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// From the next pass on it is wished as often as this.
    pub(crate) fn wish(&mut self, wished: Duration) {
        self.wished = wished;
    }

    /// How often passes begin, where that is less often than is wished.
    pub(crate) fn slowed_to(&self) -> Option<Duration> {
        (self.interval > self.wished).then_some(self.interval)
    }

    /// Something has changed: passes begin soon, as far as it may cost that.
    pub(crate) fn refresh(&mut self, now: Instant) {
        self.refreshes = REFRESHES;
        self.hasten(now);
    }

    fn hasten(&mut self, now: Instant) {
        let soonest = (now + TAKEN_NOTE).max(self.passed + self.rests);
        self.due = self.due.min(soonest);
    }

    /// A pass began at `started`, ended `now` and took this CPU time. Where that is more than its share of a core, passes begin less
    /// often.
    pub(crate) fn passed(&mut self, started: Instant, now: Instant, cost: Duration) {
        let affordable = cost * SHARE_OF_A_CORE;
        let interval = self.wished.max(affordable);
        if interval > self.wished && self.interval == self.wished {
            tracing::info!(?interval, wished = ?self.wished, "somebody watches this host; sampling it as often as wished costs too much");
        }
        self.interval = interval;
        self.due = next_due(self.due, interval, started, now);
        (self.passed, self.rests) = (started, affordable.max(BETWEEN_PASSES));
        self.refreshes = self.refreshes.saturating_sub(1);
        if self.refreshes > 0 {
            self.hasten(now);
        }
    }
}

/// The next moment on the grid of intervals; moments that went by while sampling took too long are left out.
pub(crate) fn next_due(due: Instant, interval: Duration, started: Instant, now: Instant) -> Instant {
    let took = now.saturating_duration_since(started);
    if took > interval {
        tracing::warn!(
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "taking a sample took longer than the interval; make the interval longer"
        );
    }
    let next = due + interval;
    if next >= now { next } else { now + interval }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_a_pass_costs_slows_it_down_and_how_long_it_had_to_wait_for_a_processor_does_not() {
        let start = Instant::now();
        let mut pace = Pace::new(SECOND, start);
        let mut pass = |took, cost| {
            let started = pace.due();
            pace.passed(started, started + took, cost);
            (pace.due() - started, pace.slowed_to())
        };
        assert_eq!(pass(ms(400), ms(2)), (SECOND, None), "the machine is busy");
        assert_eq!(pass(ms(400), ms(300)), (ms(6_000), Some(ms(6_000))));
        assert_eq!(pass(ms(2), ms(2)), (SECOND, None), "and back");
    }

    #[test]
    fn what_has_changed_is_seen_soon_and_once_more_as_far_as_it_may_cost_that() {
        let start = Instant::now();
        let mut pace = Pace::new(SECOND, start);
        let first = pace.due();
        pace.passed(first, first + ms(2), ms(2));
        let changed = first + ms(300);
        pace.refresh(changed);
        assert_eq!(pace.due(), changed + TAKEN_NOTE);
        let early = pace.due();
        pace.passed(early, early + ms(30), ms(20));
        assert_eq!(pace.due(), early + ms(400), "twenty times what it has cost");
        let again = pace.due();
        pace.passed(again, again + ms(2), ms(2));
        assert_eq!(pace.due() - again, SECOND, "and then as ever");
        pace.refresh(again + ms(10));
        assert_eq!(pace.due(), again + BETWEEN_PASSES);
    }
}
