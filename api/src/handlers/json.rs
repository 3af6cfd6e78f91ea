//! What all JSON answers have in common.
//!
//! Field names are those of the history's tables; what is unknown is `null`; times are RFC 3339 in UTC with
//! microseconds; percentages of processes are of one core, those of hosts of all cores together; bytes are bytes.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use fleetps_ingestor::history::{Extent, Resolution};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    display::time_exact,
    live::{Moment, Summary},
    rules::{HostGroups, Sight},
    view::{Column, ProcessFacts},
};

/// An answer in JSON.
pub fn answer(status: StatusCode, value: &impl Serialize) -> Response {
    let body = serde_json::to_string(value).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// An answer about the past, with what it rests on.
#[derive(Debug, Serialize)]
pub struct AboutPast<T> {
    resolution: &'static str,
    incomplete: Vec<String>,
    #[serde(flatten)]
    answer: T,
}

impl<T> AboutPast<T> {
    /// `answer`, which `past` gave at `resolution`.
    pub fn new(sight: &Sight, resolution: Resolution, answer: T) -> Self {
        let incomplete = sight.set_aside().into_iter().map(|set_aside| set_aside.segment).collect();
        Self { resolution: resolution_word(resolution), incomplete, answer }
    }
}

/// `value` as it is now, or as it was at a moment that is kept at `resolution`.
pub fn answer_at(sight: &Sight, resolution: Option<Resolution>, value: &impl Serialize) -> Response {
    match resolution {
        None => answer(StatusCode::OK, value),
        Some(resolution) => answer(StatusCode::OK, &AboutPast::new(sight, resolution, value)),
    }
}

/// Puts the mean under `name`, and the bounds under `name_min` and `name_max`; to a thousandth, because figures of single
/// precision have no more digits than that.
pub fn insert_extent(fields: &mut Map<String, Value>, name: &str, extent: Option<Extent>) {
    let rounded = |value: f64| (value * 1_000.0).round() / 1_000.0;
    let mut insert = |name: String, value: Option<f64>| fields.insert(name, value.map(rounded).into());
    insert(name.to_owned(), extent.map(|extent| extent.mean));
    insert(format!("{name}_min"), extent.map(|extent| extent.min));
    insert(format!("{name}_max"), extent.map(|extent| extent.max));
}

/// How finely the past was kept, in a word.
pub fn resolution_word(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::Samples => "samples",
        Resolution::Minutes => "minutes",
        Resolution::Hours => "hours",
    }
}

/// A host in a list.
#[derive(Debug, Serialize)]
pub struct Host<'a> {
    host: &'a str,
    os_host_name: &'a str,
    state: &'static str,
    last_seen: String,
    captured_at: String,
    interval_ms: u32,
    os: Option<&'a str>,
    cpu_percent: Option<f32>,
    load_1: Option<f32>,
    memory_used_bytes: Option<u64>,
    memory_total_bytes: Option<u64>,
    process_count: u32,
    groups: HostGroups,
}

impl<'a> Host<'a> {
    /// Of a summary, with what the host belongs to.
    pub fn of(summary: &'a Summary, groups: HostGroups) -> Self {
        Self {
            host: summary.host.as_str(),
            os_host_name: &summary.os_host_name,
            state: summary.state.word(),
            last_seen: time_exact(summary.last_seen_us),
            captured_at: time_exact(summary.captured_at_us),
            interval_ms: summary.interval_ms,
            os: summary.os.as_deref(),
            cpu_percent: summary.cpu_percent,
            load_1: summary.load_1,
            memory_used_bytes: summary.memory_used_bytes,
            memory_total_bytes: summary.memory_total_bytes,
            process_count: summary.process_count,
            groups,
        }
    }
}

/// The fields of a process that are always there, in their order.
pub const PROCESS_FIELDS: [&str; 16] = [
    "pid",
    "parent_pid",
    "started_at",
    "name",
    "user_name",
    "state",
    "threads",
    "cpu_percent",
    "cpu_time_ms",
    "resident_bytes",
    "virtual_bytes",
    "read_bytes",
    "written_bytes",
    "read_bytes_per_s",
    "written_bytes_per_s",
    "command_line",
];

/// A process. The last three are there only when asked for with `include`.
#[derive(Debug, Serialize)]
pub struct Process<'a> {
    pid: u32,
    parent_pid: Option<u32>,
    started_at: String,
    name: &'a str,
    user_name: Option<&'a str>,
    state: char,
    threads: Option<u32>,
    cpu_percent: Option<f32>,
    cpu_time_ms: Option<u64>,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    read_bytes: Option<u64>,
    written_bytes: Option<u64>,
    read_bytes_per_s: Option<f64>,
    written_bytes_per_s: Option<f64>,
    command_line: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Option<&'a str>>,
}

impl<'a> Process<'a> {
    /// Of a process, with what is asked for.
    pub fn of(facts: &ProcessFacts<'a>, include: &[Column]) -> Self {
        let process = facts.process;
        let if_asked = |column: Column, value: Option<&'a str>| include.contains(&column).then_some(value);
        Self {
            pid: process.pid,
            parent_pid: process.parent_pid,
            started_at: time_exact(process.started_at_us),
            name: &process.name,
            user_name: process.user_name.as_deref(),
            state: process.state,
            threads: process.threads,
            cpu_percent: process.cpu_percent,
            cpu_time_ms: process.cpu_time_ms,
            resident_bytes: process.resident_bytes,
            virtual_bytes: process.virtual_bytes,
            read_bytes: process.read_bytes,
            written_bytes: process.written_bytes,
            read_bytes_per_s: facts.rates.read_per_s,
            written_bytes_per_s: facts.rates.written_per_s,
            command_line: process.command_line.as_deref(),
            executable: if_asked(Column::Executable, process.executable.as_deref()),
            unit: if_asked(Column::Unit, process.unit.as_deref()),
            container: if_asked(Column::Container, process.container.as_deref()),
        }
    }
}

/// A host's processes at one moment.
#[derive(Debug, Serialize)]
pub struct Processes<'a> {
    /// The host.
    pub host: &'a str,
    /// When the sample was taken.
    pub captured_at: String,
    /// How many match, whatever `limit` says.
    pub total: usize,
    /// Those asked for.
    pub processes: Vec<Process<'a>>,
}

/// One sample of a host, as `live` sends them.
#[derive(Debug, Serialize)]
pub struct Sample<'a> {
    /// The host and its figures.
    #[serde(flatten)]
    pub host: Host<'a>,
    /// Its processes.
    pub processes: Vec<Process<'a>>,
}

impl<'a> Sample<'a> {
    /// Of a moment, with what the host belongs to.
    pub fn of(moment: &'a Moment, groups: HostGroups) -> Self {
        let processes = ProcessFacts::all(moment).iter().map(|facts| Process::of(facts, &[])).collect();
        Self { host: Host::of(&moment.summary, groups), processes }
    }
}
