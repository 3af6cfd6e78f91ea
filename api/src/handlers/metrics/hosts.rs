//! What hosts say, as metrics: their own figures, their file systems, and their busiest programs.
//!
//! An answer has at most [`MAX_SERIES`] series. Whether a host is up comes first, then the figures of hosts in the order of
//! their names, then their file systems and programs: so in a fleet that is too large, the same hosts have all of theirs
//! in every answer. `fleetps_series_dropped` says how many are missing.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use fleetps_nats::{model::HostState, snapshot::FilesystemSample, steady_us};

use crate::{
    live::{HostFigures, MeasuredHost, ProgramUse, Summary},
    metrics::{Exposition, Family, Value, label, names},
};

/// The most series of one answer: some 5 MB, and what a Prometheus takes from a target without being told otherwise.
const MAX_SERIES: usize = 50_000;

/// One host, as far as there was room for it.
struct Row<'a> {
    summary: &'a Summary,
    figures: Option<Arc<HostFigures>>,
    /// By mount, as the label says it.
    filesystems: BTreeMap<String, FilesystemSample>,
    /// By program, as the label says it.
    programs: BTreeMap<String, ProgramUse>,
}

/// The series that there is still room for.
struct Room {
    left: usize,
    dropped: u64,
}

impl Room {
    /// Takes room for all of these, or for none.
    fn take(&mut self, series: usize) -> bool {
        let is_room = series <= self.left;
        match is_room {
            true => self.left -= series,
            false => self.dropped += series as u64,
        }
        is_room
    }
}

/// Writes them, with the first `count` programs of each by CPU and by memory.
pub(super) fn write(hosts: &[MeasuredHost], count: usize, exposition: &mut Exposition) {
    // One for what is dropped.
    let mut room = Room { left: MAX_SERIES - 1, dropped: 0 };
    let rows = plan(hosts, count, &mut room);
    let mut up = exposition.family(&names::HOST_UP);
    for row in &rows {
        up.add(&[row.summary.host.as_str()], row.summary.state == HostState::Up);
    }
    for figure in &FIGURES {
        let mut samples = exposition.family(figure.family);
        let known = rows.iter().filter_map(|row| Some((row.summary, row.figures.as_ref()?)));
        for (summary, figures) in known {
            let host = summary.host.as_str();
            figure.series.iter().for_each(|series| {
                if let Some(value) = (series.of)(summary, figures) {
                    match series.label {
                        Some(label) => samples.add(&[host, label], value),
                        None => samples.add(&[host], value),
                    }
                }
            });
        }
    }
    for (family, of) in FILESYSTEM {
        let mut samples = exposition.family(family);
        for row in &rows {
            let sizes = row.filesystems.iter().filter_map(|(mount, sample)| Some((mount, of(sample)?)));
            sizes.for_each(|(mount, bytes)| samples.add(&[row.summary.host.as_str(), mount], bytes));
        }
    }
    for (family, of) in PROGRAM {
        let mut samples = exposition.family(family);
        for row in &rows {
            let host = row.summary.host.as_str();
            row.programs.iter().for_each(|(name, program)| samples.add(&[host, name], of(program)));
        }
    }
    exposition.one(&names::SERIES_DROPPED, room.dropped);
}

/// What there is room for of each host, in the order of their names.
fn plan<'a>(hosts: &'a [MeasuredHost], count: usize, room: &mut Room) -> Vec<Row<'a>> {
    let row = |host: &'a MeasuredHost| Row {
        summary: &host.summary,
        figures: None,
        filesystems: BTreeMap::new(),
        programs: BTreeMap::new(),
    };
    let known = |room: &mut Room| hosts.iter().filter(|_| room.take(1)).map(row).collect::<Vec<_>>();
    let mut rows = known(room);
    for (row, host) in rows.iter_mut().zip(hosts) {
        let figures = host.tracked.as_ref().and_then(|tracked| tracked.figures());
        row.figures = figures.filter(|figures| room.take(count_of(row.summary, figures)));
    }
    let now_us = steady_us();
    for (row, host) in rows.iter_mut().zip(hosts) {
        let (Some(tracked), Some(figures)) = (&host.tracked, &row.figures) else { continue };
        for sample in &figures.filesystems {
            let series = FILESYSTEM.iter().filter(|(_, of)| of(sample).is_some()).count();
            place(&mut row.filesystems, &sample.mount, sample.clone(), series, room);
        }
        let uses = tracked.programs(&host.programs, count, now_us);
        room.dropped += uses.left_out * PROGRAM.len() as u64;
        for program in uses.programs {
            let name = Arc::clone(&program.name);
            place(&mut row.programs, &name, program, PROGRAM.len(), room);
        }
    }
    rows
}

/// Puts something under its label, unless another has the same one or there is no room.
fn place<T>(placed: &mut BTreeMap<String, T>, name: &str, what: T, series: usize, room: &mut Room) {
    match placed.entry(label(name).into_owned()) {
        Entry::Occupied(_) => room.dropped += series as u64,
        Entry::Vacant(entry) if room.take(series) => _ = entry.insert(what),
        Entry::Vacant(_) => {}
    }
}

/// How many series the figures of a host are.
fn count_of(summary: &Summary, figures: &HostFigures) -> usize {
    let series = FIGURES.iter().flat_map(|figure| figure.series);
    series.filter(|series| (series.of)(summary, figures).is_some()).count()
}

/// A family of a host's figures.
struct Figure {
    family: &'static Family,
    series: &'static [Series],
}

/// One of its series, with the value of the label behind the host's.
struct Series {
    label: Option<&'static str>,
    of: fn(&Summary, &HostFigures) -> Option<Value>,
}

/// A family with one series of a host.
macro_rules! figure {
    ($family:ident, $of:expr) => {
        Figure { family: &names::$family, series: &[Series { label: None, of: $of }] }
    };
}

const FIGURES: [Figure; 21] = [
    figure!(HOST_CPU, |_, figures| figures.host.cpu_percent.map(Value::from)),
    Figure {
        family: &names::HOST_CPU_SECONDS,
        series: &[
            Series { label: Some("busy"), of: |_, figures| seconds(figures.host.cpu_time_ms) },
            Series {
                label: Some("idle"),
                of: |_, figures| {
                    let waits_ms = figures.host.cpu_iowait_ms.unwrap_or_default();
                    seconds(figures.host.cpu_idle_ms.map(|idle_ms| idle_ms.saturating_sub(waits_ms)))
                },
            },
            Series { label: Some("iowait"), of: |_, figures| seconds(figures.host.cpu_iowait_ms) },
        ],
    },
    figure!(HOST_CPUS, |_, figures| figures.threads.map(Value::from)),
    Figure {
        family: &names::HOST_LOAD,
        series: &[
            Series { label: Some("1"), of: |_, figures| figures.host.load_1.map(Value::from) },
            Series { label: Some("5"), of: |_, figures| figures.host.load_5.map(Value::from) },
            Series { label: Some("15"), of: |_, figures| figures.host.load_15.map(Value::from) },
        ],
    },
    figure!(HOST_MEMORY_TOTAL, |summary, _| summary.memory_total_bytes.map(Value::from)),
    figure!(HOST_MEMORY_USED, |_, figures| figures.host.memory_used_bytes.map(Value::from)),
    figure!(HOST_MEMORY_AVAILABLE, |_, figures| figures.host.memory_available_bytes.map(Value::from)),
    figure!(HOST_SWAP_TOTAL, |_, figures| figures.host.swap_total_bytes.map(Value::from)),
    figure!(HOST_SWAP_USED, |_, figures| figures.host.swap_used_bytes.map(Value::from)),
    figure!(HOST_DISK_READ, |_, figures| figures.host.disk_read_bytes.map(Value::from)),
    figure!(HOST_DISK_WRITTEN, |_, figures| figures.host.disk_written_bytes.map(Value::from)),
    figure!(HOST_NETWORK_RECEIVED, |_, figures| figures.host.network_received_bytes.map(Value::from)),
    figure!(HOST_NETWORK_SENT, |_, figures| figures.host.network_sent_bytes.map(Value::from)),
    figure!(HOST_PROCESSES, |summary, _| Some(summary.process_count.into())),
    figure!(HOST_PROCESSES_LEFT_OUT, |_, figures| Some(figures.processes_left_out.into())),
    figure!(HOST_THREADS, |_, figures| figures.host.thread_count.map(Value::from)),
    figure!(HOST_UPTIME, |_, figures| figures.host.uptime_s.map(Value::from)),
    figure!(HOST_CLOCK_OFFSET, |summary, _| {
        summary.clock_offset_us.map(|offset_us| (offset_us as f64 / 1e6).into())
    }),
    figure!(HOST_AGENT_CPU, |_, figures| seconds(figures.agent.cpu_time_ms)),
    figure!(HOST_AGENT_RESIDENT, |_, figures| figures.agent.resident_bytes.map(Value::from)),
    figure!(HOST_AGENT_DROPPED, |_, figures| Some(figures.agent.dropped_snapshots.into())),
];

/// The sizes of a file system; it has none while it does not answer.
type Size = (&'static Family, fn(&FilesystemSample) -> Option<u64>);

const FILESYSTEM: [Size; 3] = [
    (&names::HOST_FILESYSTEM_SIZE, |sample| sample.total_bytes),
    (&names::HOST_FILESYSTEM_USED, |sample| sample.used_bytes),
    (&names::HOST_FILESYSTEM_AVAILABLE, |sample| sample.available_bytes),
];

/// What is said of a program.
type OfProgram = (&'static Family, fn(&ProgramUse) -> Value);

const PROGRAM: [OfProgram; 3] = [
    (&names::PROGRAM_CPU, |program| (program.cpu_ms as f64 / 1000.0).into()),
    (&names::PROGRAM_MEMORY, |program| program.memory_bytes.into()),
    (&names::PROGRAM_PROCESSES, |program| program.processes.into()),
];

fn seconds(ms: Option<u64>) -> Option<Value> {
    ms.map(|ms| (ms as f64 / 1000.0).into())
}
