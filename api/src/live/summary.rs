//! The summary that is kept decoded for every host: one row of the fleet page.

use fleetps_nats::{
    HostName, Snapshot,
    model::{HostState, Spacing, derived},
};

use super::PastHour;

/// The process that uses most CPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Busiest {
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
    /// Whether it is heard of.
    pub state: HostState,
    /// When the broker took its last snapshot, in µs since 1970 UTC.
    pub last_seen_us: i64,
    /// When its last snapshot was taken, by its own clock.
    pub captured_at_us: i64,
    /// The time between two snapshots.
    pub interval_ms: u32,
    /// This run of its agent.
    pub run_id: String,
    /// The agent's count of snapshots in this run.
    pub sequence: u64,
    /// Operating system with version.
    pub os: Option<String>,
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
    /// The process that uses most CPU.
    pub busiest: Option<Busiest>,
}

impl Summary {
    /// The summary of `snapshot`, which the broker stored for `host` at `last_seen_us`. Its past hour has only this
    /// sample.
    pub fn new(host: HostName, snapshot: &Snapshot, last_seen_us: i64, now_us: i64) -> Self {
        let listed = u32::try_from(snapshot.processes.len()).unwrap_or(u32::MAX);
        let mut summary = Self {
            host,
            os_host_name: snapshot.os_host_name.clone(),
            state: HostState::after(
                now_us.saturating_sub(last_seen_us),
                snapshot.interval_ms,
                Spacing::EverySample,
            ),
            last_seen_us,
            captured_at_us: snapshot.captured_at_us,
            interval_ms: snapshot.interval_ms,
            run_id: snapshot.run_id.clone(),
            sequence: snapshot.sequence,
            os: snapshot.host_info.os.clone(),
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

    /// The same, with an earlier summary's past hour.
    pub fn after(mut self, before: &Self) -> Self {
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

    /// Memory in use, in percent of what is installed.
    pub fn memory_percent(&self) -> Option<f64> {
        derived::memory_percent(self.memory_used_bytes, self.memory_total_bytes)
    }

    /// Which sample, and which state, a page about this host shows: another text when either is another one.
    pub fn version(&self) -> String {
        format!("{}-{}-{}", self.run_id, self.sequence, self.state.word())
    }
}

fn busiest(snapshot: &Snapshot) -> Option<Busiest> {
    let busy = snapshot.processes.iter().filter_map(|process| Some((process.cpu_percent?, process)));
    let (cpu_percent, process) = busy.max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(Busiest { name: process.name.clone(), cpu_percent })
}
