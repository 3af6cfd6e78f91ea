//! A host over time.

use duckdb::params;
use fleetps_nats::HostName;

use super::{
    parts::{Gathered, Part, Parts},
    samples::read_samples,
};
use crate::history::{
    HistoryError, HostMetrics, HostPoint, Resolution, Span,
    nearest::Which,
    reading::{Reading, coarsest},
    silence::silences,
};

pub(super) fn host_metrics(
    reading: &Reading<'_>,
    host: &HostName,
    span: Span,
    points: usize,
) -> Result<HostMetrics, HistoryError> {
    // The first rate of the span needs the sample before.
    let before = reading.latest(host, span.from_us - 1, Which::Any)?;
    let read = Span { from_us: before.map_or(span.from_us, |place| place.captured_us), ..span };
    let segments = reading.overlapping(Some(host), read);
    let sql = include_str!("host.sql").replace("$host_sample", &reading.relation("host_sample", &segments));
    let (from_ms, to_ms) = read.bounds_ms();
    let samples = read_samples(reading.connection, &sql, params![host.as_str(), from_ms, to_ms])?;
    let mut parts = Parts::new(span, points);
    parts.fill(samples, None);
    // Thinning keeps every sample of a host, rolling up the last of each minute.
    let resolution = match coarsest(&segments) {
        Resolution::Samples | Resolution::Minutes => Resolution::Samples,
        Resolution::Hours => Resolution::Minutes,
    };
    let silences = silences(reading, Some(host), span)?;
    let gaps = silences.iter().map(|silence| silence.within(span)).collect();
    Ok(HostMetrics { resolution, points: parts.into_parts().map(host_point).collect(), gaps })
}

/// In the order of `host.sql`.
fn host_point(part: Part<9, 4>) -> HostPoint {
    let [
        cpu_percent,
        load_1,
        load_5,
        load_15,
        memory_used,
        memory_total,
        swap_used,
        process_count,
        thread_count,
    ] = part.levels.map(|level| level.extent());
    let [disk_read_per_s, disk_written_per_s, network_received_per_s, network_sent_per_s] =
        part.rates.map(|rate: Gathered| rate.extent());
    HostPoint {
        from_us: part.from_us,
        to_us: part.to_us,
        samples: part.samples,
        cpu_percent,
        load_1,
        load_5,
        load_15,
        memory_used_bytes: memory_used,
        memory_total_bytes: memory_total.map(|total| total.max as u64),
        swap_used_bytes: swap_used,
        disk_read_per_s,
        disk_written_per_s,
        network_received_per_s,
        network_sent_per_s,
        process_count,
        thread_count,
    }
}
