//! How many commands there may be, whoever signs them.

use std::{collections::VecDeque, time::Duration};

/// The most commands within [`WINDOW`]. A person does not send more, and a program that does goes wrong.
const MOST: usize = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// When the last commands were taken, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<Duration>);

impl Rate {
    /// Whether one more may be taken now; it is counted then.
    #[must_use]
    pub(super) fn take(&mut self, now: Duration) -> bool {
        while self.0.front().is_some_and(|at| now.saturating_sub(*at) >= WINDOW) {
            self.0.pop_front();
        }
        let has_room = self.0.len() < MOST;
        if has_room {
            self.0.push_back(now);
        }
        has_room
    }

    /// What is allowed, for people.
    pub(super) fn words() -> String {
        format!("this host takes {MOST} commands in {} s", WINDOW.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_in_a_minute_are_taken_and_the_next_when_the_first_is_a_minute_ago() {
        let mut rate = Rate::default();
        let taken = (0..60).filter(|second| rate.take(Duration::from_secs(*second))).count();
        assert_eq!(taken, MOST);
        assert!(rate.take(Duration::from_secs(60)));
        assert!(!rate.take(Duration::from_secs(60)));
        assert!(rate.take(Duration::from_secs(61)));
    }
}
