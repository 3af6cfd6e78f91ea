//! Which snapshots are stored already.
//!
//! An agent that did not hear the broker's acknowledgement publishes again, under the same message id; the broker
//! recognises that for two minutes only. An agent publishes a run's snapshots strictly in order, so whatever is at or
//! below the highest sequence of its run is stored already.

use std::collections::HashMap;

use fleetps_nats::HostName;

/// Runs remembered per host. An agent has one run at a time; the others are for a restart in the middle of a
/// back-fill. A host that makes up runs pushes out only its own.
const RUNS_PER_HOST: usize = 8;
/// Hosts remembered; ten times the largest fleet this was designed for. When it is full, the host that was silent the
/// longest is forgotten.
const MAX_HOSTS: usize = 100_000;

/// The highest sequence of each run of each host.
#[derive(Debug, Default)]
pub(crate) struct Duplicates {
    hosts: HashMap<HostName, Runs>,
    clock: u64,
}

#[derive(Debug, Default)]
struct Runs {
    /// Run id and highest sequence, the latest used last.
    runs: Vec<(String, u64)>,
    used: u64,
}

impl Duplicates {
    /// Whether the snapshot is new; if so it counts as stored from now on.
    pub(crate) fn take(&mut self, host: &HostName, run_id: &str, sequence: u64) -> bool {
        self.clock += 1;
        if !self.hosts.contains_key(host) {
            self.make_room();
            self.hosts.insert(host.clone(), Runs::default());
        }
        let Some(known) = self.hosts.get_mut(host) else { return true };
        known.used = self.clock;
        match known.runs.iter().position(|(id, _)| id == run_id) {
            Some(place) if sequence <= known.runs[place].1 => false,
            Some(place) => {
                known.runs[place].1 = sequence;
                known.runs[place..].rotate_left(1);
                true
            }
            None => {
                if known.runs.len() == RUNS_PER_HOST {
                    known.runs.remove(0);
                }
                known.runs.push((run_id.to_owned(), sequence));
                true
            }
        }
    }

    /// Forgets a tenth of the hosts when full, so that looking for the oldest is rare.
    fn make_room(&mut self) {
        if self.hosts.len() < MAX_HOSTS {
            return;
        }
        let mut used: Vec<u64> = self.hosts.values().map(|runs| runs.used).collect();
        let (_, oldest_kept, _) = used.select_nth_unstable(MAX_HOSTS / 10);
        let oldest_kept = *oldest_kept;
        self.hosts.retain(|_, runs| runs.used >= oldest_kept);
        tracing::warn!("over {MAX_HOSTS} hosts: snapshots that long silent hosts repeat may be stored twice");
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
            .map(|(run_id, sequence)| duplicates.take(&host("h"), run_id, sequence));
        assert_eq!(taken, [true, true, false, false, true, true, false]);
        assert!(duplicates.take(&host("other"), "a", 1));
    }

    #[test]
    fn made_up_runs_push_out_only_the_hosts_own() {
        let mut duplicates = Duplicates::default();
        duplicates.take(&host("good"), "run", 7);
        for run in 0..1000 {
            duplicates.take(&host("bad"), &format!("{run}"), 1);
        }
        assert_eq!(duplicates.hosts[&host("bad")].runs.len(), RUNS_PER_HOST);
        assert!(!duplicates.take(&host("good"), "run", 7));
        assert!(!duplicates.take(&host("bad"), "999", 1));
    }

    #[test]
    fn the_longest_silent_hosts_are_forgotten_first() {
        let mut duplicates = Duplicates::default();
        for number in 0..MAX_HOSTS {
            duplicates.take(&host(&format!("h{number}")), "run", 1);
        }
        duplicates.take(&host("one-more"), "run", 1);
        assert!(duplicates.hosts.len() <= MAX_HOSTS);
        assert!(duplicates.take(&host("h0"), "run", 1));
        assert!(!duplicates.take(&host(&format!("h{}", MAX_HOSTS - 1)), "run", 1));
    }
}
