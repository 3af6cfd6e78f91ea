//! A host over time.

use askama::Template;
use duckdb::params;
use fleetps_nats::{HostName, Snapshot};

use super::{
    extent::Extent,
    parts::{Gathered, Part, Parts, Sample},
    samples::read_samples,
};
use crate::{
    history::{
        HistoryError, Resolution, Span,
        boots::Boots,
        reading::{Reading, coarsest},
        sample_index::SampleKind,
        silence::{between, silences},
    },
    template::render,
};

/// One host over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostMetrics {
    /// How finely it was kept.
    pub resolution: Resolution,
    /// The points, at most as many as requested, in order; each has the samples of an equal part of the span.
    pub points: Vec<HostPoint>,
    /// Where nothing came from the host, for longer than three intervals, within the span.
    pub gaps: Vec<Span>,
}

/// A host in one part of a span. Rates come from counters: exact over lost samples, absent over a reset or reboot.
#[derive(Debug, Clone, PartialEq)]
pub struct HostPoint {
    /// When the first sample of this part was captured.
    pub from_us: i64,
    /// When the last one was.
    pub to_us: i64,
    /// Samples in this part.
    pub samples: u32,
    /// CPU use, in percent of all cores together.
    pub cpu_percent: Option<Extent>,
    /// Load average over 1 minute.
    pub load_1: Option<Extent>,
    /// Load average over 5 minutes.
    pub load_5: Option<Extent>,
    /// Load average over 15 minutes.
    pub load_15: Option<Extent>,
    /// Memory in use.
    pub memory_used_bytes: Option<Extent>,
    /// Installed memory.
    pub memory_total_bytes: Option<u64>,
    /// Swap space in use.
    pub swap_used_bytes: Option<Extent>,
    /// Bytes read from disks per second.
    pub disk_read_per_s: Option<Extent>,
    /// Bytes written to disks per second.
    pub disk_written_per_s: Option<Extent>,
    /// Bytes received per second.
    pub network_received_per_s: Option<Extent>,
    /// Bytes sent per second.
    pub network_sent_per_s: Option<Extent>,
    /// Processes.
    pub process_count: Option<Extent>,
    /// Threads.
    pub thread_count: Option<Extent>,
}

/// The samples of a host.
#[derive(Template)]
#[template(path = "history/series/host.sql")]
struct HostSql<'a> {
    host_sample: &'a str,
}

pub(super) fn host_metrics(
    reading: &Reading<'_>,
    host: &HostName,
    span: Span,
    points: usize,
    newer: &[Snapshot],
) -> Result<HostMetrics, HistoryError> {
    // The first rate of the span needs the sample before.
    let before = reading.latest(host, span.from_us - 1, SampleKind::Any)?;
    let read = Span { from_us: before.map_or(span.from_us, |place| place.captured_us), ..span };
    let segments = reading.overlapping(Some(host), read);
    let sql = render(&HostSql { host_sample: &reading.relation("host_sample", &segments)? });
    let (from_ms, to_ms) = read.bounds_ms();
    let mut boots = Boots::default();
    let params = params![host.as_str(), from_ms, to_ms];
    let mut samples = read_samples(reading, &sql, params, &mut boots)?;
    let sealed_us = reading.last_us(host);
    let newer: Vec<&Snapshot> =
        newer.iter().filter(|snapshot| Some(snapshot.captured_at_us) > sealed_us).collect();
    samples.extend(newer.iter().map(|snapshot| sample(snapshot, &mut boots)));
    let mut parts = Parts::new(span, points);
    parts.fill(samples, None);
    // Thinning keeps every sample of a host, rolling up the last of each minute.
    let resolution = match coarsest(&segments) {
        Resolution::Samples | Resolution::Minutes => Resolution::Samples,
        Resolution::Hours => Resolution::Minutes,
    };
    let mut silences = silences(reading, Some(host), span)?;
    if !newer.is_empty() {
        // It is back.
        silences.retain(|silence| silence.back_us.is_some());
        let further = between(host, sealed_us, &newer);
        silences.extend(further.into_iter().filter(|silence| silence.overlaps(span)));
    }
    let gaps = silences.iter().map(|silence| silence.within(span)).collect();
    Ok(HostMetrics { resolution, points: parts.into_parts().map(host_point).collect(), gaps })
}

/// In the order of `host.sql`, as [`host_point`] reads it.
fn sample(snapshot: &Snapshot, boots: &mut Boots) -> Sample<9, 4> {
    let host = &snapshot.host;
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
    Sample {
        captured_at_us: snapshot.captured_at_us,
        boot: boots.number(&snapshot.boot_id),
        monotonic_ms: i64::try_from(snapshot.monotonic_ms).unwrap_or(i64::MAX),
        levels: [
            host.cpu_percent.map(f64::from),
            host.load_1.map(f64::from),
            host.load_5.map(f64::from),
            host.load_15.map(f64::from),
            bytes(host.memory_used_bytes),
            bytes(host.memory_total_bytes),
            bytes(host.swap_used_bytes),
            host.process_count.map(f64::from),
            host.thread_count.map(f64::from),
        ],
        counters: [
            host.disk_read_bytes,
            host.disk_written_bytes,
            host.network_received_bytes,
            host.network_sent_bytes,
        ]
        .map(bytes),
    }
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
