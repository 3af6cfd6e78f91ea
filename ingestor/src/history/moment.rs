//! The process table as it was at a moment.

use std::{cmp::Reverse, sync::Arc};

use askama::Template;
use duckdb::params;
use fleetps_nats::{
    HostName,
    model::{HostState, SnapshotPair, Spacing},
};

use super::{
    History, HistoryError, Listing, Resolution, Span,
    reading::{Reading, coarsest},
    sample_index::SampleKind,
    seek::SampleLocation,
};
use crate::{template::render, time::ceil_ms};

/// The process table at a moment, or why there is none.
#[derive(Debug, Clone, PartialEq)]
pub enum SnapshotLookup {
    /// The last snapshot at or before it.
    Snapshot(Box<PastSnapshot>),
    /// None that would say how it was then.
    Nothing(NoSnapshot),
}

/// A snapshot of the past.
#[derive(Debug, Clone, PartialEq)]
pub struct PastSnapshot {
    /// The snapshot, as it was published, as far as segments keep it, with the one before it.
    pub pair: SnapshotPair,
    /// When the snapshot before it was captured, of whichever boot.
    pub earlier_us: Option<i64>,
    /// When the snapshot after it was captured.
    pub later_us: Option<i64>,
    /// How finely that time is kept.
    pub resolution: Resolution,
}

/// Why a moment has no snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoSnapshot {
    /// The history has never heard of that host.
    UnknownHost,
    /// It was before the first that is kept.
    BeforeFirst {
        /// The first.
        first_us: i64,
    },
    /// It was so long after the last that the host was silent.
    AfterLast {
        /// The last.
        last_us: i64,
    },
    /// Nothing came from the host around then.
    Gap {
        /// The last before.
        before_us: i64,
        /// The first after.
        after_us: i64,
    },
    /// Only hourly sums are kept of that time.
    OnlyHours {
        /// The first moment after it that has a process table.
        after_us: Option<i64>,
    },
}

/// A snapshot of a host that a segment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedSnapshot {
    /// When it was captured, in µs since 1970 UTC.
    pub captured_at_us: i64,
    /// Its sequence in the stream; `None` for one that was imported.
    pub stream_sequence: Option<u64>,
}

/// When a host's process tables were captured.
#[derive(Template)]
#[template(path = "history/snapshots.sql")]
struct SnapshotsSql<'a> {
    host_sample: &'a str,
    newest_first: bool,
}

/// Whose snapshot had a sequence in the stream, and when it was captured.
#[derive(Template)]
#[template(path = "history/by_sequence.sql")]
struct BySequenceSql<'a> {
    host_sample: &'a str,
}

impl History {
    /// Whose snapshot had this sequence in the stream, and when it was captured, in µs since 1970 UTC; `None` where its
    /// processes are not kept. Where the stream was made anew, the last one that had it.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn by_sequence(&self, stream_sequence: u64) -> Result<Option<(HostName, i64)>, HistoryError> {
        self.ask(|reading| {
            let mut segments = reading.overlapping(None, Span { from_us: i64::MIN, to_us: i64::MAX });
            segments.retain(|segment| {
                let sequences = segment.name.first_sequence..=segment.name.last_sequence;
                !segment.name.is_imported() && sequences.contains(&stream_sequence)
            });
            if segments.is_empty() {
                return Ok(None);
            }
            let sql = render(&BySequenceSql { host_sample: &reading.relation("host_sample", &segments)? });
            let mut statement = reading.connection.prepare(&sql)?;
            let rows = statement
                .query_map(params![stream_sequence], |row| Ok((row.get("host")?, row.get("captured_us")?)))?;
            let found = rows.collect::<Result<Vec<(String, i64)>, _>>()?.pop();
            Ok(found.and_then(|(host, captured_us)| Some((host.parse().ok()?, captured_us))))
        })
    }

    /// The snapshot of `host` at `at_us`: the last one captured then or before.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn snapshot_at(&self, host: &HostName, at_us: i64) -> Result<SnapshotLookup, HistoryError> {
        self.ask(|reading| {
            Ok(match locate(reading, host, at_us)? {
                Ok(place) => SnapshotLookup::Snapshot(Box::new(past_snapshot(reading, host, place)?)),
                Err(nothing) => SnapshotLookup::Nothing(nothing),
            })
        })
    }

    /// When snapshots of `host` that have a process table were captured, within `span`; the first `limit`.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn snapshots(&self, host: &HostName, span: Span, limit: usize) -> Result<Listing<i64>, HistoryError> {
        self.ask(|reading| {
            let segments = reading.overlapping(Some(host), span);
            let sql = render(&SnapshotsSql {
                host_sample: &reading.relation("host_sample", &segments)?,
                newest_first: false,
            });
            let mut statement = reading.connection.prepare(&sql)?;
            let params = params![host.as_str(), ceil_ms(span.from_us), ceil_ms(span.to_us), limit];
            let rows = statement.query_map(params, |row| Ok((row.get("captured_us")?, row.get("total")?)))?;
            let rows = rows.collect::<Result<Vec<(i64, u64)>, _>>()?;
            Ok(Listing {
                total: rows.first().map_or(0, |(_, total)| *total),
                items: rows.into_iter().map(|(captured_us, _)| captured_us).collect(),
                resolution: coarsest(&segments),
            })
        })
    }

    /// The snapshots of `host` that have a process table within `span`, newest first; the newest `limit`.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn newest_snapshots(
        &self,
        host: &HostName,
        span: Span,
        limit: usize,
    ) -> Result<Vec<SealedSnapshot>, HistoryError> {
        self.ask(|reading| {
            let segments = reading.overlapping(Some(host), span);
            let (imported, of_stream): (Vec<_>, Vec<_>) =
                segments.into_iter().partition(|segment| segment.name.is_imported());
            let mut found = Vec::new();
            for segments in [imported, of_stream] {
                let is_of_stream = segments.first().is_some_and(|segment| !segment.name.is_imported());
                let sql = render(&SnapshotsSql {
                    host_sample: &reading.relation("host_sample", &segments)?,
                    newest_first: true,
                });
                let mut statement = reading.connection.prepare(&sql)?;
                let params = params![host.as_str(), ceil_ms(span.from_us), ceil_ms(span.to_us), limit];
                let snapshot = |row: &duckdb::Row<'_>| {
                    let stream_sequence =
                        row.get::<_, Option<u64>>("stream_sequence")?.filter(|_| is_of_stream);
                    Ok(SealedSnapshot { captured_at_us: row.get("captured_us")?, stream_sequence })
                };
                found.extend(statement.query_map(params, snapshot)?.collect::<Result<Vec<_>, _>>()?);
            }
            found.sort_by_key(|snapshot| Reverse(snapshot.captured_at_us));
            found.truncate(limit);
            Ok(found)
        })
    }
}

/// Where the snapshot is that says how `host` was at a moment, or why there is none.
fn locate<'a>(
    reading: &Reading<'a>,
    host: &HostName,
    at_us: i64,
) -> Result<Result<SampleLocation<'a>, NoSnapshot>, HistoryError> {
    let table = reading.latest(host, at_us, SampleKind::WithTable)?;
    if let Some(table) = table
        && says_how_it_was(table, at_us)
    {
        return Ok(Ok(table));
    }
    let Some(sample) = reading.latest(host, at_us, SampleKind::Any)? else {
        let first = reading.next(host, at_us, SampleKind::Any)?;
        return Ok(Err(
            first.map_or(NoSnapshot::UnknownHost, |first_us| NoSnapshot::BeforeFirst { first_us })
        ));
    };
    if !says_how_it_was(sample, at_us) {
        return Ok(Err(silence(sample.captured_us, reading.next(host, at_us, SampleKind::Any)?)));
    }
    // One snapshot a minute is kept of a host above its share, even where its segment keeps every sample of others.
    if let Some(table) = table
        && is_up(table, at_us, Spacing::OneAMinute)
    {
        return Ok(Ok(table));
    }
    // The host was not silent, but of this time its process table is not kept.
    let next = reading.next(host, at_us, SampleKind::WithTable)?;
    Ok(Err(match (sample.segment.resolution(), table) {
        (Resolution::Samples | Resolution::Minutes, Some(table)) => silence(table.captured_us, next),
        _ => NoSnapshot::OnlyHours { after_us: next },
    }))
}

fn silence(before_us: i64, next_us: Option<i64>) -> NoSnapshot {
    match next_us {
        Some(after_us) => NoSnapshot::Gap { before_us, after_us },
        None => NoSnapshot::AfterLast { last_us: before_us },
    }
}

/// Whether a snapshot is so near before a moment that the host was then as it says.
fn says_how_it_was(place: SampleLocation<'_>, at_us: i64) -> bool {
    is_up(place, at_us, place.segment.resolution().spacing())
}

fn is_up(place: SampleLocation<'_>, at_us: i64, spacing: Spacing) -> bool {
    let age_us = at_us.saturating_sub(place.captured_us);
    HostState::after(age_us, place.interval_ms, spacing) == HostState::Up
}

fn past_snapshot(
    reading: &Reading<'_>,
    host: &HostName,
    place: SampleLocation<'_>,
) -> Result<PastSnapshot, HistoryError> {
    let earlier = reading.latest(host, place.captured_us.saturating_sub(1), SampleKind::WithTable)?;
    let later_us = reading.next(host, place.captured_us, SampleKind::WithTable)?;
    let same = earlier.filter(|earlier| std::ptr::eq(earlier.segment, place.segment));
    let first_us = same.map_or(place.captured_us, |earlier| earlier.captured_us);
    let window = reading.window(place.segment, host, first_us, place.captured_us)?;
    let snapshot = window.snapshot(place.captured_us).ok_or(duckdb::Error::QueryReturnedNoRows)?;
    let previous = match (same, earlier) {
        (Some(earlier), _) => window.snapshot(earlier.captured_us),
        (None, Some(SampleLocation { segment, captured_us, .. })) => {
            reading.window(segment, host, captured_us, captured_us)?.snapshot(captured_us)
        }
        (None, None) => None,
    };
    Ok(PastSnapshot {
        pair: SnapshotPair::new(host.clone(), Arc::new(snapshot), previous.map(Arc::new)),
        earlier_us: earlier.map(|earlier| earlier.captured_us),
        later_us,
        resolution: place.segment.resolution(),
    })
}
