//! The users and units of each host with their processes, counted as snapshots come: who looks for one by name does not decode
//! every snapshot of the fleet. A name that several hosts have is kept once.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use fleetps_nats::Snapshot;
use parking_lot::Mutex;

/// Names that are kept before those that no host has any more are looked for: a look takes 20 µs then.
const LEAST_SWEPT: usize = 1_000;

/// Names, each with the number of its processes on one host.
pub(super) type Counts = Box<[(Arc<str>, u32)]>;

/// The users and units of one host.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The users.
    pub users: Counts,
    /// The units.
    pub units: Counts,
}

/// The names of users and units on all hosts.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    names: HashSet<Arc<str>>,
    /// How many names there are when those without a host are next looked for.
    sweep_at: usize,
}

impl Names {
    /// The users and units of a host with this snapshot.
    pub(super) fn tally(&self, snapshot: &Snapshot) -> Tally {
        let processes = &snapshot.processes;
        let users = counted(processes.iter().filter_map(|process| process.user_name.as_deref()));
        let units = counted(processes.iter().filter_map(|process| process.unit.as_deref()));
        let mut known = self.0.lock();
        Tally { users: known.shared(users), units: known.shared(units) }
    }
}

fn counted<'a>(names: impl Iterator<Item = &'a str>) -> HashMap<&'a str, u32> {
    let mut counts = HashMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

impl Known {
    fn shared(&mut self, counts: HashMap<&str, u32>) -> Counts {
        counts.into_iter().map(|(name, processes)| (self.shared_name(name), processes)).collect()
    }

    fn shared_name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        if self.names.len() >= self.sweep_at.max(LEAST_SWEPT) {
            self.names.retain(|name| Arc::strong_count(name) > 1);
            self.sweep_at = self.names.len().saturating_mul(2);
        }
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name));
        name
    }
}

#[cfg(test)]
mod tests {
    use fleetps_nats::snapshot::Process;

    use super::*;

    fn snapshot(users: impl Iterator<Item = String>) -> Snapshot {
        let process = |user_name| Process { user_name: Some(user_name), ..Process::default() };
        Snapshot { processes: users.map(process).collect(), ..Snapshot::default() }
    }

    #[test]
    fn a_name_is_kept_once_and_only_while_some_host_has_it() {
        let names = Names::default();
        let root = || snapshot(["root", "root"].map(str::to_owned).into_iter());
        let (first, second) = (names.tally(&root()), names.tally(&root()));
        assert_eq!((&*first.users[0].0, first.users[0].1), ("root", 2));
        assert!(first.units.is_empty(), "its processes have none");
        assert!(Arc::ptr_eq(&first.users[0].0, &second.users[0].0));
        for round in 0..10 {
            names.tally(&snapshot((0..LEAST_SWEPT).map(|user| format!("user-{round}-{user}"))));
        }
        assert!(names.0.lock().names.len() <= 2 * LEAST_SWEPT, "those of hosts that changed are forgotten");
        assert!(names.0.lock().names.contains("root"));
    }
}
