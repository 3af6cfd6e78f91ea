//! One host's latest snapshot with the one before it: rates are the difference of the two.

use std::{collections::HashMap, sync::Arc};

use fleetps_ingestor::filter::Fields;
use fleetps_nats::{Snapshot, snapshot::Process};

use super::Summary;

/// One host at one moment, decoded.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The host's summary.
    pub summary: Arc<Summary>,
    /// The snapshot.
    pub snapshot: Arc<Snapshot>,
    /// The one before it, when it is known and of the same boot.
    pub previous: Option<Arc<Snapshot>>,
}

/// A process's rates since the snapshot before; absent where they cannot be known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProcessRates {
    /// Bytes read per second.
    pub read_per_s: Option<f64>,
    /// Bytes written per second.
    pub written_per_s: Option<f64>,
}

impl Moment {
    /// The same for whoever may not see command lines.
    pub fn without_command_lines(self) -> Self {
        let without = |snapshot| {
            let mut snapshot = Arc::unwrap_or_clone(snapshot);
            withhold_command_lines(&mut snapshot);
            Arc::new(snapshot)
        };
        let (snapshot, previous) = (without(self.snapshot), self.previous.map(without));
        Self { summary: self.summary, snapshot, previous }
    }

    /// Seconds between the two snapshots; `None` when there are no two of the same boot, in order.
    pub fn elapsed_s(&self) -> Option<f64> {
        let previous = self.previous.as_deref()?;
        let same_boot = previous.boot_id == self.snapshot.boot_id;
        let elapsed_ms = self.snapshot.monotonic_ms.checked_sub(previous.monotonic_ms)?;
        (same_boot && elapsed_ms > 0).then_some(elapsed_ms as f64 / 1000.0)
    }

    /// Each process's rates, in the order of the snapshot.
    pub fn process_rates(&self) -> Vec<ProcessRates> {
        let (Some(elapsed_s), Some(previous)) = (self.elapsed_s(), self.previous.as_deref()) else {
            return vec![ProcessRates::default(); self.snapshot.processes.len()];
        };
        let before: HashMap<(u32, i64), &Process> = previous
            .processes
            .iter()
            .map(|process| ((process.pid, process.started_at_us), process))
            .collect();
        let rates = |process: &Process| match before.get(&(process.pid, process.started_at_us)) {
            None => ProcessRates::default(),
            Some(earlier) => ProcessRates {
                read_per_s: rate(earlier.read_bytes, process.read_bytes, elapsed_s),
                written_per_s: rate(earlier.written_bytes, process.written_bytes, elapsed_s),
            },
        };
        self.snapshot.processes.iter().map(rates).collect()
    }

    /// What a filter can ask of one of its processes.
    pub fn fields<'a>(&'a self, process: &'a Process, rates: ProcessRates) -> Fields<'a> {
        let resident_bytes = process.resident_bytes.map(|bytes| bytes as f64);
        let total_bytes = self.summary.memory_total_bytes.filter(|bytes| *bytes > 0);
        let age_us = self.snapshot.captured_at_us.saturating_sub(process.started_at_us);
        Fields {
            host: self.summary.host.as_str(),
            name: &process.name,
            command_line: process.command_line.as_deref(),
            user_name: process.user_name.as_deref(),
            pid: process.pid,
            parent_pid: process.parent_pid,
            cpu_percent: process.cpu_percent.map(f64::from),
            resident_bytes,
            memory_percent: resident_bytes.zip(total_bytes).map(|(part, all)| part * 100.0 / all as f64),
            read_per_s: rates.read_per_s,
            written_per_s: rates.written_per_s,
            threads: process.threads,
            state: Some(process.state),
            age_s: age_us as f64 / 1e6,
            unit: process.unit.as_deref(),
            container: process.container.as_deref(),
        }
    }

    /// The rate of one of the host's own counters.
    pub fn host_rate(
        &self,
        counter: impl Fn(&fleetps_nats::snapshot::HostSample) -> Option<u64>,
    ) -> Option<f64> {
        let earlier = counter(&self.previous.as_deref()?.host);
        rate(earlier, counter(&self.snapshot.host), self.elapsed_s()?)
    }
}

/// Takes the command lines off, as if the host had not sent them.
pub fn withhold_command_lines(snapshot: &mut Snapshot) {
    snapshot.processes.iter_mut().for_each(|process| process.command_line = None);
}

/// A counter that went backwards was reset: there is no rate then.
fn rate(earlier: Option<u64>, later: Option<u64>, elapsed_s: f64) -> Option<f64> {
    Some(later?.checked_sub(earlier?)? as f64 / elapsed_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(monotonic_ms: u64, processes: &[(u32, i64, Option<u64>)]) -> Arc<Snapshot> {
        let process = |(pid, started_at_us, read_bytes): &(u32, i64, Option<u64>)| Process {
            pid: *pid,
            started_at_us: *started_at_us,
            read_bytes: *read_bytes,
            ..Process::default()
        };
        let processes = processes.iter().map(process).collect();
        Arc::new(Snapshot { boot_id: "b".to_owned(), monotonic_ms, processes, ..Snapshot::default() })
    }

    fn moment(previous: Option<Arc<Snapshot>>, latest: Arc<Snapshot>) -> Moment {
        let summary = Arc::new(Summary::new("h".parse().unwrap(), &latest, 0, 0));
        Moment { summary, snapshot: latest, previous }
    }

    #[test]
    fn rates_are_differences_of_the_same_process_and_absent_when_unknown() {
        let earlier =
            snapshot(1_000, &[(1, 5, Some(100)), (2, 5, Some(100)), (3, 5, Some(900)), (4, 5, None)]);
        let later = snapshot(
            3_000,
            &[(1, 5, Some(300)), (2, 6, Some(300)), (3, 5, Some(0)), (4, 5, Some(7)), (5, 5, Some(1))],
        );
        let read =
            |rates: Vec<ProcessRates>| -> Vec<_> { rates.iter().map(|rate| rate.read_per_s).collect() };
        let both = moment(Some(Arc::clone(&earlier)), Arc::clone(&later));
        assert_eq!(read(both.process_rates()), [Some(100.0), None, None, None, None]);
        assert_eq!(read(moment(None, Arc::clone(&later)).process_rates()), [None; 5]);
        assert_eq!(read(moment(Some(later), earlier).process_rates()), [None; 4], "out of order");
    }
}
