//! A process over time.

use duckdb::params;

use super::{
    extent::Extent,
    parts::{Part, Parts, Sample, rate},
};
use crate::{
    catalog::{Held, Rows},
    history::{
        HistoryError, Identity, Resolution, Span,
        nearest::Which,
        reading::{Reading, coarsest},
        silence::silences,
    },
};

/// The CPU use of a process since its start says nothing before: a tick of 10 ms is 10 % of it.
const LEAST_AGE_MS: i64 = 100;

/// In the order of `process.sql`: resident set, virtual size and threads; CPU time, bytes read and written.
type ProcessParts = Parts<3, 3>;

/// One process over time.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessMetrics {
    /// How finely it was kept.
    pub resolution: Resolution,
    /// At most as many as were asked for, in order.
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
    /// CPU use, in percent of one core, from its CPU time.
    pub cpu_percent: Option<Extent>,
    /// Resident set.
    pub resident_bytes: Option<Extent>,
    /// Virtual size.
    pub virtual_bytes: Option<Extent>,
    /// Threads.
    pub threads: Option<Extent>,
    /// Bytes read per second.
    pub read_per_s: Option<Extent>,
    /// Bytes written per second.
    pub written_per_s: Option<Extent>,
}

pub(super) fn process_metrics(
    reading: &Reading<'_>,
    process: &Identity,
    span: Span,
    points: usize,
) -> Result<ProcessMetrics, HistoryError> {
    // The first rate of the span needs the sample before.
    let before = reading.latest(&process.host, span.from_us - 1, Which::WithTable)?;
    let read = Span { from_us: before.map_or(span.from_us, |place| place.captured_us), ..span };
    let segments = reading.overlapping(Some(&process.host), read);
    let (hours, finer): (Vec<&Held>, Vec<&Held>) =
        segments.iter().partition(|held| held.resolution() == Resolution::Hours);
    let samples = read_process(reading, &finer, process, read)?;
    let mut parts = Parts::new(span, points);
    let counting_since_ms = counting_since_ms(&samples, process, read);
    parts.fill(samples, counting_since_ms);
    add_hours(reading, &hours, process, span, &mut parts)?;
    let points: Vec<_> = parts.into_parts().map(process_point).collect();
    let gaps = gaps(reading, process, &points)?;
    Ok(ProcessMetrics { resolution: coarsest(&segments), points, gaps })
}

fn read_process(
    reading: &Reading<'_>,
    segments: &[&Held],
    process: &Identity,
    span: Span,
) -> Result<Vec<Sample<3, 3>>, HistoryError> {
    let sql =
        include_str!("process.sql").replace("$process_span", &reading.rows(Rows::SpansByFile, segments));
    let ((from_ms, to_ms), host) = (span.bounds_ms(), &process.host);
    let params = params![host.as_str(), process.boot_id, process.pid, process.started_at_us, from_ms, to_ms];
    let of_segments: Vec<_> =
        segments.iter().map(|held| reading.moments(held, host)).collect::<Result<_, _>>()?;
    let mut statement = reading.connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params)?;
    let mut samples = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(moments) = of_segments.get(row.get::<_, usize>(0)?) else { continue };
        let levels = [row.get(3)?, row.get(4)?, row.get(5)?];
        let counters = [row.get(6)?, row.get(7)?, row.get(8)?];
        let (first_us, last_us) = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
        let within =
            moments.of_boot(&process.boot_id, first_us.max(from_ms * 1000), last_us.min(to_ms * 1000 - 1));
        samples.extend(within.map(|moment| Sample {
            captured_at_us: moment.captured_us,
            monotonic_ms: moment.monotonic_ms,
            boot: 0,
            levels,
            counters,
        }));
    }
    Ok(samples)
}

/// When its counters were zero, by the clock since the boot, where the process started in this span.
fn counting_since_ms(samples: &[Sample<3, 3>], process: &Identity, span: Span) -> Option<i64> {
    let first = samples.iter().min_by_key(|sample| sample.monotonic_ms)?;
    let age_ms = (first.captured_at_us - process.started_at_us) / 1000;
    let is_of_span = process.started_at_us >= span.from_us && age_ms >= LEAST_AGE_MS;
    is_of_span.then_some(first.monotonic_ms - age_ms)
}

/// Adds what is known of whole hours. Each stands where its last sample was, or at the end of the span if that is before.
fn add_hours(
    reading: &Reading<'_>,
    segments: &[&Held],
    process: &Identity,
    span: Span,
    parts: &mut ProcessParts,
) -> Result<(), HistoryError> {
    if segments.is_empty() {
        return Ok(());
    }
    let sql = include_str!("process_hours.sql")
        .replace("$process_hour", &reading.relation("process_hour", segments));
    let (from_ms, to_ms) = span.bounds_ms();
    let (host, pid) = (process.host.as_str(), process.pid);
    let params = params![host, process.boot_id, pid, process.started_at_us, from_ms, to_ms];
    let mut statement = reading.connection.prepare(&sql)?;
    let mut rows = statement.query(params)?;
    while let Some(row) = rows.next()? {
        let (first_us, last_us): (i64, i64) = (row.get(0)?, row.get(1)?);
        let Some(part) = parts.at(last_us.min(span.to_us - 1)) else { continue };
        part.samples = part.samples.saturating_add(row.get(2)?);
        let (resident_samples, sum): (f64, Option<f64>) = (row.get::<_, u32>(3)?.into(), row.get(4)?);
        let [resident, _, _] = &mut part.levels;
        if let Some(sum) = sum.filter(|_| resident_samples > 0.0) {
            resident.add(sum / resident_samples, resident_samples);
        }
        row.get::<_, Option<f64>>(5)?.into_iter().for_each(|max| resident.peak(max));
        for (place, rates) in part.rates.iter_mut().enumerate() {
            let growth: Option<f64> = row.get(7 + place)?;
            if let Some((per_s, elapsed_s)) =
                growth.and_then(|growth| rate(growth, (last_us - first_us) / 1000))
            {
                rates.add(per_s, elapsed_s);
            }
        }
        let [cpu, _, _] = &mut part.rates;
        // CPU time in ms per second: ten times the percentage.
        row.get::<_, Option<f64>>(6)?.into_iter().for_each(|percent| cpu.peak(percent * 10.0));
    }
    Ok(())
}

fn process_point(part: Part<3, 3>) -> ProcessPoint {
    let [resident_bytes, virtual_bytes, threads] = part.levels.map(|level| level.extent());
    let [cpu_ms_per_s, read_per_s, written_per_s] = part.rates.map(|rate| rate.extent());
    let percent = |ms: Extent| Extent { min: ms.min / 10.0, mean: ms.mean / 10.0, max: ms.max / 10.0 };
    ProcessPoint {
        from_us: part.from_us,
        to_us: part.to_us,
        samples: part.samples,
        cpu_percent: cpu_ms_per_s.map(percent),
        resident_bytes,
        virtual_bytes,
        threads,
        read_per_s,
        written_per_s,
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
