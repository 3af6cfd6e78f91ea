//! The summary that is kept decoded for every host: one row of the fleet page.

use fleetps_nats::{
    HostName, Snapshot,
    model::{HostState, Spacing, derived},
    snapshot::{MAX_OFFSET_US, Process},
};

use super::{PastHour, Position};
use crate::display;

/// Two agents that take turns do so within this time.
const TWO_AGENTS_US: i64 = 600_000_000;

/// Busy processes that a summary keeps: as many as the fleet page shows of all hosts.
pub(crate) const MAX_BUSIEST: usize = 5;

/// A process that uses much CPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Busiest {
    /// Its process id.
    pub pid: u32,
    /// When it started, in µs since 1970 UTC.
    pub started_at_us: i64,
    /// Its name.
    pub name: String,
    /// Its CPU use, in percent of one core.
    pub cpu_percent: f32,
}

/// One host, as its last snapshot told.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The host, from the subject that the broker authorised.
    pub host: HostName,
    /// Its name in its own operating system.
    pub os_host_name: String,
    /// Where its last snapshot stands in the stream.
    pub position: Position,
    /// How many of its snapshots came since this server started.
    pub taken: u64,
    /// Whether it is heard of.
    pub state: HostState,
    /// Whether its last snapshot says that sampling pauses.
    pub is_paused: bool,
    /// When the broker took its last snapshot, in µs since 1970 UTC.
    pub last_seen_us: i64,
    /// When its last snapshot was taken, by its own clock; by the broker's where its own is off by more than 5 s.
    pub captured_at_us: i64,
    /// By how much its clock is ahead of the broker's, in µs; negative behind. Absent where its agent does not say.
    pub clock_offset_us: Option<i64>,
    /// When two agents were last seen to take turns as this host, in µs since 1970 UTC by the broker's clock.
    pub two_agents_us: Option<i64>,
    /// The run of its agent before this one.
    pub other_run_id: Option<String>,
    /// The time between two snapshots.
    pub interval_ms: u32,
    /// This run of its agent.
    pub run_id: String,
    /// The agent's count of snapshots in this run.
    pub sequence: u64,
    /// Operating system with version.
    pub os: Option<String>,
    /// Where its snapshots come from; absent for an agent of fleetps.
    pub source: Option<String>,
    /// The version of what sends them.
    pub agent_version: String,
    /// CPU use in percent of all cores together.
    pub cpu_percent: Option<f32>,
    /// The same of every minute of the past hour.
    pub past_hour: PastHour,
    /// Load average over a minute.
    pub load_1: Option<f32>,
    /// Memory in use.
    pub memory_used_bytes: Option<u64>,
    /// Installed memory.
    pub memory_total_bytes: Option<u64>,
    /// Processes on the machine.
    pub process_count: u32,
    /// The processes that use most CPU, the busiest first; at most [`MAX_BUSIEST`].
    pub busiest: Vec<Busiest>,
}

impl Summary {
    /// The summary of `snapshot`, which the broker stored for `host` at `last_seen_us`. Its past hour has only this
    /// sample.
    pub fn new(host: HostName, snapshot: &Snapshot, last_seen_us: i64, now_us: i64) -> Self {
        let listed = u32::try_from(snapshot.processes.len()).unwrap_or(u32::MAX);
        let mut summary = Self {
            host,
            os_host_name: snapshot.os_host_name.clone(),
            position: Position::default(),
            taken: 1,
            state: HostState::after(
                now_us.saturating_sub(last_seen_us),
                snapshot.interval_ms,
                Spacing::EverySample,
            )
            .or_paused(snapshot.host_info.is_paused()),
            is_paused: snapshot.host_info.is_paused(),
            last_seen_us,
            captured_at_us: snapshot.captured_at_us,
            clock_offset_us: snapshot.clock_offset_us,
            two_agents_us: None,
            other_run_id: None,
            interval_ms: snapshot.interval_ms,
            run_id: snapshot.run_id.clone(),
            sequence: snapshot.sequence,
            os: snapshot.host_info.os.clone(),
            source: snapshot.host_info.source.clone(),
            agent_version: snapshot.agent_version.clone(),
            cpu_percent: snapshot.host.cpu_percent,
            past_hour: PastHour::default(),
            load_1: snapshot.host.load_1,
            memory_used_bytes: snapshot.host.memory_used_bytes,
            memory_total_bytes: derived::memory_total_bytes(snapshot),
            process_count: snapshot
                .host
                .process_count
                .unwrap_or(listed.saturating_add(snapshot.processes_left_out)),
            busiest: busiest(snapshot),
        };
        summary.take_cpu();
        summary
    }

    /// The same, with an earlier summary's past hour and runs.
    pub fn after(mut self, before: &Self) -> Self {
        let is_same_run = self.run_id == before.run_id;
        let is_back = !is_same_run && before.other_run_id.as_ref() == Some(&self.run_id);
        self.two_agents_us = if is_back { Some(self.last_seen_us) } else { before.two_agents_us };
        self.other_run_id = match is_same_run {
            true => before.other_run_id.clone(),
            false => Some(before.run_id.clone()),
        };
        self.taken = before.taken.saturating_add(1);
        self.past_hour.clone_from(&before.past_hour);
        self.take_cpu();
        self
    }

    /// A host's clock may be ahead; the past does not reach into the future.
    fn take_cpu(&mut self) {
        if let Some(cpu_percent) = self.cpu_percent {
            self.past_hour.take(self.captured_at_us.min(self.last_seen_us), cpu_percent);
        }
    }

    /// By how much its clock is off, in µs: ahead of the broker's, or negative behind; absent where that is right.
    pub fn clock_off_us(&self) -> Option<i64> {
        self.clock_offset_us.filter(|offset_us| offset_us.saturating_abs() > MAX_OFFSET_US)
    }

    /// What is wrong with how it reports, in words; empty where nothing is.
    pub fn warning(&self) -> String {
        let clock =
            self.clock_off_us().map(|offset_us| match display::duration(offset_us.abs() / 1_000_000) {
                off if offset_us < 0 => format!("clock {off} behind"),
                off => format!("clock {off} ahead"),
            });
        let agents = self.has_two_agents().then(|| "two machines send as this host".to_owned());
        clock.into_iter().chain(agents).collect::<Vec<_>>().join(", ")
    }

    /// The version of its agent; absent where another program reports, or none is said.
    pub fn agent(&self) -> Option<&str> {
        (self.source.is_none() && !self.agent_version.is_empty()).then_some(&self.agent_version)
    }

    /// Whether two agents take turns as this host: lately, since one that was stopped says nothing.
    pub fn has_two_agents(&self) -> bool {
        self.two_agents_us.is_some_and(|at_us| self.last_seen_us.saturating_sub(at_us) < TWO_AGENTS_US)
    }

    /// Memory in use, in percent of what is installed.
    pub fn memory_percent(&self) -> Option<f64> {
        derived::memory_percent(self.memory_used_bytes, self.memory_total_bytes)
    }

    /// Which sample, and which state, a page about this host shows: another text when either is another one.
    pub fn version(&self) -> String {
        format!("{}-{}-{}", self.run_id, self.sequence, self.state.word())
    }
}

fn busiest(snapshot: &Snapshot) -> Vec<Busiest> {
    let busy = snapshot.processes.iter().filter_map(|process| Some((process.cpu_percent?, process)));
    let mut busiest: Vec<(f32, &Process)> = Vec::with_capacity(MAX_BUSIEST + 1);
    for (cpu_percent, process) in busy {
        let place = busiest.partition_point(|(busier, _)| busier.total_cmp(&cpu_percent).is_ge());
        if place < MAX_BUSIEST {
            busiest.insert(place, (cpu_percent, process));
            busiest.truncate(MAX_BUSIEST);
        }
    }
    let kept = |(cpu_percent, process): (f32, &Process)| Busiest {
        pid: process.pid,
        started_at_us: process.started_at_us,
        name: process.name.clone(),
        cpu_percent,
    };
    busiest.into_iter().map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_keeps_the_busiest_processes_the_busiest_first() {
        let process =
            |(pid, cpu_percent): (u32, Option<f32>)| Process { pid, cpu_percent, ..Process::default() };
        let figures = [1.0, 9.0, 3.0, 9.0, 0.0, 7.0, 5.0].map(Some);
        let processes = (1..).zip(figures.into_iter().chain([None])).map(process).collect();
        let snapshot = Snapshot { processes, ..Snapshot::default() };
        let kept: Vec<(u32, f32)> =
            busiest(&snapshot).iter().map(|busy| (busy.pid, busy.cpu_percent)).collect();
        assert_eq!(kept, [(2, 9.0), (4, 9.0), (6, 7.0), (7, 5.0), (3, 3.0)]);
        assert!(busiest(&Snapshot::default()).is_empty());
    }
}
