//! Hosts that left the present because they were not heard of for long: as many as pages say are left out.

use std::{collections::BTreeMap, time::Duration};

use fleetps_nats::HostName;

/// Hosts that are remembered; ten thousand are as many as a fleet has. Those that left first make room.
const MAX_HOSTS: usize = 10_000;

/// Which hosts are left out.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    /// In the order in which they left.
    number: BTreeMap<HostName, u64>,
    last: u64,
    after: Duration,
}

impl LeftOut {
    /// Hosts leave when they were not heard of for this long.
    pub(super) fn set_after(&mut self, after: Duration) {
        self.after = after;
    }

    /// How long that is.
    pub(super) fn after(&self) -> Duration {
        self.after
    }

    /// A host left.
    pub(super) fn add(&mut self, host: HostName) {
        self.last += 1;
        self.number.insert(host, self.last);
        if self.number.len() > MAX_HOSTS {
            self.make_room();
        }
    }

    /// A host came back.
    pub(super) fn remove(&mut self, host: &HostName) {
        self.number.remove(host);
    }

    /// Forgets the others.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&HostName) -> bool) {
        self.number.retain(|host, _| is_kept(host));
    }

    /// The hosts, by name.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &HostName> {
        self.number.keys()
    }

    /// Drops the tenth that left first.
    fn make_room(&mut self) {
        let mut numbers: Vec<u64> = self.number.values().copied().collect();
        let (_, tenth, _) = numbers.select_nth_unstable(MAX_HOSTS / 10);
        let tenth = *tenth;
        self.number.retain(|_, number| *number > tenth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: usize) -> HostName {
        format!("h{number}").parse().unwrap()
    }

    #[test]
    fn those_that_left_last_are_remembered_and_no_more_than_there_is_room_for() {
        let mut left_out = LeftOut::default();
        for number in 0..=MAX_HOSTS {
            left_out.add(host(number));
        }
        assert!(left_out.hosts().count() <= MAX_HOSTS);
        let has = |left_out: &LeftOut, number| left_out.hosts().any(|known| *known == host(number));
        assert!(!has(&left_out, 0) && has(&left_out, MAX_HOSTS));
        left_out.remove(&host(MAX_HOSTS));
        assert!(!has(&left_out, MAX_HOSTS));
        left_out.retain(|known| *known == host(MAX_HOSTS - 1));
        assert_eq!(left_out.hosts().count(), 1);
    }
}
