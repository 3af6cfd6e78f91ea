//! Sums over processes of one host that count nothing twice, and what they leave of the machine's own figures.
//!
//! **Memory.** The resident set of a process includes what it shares with others, so that resident sets cannot be added up:
//! thirty database backends which all use one buffer of 600 MB would have 18 GB. [`GroupMemory`] counts what is shared once.
//!
//! **CPU.** The rows of a snapshot are processes that live at its moment. What others used that ended since the snapshot
//! before came to light in their parents ([`Process::ended_children_cpu_ms`]). [`HostSums`] adds both up, and says what is
//! left of the machine's: interrupts, time that the hypervisor took, and processes nobody waited for.

use super::{SnapshotPair, derived};
use crate::{Snapshot, snapshot::Process};

/// The memory of a group of processes of one host: what each has for itself, and the largest part that one of them shares.
///
/// Which processes share which part is not in a snapshot, so this is the least that they can have together: exact where all
/// share with all, as the workers of a service do. Never above the sum of the resident sets, nor below the largest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupMemory {
    /// The sum of what each has for itself.
    own_bytes: u64,
    largest_shared_bytes: u64,
    /// Whether the resident set of any of them is known.
    is_known: bool,
}

impl GroupMemory {
    /// The memory of one process: its resident set. It counts whole for a group where the shared part is unknown.
    pub fn of(process: &Process) -> Self {
        let Some(resident_bytes) = process.resident_bytes else { return Self::default() };
        let shared_bytes = process.shared_bytes.unwrap_or_default().min(resident_bytes);
        Self { own_bytes: resident_bytes - shared_bytes, largest_shared_bytes: shared_bytes, is_known: true }
    }

    /// Adds the processes of another group of the same host.
    pub fn add(&mut self, other: &Self) {
        self.own_bytes = self.own_bytes.saturating_add(other.own_bytes);
        self.largest_shared_bytes = self.largest_shared_bytes.max(other.largest_shared_bytes);
        self.is_known |= other.is_known;
    }

    /// The memory of the group, in bytes; `None` where no resident set is known.
    pub fn bytes(&self) -> Option<u64> {
        self.is_known.then(|| self.own_bytes.saturating_add(self.largest_shared_bytes))
    }
}

impl<'a> FromIterator<&'a Process> for GroupMemory {
    fn from_iter<I: IntoIterator<Item = &'a Process>>(processes: I) -> Self {
        processes.into_iter().fold(Self::default(), |mut sum, process| {
            sum.add(&Self::of(process));
            sum
        })
    }
}

/// The part of a resident set that may be shared, in SQL, as [`GroupMemory`] has it; NULL where either is unknown.
pub fn sql_shared(resident_bytes: &str, shared_bytes: &str) -> String {
    // `least` passes NULL over.
    format!(
        "CASE WHEN {resident_bytes} IS NOT NULL AND {shared_bytes} IS NOT NULL THEN least({shared_bytes}, {resident_bytes}) END"
    )
}

/// The figures of a host's processes together, beside the machine's own. CPU use is in percent of one core, over the time
/// between the two snapshots of the pair. Each figure is `None` where it is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HostSums {
    /// CPU use of the processes of the snapshot.
    pub cpu_percent: Option<f64>,
    /// CPU use of their children that ended since the snapshot before.
    pub ended_children_cpu_percent: Option<f64>,
    /// CPU use of the machine, as it counts itself: interrupts, and what the hypervisor gave to others, included.
    pub machine_cpu_percent: Option<f64>,
    /// Memory of the processes, as [`GroupMemory`] has it.
    pub memory_bytes: Option<u64>,
    /// Memory in use on the machine.
    pub machine_used_bytes: Option<u64>,
}

impl HostSums {
    /// The sums of the pair's latest snapshot.
    pub fn of(pair: &SnapshotPair) -> Self {
        let latest = pair.latest();
        let mut sums = Self {
            machine_cpu_percent: machine_cpu_percent(pair),
            memory_bytes: latest.processes.iter().collect::<GroupMemory>().bytes(),
            machine_used_bytes: latest.host.memory_used_bytes,
            ..Self::default()
        };
        for view in pair.processes() {
            // The growth since the other snapshot of the pair, so that all parts are of one span, also where snapshots
            // between the two were lost. What is new has the agent's own measure.
            let grown = view.rate(|process| process.cpu_time_ms).map(derived::percent_of_core);
            add(&mut sums.cpu_percent, grown.or(view.process.cpu_percent.map(f64::from)));
            add(&mut sums.ended_children_cpu_percent, view.ended_children_percent());
        }
        sums
    }

    /// CPU use of the machine that is in no process of the snapshot, nor in their ended children. Never negative: the machine
    /// and its processes are read one after the other.
    pub fn remaining_cpu_percent(&self) -> Option<f64> {
        let processes = self.cpu_percent? + self.ended_children_cpu_percent.unwrap_or_default();
        Some((self.machine_cpu_percent? - processes).max(0.0))
    }

    /// Memory in use that is in no process of the snapshot: the kernel's own, and what is shared beyond the largest part.
    /// `None` also where processes have more, since files that they have mapped do not count as used.
    pub fn remaining_bytes(&self) -> Option<u64> {
        self.machine_used_bytes?.checked_sub(self.memory_bytes?)
    }
}

fn add(sum: &mut Option<f64>, part: Option<f64>) {
    if let Some(part) = part.filter(|part| part.is_finite()) {
        *sum = Some(sum.unwrap_or_default() + part);
    }
}

/// The growth of the machine's busy time. Where the system does not count it, what the agent says of all cores together.
fn machine_cpu_percent(pair: &SnapshotPair) -> Option<f64> {
    let counted = pair.host_rate(|host| host.cpu_time_ms).map(derived::percent_of_core);
    counted.or_else(|| {
        let Snapshot { host, host_info, .. } = pair.latest();
        Some(f64::from(host.cpu_percent?) * f64::from(host_info.threads?))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::snapshot::HostSample;

    const MB: u64 = 1_000_000;

    fn process(pid: u32, resident_bytes: Option<u64>, shared_bytes: Option<u64>) -> Process {
        Process { pid, resident_bytes, shared_bytes, ..Process::default() }
    }

    fn memory(processes: &[Process]) -> Option<u64> {
        processes.iter().collect::<GroupMemory>().bytes()
    }

    #[test]
    fn a_buffer_that_thirty_backends_share_counts_once() {
        let backend = |pid| process(pid, Some(603 * MB), Some(600 * MB));
        assert_eq!(memory(&(1..=30).map(backend).collect::<Vec<_>>()), Some(690 * MB));
    }

    #[test]
    fn a_process_of_which_nobody_knows_what_it_shares_counts_whole() {
        assert_eq!(memory(&[process(1, Some(5), None), process(2, Some(7), Some(3))]), Some(12));
        assert_eq!(memory(&[process(1, None, Some(3))]), None, "no resident set is known");
        assert_eq!(memory(&[]), None);
        assert_eq!(memory(&[process(1, Some(5), Some(9))]), Some(5), "no more is shared than there is");
    }

    proptest! {
        #[test]
        fn a_group_has_at_least_its_largest_resident_set_and_at_most_their_sum(
            figures: Vec<(Option<u64>, Option<u64>)>,
            at in 0_usize..20,
        ) {
            let processes: Vec<_> =
                figures.iter().map(|(resident, shared)| process(1, *resident, *shared)).collect();
            let known = || processes.iter().filter_map(|process| process.resident_bytes);
            let bytes = memory(&processes);
            prop_assert_eq!(bytes.is_some(), known().next().is_some());
            if let Some(bytes) = bytes {
                prop_assert!(bytes <= known().fold(0, u64::saturating_add));
                prop_assert!(bytes >= known().max().unwrap());
            }
            // However the group is divided.
            let (first, second) = processes.split_at(at.min(processes.len()));
            let mut sum: GroupMemory = first.iter().collect();
            sum.add(&second.iter().collect());
            prop_assert_eq!(sum.bytes(), bytes);
        }
    }

    fn snapshot(monotonic_ms: u64, busy_ms: Option<u64>, processes: Vec<Process>) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            monotonic_ms,
            host: HostSample {
                cpu_time_ms: busy_ms,
                memory_used_bytes: Some(100),
                cpu_percent: Some(50.0),
                ..HostSample::default()
            },
            processes,
            ..Snapshot::default()
        })
    }

    fn busy(pid: u32, cpu_time_ms: u64, ended_ms: Option<u64>) -> Process {
        Process {
            cpu_time_ms: Some(cpu_time_ms),
            ended_children_cpu_ms: ended_ms,
            ..process(pid, Some(30), Some(10))
        }
    }

    fn sums(latest: Arc<Snapshot>, previous: Option<Arc<Snapshot>>) -> HostSums {
        HostSums::of(&SnapshotPair::new("h".parse().unwrap(), latest, previous))
    }

    #[test]
    fn the_machine_is_its_processes_their_ended_children_and_a_rest() {
        let before = snapshot(10_000, Some(50_000), vec![busy(1, 1_000, None), busy(2, 500, None)]);
        // New since, and measured by the agent: half a core.
        let new = Process { cpu_percent: Some(50.0), ..busy(3, 5_000, Some(0)) };
        let after = snapshot(
            20_000,
            Some(80_000),
            vec![busy(1, 11_000, Some(4_000)), busy(2, 500, Some(1_000)), new],
        );
        let sums = sums(after, Some(before));
        assert_eq!(
            (sums.cpu_percent, sums.ended_children_cpu_percent, sums.machine_cpu_percent),
            (Some(150.0), Some(50.0), Some(300.0))
        );
        assert_eq!(sums.remaining_cpu_percent(), Some(100.0));
        assert_eq!((sums.memory_bytes, sums.remaining_bytes()), (Some(70), Some(30)));
    }

    #[test]
    fn a_rest_is_never_negative_and_unknown_where_a_part_is() {
        let before = snapshot(10_000, Some(50_000), vec![busy(1, 1_000, None)]);
        let after = snapshot(20_000, Some(51_000), vec![busy(1, 11_000, None)]);
        let read_later = sums(after, Some(Arc::clone(&before)));
        assert_eq!(read_later.remaining_cpu_percent(), Some(0.0));
        assert_eq!(read_later.ended_children_cpu_percent, None, "an older agent does not say");
        let alone = sums(before, None);
        assert_eq!((alone.cpu_percent, alone.remaining_cpu_percent()), (None, None));
        let mapped = HostSums { memory_bytes: Some(101), machine_used_bytes: Some(100), ..alone };
        assert_eq!(mapped.remaining_bytes(), None, "files that are mapped do not count as used");
    }

    #[test]
    fn a_machine_that_does_not_count_its_busy_time_is_what_its_agent_says_of_all_cores() {
        let mut latest = Arc::unwrap_or_clone(snapshot(1, None, vec![]));
        latest.host_info.threads = Some(4);
        assert_eq!(sums(Arc::new(latest), None).machine_cpu_percent, Some(200.0));
    }
}
