//! `/api/v1/hosts/{host}/processes/{pid}`: one process, its relatives, its earlier lives and its likes elsewhere;
//! `…/metrics`: it over time.
//!
//! Parameters: `started` (without it, the address with the start of the process that is meant); for metrics `from`, `to`,
//! `range` and `points`.

use axum::{
    http::StatusCode,
    response::{self, Response},
};
use fleetps_ingestor::history::{Extent, ProcessLife, ProcessPoint, Span};
use fleetps_nats::snapshot::Process;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    json::{self, AboutPast},
    listing::{self, List},
    process::{Known, Started, span, visit},
    shape::{self, InShape, Shape},
};
use crate::{
    csv::InFormat,
    display::time_exact,
    extract::{ProcessPath, Query},
    query::parameter::{self, Count, is_default},
    scoped_fleet::ScopedFleet,
    url::Url,
    view::{
        ProcessFacts, process,
        subject::{self, Subject},
        when::SpanQuery,
    },
};

/// Points of the metrics by default.
const DEFAULT_POINTS: usize = 500;
/// The most points: more than any screen has pixels across.
const MAX_POINTS: usize = 2_000;
/// The first values of the metrics, in the order that their CSV form has had from the start; others follow.
const FIRST_VALUES: [&str; 6] =
    ["cpu_percent", "resident_bytes", "virtual_bytes", "threads", "read_bytes_per_s", "written_bytes_per_s"];

/// The values of the metrics.
fn values_over_time() -> impl Iterator<Item = &'static str> {
    FIRST_VALUES.into_iter().chain(ProcessPoint::names().filter(|name| !FIRST_VALUES.contains(name)))
}

/// The query of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessJsonQuery {
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    started: Option<Started>,
}

/// The query of one process over time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessMetricsQuery {
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    started: Option<Started>,
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    points: Count<DEFAULT_POINTS, MAX_POINTS, 1>,
    #[serde(flatten)]
    span: SpanQuery,
}

/// A process in full; `captured_at` is the snapshot that its figures are of.
#[derive(Serialize)]
struct InFull<'a> {
    host: &'a str,
    boot_id: &'a str,
    captured_at: Option<String>,
    is_live: bool,
    has_exited: bool,
    first_seen: Option<String>,
    last_seen: Option<String>,
    #[serde(flatten)]
    process: json::Process<'a>,
    ancestors: Vec<Value>,
    children: Vec<Value>,
    siblings: Vec<Value>,
    incarnations: Vec<Value>,
    elsewhere: Vec<Value>,
}

/// The process.
pub async fn one(
    scoped: ScopedFleet,
    path: ProcessPath,
    Query(query): Query<ProcessJsonQuery>,
) -> response::Result<Response> {
    let full = |started| {
        let query = ProcessJsonQuery { started: Some(started) };
        Url::pid(path.host.as_str(), path.pid).api().with(&query)
    };
    let subject = visit(&scoped, &path, query.started, full).await?;
    let nothing = Span { from_us: 0, to_us: 1 };
    let known = Known::of(&scoped, &subject, nothing).await?;
    let resolution = known.incarnations.resolution.max(known.elsewhere.resolution);
    let answer = AboutPast::new(&scoped, resolution, in_full(&subject, &known));
    Ok(json::answer(StatusCode::OK, &answer))
}

fn in_full<'a>(subject: &'a Subject, known: &Known) -> InFull<'a> {
    let snapshot = subject.moment.as_ref().map(|moment| moment.snapshot());
    let processes = snapshot.map(|snapshot| snapshot.processes.as_slice()).unwrap_or_default();
    let life = subject.life.as_ref();
    let plain = ProcessFacts::alone(&subject.process, 0);
    let facts = subject::in_its_snapshot(subject).unwrap_or(plain);
    let all = |processes: Vec<&Process>| processes.into_iter().map(relative).collect();
    InFull {
        host: subject.identity.host.as_str(),
        boot_id: &subject.identity.boot_id,
        captured_at: snapshot.map(|snapshot| time_exact(snapshot.captured_at_us)),
        is_live: subject.is_live,
        has_exited: subject.has_exited(),
        first_seen: life.map(|life| time_exact(life.first_seen_us)),
        last_seen: life.map(|life| time_exact(life.last_seen_us)),
        process: json::Process::of(&facts, &json::on_request().collect::<Vec<_>>()),
        ancestors: all(process::ancestors(processes, &subject.process)),
        children: all(process::children(processes, &subject.process)),
        siblings: all(process::siblings(processes, &subject.process)),
        incarnations: known.incarnations.items.iter().map(life_fields).collect(),
        elsewhere: known.elsewhere.items.iter().map(life_fields).collect(),
    }
}

fn relative(process: &Process) -> Value {
    json!({
        "pid": process.pid,
        "started_at": time_exact(process.started_at_us),
        "name": process.name,
        "user_name": process.user_name,
        "cpu_percent": process.cpu_percent,
        "resident_bytes": process.resident_bytes,
        "command_line": process.command_line,
    })
}

fn life_fields(life: &ProcessLife) -> Value {
    json!({
        "host": life.identity.host.as_str(),
        "boot_id": life.identity.boot_id,
        "pid": life.identity.pid,
        "started_at": time_exact(life.identity.started_at_us),
        "first_seen": time_exact(life.first_seen_us),
        "last_seen": time_exact(life.last_seen_us),
        "has_exited": life.has_exited,
        "user_name": life.process.user_name,
        "command_line": life.process.command_line,
    })
}

/// The process over time.
pub async fn metrics(
    scoped: ScopedFleet,
    path: ProcessPath,
    Query(InShape { query: asked, shape }): Query<InShape<InFormat<ProcessMetricsQuery>>>,
) -> response::Result<Response> {
    let full = |started| {
        let query = ProcessMetricsQuery { started: Some(started), ..asked.query.clone() };
        let query = InFormat { query, format: asked.format };
        Url::pid_metrics(path.host.as_str(), path.pid).with(&InShape { query, shape })
    };
    let subject = visit(&scoped, &path, asked.query.started, full).await?;
    let InFormat { query, format } = asked;
    let span = span(&subject, query.span)?.span;
    let (identity, points) = (subject.identity.clone(), query.points.get());
    let metrics =
        scoped.ask_for(format, move |history| history.process_metrics(&identity, span, points)).await?;
    if shape == Shape::Series {
        let rows: Vec<Value> = metrics.points.iter().flat_map(|point| values_of(&subject, point)).collect();
        return Ok(shape::answer("points", format, &SERIES_COLUMNS, &rows));
    }
    let gaps: Vec<Value> = metrics.gaps.iter().map(span_fields).collect();
    let about = json!({
        "host": subject.identity.host.as_str(),
        "boot_id": subject.identity.boot_id,
        "pid": subject.identity.pid,
        "started_at": time_exact(subject.identity.started_at_us),
        "from": time_exact(span.from_us),
        "to": time_exact(span.to_us),
        "gaps": gaps,
    });
    let of_a_value = |name: &str| [name.to_owned(), format!("{name}_min"), format!("{name}_max")];
    let columns: Vec<String> = ["from", "to", "samples"]
        .map(str::to_owned)
        .into_iter()
        .chain(values_over_time().flat_map(of_a_value))
        .collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let list = List {
        name: "points",
        columns: &columns,
        rows: metrics.points.iter().map(point).collect(),
        resolution: metrics.resolution,
        about: listing::fields(about),
    };
    Ok(listing::answer(&scoped, format, list))
}

/// The columns of a value of a process.
const SERIES_COLUMNS: [&str; 8] = ["time", "host", "pid", "program", "name", "value", "min", "max"];

/// The values of a point, each as a row.
fn values_of(subject: &Subject, point: &ProcessPoint) -> Vec<Value> {
    let (host, pid) = (subject.identity.host.as_str(), subject.identity.pid);
    let (time, program) = (time_exact(point.to_us), &subject.process.name);
    let row = |name: &str| {
        let Extent { min, mean, max } = point.extent(name)?;
        Some(json!({
            "time": time, "host": host, "pid": pid, "program": program, "name": name,
            "value": mean, "min": min, "max": max,
        }))
    };
    values_over_time().filter_map(row).collect()
}

fn span_fields(span: &Span) -> Value {
    json!({"from": time_exact(span.from_us), "to": time_exact(span.to_us)})
}

fn point(point: &ProcessPoint) -> Value {
    let mut fields = Map::new();
    fields.insert("from".to_owned(), time_exact(point.from_us).into());
    fields.insert("to".to_owned(), time_exact(point.to_us).into());
    fields.insert("samples".to_owned(), point.samples.into());
    for name in values_over_time() {
        json::insert_extent(&mut fields, name, point.extent(name));
    }
    fields.into()
}
