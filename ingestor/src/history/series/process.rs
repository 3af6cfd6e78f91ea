//! A process over time.

use askama::Template;
use duckdb::params;
use fleetps_nats::model::{
    Field, Kind, Unit, derived,
    process::{COUNTERS, LEVELS, PROCESS},
};

use super::{
    extent::Extent,
    parts::{Gathered, Part, Parts, Sample},
    samples::doubles,
};
use crate::{
    catalog::{Rows, SegmentIndex},
    history::{
        HistoryError, Identity, Resolution, Span,
        reading::{Reading, coarsest},
        sample_index::SampleKind,
        silence::silences,
    },
    template::render,
};

/// The CPU use of a process since its start says nothing before: a tick of 10 ms is 10 % of it.
const LEAST_AGE_MS: i64 = 100;

type ProcessParts = Parts<{ LEVELS.len() }, { COUNTERS.len() }>;
type ProcessPart = Part<{ LEVELS.len() }, { COUNTERS.len() }>;
type ProcessSample = Sample<{ LEVELS.len() }, { COUNTERS.len() }>;

/// One process over time.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessMetrics {
    /// How finely it was kept.
    pub resolution: Resolution,
    /// The points, at most as many as requested, in order.
    pub points: Vec<ProcessPoint>,
    /// Where nothing came from the host, while the process lived.
    pub gaps: Vec<Span>,
}

/// A process in one part of a span.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessPoint {
    /// When the first sample of this part was captured.
    pub from_us: i64,
    /// When the last one was.
    pub to_us: i64,
    /// Samples in this part.
    pub samples: u32,
    levels: [Option<Extent>; LEVELS.len()],
    rates: [Option<Extent>; COUNTERS.len()],
}

/// The counters that are summed up by whole hours.
const COUNTERS_OF_HOURS: [&str; 3] = ["cpu_time_ms", "read_bytes", "written_bytes"];
/// CPU time in ms per second; 10 are one percent of a core.
const MS_PER_S_OF_ONE_PERCENT: f64 = 10.0;

/// The column of the figure at a place in the model.
fn column(place: usize) -> &'static str {
    PROCESS.get(place).map_or("", |field| field.column)
}

/// The name of a figure over time: a level's column, a counter's rate; CPU time becomes CPU percent.
fn name_over_time(field: &Field) -> Option<&'static str> {
    match (field.kind, field.unit) {
        (Kind::Counter, Unit::Milliseconds) => Some(CPU_PERCENT),
        (Kind::Counter, _) => field.rate.map(|rate| rate.name),
        _ => Some(field.column),
    }
}

/// The name of CPU use over time, in percent of one core.
const CPU_PERCENT: &str = "cpu_percent";

impl ProcessPoint {
    /// The names of a process's values over time, in the order of the model.
    pub fn names() -> impl Iterator<Item = &'static str> {
        LEVELS.into_iter().chain(COUNTERS).filter_map(|place| name_over_time(PROCESS.get(place)?))
    }

    /// One sample at `at_us` (µs since 1970 UTC) with these values by name; all others are absent.
    pub fn of(at_us: i64, values: &[(&str, f64)]) -> Self {
        let mut point = Self {
            from_us: at_us,
            to_us: at_us,
            samples: 1,
            levels: [None; LEVELS.len()],
            rates: [None; COUNTERS.len()],
        };
        let all = LEVELS.into_iter().zip(&mut point.levels).chain(COUNTERS.into_iter().zip(&mut point.rates));
        for (place, extent) in all {
            let name = PROCESS.get(place).and_then(name_over_time);
            let by = if name == Some(CPU_PERCENT) { MS_PER_S_OF_ONE_PERCENT } else { 1.0 };
            let value = values.iter().find(|(known, _)| Some(*known) == name).map(|(_, value)| value * by);
            *extent = value.map(|value| Extent { min: value, mean: value, max: value });
        }
        point
    }

    /// The value of this name in this part: see [`ProcessPoint::names`].
    pub fn extent(&self, name: &str) -> Option<Extent> {
        let is_it = |place: usize| PROCESS.get(place).and_then(name_over_time) == Some(name);
        let mut all = LEVELS.into_iter().zip(self.levels).chain(COUNTERS.into_iter().zip(self.rates));
        let extent = all.find_map(|(place, extent)| is_it(place).then_some(extent))??;
        let by = if name == CPU_PERCENT { MS_PER_S_OF_ONE_PERCENT } else { 1.0 };
        Some(Extent { min: extent.min / by, mean: extent.mean / by, max: extent.max / by })
    }
}

pub(super) fn process_metrics(
    reading: &Reading<'_>,
    process: &Identity,
    span: Span,
    points: usize,
) -> Result<ProcessMetrics, HistoryError> {
    // The first rate of the span needs the sample before.
    let before = reading.latest(&process.host, span.from_us - 1, SampleKind::WithTable)?;
    let read = Span { from_us: before.map_or(span.from_us, |place| place.captured_us), ..span };
    let segments = reading.overlapping(Some(&process.host), read);
    let (hours, finer): (Vec<&SegmentIndex>, Vec<&SegmentIndex>) =
        segments.iter().partition(|segment| segment.resolution() == Resolution::Hours);
    let samples = read_process(reading, &finer, process, read)?;
    let mut parts = Parts::new(span, points);
    let counting_since_ms = counting_since_ms(&samples, process, read);
    parts.fill(samples, counting_since_ms);
    add_hours(reading, &hours, process, span, &mut parts)?;
    let points: Vec<_> = parts.into_parts().map(process_point).collect();
    let gaps = gaps(reading, process, &points)?;
    Ok(ProcessMetrics { resolution: coarsest(&segments), points, gaps })
}

/// The spans of a process.
#[derive(Template)]
#[template(path = "history/series/process.sql")]
struct ProcessSql<'a> {
    process_span: &'a str,
}

impl ProcessSql<'_> {
    fn doubles() -> String {
        doubles(&PROCESS, LEVELS.into_iter().chain(COUNTERS))
    }
}

/// The hours of a process.
#[derive(Template)]
#[template(path = "history/series/process_hours.sql")]
struct ProcessHoursSql<'a> {
    process_hour: &'a str,
}

fn read_process(
    reading: &Reading<'_>,
    segments: &[&SegmentIndex],
    process: &Identity,
    span: Span,
) -> Result<Vec<ProcessSample>, HistoryError> {
    let sql = render(&ProcessSql { process_span: &reading.rows(Rows::SpansByFile, segments)? });
    let ((from_ms, to_ms), host) = (span.bounds_ms(), &process.host);
    let params = params![host.as_str(), process.boot_id, process.pid, process.start, from_ms, to_ms];
    let of_segments: Vec<_> =
        segments.iter().map(|segment| reading.sample_index(segment, host)).collect::<Result<_, _>>()?;
    let mut statement = reading.connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params)?;
    let (mut samples, mut count) = (Vec::new(), reading.count_rows());
    while let Some(row) = rows.next()? {
        reading.check()?;
        let Some(index) = of_segments.get(row.get::<_, usize>("file")?) else { continue };
        let (mut levels, mut counters) = ([None; LEVELS.len()], [None; COUNTERS.len()]);
        for (slot, place) in levels.iter_mut().zip(LEVELS).chain(counters.iter_mut().zip(COUNTERS)) {
            *slot = row.get(column(place))?;
        }
        let (first_us, last_us): (i64, i64) = (row.get("first_us")?, row.get("last_us")?);
        let within =
            index.of_boot(&process.boot_id, first_us.max(from_ms * 1000), last_us.min(to_ms * 1000 - 1));
        let before = samples.len();
        samples.extend(within.map(|sample| Sample {
            captured_at_us: sample.captured_us,
            monotonic_ms: sample.monotonic_ms,
            boot: 0,
            levels,
            counters,
        }));
        count.add(samples.len() - before)?;
    }
    Ok(samples)
}

/// When its counters were zero, by the clock since the boot, where the process started in this span.
fn counting_since_ms(samples: &[ProcessSample], process: &Identity, span: Span) -> Option<i64> {
    let first = samples.iter().min_by_key(|sample| sample.monotonic_ms)?;
    let now = (u64::try_from(first.monotonic_ms).unwrap_or_default(), first.captured_at_us);
    let age_ms = derived::age_at_us(now, (process.start, process.started_at_us)) / 1000;
    let is_of_span = process.started_at_us >= span.from_us && age_ms >= LEAST_AGE_MS;
    is_of_span.then_some(first.monotonic_ms - age_ms)
}

/// Adds the sums of whole hours. Each stands where its last sample was, or at the end of the span if that is earlier.
fn add_hours(
    reading: &Reading<'_>,
    segments: &[&SegmentIndex],
    process: &Identity,
    span: Span,
    parts: &mut ProcessParts,
) -> Result<(), HistoryError> {
    if segments.is_empty() {
        return Ok(());
    }
    let sql = render(&ProcessHoursSql { process_hour: &reading.relation("process_hour", segments)? });
    let (from_ms, to_ms) = span.bounds_ms();
    let (host, pid) = (process.host.as_str(), process.pid);
    let params = params![host, process.boot_id, pid, process.start, from_ms, to_ms];
    let mut statement = reading.connection.prepare(&sql)?;
    let mut rows = statement.query(params)?;
    while let Some(row) = rows.next()? {
        let (first_us, last_us): (i64, i64) = (row.get("first_us")?, row.get("last_us")?);
        let Some(part) = parts.at(last_us.min(span.to_us - 1)) else { continue };
        part.samples = part.samples.saturating_add(row.get("samples")?);
        let samples: f64 = row.get::<_, u32>("resident_samples")?.into();
        let sum: Option<f64> = row.get("resident_bytes_sum")?;
        if let Some(resident) = slot(&mut part.levels, &LEVELS, "resident_bytes") {
            sum.filter(|_| samples > 0.0).into_iter().for_each(|sum| resident.add(sum / samples, samples));
            row.get::<_, Option<f64>>("resident_bytes_max")?.into_iter().for_each(|max| resident.peak(max));
        }
        for counter in COUNTERS_OF_HOURS {
            let growth: Option<f64> = row.get(counter)?;
            if let (Some(rates), Some(growth)) = (slot(&mut part.rates, &COUNTERS, counter), growth) {
                rates.add_rate(growth, (last_us - first_us) / 1000);
            }
        }
        let percent: Option<f64> = row.get("cpu_percent_max")?;
        if let (Some(cpu), Some(percent)) = (slot(&mut part.rates, &COUNTERS, "cpu_time_ms"), percent) {
            cpu.peak(percent * MS_PER_S_OF_ONE_PERCENT);
        }
    }
    Ok(())
}

/// The slot of a figure among `slots`, which are in the order of `places`.
fn slot<'a>(slots: &'a mut [Gathered], places: &[usize], of: &str) -> Option<&'a mut Gathered> {
    slots.get_mut(places.iter().position(|place| column(*place) == of)?)
}

fn process_point(part: ProcessPart) -> ProcessPoint {
    ProcessPoint {
        from_us: part.from_us,
        to_us: part.to_us,
        samples: part.samples,
        levels: part.levels.map(|level| level.extent()),
        rates: part.rates.map(|rate| rate.extent()),
    }
}

/// The silences of its host between the first and the last sample of the process.
fn gaps(
    reading: &Reading<'_>,
    process: &Identity,
    points: &[ProcessPoint],
) -> Result<Vec<Span>, HistoryError> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Ok(Vec::new()) };
    let lived = Span { from_us: first.from_us, to_us: last.to_us };
    let silences = silences(reading, Some(&process.host), lived)?;
    Ok(silences.iter().map(|silence| silence.within(lived)).collect())
}
