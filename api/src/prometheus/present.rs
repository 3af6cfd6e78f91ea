//! What is in no segment yet: snapshots that only the stream has, put into the buckets of the history.

use std::collections::{BTreeMap, HashMap};

use fleetps_ingestor::history::{Bucket, FigureSeries, Grid, HostFigure, ProgramFigure, ProgramName};
use fleetps_nats::{
    HostName, Snapshot,
    model::{Spacing, Value, host::HOST, staleness::silent_after_ms},
    snapshot::Process,
};

/// The snapshots that the history may not have, by host and in the order of capture.
#[derive(Debug, Clone, Default)]
pub(crate) struct Present {
    /// Of the hosts that were read; of too many hosts the stream is not read at all.
    pub(crate) newer: HashMap<HostName, Vec<Snapshot>>,
}

/// Puts `newer` of `host` behind `sealed_ms` into the series of a host's figure.
pub(super) fn add_host(
    series: &mut Vec<FigureSeries>,
    host: &HostName,
    newer: &[Snapshot],
    sealed_ms: i64,
    grid: Grid,
    figure: HostFigure,
) {
    let mut buckets = Vec::new();
    let mut before: Option<&Snapshot> = None;
    for snapshot in newer {
        let earlier = before.replace(snapshot);
        let at_ms = snapshot.captured_at_us.div_euclid(1000);
        let Some(value) = host_value(snapshot, figure).filter(|_| at_ms > sealed_ms && is_in(grid, at_ms))
        else {
            continue;
        };
        let pair = earlier.filter(|_| figure.is_counter()).and_then(|earlier| {
            let elapsed_ms = elapsed_ms(earlier, snapshot)?;
            let growth = value - host_value(earlier, figure)?;
            (growth >= 0.0).then_some((growth, elapsed_ms))
        });
        buckets.push((grid.bucket(at_ms), one(value, at_ms, snapshot.interval_ms, pair)));
    }
    add(series, host, None, buckets);
}

/// The same of a figure of programs: by how much a counter grew where `is_growth`, else the values in every snapshot.
pub(super) fn add_programs(
    series: &mut Vec<FigureSeries>,
    host: &HostName,
    newer: &[Snapshot],
    sealed_ms: i64,
    grid: Grid,
    (figure, is_growth): (ProgramFigure, bool),
) {
    let mut all: BTreeMap<ProgramName, Vec<(i64, Bucket)>> = BTreeMap::new();
    let mut before: Option<&Snapshot> = None;
    for snapshot in newer {
        let earlier = before.replace(snapshot);
        let at_ms = snapshot.captured_at_us.div_euclid(1000);
        if at_ms <= sealed_ms || !is_in(grid, at_ms) {
            continue;
        }
        let values = match is_growth {
            true => growth(figure, earlier, snapshot),
            false => levels(figure, snapshot),
        };
        for (program, value) in values {
            let bucket = match is_growth {
                true => Bucket { growth: value, ..Bucket::default() },
                false => one(value, at_ms, snapshot.interval_ms, None),
            };
            all.entry(program).or_default().push((grid.bucket(at_ms), bucket));
        }
    }
    for (program, buckets) in all {
        add(series, host, Some(program), buckets);
    }
}

/// Whether a moment is in the time that is read.
pub(super) fn is_in(grid: Grid, at_ms: i64) -> bool {
    let end_ms = grid.begin_ms.saturating_add(grid.width_ms.saturating_mul(grid.count));
    at_ms <= end_ms && at_ms > grid.begin_ms.saturating_sub(grid.reach_ms)
}

/// A bucket of one sample, with its growth and the time of that.
pub(super) fn one(value: f64, at_ms: i64, interval_ms: u32, pair: Option<(f64, f64)>) -> Bucket {
    let (growth, elapsed_ms) = pair.unwrap_or_default();
    Bucket {
        samples: 1.0,
        sum: value,
        min: value,
        max: value,
        last: value,
        last_ms: at_ms,
        interval_ms: interval_ms.into(),
        growth,
        elapsed_ms,
        last_pair: pair,
    }
}

/// The time between two snapshots that follow each other in one boot without a silence, in ms.
fn elapsed_ms(earlier: &Snapshot, later: &Snapshot) -> Option<f64> {
    let elapsed_ms = i64::try_from(later.monotonic_ms.checked_sub(earlier.monotonic_ms)?).ok()?;
    let interval_ms = earlier.interval_ms.max(later.interval_ms);
    let is_pair = earlier.boot_id == later.boot_id
        && elapsed_ms > 0
        && elapsed_ms <= silent_after_ms(interval_ms, Spacing::EverySample);
    is_pair.then_some(elapsed_ms as f64)
}

fn host_value(snapshot: &Snapshot, figure: HostFigure) -> Option<f64> {
    match figure {
        HostFigure::Heard => Some(1.0),
        HostFigure::TimeOfTables | HostFigure::Time | HostFigure::TimeOfBoots => {
            Some(snapshot.monotonic_ms as f64)
        }
        HostFigure::IdleTime => {
            let idle_ms = snapshot.host.cpu_idle_ms?;
            Some(idle_ms as f64 - snapshot.host.cpu_iowait_ms.unwrap_or_default() as f64)
        }
        HostFigure::Of(field) => {
            let place = HOST.iter().position(|known| known.name == field.name)?;
            match snapshot.host.value(place) {
                Value::Integer(value) => Some(value as f64),
                Value::Float(value) => Some(value.into()),
                _ => None,
            }
        }
    }
}

fn program(process: &Process) -> ProgramName {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    ProgramName { name: process.name.clone(), user: text(&process.user_name), unit: text(&process.unit) }
}

fn counted(figure: ProgramFigure, process: &Process) -> Option<f64> {
    let counter = match figure {
        ProgramFigure::Read => process.read_bytes,
        ProgramFigure::Written => process.written_bytes,
        _ => process.cpu_time_ms,
    };
    counter.map(|counter| counter as f64)
}

/// By how much each program's processes grew since the snapshot before; nothing where there is none.
fn growth(figure: ProgramFigure, earlier: Option<&Snapshot>, later: &Snapshot) -> BTreeMap<ProgramName, f64> {
    let Some(earlier) = earlier.filter(|earlier| elapsed_ms(earlier, later).is_some()) else {
        return BTreeMap::new();
    };
    let before: HashMap<(u32, i64), &Process> =
        earlier.processes.iter().map(|process| (process.key(), process)).collect();
    let mut all = BTreeMap::new();
    for process in &later.processes {
        let sum = all.entry(program(process)).or_insert(0.0);
        let since = match before.get(&process.key()) {
            Some(before) => counted(figure, before),
            None if process.started_at_us >= earlier.captured_at_us => Some(0.0),
            None => None,
        };
        let grown = counted(figure, process).zip(since).map_or(0.0, |(now, since)| now - since);
        *sum += grown.max(0.0);
        if figure == ProgramFigure::CpuTime {
            *sum += process.ended_children_cpu_ms.unwrap_or_default() as f64;
        }
    }
    all
}

fn levels(figure: ProgramFigure, snapshot: &Snapshot) -> BTreeMap<ProgramName, f64> {
    // The sum, and the most of what is shared.
    let mut all: BTreeMap<ProgramName, (f64, f64)> = BTreeMap::new();
    for process in &snapshot.processes {
        let (own, shared) = match figure {
            ProgramFigure::Processes => (1.0, 0.0),
            ProgramFigure::Resident => {
                let Some(resident) = process.resident_bytes else { continue };
                let shared = process.shared_bytes.unwrap_or_default().min(resident);
                ((resident - shared) as f64, shared as f64)
            }
            counter => match counted(counter, process) {
                Some(value) => (value, 0.0),
                None => continue,
            },
        };
        let sum = all.entry(program(process)).or_default();
        *sum = (sum.0 + own, sum.1.max(shared));
    }
    all.into_iter().map(|(program, (own, shared))| (program, own + shared)).collect()
}

/// Adds later buckets, which are in order, to the series of a host or program.
fn add(
    series: &mut Vec<FigureSeries>,
    host: &HostName,
    program: Option<ProgramName>,
    buckets: Vec<(i64, Bucket)>,
) {
    if buckets.is_empty() {
        return;
    }
    match series.iter_mut().find(|known| known.host == *host && known.program == program) {
        Some(known) => append(&mut known.buckets, buckets),
        None => {
            let mut new = Vec::new();
            append(&mut new, buckets);
            series.push(FigureSeries { host: host.clone(), program, buckets: new });
        }
    }
}

/// Puts buckets, which are in the order of time, behind earlier ones.
pub(super) fn append(into: &mut Vec<(i64, Bucket)>, later: Vec<(i64, Bucket)>) {
    for (place, bucket) in later {
        match into.last_mut() {
            // A clock that was set back makes nothing of a bucket before the last.
            Some((last, known)) if *last >= place => *known = joined(*known, bucket),
            _ => into.push((place, bucket)),
        }
    }
}

/// A bucket with a later one.
fn joined(earlier: Bucket, later: Bucket) -> Bucket {
    if earlier.samples <= 0.0 {
        return Bucket {
            growth: earlier.growth + later.growth,
            elapsed_ms: earlier.elapsed_ms + later.elapsed_ms,
            ..later
        };
    }
    Bucket {
        samples: earlier.samples + later.samples,
        sum: earlier.sum + later.sum,
        min: earlier.min.min(later.min),
        max: earlier.max.max(later.max),
        growth: earlier.growth + later.growth,
        elapsed_ms: earlier.elapsed_ms + later.elapsed_ms,
        last_pair: later.last_pair.or(earlier.last_pair),
        last: later.last,
        last_ms: later.last_ms,
        interval_ms: later.interval_ms,
    }
}
