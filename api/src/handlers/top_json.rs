//! `/api/v1/top`: who used most, as JSON or CSV.
//!
//! Parameters: `by` (`cpu`, `memory`, `peak`, `read`, `written`), `group` (`process`, `name`, `user`, `unit`, `host`), `from`, `to`,
//! `range`, `host`, `limit`.

use fleetps_ingestor::history::{TopBy, TopRow};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    json::AboutPast,
    listing::{self, List},
    shape::{InEither, InShape, Series, Shape},
    top::TopRequest,
};
use crate::{
    answer::{Time, shape},
    csv::InFormat,
    extract::Query,
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    view::top::{self, GROUPS, ORDERS, TopQuery, id},
};

/// The columns of the CSV form.
const COLUMNS: [&str; 13] = [
    "key",
    "host",
    "pid",
    "boot_id",
    "started_at",
    "hosts",
    "processes",
    "cpu_time_ms",
    "peak_resident_bytes",
    "read_bytes",
    "written_bytes",
    "share_percent",
    "memory_bytes",
];

/// What used most over a time.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Top<'a> {
    #[schemars(extend("enum" = ORDERS.map(|(_, id, _)| id)))]
    by: &'static str,
    #[schemars(extend("enum" = GROUPS.map(|(_, id, _)| id)))]
    group: &'static str,
    from: Time,
    to: Time,
    /// How many lines there are, without `limit`.
    total: u64,
    /// CPU time of all processes.
    cpu_time_ms_of_processes: Option<u64>,
    /// CPU time of the machines by their own count.
    cpu_time_ms_of_machines: Option<u64>,
    /// What was in no process.
    cpu_time_ms_in_no_process: Option<u64>,
    top: Vec<Line<'a>>,
}

/// A process, a program, a user, a unit or a host.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TopLine")]
struct Line<'a> {
    /// Its name; null for what has none.
    key: Option<&'a str>,
    /// Where lines are processes: its host, and what names it there.
    host: Option<&'a str>,
    pid: Option<u32>,
    boot_id: Option<&'a str>,
    started_at: Option<Time>,
    hosts: u64,
    processes: u64,
    cpu_time_ms: Option<u64>,
    /// The memory of its processes together, as the mean of the snapshots in this time; what processes of one host share is counted
    /// once.
    memory_bytes: Option<u64>,
    /// The greatest resident set of one of them.
    peak_resident_bytes: Option<u64>,
    read_bytes: Option<u64>,
    written_bytes: Option<u64>,
    /// Of what all lines used; null where they are ordered by peaks, which have no sum.
    share_percent: Option<f64>,
}

shape!(Top<'_>);

fn line(row: &TopRow, by: TopBy, sum: Option<f64>) -> Line<'_> {
    let process = row.process.as_ref();
    Line {
        key: row.key.as_deref(),
        host: process.map(|process| process.host.as_str()),
        pid: process.map(|process| process.pid),
        boot_id: process.map(|process| process.boot_id.as_str()),
        started_at: process.map(|process| Time(process.started_at_us)),
        hosts: row.hosts,
        processes: row.processes,
        cpu_time_ms: row.cpu_time_ms,
        memory_bytes: top::amount(row, TopBy::Memory),
        peak_resident_bytes: row.peak_resident_bytes,
        read_bytes: row.read_bytes,
        written_bytes: row.written_bytes,
        share_percent: top::share(row, by, sum),
    }
}

/// The columns of a line as one value.
const SERIES_COLUMNS: [&str; 6] = ["time", "host", "pid", "key", "processes", "value"];

/// A line as one value, of what the top is ordered by: ms of CPU time or bytes.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TopValue {
    time: Time,
    host: Option<String>,
    pid: Option<u32>,
    key: Option<String>,
    processes: u64,
    value: Option<u64>,
}

fn value(row: &TopRow, by: TopBy, time: Time) -> TopValue {
    let process = row.process.as_ref();
    TopValue {
        time,
        host: process.map(|process| process.host.to_string()),
        pid: process.map(|process| process.pid),
        key: row.key.clone(),
        processes: row.processes,
        value: top::amount(row, by),
    }
}

/// The lines.
pub(crate) async fn list(
    scoped: ScopedFleet,
    Query(InShape { query: InFormat { query, format }, shape }): Query<InShape<InFormat<TopQuery>>>,
) -> Result<InEither<AboutPast<Top<'static>>, TopValue>, Refusal> {
    let request = TopRequest::of(query)?;
    let answer = request.ask(&scoped, format.into()).await?;
    if shape == Shape::Series {
        let row = |row: &TopRow| value(row, request.query.by, Time(request.span.span.to_us));
        let values: Vec<TopValue> = answer.rows.iter().map(row).collect();
        let (columns, resolution) = (&SERIES_COLUMNS, answer.resolution);
        let series = Series { name: "top", columns, resolution, values: &values };
        return Ok(InEither::series(&scoped, format, series));
    }
    let lines = Top {
        by: id(request.query.by, &ORDERS),
        group: id(request.query.group, &GROUPS),
        from: Time(request.span.span.from_us),
        to: Time(request.span.span.to_us),
        total: answer.total,
        cpu_time_ms_of_processes: answer.cpu.map(|cpu| cpu.processes_ms),
        cpu_time_ms_of_machines: answer.cpu.map(|cpu| cpu.machines_ms),
        cpu_time_ms_in_no_process: answer.cpu.map(|cpu| cpu.elsewhere_ms()),
        top: answer.rows.iter().map(|row| line(row, request.query.by, answer.sum)).collect(),
    };
    let list = List {
        name: "top",
        columns: &COLUMNS,
        rows: |lines: &Top<'_>| listing::objects(&lines.top),
        resolution: answer.resolution,
        answer: lines,
    };
    Ok(listing::answer(&scoped, format, list).into())
}
