//! `/api/v1/search`: every process on every host that a filter lets through, as JSON or CSV.
//!
//! Parameters: `q` (the filter), `at` (a moment; without it, the present), `sort`, `dir`, `limit`.

use axum::http::StatusCode;
use fleetps_ingestor::history::Found;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    json::AboutPast,
    listing::{self, List},
    page,
    process_fields::{self, ProcessJson},
    search::{Answer as Listed, ask, moment},
    shape::{InEither, InShape, Series, Shape},
};
use crate::{
    answer::{Answer, Time, shape},
    csv::{Format, InFormat},
    extract::Query,
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    view::search::{self, FoundColumn, SearchQuery},
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
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FoundProcess")]
struct Row<'a> {
    host: &'a str,
    boot_id: &'a str,
    captured_at: Time,
    #[serde(flatten)]
    process: ProcessJson<'a>,
}

impl<'a> Row<'a> {
    fn of(found: &'a Found) -> Self {
        Self {
            host: found.identity.host.as_str(),
            boot_id: &found.identity.boot_id,
            captured_at: Time(found.captured_at_us),
            process: ProcessJson::of(
                &search::facts(found),
                &process_fields::on_request().collect::<Vec<_>>(),
            ),
        }
    }
}

/// The processes that a filter lets through.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Search<'a> {
    q: &'a str,
    /// The moment that was searched; null for the present.
    at: Option<Time>,
    /// How many there are, without `limit`.
    total: u64,
    /// Hosts that were not searched, because it would have taken too long.
    hosts_not_searched: usize,
    /// Hosts of which processes or texts are missing.
    hosts_incomplete: u64,
    processes_left_out: u64,
    texts_shortened: u64,
    processes: Vec<Row<'a>>,
}

shape!(Search<'_>);

/// The processes.
pub(crate) async fn list(
    scoped: ScopedFleet,
    Query(InShape { query: InFormat { query, format }, shape }): Query<InShape<InFormat<SearchQuery>>>,
) -> Result<InEither<AboutPast<Search<'static>>, FoundValue>, Refusal> {
    let filter = query.q.filter.clone().map_err(|error| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("the filter `q` cannot be read at column {}", error.column),
            error.message,
        )
    })?;
    let order = query.order(FoundColumn::Host);
    let answer = ask(&scoped, filter, moment(&query), (order, query.limit.get()), format.into()).await?;
    page::aside(move || match shape {
        Shape::Full => answered(&scoped, &query, format, &answer).into(),
        Shape::Series => {
            let values: Vec<FoundValue> = answer.listing.items.iter().map(value).collect();
            let (columns, resolution) = (&SERIES_COLUMNS, answer.listing.resolution);
            let series = Series { name: "processes", columns, resolution, values: &values };
            InEither::series(&scoped, format, series)
        }
    })
    .await
}

/// The columns of a process that was found as values of one moment.
const SERIES_COLUMNS: [&str; 9] =
    ["time", "host", "pid", "program", "user", "unit", "value", "resident_bytes", "cpu_time_ms"];

/// A process as values of one moment; `value` is its CPU use in percent of one core.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FoundValue {
    time: Time,
    host: String,
    pid: u32,
    program: String,
    user: Option<String>,
    unit: Option<String>,
    value: Option<f32>,
    resident_bytes: Option<u64>,
    cpu_time_ms: Option<u64>,
}

fn value(found: &Found) -> FoundValue {
    let process = &found.process;
    FoundValue {
        time: Time(found.captured_at_us),
        host: found.identity.host.to_string(),
        pid: found.identity.pid,
        program: process.name.clone(),
        user: process.user_name.clone(),
        unit: process.unit.clone(),
        value: process.cpu_percent,
        resident_bytes: process.resident_bytes,
        cpu_time_ms: process.cpu_time_ms,
    }
}

fn answered(
    scoped: &ScopedFleet,
    query: &SearchQuery,
    format: Format,
    answer: &Listed,
) -> Answer<AboutPast<Search<'static>>> {
    let found = Search {
        q: &query.q.text,
        at: answer.at_us.map(Time),
        total: answer.listing.total,
        hosts_not_searched: answer.hosts_left,
        hosts_incomplete: answer.omitted.hosts,
        processes_left_out: answer.omitted.processes_left_out,
        texts_shortened: answer.omitted.texts_shortened,
        processes: answer.listing.items.iter().map(Row::of).collect(),
    };
    let everything: Vec<_> = process_fields::on_request().collect();
    let others = process_fields::names(&everything).filter(|name| !FIRST_COLUMNS.contains(name));
    let columns: Vec<&str> = FIRST_COLUMNS.into_iter().chain(others).collect();
    let list = List {
        name: "processes",
        columns: &columns,
        rows: |found: &Search<'_>| listing::objects(&found.processes),
        resolution: answer.listing.resolution,
        answer: found,
    };
    listing::answer(scoped, format, list)
}
