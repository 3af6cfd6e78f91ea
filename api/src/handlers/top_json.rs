//! `/api/v1/top`: who used most, as JSON or CSV.
//!
//! Parameters: `by` (`cpu`, `memory`, `read`, `written`), `group` (`process`, `name`, `user`, `unit`, `host`), `from`, `to`,
//! `range`, `host`, `limit`.

use axum::response::Response;
use fleetps_ingestor::history::{TopBy, TopRow};
use serde_json::{Value, json};

use super::{
    listing::{self, List},
    shape::{self, InShape, Shape},
    top::TopRequest,
};
use crate::{
    csv::InFormat,
    display::time_exact,
    extract::Query,
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    view::top::{self, GROUPS, ORDERS, TopQuery, id},
};

/// The columns of the CSV form.
const COLUMNS: [&str; 12] = [
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
];

fn line(row: &TopRow, by: TopBy, sum: Option<f64>) -> Value {
    let process = row.process.as_ref();
    json!({
        "key": row.key,
        "host": process.map(|process| process.host.as_str()),
        "pid": process.map(|process| process.pid),
        "boot_id": process.map(|process| &process.boot_id),
        "started_at": process.map(|process| time_exact(process.started_at_us)),
        "hosts": row.hosts,
        "processes": row.processes,
        "cpu_time_ms": row.cpu_time_ms,
        "peak_resident_bytes": row.peak_resident_bytes,
        "read_bytes": row.read_bytes,
        "written_bytes": row.written_bytes,
        "share_percent": top::share(row, by, sum),
    })
}

/// The columns of a line as one value.
const SERIES_COLUMNS: [&str; 6] = ["time", "host", "pid", "key", "processes", "value"];

/// A line as one value, of what the top is ordered by: ms of CPU time or bytes.
fn value(row: &TopRow, by: TopBy, time: &str) -> Value {
    let process = row.process.as_ref();
    json!({
        "time": time,
        "host": process.map(|process| process.host.as_str()),
        "pid": process.map(|process| process.pid),
        "key": row.key,
        "processes": row.processes,
        "value": match by {
            TopBy::Cpu => row.cpu_time_ms,
            TopBy::Memory => row.peak_resident_bytes,
            TopBy::Read => row.read_bytes,
            TopBy::Written => row.written_bytes,
        },
    })
}

/// The lines.
pub async fn list(
    scoped: ScopedFleet,
    Query(InShape { query: InFormat { query, format }, shape }): Query<InShape<InFormat<TopQuery>>>,
) -> Result<Response, Refusal> {
    let request = TopRequest::of(query)?;
    let answer = request.ask(&scoped, format.into()).await?;
    if shape == Shape::Series {
        let time = time_exact(request.span.span.to_us);
        let row = |row: &TopRow| value(row, request.query.by, &time);
        let rows: Vec<Value> = answer.rows.iter().map(row).collect();
        return Ok(shape::answer("top", format, &SERIES_COLUMNS, &rows));
    }
    let about = json!({
        "by": id(request.query.by, &ORDERS),
        "group": id(request.query.group, &GROUPS),
        "from": time_exact(request.span.span.from_us),
        "to": time_exact(request.span.span.to_us),
        "total": answer.total,
        "cpu_time_ms_of_processes": answer.cpu.map(|cpu| cpu.processes_ms),
        "cpu_time_ms_of_machines": answer.cpu.map(|cpu| cpu.machines_ms),
        "cpu_time_ms_in_no_process": answer.cpu.map(|cpu| cpu.elsewhere_ms()),
    });
    let list = List {
        name: "top",
        columns: &COLUMNS,
        rows: answer.rows.iter().map(|row| line(row, request.query.by, answer.sum)).collect(),
        resolution: answer.resolution,
        about: listing::fields(about),
    };
    Ok(listing::answer(&scoped, format, list))
}
