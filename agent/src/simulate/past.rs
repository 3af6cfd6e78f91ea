//! The past of a simulated fleet: what its hosts sampled before the simulation began, made as fast as it is taken.
//!
//! Hosts are filled batch after batch. Each begins to live in step with the clock as soon as its past is complete, so that
//! a large fleet grows on the pages while it is filled.

use std::time::Duration;

/// Hosts whose pasts are filled at a time: as many as a small demonstration has, and enough to keep a broker busy although
/// each host waits for every answer.
const BATCH: usize = 40;
/// The last part of a past is sampled more often, so that what happens every few seconds is seen in it.
const FINE_SPAN: Duration = Duration::from_secs(20 * 60);
const FINE_INTERVAL: Duration = Duration::from_secs(10);

/// How much of a past there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimulatedPast {
    /// When it begins, in µs since 1970 UTC.
    pub begins_at_us: i64,
    /// When the present begins, in µs since 1970 UTC.
    pub ends_at_us: i64,
    /// Time between two snapshots of a host in it; in its last 20 minutes 10 s at most.
    pub interval: Duration,
    /// How many hosts have it: the first ones. The others begin now.
    pub hosts: usize,
}

impl SimulatedPast {
    /// The `span` before `now_us`, of every host.
    pub fn before(now_us: i64, span: Duration, interval: Duration) -> Self {
        let begins_at_us = now_us.saturating_sub(as_us(span));
        Self { begins_at_us, ends_at_us: now_us, interval, hosts: usize::MAX }
    }

    /// The time between two snapshots around `at_us`; never nothing.
    fn interval_at(&self, at_us: i64) -> Duration {
        let is_fine = at_us >= self.before_end_us(FINE_SPAN);
        let interval = if is_fine { self.interval.min(FINE_INTERVAL) } else { self.interval };
        interval.max(Duration::from_micros(1))
    }

    /// This long before the present began.
    pub(super) fn before_end_us(&self, span: Duration) -> i64 {
        self.ends_at_us.saturating_sub(as_us(span))
    }
}

fn as_us(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// The filling of the pasts of the first `hosts` hosts.
#[derive(Debug)]
pub(super) struct Filling {
    past: SimulatedPast,
    hosts: usize,
    /// Those before this one are filled, and those that have no past.
    filled: usize,
    /// The next snapshot: of which host of the batch, and in the round that begins when, in µs since 1970 UTC.
    host: usize,
    round_at_us: i64,
}

/// The next snapshot of a past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// Of which host.
    pub(super) host: usize,
    /// Of which moment, in µs since 1970 UTC.
    pub(super) captured_at_us: i64,
    /// How long after the one before.
    pub(super) interval: Duration,
}

impl Filling {
    /// What there is to fill; nothing where there is no past.
    pub(super) fn new(past: Option<SimulatedPast>, hosts: usize) -> Self {
        let nothing = SimulatedPast { begins_at_us: 0, ends_at_us: 0, interval: Duration::ZERO, hosts: 0 };
        let past = past.unwrap_or(nothing);
        let hosts = past.hosts.min(hosts);
        Self { past, hosts, filled: 0, host: 0, round_at_us: past.begins_at_us }
    }

    /// Whether the host has its past, and lives in the present.
    pub(super) fn is_filled(&self, host: usize) -> bool {
        host < self.filled || host >= self.hosts
    }

    /// How many hosts are filled, and how many there are to be.
    pub(super) fn filled(&self) -> (usize, usize) {
        (self.filled, self.hosts)
    }

    /// The next snapshot; `None` when all have their past. The past of a batch goes on to the present, however long that
    /// takes.
    pub(super) fn next(&mut self, now_us: i64) -> Option<Due> {
        while self.filled < self.hosts {
            let end = (self.filled + BATCH).min(self.hosts);
            let interval = self.past.interval_at(self.round_at_us);
            if self.host >= end {
                self.host = self.filled;
                self.round_at_us = self.round_at_us.saturating_add(as_us(interval));
                continue;
            }
            // Hosts are spread evenly over the interval.
            let place = u32::try_from(self.host - self.filled).unwrap_or_default();
            let captured_at_us = self.round_at_us.saturating_add(as_us(interval * place / BATCH as u32));
            if captured_at_us < now_us {
                return Some(Due { host: self.host, captured_at_us, interval });
            }
            (self.filled, self.host, self.round_at_us) = (end, end, self.past.begins_at_us);
        }
        None
    }

    /// The next snapshot is made.
    pub(super) fn advance(&mut self) {
        self.host += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_is_filled_from_the_beginning_to_the_present_before_the_next_batch_begins() {
        let minute_us = 60_000_000;
        let past = SimulatedPast::before(100 * minute_us, Duration::from_secs(1800), Duration::from_secs(60));
        let mut filling = Filling::new(Some(past), 2 * BATCH + 1);
        let mut last = vec![None; 2 * BATCH + 1];
        let mut counts = vec![0; 2 * BATCH + 1];
        // Time goes on while it is filled.
        let now_us = |made: usize| 100 * minute_us + made as i64 * 1000;
        let mut made = 0;
        while let Some(due) = filling.next(now_us(made)) {
            assert_eq!(filling.next(now_us(made)), Some(due), "as long as it is not made");
            assert!(!filling.is_filled(due.host));
            assert!(due.host / BATCH * BATCH == filling.filled().0, "batch after batch");
            assert!(last[due.host] < Some(due.captured_at_us) && due.captured_at_us < now_us(made));
            let apart = due.captured_at_us - last[due.host].unwrap_or(past.begins_at_us);
            assert!(apart <= 60 * 1_000_000, "{apart} µs");
            last[due.host] = Some(due.captured_at_us);
            counts[due.host] += 1;
            made += 1;
            filling.advance();
        }
        assert!((0..=2 * BATCH).all(|host| filling.is_filled(host)));
        // Ten a minute apart, and twenty minutes of them every ten seconds.
        assert!(counts.iter().all(|count| (130..=133).contains(count)), "{counts:?}");
    }

    #[test]
    fn without_a_past_all_live_at_once_and_an_interval_of_nothing_comes_to_an_end() {
        let mut filling = Filling::new(None, 3);
        assert!(filling.is_filled(0) && filling.next(i64::MAX).is_none());
        let of_one =
            SimulatedPast { hosts: 1, ..SimulatedPast::before(10, Duration::from_micros(5), Duration::ZERO) };
        let mut filling = Filling::new(Some(of_one), 3);
        assert!(!filling.is_filled(0) && filling.is_filled(1));
        assert_eq!(filling.next(10).map(|due| due.host), Some(0));
        let past = SimulatedPast::before(1_000, Duration::from_micros(10), Duration::ZERO);
        let mut filling = Filling::new(Some(past), 1);
        let mut made = 0;
        while filling.next(1_000).is_some() {
            filling.advance();
            made += 1;
            assert!(made <= 10);
        }
    }
}
