//! The index of each attached segment: which hosts it holds, and of which time.

use std::collections::HashMap;

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

/// A segment that is attached.
#[derive(Debug)]
pub(crate) struct SegmentIndex {
    /// Its name.
    pub(crate) name: SegmentName,
    hosts: HashMap<HostName, HostRange>,
    /// The same of the snapshots that have a process table.
    tables: HashMap<HostName, HostRange>,
    events: Option<EventRange>,
}

/// The events of a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventRange {
    /// When the first happened, in µs since 1970 UTC.
    pub(crate) first_us: i64,
    /// When the last happened.
    pub(crate) last_us: i64,
    /// How many there are.
    pub(crate) count: u64,
}

/// When the snapshots of one host in one segment were captured, in µs since 1970 UTC, by the host's clock.
#[derive(Debug, Clone, Copy)]
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
    let sql = format!("SELECT epoch_us(min(occurred_at)), epoch_us(max(occurred_at)), count(*) FROM {event}");
    connection.query_row(&sql, [], |row| {
        let (first_us, last_us): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
        let count = row.get(2)?;
        Ok(first_us.zip(last_us).map(|(first_us, last_us)| EventRange { first_us, last_us, count }))
    })
}

/// When the last snapshot of `host` in these segments was captured.
pub(crate) fn last_us<'a>(segments: impl Iterator<Item = &'a SegmentIndex>, host: &HostName) -> Option<i64> {
    segments.filter_map(|held| held.range(host)).map(|range| range.last_us).max()
}

impl SegmentIndex {
    /// Looks at which hosts and times an attached segment holds.
    pub(crate) fn load(connection: &Connection, name: SegmentName) -> duckdb::Result<Self> {
        let load = |which: &str| -> duckdb::Result<HashMap<HostName, HostRange>> {
            let host_sample = &relation(Rows::Of("host_sample"), [&name]);
            let mut statement = connection.prepare(&render(&IndexSql { host_sample, which }))?;
            let rows = statement.query_map([], |row| {
                let range =
                    HostRange { first_us: row.get(1)?, last_us: row.get(2)?, interval_ms: row.get(3)? };
                Ok((row.get::<_, String>(0)?, range))
            })?;
            // Always a host's name, unless another program wrote the file.
            let of_host = |(host, range): (String, HostRange)| Some((host.parse().ok()?, range));
            let rows = rows.collect::<duckdb::Result<Vec<_>>>()?;
            Ok(rows.into_iter().filter_map(of_host).collect())
        };
        let events = if name.has_events() { load_events(connection, &name)? } else { None };
        Ok(Self { name, hosts: load("true")?, tables: load("has_processes")?, events })
    }

    /// Its events, if it has any.
    pub(crate) fn events(&self) -> Option<EventRange> {
        self.events
    }

    /// When its first snapshot was captured.
    pub(crate) fn first_us(&self) -> Option<i64> {
        self.hosts.values().map(|range| range.first_us).min()
    }

    /// How finely it keeps what it holds.
    pub(crate) fn resolution(&self) -> Resolution {
        self.name.level.resolution()
    }

    /// Whether `process_hour` is filled.
    pub(crate) fn has_hours(&self) -> bool {
        self.name.level > Level::Fresh && self.name.schema_version >= 2
    }

    /// The times of `host` in it.
    pub(crate) fn range(&self, host: &HostName) -> Option<HostRange> {
        self.hosts.get(host).copied()
    }

    /// Which process tables of `host` it holds.
    pub(crate) fn tables(&self, host: &HostName) -> Option<HostRange> {
        self.tables.get(host).copied()
    }

    /// The hosts with process tables in it, and their times.
    pub(crate) fn all_tables(&self) -> impl Iterator<Item = (&HostName, &HostRange)> {
        self.tables.iter()
    }

    /// The hosts with anything in it, and their times.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (&HostName, &HostRange)> {
        self.hosts.iter()
    }

    /// Whether it holds a snapshot of `host`, or of any host, captured within `span`; it may still be that there is none
    /// between its first and its last.
    pub(crate) fn overlaps(&self, host: Option<&HostName>, span: Span) -> bool {
        let within = |range: &HostRange| range.first_us < span.to_us && range.last_us >= span.from_us;
        match host {
            Some(host) => self.hosts.get(host).is_some_and(within),
            None => self.hosts.values().any(within),
        }
    }
}
