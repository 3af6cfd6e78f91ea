//! One sample of a host as JSON: its processes, and what they are together.

use fleetps_nats::{
    Snapshot,
    model::{SnapshotPair, sums::HostSums},
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{json, process_fields::ProcessJson};
use crate::{
    answer::{Time, shape},
    authz::HostGroups,
    live::Moment,
    view::ProcessFacts,
};

shape!(Processes<'_>);
shape!(Sample<'_>);

/// A host's processes at one moment.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Processes<'a> {
    /// The host.
    pub host: &'a str,
    /// When the sample was taken.
    pub captured_at: Time,
    /// The number of all matches, without `limit`.
    pub total: usize,
    /// Processes that the host left out of the sample.
    pub processes_left_out: u32,
    /// Processes of the sample with a shortened text, which a filter did not see whole.
    pub texts_shortened: u32,
    /// What keeps the agent from seeing all processes, or all of them whole.
    pub limited_view: Option<&'a str>,
    /// The figures of all processes of the sample together, whatever was asked for.
    pub sums: Sums,
    /// The requested ones.
    pub processes: Vec<ProcessJson<'a>>,
}

/// The figures of a sample's processes together, and what they leave of the machine's: CPU use in percent of one core, memory
/// in bytes with what processes share counted once.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Sums {
    cpu_percent: Option<f64>,
    ended_children_cpu_percent: Option<f64>,
    remaining_cpu_percent: Option<f64>,
    machine_cpu_percent: Option<f64>,
    memory_bytes: Option<u64>,
    remaining_memory_bytes: Option<u64>,
    machine_memory_used_bytes: Option<u64>,
}

impl Sums {
    /// The sums of a pair's latest snapshot.
    pub(crate) fn of(pair: &SnapshotPair) -> Self {
        let sums = HostSums::of(pair);
        // To a hundredth: CPU time is counted in steps of 10 ms.
        let rounded = |percent: f64| (percent * 100.0).round() / 100.0;
        Self {
            cpu_percent: sums.cpu_percent.map(rounded),
            ended_children_cpu_percent: sums.ended_children_cpu_percent.map(rounded),
            remaining_cpu_percent: sums.remaining_cpu_percent().map(rounded),
            machine_cpu_percent: sums.machine_cpu_percent.map(rounded),
            memory_bytes: sums.memory_bytes,
            remaining_memory_bytes: sums.remaining_bytes(),
            machine_memory_used_bytes: sums.machine_used_bytes,
        }
    }
}

/// One sample of a host, as `live` sends them.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Sample<'a> {
    /// The host and its figures.
    #[serde(flatten)]
    pub host: json::Host<'a>,
    /// Processes that it left out of the sample.
    pub processes_left_out: u32,
    /// Processes with a shortened text.
    pub texts_shortened: u32,
    /// What keeps the agent from seeing all processes, or all of them whole.
    pub limited_view: Option<&'a str>,
    /// The figures of its processes together.
    pub sums: Sums,
    /// Its processes.
    pub processes: Vec<ProcessJson<'a>>,
}

impl<'a> Sample<'a> {
    /// Makes it from a moment and the host's groups.
    pub(crate) fn of(moment: &'a Moment, groups: HostGroups) -> Self {
        let processes = ProcessFacts::all(moment).iter().map(|facts| ProcessJson::of(facts, &[])).collect();
        let Snapshot { processes_left_out, texts_shortened, .. } = *moment.snapshot();
        Self {
            host: json::Host::of(&moment.summary, groups),
            processes_left_out,
            texts_shortened,
            limited_view: moment.snapshot().host_info.limited_view.as_deref(),
            sums: Sums::of(&moment.pair),
            processes,
        }
    }
}
