//! The index of each segment: which hosts it holds, and of which time.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use askama::Template;
use duckdb::Connection;
use fleetps_nats::HostName;

use super::views::{Rows, relation};
use crate::{
    segment::{Level, Resolution, SegmentName},
    template::render,
    time::Span,
};

/// The hosts of a segment, and the time of their samples.
#[derive(Template)]
#[template(path = "catalog/index.sql")]
struct IndexSql<'a> {
    host_sample: &'a str,
    /// The condition of the samples that count.
    which: &'a str,
}

/// What is known of a segment without asking it.
#[derive(Debug)]
pub(crate) struct SegmentIndex {
    /// Its name.
    pub(crate) name: SegmentName,
    /// By host.
    hosts: Box<[(Arc<HostName>, HostRanges)]>,
    /// The times from which it holds anything, joined where those of hosts meet: one, unless the clocks of hosts differ by
    /// more than a segment is long.
    times: Box<[(i64, i64)]>,
    events: Option<EventRange>,
}

/// The names of hosts, each in memory once: a host is in thousands of segments.
#[derive(Debug, Default)]
pub(crate) struct HostNames(HashSet<Arc<HostName>>);

/// The events of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventRange {
    /// When the first happened, in µs since 1970 UTC.
    pub(crate) first_us: i64,
    /// When the last happened.
    pub(crate) last_us: i64,
    /// How many there are.
    pub(crate) count: u64,
}

/// When the snapshots of one host in one segment were captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostRanges {
    /// All of them.
    pub(crate) all: HostRange,
    /// Those that have a process table.
    pub(crate) tables: Option<HostRange>,
}

/// When snapshots of one host in one segment were captured, in µs since 1970 UTC, by the host's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostRange {
    /// The first.
    pub(crate) first_us: i64,
    /// The last.
    pub(crate) last_us: i64,
    /// The time between two, in ms, at the last.
    pub(crate) interval_ms: u32,
}

fn load_events(connection: &Connection, name: &SegmentName) -> duckdb::Result<Option<EventRange>> {
    let event = relation(Rows::Of("event"), [name]);
    let sql = format!(
        "SELECT epoch_us(min(occurred_at)) AS first_us, epoch_us(max(occurred_at)) AS last_us, \
         count(*) AS events FROM {event}"
    );
    connection.query_row(&sql, [], |row| {
        let (first_us, last_us): (Option<i64>, Option<i64>) = (row.get("first_us")?, row.get("last_us")?);
        let count = row.get("events")?;
        Ok(first_us.zip(last_us).map(|(first_us, last_us)| EventRange { first_us, last_us, count }))
    })
}

impl HostNames {
    /// These names.
    pub(crate) fn of<'a>(names: impl Iterator<Item = &'a Arc<HostName>>) -> Self {
        Self(names.map(Arc::clone).collect())
    }

    /// Puts the name that is in memory in the place of an equal one.
    fn share(&mut self, host: &mut Arc<HostName>) {
        match self.0.get(host) {
            Some(known) => *host = Arc::clone(known),
            None => drop(self.0.insert(Arc::clone(host))),
        }
    }
}

impl HostRange {
    /// Whether it has, or may have, something within `span`.
    pub(crate) fn overlaps(&self, span: Span) -> bool {
        self.first_us < span.to_us && self.last_us >= span.from_us
    }
}

impl SegmentIndex {
    /// Looks at which hosts and times an attached segment holds.
    pub(crate) fn load(connection: &Connection, name: SegmentName) -> duckdb::Result<Self> {
        let load = |which: &str| -> duckdb::Result<HashMap<HostName, HostRange>> {
            let host_sample = &relation(Rows::Of("host_sample"), [&name]);
            let mut statement = connection.prepare(&render(&IndexSql { host_sample, which }))?;
            let rows = statement.query_map([], |row| {
                let range = HostRange {
                    first_us: row.get("first_us")?,
                    last_us: row.get("last_us")?,
                    interval_ms: row.get("last_interval_ms")?,
                };
                Ok((row.get::<_, String>("host")?, range))
            })?;
            // Always a host's name, unless another program wrote the file.
            let of_host = |(host, range): (String, HostRange)| Some((host.parse().ok()?, range));
            let rows = rows.collect::<duckdb::Result<Vec<_>>>()?;
            Ok(rows.into_iter().filter_map(of_host).collect())
        };
        let (all, mut tables) = (load("true")?, load("has_processes")?);
        let ranges = all.into_iter().map(|(host, all)| {
            let tables = tables.remove(&host);
            (host, HostRanges { all, tables })
        });
        let events = if name.has_events() { load_events(connection, &name)? } else { None };
        Ok(Self::of(name, ranges).with_events(events))
    }

    /// A segment that holds these hosts, without events.
    pub(crate) fn of(name: SegmentName, hosts: impl IntoIterator<Item = (HostName, HostRanges)>) -> Self {
        let mut hosts: Box<[_]> = hosts.into_iter().map(|(host, ranges)| (Arc::new(host), ranges)).collect();
        hosts.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let times =
            joined(hosts.iter().map(|(_, ranges)| (ranges.all.first_us, ranges.all.last_us)).collect());
        Self { name, hosts, times, events: None }
    }

    /// The same with these events.
    pub(crate) fn with_events(self, events: Option<EventRange>) -> Self {
        Self { events, ..self }
    }

    /// The same with the names of hosts that are in memory already.
    pub(crate) fn sharing(mut self, names: &mut HostNames) -> Self {
        self.hosts.iter_mut().for_each(|(host, _)| names.share(host));
        self
    }

    /// Its events, if it has any.
    pub(crate) fn events(&self) -> Option<EventRange> {
        self.events
    }

    /// When its first snapshot was captured.
    pub(crate) fn first_us(&self) -> Option<i64> {
        self.times.iter().map(|(first_us, _)| *first_us).min()
    }

    /// How finely it keeps what it holds.
    pub(crate) fn resolution(&self) -> Resolution {
        self.name.level.resolution()
    }

    /// Whether `process_hour` is filled.
    pub(crate) fn has_hours(&self) -> bool {
        self.name.level > Level::Fresh && self.name.schema_version >= 2
    }

    /// The hosts with anything in it, and their times, by name.
    pub(crate) fn hosts(&self) -> &[(Arc<HostName>, HostRanges)] {
        &self.hosts
    }

    /// The times of `host` in it.
    pub(crate) fn range(&self, host: &HostName) -> Option<HostRange> {
        let place = self.hosts.binary_search_by(|(known, _)| known.as_ref().cmp(host)).ok()?;
        self.hosts.get(place).map(|(_, ranges)| ranges.all)
    }

    /// When the last snapshot of any host in it was captured.
    pub(crate) fn last_us(&self) -> Option<i64> {
        self.times.last().map(|(_, last_us)| *last_us)
    }

    /// Whether it holds a snapshot of `host`, or of any host, captured within `span`; it may still be that there is none
    /// between its first and its last.
    pub(crate) fn overlaps(&self, host: Option<&HostName>, span: Span) -> bool {
        match host {
            Some(host) => self.range(host).is_some_and(|range| range.overlaps(span)),
            None => {
                let begins = self.times.partition_point(|(_, last_us)| *last_us < span.from_us);
                self.times.get(begins).is_some_and(|(first_us, _)| *first_us < span.to_us)
            }
        }
    }

    /// Whether everything in it was captured within `span`.
    pub(crate) fn is_within(&self, span: Span) -> bool {
        self.times.iter().all(|(first_us, last_us)| *first_us >= span.from_us && *last_us < span.to_us)
    }
}

/// Times, both ends included, joined where they have a moment in common; in order.
fn joined(mut times: Vec<(i64, i64)>) -> Box<[(i64, i64)]> {
    times.sort_unstable();
    times.dedup_by(|next, before| {
        let meets = next.0 <= before.1;
        if meets {
            before.1 = before.1.max(next.1);
        }
        meets
    });
    times.into()
}
