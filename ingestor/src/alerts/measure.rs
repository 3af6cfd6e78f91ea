//! What a snapshot says of a rule: one value for each instance.

use std::{collections::BTreeMap, fmt};

use fleetps_nats::{
    Snapshot,
    model::{SnapshotPair, derived, host::HOST, rate},
    snapshot::{FilesystemSample, HostSample},
};
use serde::{Deserialize, Serialize};

use super::rule::{HostFigure, Measure, Over, Rule};
use crate::filter::{Deadline, Fields, Figure, Stopped};

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

/// The values of a snapshot, for every rule.
pub(super) struct Measured<'a> {
    pair: &'a SnapshotPair,
    fields: Vec<Fields<'a>>,
    deadline: Deadline,
}

impl<'a> Measured<'a> {
    /// The latest snapshot of `pair`, to be measured until `deadline`.
    pub(super) fn of(pair: &'a SnapshotPair, deadline: Deadline) -> Self {
        let fields = pair.processes().map(|view| Fields::from(&view)).collect();
        Self { pair, fields, deadline }
    }

    /// The value of each instance of `rule`; absent where it is not known.
    ///
    /// # Errors
    /// When the filter took too long.
    pub(super) fn values(&self, rule: &Rule) -> Result<BTreeMap<Key, Option<f64>>, Stopped> {
        let snapshot = self.pair.latest();
        Ok(match rule.measure {
            Measure::Host(figure) => BTreeMap::from([(Key::Host, host_value(self.pair, figure))]),
            Measure::Disk => snapshot.filesystems.iter().filter_map(disk_value).collect(),
            Measure::Count => self.counts(rule)?,
            Measure::Process(figure) => self.sums(rule, figure)?,
            Measure::Silent | Measure::RestartLoop => BTreeMap::new(),
        })
    }

    fn counts(&self, rule: &Rule) -> Result<BTreeMap<Key, Option<f64>>, Stopped> {
        let mut counts: BTreeMap<Key, Option<f64>> = BTreeMap::new();
        if rule.over == Over::Host {
            counts.insert(Key::Host, Some(0.0));
        }
        for fields in self.matching(rule)? {
            if let Some(key) = key_of(rule.over, fields) {
                let count = counts.entry(key).or_insert(Some(0.0));
                *count = count.map(|count| count + 1.0);
            }
        }
        Ok(counts)
    }

    fn sums(&self, rule: &Rule, figure: Figure) -> Result<BTreeMap<Key, Option<f64>>, Stopped> {
        let mut sums: BTreeMap<Key, Option<f64>> = BTreeMap::new();
        for fields in self.matching(rule)? {
            let Some(key) = key_of(rule.over, fields) else { continue };
            let sum = sums.entry(key).or_insert(None);
            if let Some(value) = figure.of(fields) {
                *sum = Some(sum.unwrap_or_default() + value);
            }
        }
        Ok(sums)
    }

    fn matching(&self, rule: &Rule) -> Result<impl Iterator<Item = &Fields<'a>>, Stopped> {
        let matching = rule.filter.matching(self.fields.iter().copied(), &self.deadline)?;
        Ok(self.fields.iter().zip(matching).filter(|(_, matches)| *matches).map(|(fields, _)| fields))
    }

    /// Whether the snapshot has this process, whatever the filter says of it.
    pub(super) fn has_process(&self, pid: u32, start: i64) -> bool {
        self.fields.iter().any(|fields| fields.process.key() == (pid, start))
    }

    /// The processes that make the value of an instance what it is, those with the largest part first.
    pub(super) fn culprits(&self, rule: &Rule, key: &Key) -> Vec<Culprit> {
        let Some(figure) = (match rule.measure {
            Measure::Process(figure) => Some(figure),
            Measure::Host(HostFigure::MemoryPercent | HostFigure::SwapPercent) => Figure::find("mem"),
            Measure::Disk => return self.writers(),
            Measure::Host(_) | Measure::Count => Figure::find("cpu"),
            Measure::Silent | Measure::RestartLoop => None,
        }) else {
            return Vec::new();
        };
        let of_processes = matches!(rule.measure, Measure::Process(_) | Measure::Count);
        let is_part = |fields: &&Fields<'_>| {
            *key == Key::Host || !of_processes || key_of(rule.over, fields).as_ref() == Some(key)
        };
        // A filter that took too long raised no alert.
        let Ok(matching) = self.matching(rule) else { return Vec::new() };
        let parts: Vec<Culprit> = matching
            .filter(is_part)
            .filter_map(|fields| {
                let (pid, start) = fields.process.key();
                let value = figure.of(fields).filter(|value| *value > 0.0)?;
                Some(Culprit { pid, start, name: fields.process.name.clone(), value })
            })
            .collect();
        largest(parts)
    }

    /// The processes that have written most since they started. What they write at present takes two snapshots to know.
    fn writers(&self) -> Vec<Culprit> {
        let writer = |fields: &Fields<'_>| {
            let (pid, start) = fields.process.key();
            let value = fields.process.written_bytes.filter(|bytes| *bytes > 0)? as f64;
            Some(Culprit { pid, start, name: fields.process.name.clone(), value })
        };
        largest(self.fields.iter().filter_map(writer).collect())
    }
}

/// Those with the largest parts, the largest first.
fn largest(mut parts: Vec<Culprit>) -> Vec<Culprit> {
    parts.sort_by(|a, b| b.value.total_cmp(&a.value).then_with(|| a.pid.cmp(&b.pid)));
    parts.truncate(CULPRITS);
    parts
}

/// The instance that a process belongs to; `None` where it belongs to none, such as a process without a unit.
fn key_of(over: Over, fields: &Fields<'_>) -> Option<Key> {
    let process = fields.process;
    let named = |name: Option<&String>| Some(Key::Named(name?.clone()));
    match over {
        Over::Host => Some(Key::Host),
        Over::Process => {
            let (pid, start) = process.key();
            Some(Key::Process { pid, start, name: process.name.clone() })
        }
        Over::Program => named(Some(&process.name)),
        Over::Unit => named(process.unit.as_ref()),
        Over::User => named(process.user_name.as_ref()),
        Over::Filesystem => None,
    }
}

fn host_value(pair: &SnapshotPair, figure: HostFigure) -> Option<f64> {
    let Snapshot { host, .. } = pair.latest();
    match figure {
        HostFigure::MemoryPercent => {
            derived::memory_percent(host.memory_used_bytes, derived::memory_total_bytes(pair.latest()))
        }
        HostFigure::SwapPercent => derived::memory_percent(host.swap_used_bytes, host.swap_total_bytes),
        HostFigure::ClockOffset => {
            let offset_us = pair.latest().clock_offset_us?;
            Some(offset_us.unsigned_abs() as f64 / 1e6)
        }
        HostFigure::DroppedSnapshots => {
            let (latest, before, elapsed_ms) = (pair.latest(), pair.previous()?, pair.elapsed_ms()?);
            let is_same_run = before.run_id == latest.run_id;
            let dropped = |snapshot: &Snapshot| is_same_run.then_some(snapshot.agent.dropped_snapshots);
            rate::of_counter(dropped(before), dropped(latest), elapsed_ms)
        }
        HostFigure::Level(place) => host.value(place).number(),
        HostFigure::Rate(place) => {
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
fn disk_value(filesystem: &FilesystemSample) -> Option<(Key, Option<f64>)> {
    let used = filesystem.used_share().map(|share| share * 100.0);
    Some((Key::Named(filesystem.mount.clone()), used))
}
