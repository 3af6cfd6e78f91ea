//! `/api/v1/search`: every process on every host that a filter lets through, as JSON or CSV.
//!
//! Parameters: `q` (the filter), `at` (a moment; without it, the present), `limit`.

use axum::{http::StatusCode, response::Response};
use fleetps_ingestor::history::Found;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    json,
    listing::{self, List},
    page,
    search::{Answer, ask, moment},
    shape::{self, InShape, Shape},
};
use crate::{
    csv::{Format, InFormat},
    display::time_exact,
    extract::Query,
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    view::search::{self, SearchQuery},
};

/// The first columns of the CSV form, in the order that they have had from the start; others follow.
const FIRST_COLUMNS: [&str; 22] = [
    "host",
    "captured_at",
    "pid",
    "boot_id",
    "started_at",
    "parent_pid",
    "name",
    "user_name",
    "state",
    "threads",
    "cpu_percent",
    "cpu_time_ms",
    "resident_bytes",
    "virtual_bytes",
    "read_bytes",
    "written_bytes",
    "read_bytes_per_s",
    "written_bytes_per_s",
    "executable",
    "command_line",
    "unit",
    "container",
];

/// A process that was found.
#[derive(Serialize)]
struct Row<'a> {
    host: &'a str,
    boot_id: &'a str,
    captured_at: String,
    #[serde(flatten)]
    process: json::Process<'a>,
}

impl<'a> Row<'a> {
    fn of(found: &'a Found) -> Self {
        Self {
            host: found.identity.host.as_str(),
            boot_id: &found.identity.boot_id,
            captured_at: time_exact(found.captured_at_us),
            process: json::Process::of(&search::facts(found), &json::on_request().collect::<Vec<_>>()),
        }
    }
}

/// The processes.
pub async fn list(
    scoped: ScopedFleet,
    Query(InShape { query: InFormat { query, format }, shape }): Query<InShape<InFormat<SearchQuery>>>,
) -> Result<Response, Refusal> {
    let filter = query.q.filter.clone().map_err(|error| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("the filter `q` cannot be read at column {}", error.column),
            error.message,
        )
    })?;
    let answer = ask(&scoped, filter, moment(&query), query.limit.get(), format.into()).await?;
    page::aside(move || match shape {
        Shape::Full => answered(&scoped, &query, format, &answer),
        Shape::Series => {
            let rows: Vec<Value> = answer.listing.items.iter().map(value).collect();
            shape::answer("processes", format, &SERIES_COLUMNS, &rows)
        }
    })
    .await
}

/// The columns of a process that was found as values of one moment.
const SERIES_COLUMNS: [&str; 9] =
    ["time", "host", "pid", "program", "user", "unit", "value", "resident_bytes", "cpu_time_ms"];

/// A process as values of one moment; `value` is its CPU use in percent of one core.
fn value(found: &Found) -> Value {
    let process = &found.process;
    json!({
        "time": time_exact(found.captured_at_us),
        "host": found.identity.host.as_str(),
        "pid": found.identity.pid,
        "program": process.name,
        "user": process.user_name,
        "unit": process.unit,
        "value": process.cpu_percent,
        "resident_bytes": process.resident_bytes,
        "cpu_time_ms": process.cpu_time_ms,
    })
}

fn answered(scoped: &ScopedFleet, query: &SearchQuery, format: Format, answer: &Answer) -> Response {
    let about = json!({
        "q": query.q.text,
        "at": answer.at_us.map(time_exact),
        "total": answer.listing.total,
        "hosts_not_searched": answer.hosts_left,
        "hosts_incomplete": answer.omitted.hosts,
        "processes_left_out": answer.omitted.processes_left_out,
        "texts_shortened": answer.omitted.texts_shortened,
    });
    let rows =
        answer.listing.items.iter().map(|found| serde_json::to_value(Row::of(found)).unwrap_or_default());
    let everything: Vec<_> = json::on_request().collect();
    let others = json::process_fields(&everything).filter(|name| !FIRST_COLUMNS.contains(name));
    let columns: Vec<&str> = FIRST_COLUMNS.into_iter().chain(others).collect();
    let list = List {
        name: "processes",
        columns: &columns,
        rows: rows.collect(),
        resolution: answer.listing.resolution,
        about: listing::fields(about),
    };
    listing::answer(scoped, format, list)
}
