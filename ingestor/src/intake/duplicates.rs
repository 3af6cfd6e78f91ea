//! Which snapshots are stored already.
//!
//! An agent that did not receive the broker's acknowledgement publishes again, and a stream that lost its end is read
//! again from its beginning. An agent publishes a run's snapshots strictly in order, so a snapshot at or below the
//! highest sequence of its run is stored already.
//!
//! **Memory is bounded, and still nothing is stored twice.** A host has a few runs. Of further runs the least recently
//! used are forgotten, and only the time at which the broker stored the last of them is kept. While the stream is read
//! again, everything that the broker stored of that host up to this time was read before, so an unknown run from that
//! time is a repeat. The same holds for forgotten hosts. So a host that invents a run for every message loses nothing,
//! takes no more memory, and pushes out no other host.

use std::collections::HashMap;

use fleetps_nats::HostName;

/// Runs remembered per host. An agent has one at a time; further ones spare looking at times.
const RUNS_PER_HOST: usize = 8;
/// Hosts remembered; ten times the largest fleet this was designed for. When it is full, the hosts that were silent the
/// longest are forgotten. With all their runs the hosts take 100 MB; an ordinary host takes 200 bytes.
const MAX_HOSTS: usize = 100_000;
/// The highest sequence of each run of each host.
#[derive(Debug)]
pub(crate) struct Duplicates {
    hosts: HashMap<HostName, Runs>,
    /// When the broker took the last snapshot of a host that was forgotten.
    forgotten_until_us: i64,
    /// When the broker took the last snapshot that counts as stored.
    latest_us: i64,
    /// Until when what comes was read before: the stream is read again.
    again_until_us: i64,
}

#[derive(Debug)]
struct Runs {
    /// The latest used last.
    runs: Vec<Run>,
    /// When the broker took the last snapshot of a run that was forgotten.
    forgotten_until_us: i64,
}

#[derive(Debug)]
struct Run {
    id: Box<str>,
    /// The highest that is stored.
    sequence: u64,
    /// When the broker took that.
    stored_at_us: i64,
}

impl Default for Duplicates {
    fn default() -> Self {
        let never = i64::MIN;
        Self { hosts: HashMap::new(), forgotten_until_us: never, latest_us: never, again_until_us: never }
    }
}

impl Duplicates {
    /// Whether the snapshot, which the broker took at `stored_at_us`, is new; if so it counts as stored from now on.
    pub(crate) fn take(&mut self, host: &HostName, run_id: &str, sequence: u64, stored_at_us: i64) -> bool {
        let was_read = stored_at_us <= self.again_until_us;
        let is_new = self.runs_of(host).take(run_id, sequence, stored_at_us, was_read);
        if is_new {
            self.latest_us = self.latest_us.max(stored_at_us);
        }
        is_new
    }

    /// The runs of `host` that the broker took until `until_us` are stored, and too many to remember.
    pub(crate) fn forget_runs(&mut self, host: &HostName, until_us: i64) {
        let runs = self.runs_of(host);
        runs.forgotten_until_us = runs.forgotten_until_us.max(until_us);
        self.latest_us = self.latest_us.max(until_us);
    }

    fn runs_of(&mut self, host: &HostName) -> &mut Runs {
        if !self.hosts.contains_key(host) {
            self.make_room();
        }
        let forgotten_until_us = self.forgotten_until_us;
        self.hosts.entry(host.clone()).or_insert_with(|| Runs { runs: Vec::new(), forgotten_until_us })
    }

    /// The stream is read from an earlier place on: what the broker took until now comes again.
    pub(crate) fn read_again(&mut self) {
        self.again_until_us = self.latest_us;
    }

    /// Forgets a tenth of the hosts when full, so that looking for the oldest is rare.
    fn make_room(&mut self) {
        if self.hosts.len() < MAX_HOSTS {
            return;
        }
        let mut latest: Vec<i64> = self.hosts.values().map(Runs::latest_us).collect();
        let (_, oldest_us, _) = latest.select_nth_unstable(MAX_HOSTS / 10);
        let oldest_us = *oldest_us;
        self.hosts.retain(|_, runs| runs.latest_us() > oldest_us);
        self.forgotten_until_us = self.forgotten_until_us.max(oldest_us);
    }
}

impl Runs {
    fn take(&mut self, id: &str, sequence: u64, stored_at_us: i64, was_read: bool) -> bool {
        if let Some(place) = self.runs.iter().position(|run| *run.id == *id) {
            let is_new = sequence > self.runs[place].sequence;
            if is_new {
                let mut run = self.runs.remove(place);
                (run.sequence, run.stored_at_us) = (sequence, stored_at_us);
                self.runs.push(run);
            }
            return is_new;
        }
        if was_read && stored_at_us <= self.forgotten_until_us {
            return false;
        }
        if self.runs.len() == RUNS_PER_HOST {
            let forgotten = self.runs.remove(0);
            self.forgotten_until_us = self.forgotten_until_us.max(forgotten.stored_at_us);
        }
        self.runs.push(Run { id: id.into(), sequence, stored_at_us });
        true
    }

    fn latest_us(&self) -> i64 {
        self.runs.last().map_or(self.forgotten_until_us, |run| run.stored_at_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HostName {
        name.parse().unwrap()
    }

    #[test]
    fn at_or_below_the_highest_of_a_run_is_stored_already() {
        let mut duplicates = Duplicates::default();
        let taken = [("a", 1), ("a", 2), ("a", 2), ("a", 1), ("b", 1), ("a", 3), ("b", 1)]
            .map(|(run_id, sequence)| duplicates.take(&host("h"), run_id, sequence, 0));
        assert_eq!(taken, [true, true, false, false, true, true, false]);
        assert!(duplicates.take(&host("other"), "a", 1, 0));
    }

    #[test]
    fn what_is_read_again_is_recognised_however_many_runs_there_were() {
        let mut duplicates = Duplicates::default();
        let messages: Vec<(String, u64, i64)> = (0..1000_i64)
            .flat_map(|run| {
                [1, 2].map(|sequence| (format!("run-{run}"), sequence, 10 * run + sequence as i64))
            })
            .collect();
        let all = |duplicates: &mut Duplicates| {
            let taken = messages
                .iter()
                .map(|(run, sequence, at_us)| duplicates.take(&host("bad"), run, *sequence, *at_us));
            taken.filter(|taken| *taken).count()
        };
        duplicates.take(&host("good"), "run", 7, 0);
        assert_eq!(all(&mut duplicates), messages.len());
        assert_eq!(duplicates.hosts[&host("bad")].runs.len(), RUNS_PER_HOST);
        duplicates.read_again();
        assert_eq!(all(&mut duplicates), 0);
        assert!(!duplicates.take(&host("good"), "run", 7, 0));
        // A later sequence is new, even with an earlier time because the broker's clock was set back.
        assert!(duplicates.take(&host("bad"), "later", 1, 100_000));
        assert!(duplicates.take(&host("good"), "another", 1, 5));
    }

    #[test]
    fn while_nothing_is_read_again_a_clock_that_was_set_back_loses_nothing() {
        let mut duplicates = Duplicates::default();
        for run in 0..100 {
            assert!(duplicates.take(&host("h"), &format!("{run}"), 1, 1000 - run));
        }
    }

    #[test]
    fn the_longest_silent_hosts_are_forgotten_first_and_still_recognised_when_read_again() {
        let mut duplicates = Duplicates::default();
        let name = |number: usize| host(&format!("h{number}"));
        for number in 0..MAX_HOSTS {
            duplicates.take(&name(number), "run", 1, i64::try_from(number).unwrap());
        }
        duplicates.take(&host("one-more"), "run", 1, i64::try_from(MAX_HOSTS).unwrap());
        assert!(duplicates.hosts.len() <= MAX_HOSTS && !duplicates.hosts.contains_key(&name(0)));
        duplicates.read_again();
        assert!(!duplicates.take(&name(0), "run", 1, 0));
        assert!(!duplicates.take(&name(MAX_HOSTS - 1), "run", 1, i64::try_from(MAX_HOSTS - 1).unwrap()));
    }
}
