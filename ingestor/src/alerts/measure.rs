//! What a value is of, and the values that are no sums over processes.

use std::fmt;

use fleetps_nats::{
    Snapshot,
    model::{SnapshotPair, derived, host::HOST, rate},
    snapshot::{FilesystemSample, HostSample, Process},
};
use serde::{Deserialize, Serialize};

use super::rule::{HostMeasure, Over};

/// Processes named as those that make a value what it is.
const CULPRITS: usize = 5;

/// What an instance of a rule is, within its host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Key {
    /// The host itself.
    Host,
    /// One process.
    Process {
        /// The process id.
        pid: u32,
        /// The other half of its identity within the boot.
        start: i64,
        /// Its name when the alert was raised.
        name: String,
    },
    /// A program, a unit or a user, by name; a file system by where it is mounted; a program that loops with what starts it.
    Named(String),
    /// The instances of a rule beyond those that are remembered.
    Others,
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host | Self::Others => Ok(()),
            Self::Process { pid, name, .. } => write!(formatter, "{name} ({pid})"),
            Self::Named(name) => formatter.write_str(name),
        }
    }
}

/// A process that makes a value what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Culprit {
    /// Its process id.
    pub pid: u32,
    /// The other half of its identity within the boot.
    pub start: i64,
    /// Its name: a text from the host.
    pub name: String,
    /// Its part: of what is measured where that is of processes; otherwise CPU in percent of one core, resident bytes where
    /// memory is measured, and bytes written since the process started where a disk is.
    pub value: f64,
}

impl Key {
    /// A process.
    pub(super) fn of_process(process: &Process) -> Self {
        let (pid, start) = process.key();
        Self::Process { pid, start, name: process.name.clone() }
    }
}

/// The instance that a process belongs to; `None` where it belongs to none, such as a process without a unit.
pub(crate) fn key_of(over: Over, process: &Process) -> Option<Key> {
    let named = |name: Option<&String>| Some(Key::Named(name?.clone()));
    match over {
        Over::Host => Some(Key::Host),
        Over::Process => Some(Key::of_process(process)),
        Over::Program => named(Some(&process.name)),
        Over::Unit => named(process.unit.as_ref()),
        Over::User => named(process.user_name.as_ref()),
        Over::Filesystem => None,
    }
}

impl Culprit {
    /// A process with this part; `None` where it has none.
    pub(crate) fn of(process: &Process, value: Option<f64>) -> Option<Self> {
        let value = value.filter(|value| *value > 0.0)?;
        let (pid, start) = process.key();
        Some(Self { pid, start, name: process.name.clone(), value })
    }
}

/// Those with the largest parts, the largest first.
pub(crate) fn largest(mut parts: Vec<Culprit>) -> Vec<Culprit> {
    parts.sort_by(|a, b| b.value.total_cmp(&a.value).then_with(|| a.pid.cmp(&b.pid)));
    parts.truncate(CULPRITS);
    parts
}

/// The value of a figure of the machine; `None` where it is not known.
pub(super) fn host_value(pair: &SnapshotPair, figure: HostMeasure) -> Option<f64> {
    let Snapshot { host, .. } = pair.latest();
    match figure {
        HostMeasure::MemoryPercent => {
            derived::memory_percent(host.memory_used_bytes, derived::memory_total_bytes(pair.latest()))
        }
        HostMeasure::SwapPercent => derived::memory_percent(host.swap_used_bytes, host.swap_total_bytes),
        HostMeasure::ClockOffset => {
            let offset_us = pair.latest().clock_offset_us?;
            Some(offset_us.unsigned_abs() as f64 / 1e6)
        }
        HostMeasure::DroppedSnapshots => {
            let (latest, before, elapsed_ms) = (pair.latest(), pair.previous()?, pair.elapsed_ms()?);
            let is_same_run = before.run_id == latest.run_id;
            let dropped = |snapshot: &Snapshot| is_same_run.then_some(snapshot.agent.dropped_snapshots);
            rate::of_counter(dropped(before), dropped(latest), elapsed_ms)
        }
        HostMeasure::Level(place) => host.value(place).number(),
        HostMeasure::Rate(place) => {
            let counter = |host: &HostSample| {
                debug_assert!(place < HOST.len());
                u64::try_from(host.value(place).integer()?).ok()
            };
            let (before, elapsed_ms) = (pair.previous()?, pair.elapsed_ms()?);
            rate::of_counter(counter(&before.host), counter(host), elapsed_ms)
        }
    }
}

/// Used space of a file system, in percent of what its users can have; nothing of one that does not answer.
pub(super) fn disk_value(filesystem: &FilesystemSample) -> (Key, Option<f64>) {
    let used = filesystem.used_share().map(|share| share * 100.0);
    (Key::Named(filesystem.mount.clone()), used)
}
