//! The fleet's programs, added up as snapshots come: a host's old share is taken off and its new one put on, so a
//! page does not have to go through every process of every host.

use std::{collections::HashMap, sync::Arc};

use fleetps_nats::{
    Snapshot,
    model::{derived, sums::GroupMemory},
};

/// CPU is added up in thousandths of a percent: whole numbers, so that adding and taking off leaves exactly nothing.
const CPU_UNITS_PER_PERCENT: f64 = 1000.0;

/// One program over the whole fleet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProgramTotals {
    /// Hosts it runs on.
    pub hosts: u64,
    /// Its processes.
    pub processes: u64,
    /// Its CPU use with that of its ended children, in thousandths of a percent of one core.
    pub cpu_units: u64,
    /// Its memory: what processes of one host share is counted once there.
    pub memory_bytes: u64,
}

impl ProgramTotals {
    /// Its CPU use, in percent of one core.
    pub fn cpu_percent(&self) -> f64 {
        self.cpu_units as f64 / CPU_UNITS_PER_PERCENT
    }

    fn add(&mut self, other: &Self) {
        self.hosts += other.hosts;
        self.processes += other.processes;
        self.cpu_units = self.cpu_units.saturating_add(other.cpu_units);
        self.memory_bytes = self.memory_bytes.saturating_add(other.memory_bytes);
    }

    fn subtract(&mut self, other: &Self) {
        self.hosts = self.hosts.saturating_sub(other.hosts);
        self.processes = self.processes.saturating_sub(other.processes);
        self.cpu_units = self.cpu_units.saturating_sub(other.cpu_units);
        self.memory_bytes = self.memory_bytes.saturating_sub(other.memory_bytes);
    }
}

/// One host's part, by program. A clone is the same.
pub(super) type Share = Arc<[(Arc<str>, ProgramTotals)]>;

/// All programs of the hosts that are up.
#[derive(Debug, Default)]
pub(super) struct Programs {
    totals: HashMap<Arc<str>, ProgramTotals>,
}

impl Programs {
    /// The share of a host with this snapshot; names that the fleet has already are shared, not copied.
    pub(super) fn share_of(&self, snapshot: &Snapshot) -> Share {
        // Ended children are what came to light within one interval of the agent.
        let interval_ms = i64::from(snapshot.interval_ms);
        let mut by_name: HashMap<&str, (ProgramTotals, GroupMemory)> = HashMap::new();
        for process in &snapshot.processes {
            let ended_percent = derived::ended_children_percent(process, interval_ms).unwrap_or_default();
            let cpu_percent = f64::from(process.cpu_percent.unwrap_or_default()) + ended_percent;
            let (totals, memory) = by_name
                .entry(&process.name)
                .or_insert((ProgramTotals { hosts: 1, ..Default::default() }, GroupMemory::default()));
            totals.add(&ProgramTotals {
                processes: 1,
                cpu_units: (cpu_percent * CPU_UNITS_PER_PERCENT) as u64,
                ..ProgramTotals::default()
            });
            memory.add(&GroupMemory::of(process));
        }
        let share = |(name, (totals, memory)): (&str, (ProgramTotals, GroupMemory))| {
            let memory_bytes = memory.bytes().unwrap_or_default();
            (self.shared_name(name), ProgramTotals { memory_bytes, ..totals })
        };
        by_name.into_iter().map(share).collect()
    }

    fn shared_name(&self, name: &str) -> Arc<str> {
        self.totals.get_key_value(name).map_or_else(|| name.into(), |(known, _)| Arc::clone(known))
    }

    /// Puts a host's share on.
    pub(super) fn add(&mut self, share: &Share) {
        for (name, totals) in share.iter() {
            self.totals.entry(Arc::clone(name)).or_default().add(totals);
        }
    }

    /// Takes a host's share off; programs that run nowhere any more are forgotten.
    pub(super) fn subtract(&mut self, share: &Share) {
        for (name, totals) in share.iter() {
            if let Some(known) = self.totals.get_mut(name) {
                known.subtract(totals);
                if known.hosts == 0 {
                    self.totals.remove(name);
                }
            }
        }
    }

    /// Every program, in no order: little work, for a short look under a lock.
    pub(super) fn all(&self) -> Vec<(Arc<str>, ProgramTotals)> {
        self.totals.iter().map(|(name, totals)| (Arc::clone(name), *totals)).collect()
    }
}

/// The `count` busiest of `all`, by CPU, then by memory.
pub(super) fn busiest(
    mut all: Vec<(Arc<str>, ProgramTotals)>,
    count: usize,
) -> Vec<(Arc<str>, ProgramTotals)> {
    let order = |a: &(Arc<str>, ProgramTotals), b: &(Arc<str>, ProgramTotals)| {
        let by_use = (b.1.cpu_units, b.1.memory_bytes).cmp(&(a.1.cpu_units, a.1.memory_bytes));
        by_use.then_with(|| a.0.cmp(&b.0))
    };
    if all.len() > count {
        all.select_nth_unstable_by(count, order);
        all.truncate(count);
    }
    all.sort_unstable_by(order);
    all
}

#[cfg(test)]
mod tests {
    use fleetps_nats::snapshot::Process;

    use super::*;

    fn snapshot(processes: &[(&str, f32)]) -> Snapshot {
        let process = |(name, cpu): &(&str, f32)| Process {
            name: (*name).to_owned(),
            cpu_percent: Some(*cpu),
            resident_bytes: Some(10),
            ..Process::default()
        };
        Snapshot { processes: processes.iter().map(process).collect(), ..Snapshot::default() }
    }

    #[test]
    fn shares_are_put_on_and_taken_off_without_a_rest() {
        let mut programs = Programs::default();
        let first = programs.share_of(&snapshot(&[("nginx", 0.1), ("nginx", 0.2), ("sshd", 7.0)]));
        programs.add(&first);
        let second = programs.share_of(&snapshot(&[("nginx", 50.3)]));
        programs.add(&second);
        let busiest = |programs: &Programs, count| busiest(programs.all(), count);
        let busiest_now = busiest(&programs, 1);
        assert_eq!(&*busiest_now[0].0, "nginx");
        assert_eq!(
            (busiest_now[0].1.hosts, busiest_now[0].1.processes, busiest_now[0].1.memory_bytes),
            (2, 3, 30)
        );
        programs.subtract(&first);
        assert_eq!(busiest(&programs, 9).len(), 1, "sshd runs nowhere any more");
        programs.subtract(&second);
        assert!(busiest(&programs, 9).is_empty());
    }

    #[test]
    fn memory_is_shared_on_one_host_only_and_ended_children_count_for_their_parents() {
        let worker = |ended_children_cpu_ms| Process {
            name: "postgres".to_owned(),
            cpu_percent: Some(2.0),
            resident_bytes: Some(610),
            shared_bytes: Some(600),
            ended_children_cpu_ms,
            ..Process::default()
        };
        let processes = vec![worker(Some(5_000)), worker(None), worker(Some(0))];
        let snapshot = Snapshot { interval_ms: 10_000, processes, ..Snapshot::default() };
        let mut programs = Programs::default();
        programs.add(&programs.share_of(&snapshot));
        let one_host = programs.all()[0].1;
        assert_eq!((one_host.memory_bytes, one_host.cpu_percent()), (630, 56.0));
        programs.add(&programs.share_of(&snapshot));
        let both = programs.all()[0].1;
        assert_eq!((both.hosts, both.memory_bytes, both.cpu_percent()), (2, 1260, 112.0));
    }
}
