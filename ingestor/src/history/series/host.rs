//! A host over time.

use askama::Template;
use duckdb::params;
use fleetps_nats::{
    HostName, Snapshot,
    model::{
        Field,
        host::{COUNTERS_OVER_TIME, HOST, LEVELS_OVER_TIME},
    },
};

use super::{
    extent::Extent,
    parts::{Part, Parts, Sample},
    samples::{Places, doubles, read_samples},
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
    levels: [Option<Extent>; LEVELS_OVER_TIME.len()],
    rates: [Option<Extent>; COUNTERS_OVER_TIME.len()],
}

type HostPart = Part<{ LEVELS_OVER_TIME.len() }, { COUNTERS_OVER_TIME.len() }>;
type HostSample = Sample<{ LEVELS_OVER_TIME.len() }, { COUNTERS_OVER_TIME.len() }>;

/// What is read of a host.
const PLACES: Places<{ LEVELS_OVER_TIME.len() }, { COUNTERS_OVER_TIME.len() }> =
    Places { fields: &HOST, levels: LEVELS_OVER_TIME, counters: COUNTERS_OVER_TIME };

/// The name of a figure over time, by its place in the model.
fn name_over_time(place: usize) -> Option<&'static str> {
    HOST.get(place).map(Field::name_over_time)
}

impl HostPoint {
    /// The names of a host's values over time, in the order of the model: levels, then counters per second.
    pub fn names() -> impl Iterator<Item = &'static str> {
        LEVELS_OVER_TIME.into_iter().chain(COUNTERS_OVER_TIME).filter_map(name_over_time)
    }

    /// The value of this name in this part: see [`HostPoint::names`].
    pub fn extent(&self, name: &str) -> Option<Extent> {
        let levels = LEVELS_OVER_TIME.into_iter().zip(self.levels);
        let mut all = levels.chain(COUNTERS_OVER_TIME.into_iter().zip(self.rates));
        all.find_map(|(place, extent)| (name_over_time(place) == Some(name)).then_some(extent))?
    }

    /// Installed memory, the most there was in this part.
    pub fn memory_total_bytes(&self) -> Option<u64> {
        self.extent("memory_total_bytes").map(|total| total.max as u64)
    }
}

/// The samples of a host.
#[derive(Template)]
#[template(path = "history/series/host.sql")]
struct HostSql<'a> {
    host_sample: &'a str,
}

impl HostSql<'_> {
    fn doubles() -> String {
        doubles(&HOST, LEVELS_OVER_TIME.into_iter().chain(COUNTERS_OVER_TIME))
    }
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
    let mut samples = read_samples(reading, &sql, params, &PLACES, &mut boots)?;
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

fn sample(snapshot: &Snapshot, boots: &mut Boots) -> HostSample {
    let number = |place| snapshot.host.value(place).number();
    Sample {
        captured_at_us: snapshot.captured_at_us,
        boot: boots.number(&snapshot.boot_id),
        monotonic_ms: i64::try_from(snapshot.monotonic_ms).unwrap_or(i64::MAX),
        levels: LEVELS_OVER_TIME.map(number),
        counters: COUNTERS_OVER_TIME.map(number),
    }
}

fn host_point(part: HostPart) -> HostPoint {
    HostPoint {
        from_us: part.from_us,
        to_us: part.to_us,
        samples: part.samples,
        levels: part.levels.map(|level| level.extent()),
        rates: part.rates.map(|rate| rate.extent()),
    }
}
