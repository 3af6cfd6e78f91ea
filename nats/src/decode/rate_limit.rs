//! How much one host may send, so that a flood from one does not delay the others.
//!
//! Every host has a rate limit in bytes: an allowance that refills by the broker's clock, so messages of hours may be
//! read at once after the reader was away. Where that clock is set back, refilling goes on from there. The allowance
//! holds a full ring of an agent, which arrives at once after the broker was away; the agent counts waiting snapshots
//! in the same way ([`worth_bytes`]). The excess is refused unread, which costs next to nothing.

use std::{collections::HashMap, time::Duration};

use crate::HostName;

/// The rate limit of this many seconds may arrive at once: by default 64 MiB, an agent's ring ([`RING_WORTH_BYTES`])
/// and a third more for what it sends meanwhile. Rings of earlier agents, of 16 MiB in any compression, fit with three
/// times the usual compression.
const FULL_S: f64 = 64.0;
/// The same where messages are let into the stream: readers count by the time at which the broker stored a message, which
/// comes some seconds later at most.
const SENT_FULL_S: f64 = 56.0;
/// The most that may wait in an agent's ring, as counted here.
pub const RING_WORTH_BYTES: usize = 48 << 20;
/// The cost of any message besides its bytes: fetching it from the broker.
const MESSAGE_BYTES: usize = 1024;
/// The least cost of a process in any compression: about its size in a real snapshot.
const PROCESS_BYTES: usize = 28;
/// How many bytes inside cost as much as one that was sent: a real snapshot is compressed sevenfold. Names and command
/// lines that are alike take memory all the same.
const COMPRESSION: usize = 7;
/// The cost of a message that is no snapshot: as much as a large one, because it was unpacked for nothing.
const REFUSED_BYTES: usize = 256 << 10;
/// Hosts with an allowance of their own; ten times the largest fleet this was designed for. Names beyond that share one.
const MAX_HOSTS: usize = 100_000;

/// The allowances of all hosts.
#[derive(Debug)]
pub(super) struct RateLimits {
    rate: RateLimit,
    hosts: HashMap<HostName, Allowance>,
    rest: Allowance,
}

/// How fast an allowance refills, and how much it holds.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    bytes_per_us: f64,
    full_bytes: f64,
}

impl RateLimit {
    /// What readers of the stream let each host send: `bytes_per_s` over a longer time, and 64 times as much at once.
    pub fn of_readers(bytes_per_s: u64) -> Self {
        Self { bytes_per_us: bytes_per_s as f64 / 1e6, full_bytes: bytes_per_s as f64 * FULL_S }
    }

    /// What is let into the stream on behalf of a host: a little less at once, so that readers never refuse what was let in.
    pub fn of_senders(bytes_per_s: u64) -> Self {
        Self { full_bytes: bytes_per_s as f64 * SENT_FULL_S, ..Self::of_readers(bytes_per_s) }
    }

    /// The whole allowance at `now_us`.
    pub fn full(&self, now_us: i64) -> Allowance {
        Allowance { left_bytes: self.full_bytes, at_us: now_us }
    }

    /// How long until `allowance` lets a message of `bytes` through.
    pub fn wait(&self, allowance: &Allowance, bytes: usize) -> Duration {
        let missing_bytes = (bytes + MESSAGE_BYTES) as f64 - allowance.left_bytes;
        Duration::from_micros((missing_bytes.max(0.0) / self.bytes_per_us.max(f64::MIN_POSITIVE)) as u64)
    }
}

/// The cost of a message for its readers, in bytes: its length, the unpacked length that it declares, and the number of
/// its processes count.
pub fn worth_bytes(message: &[u8], processes: usize) -> usize {
    let bytes = zstd::bulk::Decompressor::upper_bound(message).unwrap_or_default();
    MESSAGE_BYTES + message.len().max(Inside { processes, bytes }.worth())
}

/// The content of a message.
#[derive(Debug, Clone, Copy)]
pub struct Inside {
    /// Processes.
    pub processes: usize,
    /// Its length when it was decompressed.
    pub bytes: usize,
}

impl Inside {
    fn worth(self) -> usize {
        (self.processes * PROCESS_BYTES).max(self.bytes / COMPRESSION)
    }
}

/// What one host may still send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allowance {
    /// In bytes; below 0 after a message whose content cost more than was left.
    pub left_bytes: f64,
    /// As of this time, in µs of the clock that refills it.
    pub at_us: i64,
}

impl RateLimits {
    /// Limits that fill by `bytes_per_s`.
    pub(super) fn new(bytes_per_s: u64) -> Self {
        let rate = RateLimit::of_readers(bytes_per_s);
        Self { rate, hosts: HashMap::new(), rest: rate.full(0) }
    }

    /// Whether a message of `bytes` that the broker took at `now_us` may be unpacked; if so it is paid for.
    pub(super) fn take(&mut self, host: &HostName, bytes: usize, now_us: i64) -> bool {
        let rate = self.rate;
        self.of(host, now_us).take(&rate, bytes, now_us).is_some()
    }

    /// Charges the content of a message of `bytes` after decoding; `None` where it was no snapshot.
    pub(super) fn charge(&mut self, host: &HostName, bytes: usize, inside: Option<Inside>, now_us: i64) {
        self.of(host, now_us).charge(bytes, inside);
    }

    fn of(&mut self, host: &HostName, now_us: i64) -> &mut Allowance {
        if !self.hosts.contains_key(host) {
            if self.hosts.len() >= MAX_HOSTS {
                self.forget_full(now_us);
            }
            if self.hosts.len() < MAX_HOSTS {
                self.hosts.insert(host.clone(), self.rate.full(now_us));
            }
        }
        self.hosts.get_mut(host).unwrap_or(&mut self.rest)
    }

    /// A host whose allowance is full again is as good as unknown.
    fn forget_full(&mut self, now_us: i64) {
        let rate = self.rate;
        self.hosts.retain(|_, allowance| {
            allowance.fill(&rate, now_us);
            allowance.left_bytes < rate.full_bytes
        });
    }
}

impl Allowance {
    /// Pays for a message of `bytes` that is to be decoded at `now_us`, and returns its cost in bytes; `None` where too
    /// little is left.
    pub fn take(&mut self, rate: &RateLimit, bytes: usize, now_us: i64) -> Option<f64> {
        self.fill(rate, now_us);
        let cost = (bytes + MESSAGE_BYTES) as f64;
        let is_allowed = self.left_bytes >= cost;
        is_allowed.then(|| self.pay(cost))
    }

    /// Charges the content of a message of `bytes` after decoding; `None` where it was no snapshot. Returns its cost in
    /// bytes, which comes on top of that of [`Self::take`].
    pub fn charge(&mut self, bytes: usize, inside: Option<Inside>) -> f64 {
        let worth = inside.map_or(REFUSED_BYTES, Inside::worth);
        self.pay(worth.saturating_sub(bytes) as f64)
    }

    fn pay(&mut self, cost: f64) -> f64 {
        self.left_bytes -= cost;
        cost
    }

    /// Follows the clock both ways: a step back adds nothing, and time counts on from there.
    fn fill(&mut self, rate: &RateLimit, now_us: i64) {
        let passed_us = now_us.saturating_sub(self.at_us).max(0);
        self.left_bytes = (self.left_bytes + passed_us as f64 * rate.bytes_per_us).min(rate.full_bytes);
        self.at_us = now_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn host(name: &str) -> HostName {
        name.parse().unwrap()
    }

    /// How many messages of `bytes` are taken of `host` at that moment.
    fn taken(allowances: &mut RateLimits, name: &str, bytes: usize, now_us: i64) -> usize {
        (0..100_000).take_while(|_| allowances.take(&host(name), bytes, now_us)).count()
    }

    #[test]
    fn a_whole_ring_at_once_is_taken_and_a_flood_is_cut_and_fills_again_and_is_nobody_elses() {
        let mut allowances = RateLimits::new(1 << 20);
        // The smallest snapshots there are, a ring full of them.
        assert!(taken(&mut allowances, "a", MIB / 1024, 1_000_000) >= 16 * 1024);
        assert_eq!(taken(&mut allowances, "a", MIB, 1_000_000), 0);
        assert_eq!(taken(&mut allowances, "b", MIB, 1_000_000), 63);
        assert_eq!(taken(&mut allowances, "a", MIB, 6_000_000), 4);
    }

    #[test]
    fn allowances_follow_a_clock_that_is_set_back_or_forward() {
        let mut allowances = RateLimits::new(1 << 20);
        let day_us = 86_400_000_000;
        assert_eq!(taken(&mut allowances, "a", MIB, day_us), 63);
        assert_eq!(taken(&mut allowances, "a", MIB, 0), 0, "a step back adds nothing");
        assert_eq!(taken(&mut allowances, "a", MIB, 5_000_000), 5, "and fills as before from there");
        assert_eq!(taken(&mut allowances, "a", MIB, 9 * day_us), 63, "a step forward fills no more than all");
        // Back and forth by a second at every message: only the steps forward refill.
        let steps = (0..1000).map(|step| i64::from(step % 2) * 1_000_000);
        let won: usize = steps.map(|now_us| taken(&mut allowances, "a", MIB, now_us)).sum();
        assert!(won <= 500, "{won}");
    }

    #[test]
    fn what_is_small_only_on_the_wire_is_charged_as_what_it_is() {
        let mut allowances = RateLimits::new(1 << 20);
        let mut count = 0;
        while allowances.take(&host("a"), 100, 0) {
            allowances.charge(&host("a"), 100, Some(Inside { processes: 20_000, bytes: 400_000 }), 0);
            count += 1;
        }
        assert!((100..140).contains(&count), "{count}");
        let mut count = 0;
        while allowances.take(&host("b"), 100, 0) {
            allowances.charge(&host("b"), 100, None, 0);
            count += 1;
        }
        assert!((200..280).contains(&count), "{count}");
        // Few processes with much text.
        let mut count = 0;
        while allowances.take(&host("c"), 100, 0) {
            allowances.charge(&host("c"), 100, Some(Inside { processes: 4000, bytes: 14 << 20 }), 0);
            count += 1;
        }
        assert!((28..40).contains(&count), "{count}");
    }

    #[test]
    fn the_costs_that_are_named_are_those_that_are_paid() {
        let rate = RateLimit::of_senders(1 << 20);
        let mut allowance = rate.full(0);
        let full_bytes = allowance.left_bytes;
        let inside = Inside { processes: 100, bytes: 9000 };
        let paid_bytes = allowance.take(&rate, 100, 0).unwrap() + allowance.charge(100, Some(inside));
        assert_eq!(paid_bytes, (MESSAGE_BYTES + 100 * PROCESS_BYTES) as f64);
        assert_eq!(allowance.left_bytes, full_bytes - paid_bytes);
        assert_eq!(allowance.take(&rate, 64 * MIB, 0), None);
        assert_eq!(allowance.left_bytes, full_bytes - paid_bytes);
    }

    #[test]
    fn made_up_names_are_bounded_and_leave_the_known_ones_theirs() {
        let mut allowances = RateLimits::new(1 << 20);
        assert!(allowances.take(&host("good"), 100, 0));
        for number in 0..MAX_HOSTS + 1000 {
            allowances.take(&host(&format!("h{number}")), MIB, 0);
        }
        assert_eq!(allowances.hosts.len(), MAX_HOSTS);
        assert!(allowances.take(&host("good"), 100, 0));
        assert!(!allowances.take(&host("yet-another"), 2 * MIB, 0));
        // Later the names that were quiet make room.
        assert!(allowances.take(&host("yet-another"), 2 * MIB, 90_000_000));
        assert!(allowances.hosts.len() < 10);
    }
}
