//! What was read of the stream of alerts and is not decided yet, and where a burst of it ends.

use std::{collections::VecDeque, time::Duration};

use fleetps_ingestor::alerts::Transition;
use tokio::time::Instant;

use crate::notify::Grouping;

/// Transitions that are read ahead; the stream has the others. More than this at once are decided in parts.
pub(super) const MAX_PENDING: usize = 1_000;

/// A transition that is not decided yet.
#[derive(Debug, Clone)]
pub(super) struct Read {
    /// Its place in the stream of alerts.
    pub(super) sequence: u64,
    pub(super) transition: Transition,
    pub(super) read_at: Instant,
}

/// Those that are not decided yet, in the order of the stream.
#[derive(Debug, Default)]
pub(super) struct Pending(VecDeque<Read>);

impl Pending {
    pub(super) fn push(&mut self, read: Read) {
        self.0.push_back(read);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn room(&self) -> usize {
        MAX_PENDING.saturating_sub(self.0.len())
    }

    /// Forgets those up to `position`, which are decided.
    pub(super) fn drop_until(&mut self, position: u64) {
        self.0.retain(|read| read.sequence > position);
    }

    pub(super) fn first(&self) -> Option<&Read> {
        self.0.front()
    }

    /// Whether an alert is over by the last that is pending of it.
    pub(super) fn ends(&self, alert: &str) -> bool {
        let last = self.0.iter().rev().find(|read| read.transition.change.alert.id == alert);
        last.is_some_and(|read| !read.transition.is_open())
    }

    /// The first `count`.
    pub(super) fn take(&self, count: usize) -> Vec<Read> {
        self.0.iter().take(count).cloned().collect()
    }

    /// How many of the first are a burst that is over. It ends where the next transition was decided later than
    /// [`Grouping::quiet`] after the one before or [`Grouping::longest`] after the first; otherwise when nothing more came
    /// for as long, by this process's own clock, or no more fit.
    pub(super) fn burst(&self, grouping: Grouping, now: Instant) -> usize {
        let Some(first) = self.0.front() else { return 0 };
        let us = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        let (quiet, longest) = (us(grouping.quiet), us(grouping.longest));
        let decided = |read: &Read| read.transition.decided_at_us;
        for (place, (before, next)) in self.0.iter().zip(self.0.iter().skip(1)).enumerate() {
            let since = |earlier: &Read| decided(next).saturating_sub(decided(earlier));
            if since(before) > quiet || since(first) > longest {
                return place + 1;
            }
        }
        let is_over = self.room() == 0 || self.ends_at(grouping).is_some_and(|end| end <= now);
        if is_over { self.0.len() } else { 0 }
    }

    /// When the burst is over if nothing more comes.
    pub(super) fn ends_at(&self, grouping: Grouping) -> Option<Instant> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        Some((first.read_at + grouping.longest).min(last.read_at + grouping.quiet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::examples::transition;
    use fleetps_ingestor::alerts::Change;

    const GROUPING: Grouping =
        Grouping { quiet: Duration::from_secs(10), longest: Duration::from_secs(60), fleet_wide: 10 };

    /// Transitions that were decided and read so many seconds after the first.
    fn pending(seconds: &[(i64, u64)], start: Instant) -> Pending {
        let mut pending = Pending::default();
        for (sequence, (decided_s, read_s)) in (1..).zip(seconds) {
            let mut transition = transition("web-1", "rule", Change::Raised);
            transition.decided_at_us += decided_s * 1_000_000;
            pending.push(Read { sequence, transition, read_at: start + Duration::from_secs(*read_s) });
        }
        pending
    }

    #[test]
    fn a_burst_ends_by_the_times_of_the_next_ones_or_by_the_clock() {
        let start = Instant::now();
        for (what, seconds, now_s, expected) in [
            ("nothing", vec![], 99, 0),
            ("one that may have more", vec![(0, 0)], 9, 0),
            ("one after which nothing came", vec![(0, 0)], 10, 1),
            ("the last came later", vec![(0, 0), (9, 9)], 18, 0),
            ("nothing came after the last", vec![(0, 0), (9, 9)], 19, 2),
            ("all were read at once, long after", vec![(0, 0), (10, 0), (21, 0)], 0, 2),
            ("it goes on for a minute", (0..8).map(|at| (at * 9, 0)).collect(), 0, 7),
            ("it goes on for a minute by the clock", (0..7).map(|at| (0, at * 9)).collect(), 60, 7),
            ("the broker's clock was set back", vec![(0, 0), (-99, 1)], 5, 0),
        ] {
            let pending = pending(&seconds, start);
            assert_eq!(pending.burst(GROUPING, start + Duration::from_secs(now_s)), expected, "{what}");
        }
        let full = pending(&vec![(0, 0); MAX_PENDING], start);
        assert_eq!((full.burst(GROUPING, start), full.room()), (MAX_PENDING, 0));
    }

    #[test]
    fn an_alert_ends_by_the_last_that_is_pending_of_it() {
        let mut pending = Pending::default();
        let changes =
            [("a", Change::Raised), ("b", Change::Raised), ("a", Change::Cleared), ("c", Change::Gone)];
        for (sequence, (rule, change)) in (1..).zip(changes) {
            let transition = transition("web-1", rule, change);
            pending.push(Read { sequence, transition, read_at: Instant::now() });
        }
        let ended = ["web-1-a", "web-1-b", "web-1-c", "web-1-d"].map(|alert| pending.ends(alert));
        assert_eq!(ended, [true, false, true, false]);
    }

    #[test]
    fn what_is_decided_is_forgotten() {
        let mut pending = pending(&[(0, 0), (1, 0), (2, 0)], Instant::now());
        pending.drop_until(2);
        assert_eq!(pending.first().map(|read| read.sequence), Some(3));
    }
}
