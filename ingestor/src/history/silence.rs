//! Where nothing came from a host, as charts and events say it.

use askama::Template;
use duckdb::params;
use fleetps_nats::{
    HostName, Snapshot,
    model::{HostState, Spacing, staleness},
};

use super::{
    HistoryError, Resolution, Span,
    reading::{Reading, coarsest},
};
use crate::{catalog::SegmentIndex, template::render, time::ceil_ms};

/// A time without samples of a host in which it was not up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Silence {
    pub(super) host: HostName,
    /// The last sample before.
    pub(super) last_us: i64,
    /// The first after; `None` while there is none.
    pub(super) back_us: Option<i64>,
}

impl Silence {
    /// Whether any of it lies within `span`.
    pub(super) fn overlaps(&self, span: Span) -> bool {
        self.last_us < span.to_us && self.back_us.is_none_or(|back_us| back_us > span.from_us)
    }

    /// The part of it that lies within `span`.
    pub(super) fn within(&self, span: Span) -> Span {
        Span {
            from_us: self.last_us.max(span.from_us),
            to_us: self.back_us.unwrap_or(i64::MAX).min(span.to_us),
        }
    }
}

/// The silences of `host`, or of all, that reach into `span`, by host and time. A host that has not come back is silent as
/// of the last moment known of any host: what comes after that is not known.
pub(super) fn silences(
    reading: &Reading<'_>,
    host: Option<&HostName>,
    span: Span,
) -> Result<Vec<Silence>, HistoryError> {
    let segments = around(reading, host, span);
    let known_to_us = reading.state.index.kept().last_us;
    // Thinning leaves all samples of hosts, without their processes; rolling up leaves one a minute.
    let spacing = match coarsest(&segments) {
        Resolution::Samples | Resolution::Minutes => Spacing::EverySample,
        Resolution::Hours => Spacing::OneAMinute,
    };
    let Some(host) = host else { return of_all(reading, &segments, span, known_to_us, spacing) };
    let (mut moments, mut count) = (Vec::new(), reading.count_rows());
    for segment in segments {
        reading.check()?;
        let index = reading.sample_index(segment, host)?;
        count.add(index.all().len())?;
        moments.extend_from_slice(index.all());
    }
    moments.sort_by_key(|moment| moment.captured_us);
    let nexts = moments.iter().skip(1).map(Some).chain([None]);
    let silences = moments.iter().zip(nexts).filter_map(|(moment, next)| {
        let interval_ms = moment.interval_ms.max(next.map_or(0, |next| next.interval_ms));
        let back_us = next.map(|next| next.captured_us);
        let silence = Silence { host: host.clone(), last_us: moment.captured_us, back_us };
        let until_us = back_us.or(known_to_us)?;
        let is_silence = is_silence(until_us - moment.captured_us, interval_ms, spacing);
        (is_silence && moment.captured_us < span.to_us && until_us > span.from_us).then_some(silence)
    });
    Ok(silences.collect())
}

/// The silences of `host` between snapshots that are in no segment yet, and before the first of them, where one that was
/// captured at `before_us` is the last that is.
pub(super) fn between(host: &HostName, before_us: Option<i64>, newer: &[&Snapshot]) -> Vec<Silence> {
    let before = before_us.zip(newer.first()).map(|(captured_us, next)| (captured_us, next.interval_ms));
    let moments = newer.iter().map(|snapshot| (snapshot.captured_at_us, snapshot.interval_ms));
    let moments: Vec<(i64, u32)> = before.into_iter().chain(moments).collect();
    let silences = moments.windows(2).filter_map(|pair| {
        let &[(last_us, interval_ms), (back_us, next_interval_ms)] = pair else { return None };
        let (length_us, interval_ms) = (back_us.saturating_sub(last_us), interval_ms.max(next_interval_ms));
        let silence = Silence { host: host.clone(), last_us, back_us: Some(back_us) };
        is_silence(length_us, interval_ms, Spacing::EverySample).then_some(silence)
    });
    silences.collect()
}

/// Whether so long a time between two samples is a silence. `interval_ms` is the longer of their two intervals: where the
/// setting changed, the next sample came as late as the new one says.
fn is_silence(length_us: i64, interval_ms: u32, spacing: Spacing) -> bool {
    HostState::after(length_us, interval_ms, spacing) != HostState::Up
}

/// The silences of all hosts.
#[derive(Template)]
#[template(path = "history/silence.sql")]
struct SilenceSql<'a> {
    host_sample: &'a str,
}

/// The same for all hosts, in one query: their sample indexes may not fit into memory.
fn of_all(
    reading: &Reading<'_>,
    segments: &[&SegmentIndex],
    span: Span,
    known_to_us: Option<i64>,
    spacing: Spacing,
) -> Result<Vec<Silence>, HistoryError> {
    let sql = render(&SilenceSql { host_sample: &reading.relation("host_sample", segments)? });
    let mut statement = reading.connection.prepare(&sql)?;
    let (from_ms, to_ms) = span.bounds_ms();
    let rows = statement
        .query_map(params![known_to_us.map(ceil_ms), spacing.least_ms(), from_ms, to_ms], |row| {
            Ok((row.get::<_, String>("host")?, row.get("last_us")?, row.get("back_us")?))
        })?;
    let (mut silences, mut count) = (Vec::new(), reading.count_rows());
    for row in rows {
        count.add(1)?;
        let (host, last_us, back_us) = row?;
        // Always a host's name, unless another program wrote the file.
        if let Ok(host) = host.parse() {
            silences.push(Silence { host, last_us, back_us });
        }
    }
    Ok(silences)
}

/// The condition on the column `host` with the parameter `$1`, which is NULL for all hosts.
pub(super) fn of_host(host: Option<&HostName>) -> &'static str {
    if host.is_some() { "host = $1" } else { "$1::VARCHAR IS NULL" }
}

/// The segments with samples of `host`, or of any, from within `span`, and for each host that with its last sample before
/// and that with its first one after.
pub(super) fn around<'a>(
    reading: &Reading<'a>,
    host: Option<&HostName>,
    span: Span,
) -> Vec<&'a SegmentIndex> {
    reading.state.index.around(host, span)
}
