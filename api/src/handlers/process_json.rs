//! `/api/v1/hosts/{host}/processes/{pid}`: one process, its relatives, its earlier lives and its likes elsewhere;
//! `…/metrics`: it over time.
//!
//! Parameters: `started` (without it, the address with the start of the process that is meant); for metrics `from`, `to`,
//! `range` and `points`.

use std::borrow::Cow;

use axum::response;
use fleetps_ingestor::history::{Extent, ProcessLife, ProcessPoint, Span};
use fleetps_nats::snapshot::Process;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    json::{self, AboutPast, Period},
    listing::{self, List},
    process::{Known, Started, span, visit},
    process_fields::ProcessJson,
    shape::{InEither, InShape, Series, Shape},
};
use crate::{
    answer::{Answer, Time, shape},
    csv::InFormat,
    display::time_exact,
    extract::{ProcessPath, Query},
    query::{
        parameter::{self, Count, is_default},
        parameters,
    },
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
pub(crate) struct ProcessJsonQuery {
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    started: Option<Started>,
}

/// The query of one process over time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ProcessMetricsQuery {
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    started: Option<Started>,
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    points: Count<DEFAULT_POINTS, MAX_POINTS, 1>,
    #[serde(flatten)]
    span: SpanQuery,
}

parameters! {
    ProcessJsonQuery {
        started: "When it started; without it, the answer leads to the process that is meant now.",
    }
}

parameters! {
    ProcessMetricsQuery {
        started: "When it started; without it, the answer leads to the process that is meant now.",
        points: "The most points.",
        ..span,
    }
}

/// A process in full; `captured_at` is the snapshot that its figures are of.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProcessInFull")]
pub(crate) struct InFull<'a> {
    host: &'a str,
    boot_id: &'a str,
    captured_at: Option<Time>,
    is_live: bool,
    has_exited: bool,
    first_seen: Option<Time>,
    last_seen: Option<Time>,
    #[serde(flatten)]
    process: ProcessJson<'a>,
    /// Its parent first.
    ancestors: Vec<Relative<'a>>,
    children: Vec<Relative<'a>>,
    siblings: Vec<Relative<'a>>,
    /// Runs of the same program on its host that began before it and have ended, the latest first.
    incarnations: Vec<Life<'a>>,
    /// The last of the same program on each other host.
    elsewhere: Vec<Life<'a>>,
}

/// A process that it has to do with.
#[derive(Serialize, JsonSchema)]
struct Relative<'a> {
    pid: u32,
    started_at: Time,
    name: &'a str,
    user_name: Option<&'a str>,
    cpu_percent: Option<f32>,
    resident_bytes: Option<u64>,
    command_line: Option<&'a str>,
}

/// A process of the same program.
#[derive(Serialize, JsonSchema)]
struct Life<'a> {
    host: &'a str,
    boot_id: &'a str,
    pid: u32,
    started_at: Time,
    first_seen: Time,
    last_seen: Time,
    has_exited: bool,
    user_name: Option<&'a str>,
    command_line: Option<&'a str>,
}

shape!(InFull<'_>);

/// The process.
pub(crate) async fn one(
    scoped: ScopedFleet,
    path: ProcessPath,
    Query(query): Query<ProcessJsonQuery>,
) -> response::Result<Answer<AboutPast<InFull<'static>>>> {
    let full = |started| {
        let query = ProcessJsonQuery { started: Some(started) };
        Url::pid(path.host.as_str(), path.pid).api().with(&query)
    };
    let subject = visit(&scoped, &path, query.started, full).await?;
    let nothing = Span { from_us: 0, to_us: 1 };
    let known = Known::of(&scoped, &subject, nothing).await?;
    let resolution = known.incarnations.resolution.max(known.elsewhere.resolution);
    Ok(Answer::of(&AboutPast::new(&scoped, resolution, in_full(&subject, &known))))
}

fn in_full<'a>(subject: &'a Subject, known: &'a Known) -> InFull<'a> {
    let snapshot = subject.moment.as_ref().map(|moment| moment.snapshot());
    let processes = snapshot.map(|snapshot| snapshot.processes.as_slice()).unwrap_or_default();
    let life = subject.life.as_ref();
    let plain = ProcessFacts::alone(&subject.process, 0);
    let facts = subject::in_its_snapshot(subject).unwrap_or(plain);
    let all = |processes: Vec<&'a Process>| processes.into_iter().map(relative).collect();
    InFull {
        host: subject.identity.host.as_str(),
        boot_id: &subject.identity.boot_id,
        captured_at: snapshot.map(|snapshot| Time(snapshot.captured_at_us)),
        is_live: subject.is_live,
        has_exited: subject.has_exited(),
        first_seen: life.map(|life| Time(life.first_seen_us)),
        last_seen: life.map(|life| Time(life.last_seen_us)),
        process: ProcessJson::whole(&facts),
        ancestors: all(process::ancestors(processes, &subject.process)),
        children: all(process::children(processes, &subject.process)),
        siblings: all(process::siblings(processes, &subject.process)),
        incarnations: known.incarnations.items.iter().map(life_fields).collect(),
        elsewhere: known.elsewhere.items.iter().map(life_fields).collect(),
    }
}

fn relative(process: &Process) -> Relative<'_> {
    Relative {
        pid: process.pid,
        started_at: Time(process.started_at_us),
        name: &process.name,
        user_name: process.user_name.as_deref(),
        cpu_percent: process.cpu_percent,
        resident_bytes: process.resident_bytes,
        command_line: process.command_line.as_deref(),
    }
}

fn life_fields(life: &ProcessLife) -> Life<'_> {
    Life {
        host: life.identity.host.as_str(),
        boot_id: &life.identity.boot_id,
        pid: life.identity.pid,
        started_at: Time(life.identity.started_at_us),
        first_seen: Time(life.first_seen_us),
        last_seen: Time(life.last_seen_us),
        has_exited: life.has_exited,
        user_name: life.process.user_name.as_deref(),
        command_line: life.process.command_line.as_deref(),
    }
}

/// A process over time.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ProcessOverTime {
    host: String,
    boot_id: String,
    pid: u32,
    started_at: Time,
    from: Time,
    to: Time,
    /// When nothing was heard of the host.
    gaps: Vec<Period>,
    #[schemars(with = "Vec<PointFields>")]
    points: Vec<Value>,
}

shape!(ProcessOverTime);

/// A point: the mean of each value, and what it was at least and at most.
struct PointFields;

impl JsonSchema for PointFields {
    fn schema_name() -> Cow<'static, str> {
        "ProcessPoint".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json::points(&[], values_over_time())
    }
}

/// The process over time.
pub(crate) async fn metrics(
    scoped: ScopedFleet,
    path: ProcessPath,
    Query(InShape { query: asked, shape }): Query<InShape<InFormat<ProcessMetricsQuery>>>,
) -> response::Result<InEither<AboutPast<ProcessOverTime>, ProcessValue>> {
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
        let values: Vec<ProcessValue> =
            metrics.points.iter().flat_map(|point| values_of(&subject, point)).collect();
        let (columns, resolution) = (&SERIES_COLUMNS, metrics.resolution);
        let series = Series { name: "points", columns, resolution, values: &values };
        return Ok(InEither::series(&scoped, format, series));
    }
    let answer = ProcessOverTime {
        host: subject.identity.host.to_string(),
        boot_id: subject.identity.boot_id.clone(),
        pid: subject.identity.pid,
        started_at: Time(subject.identity.started_at_us),
        from: Time(span.from_us),
        to: Time(span.to_us),
        gaps: metrics.gaps.iter().map(Period::of).collect(),
        points: metrics.points.iter().map(point).collect(),
    };
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
        rows: |answer: &ProcessOverTime| answer.points.clone(),
        resolution: metrics.resolution,
        answer,
    };
    Ok(listing::answer(&scoped, format, list).into())
}

/// The columns of a value of a process.
const SERIES_COLUMNS: [&str; 8] = ["time", "host", "pid", "program", "name", "value", "min", "max"];

/// A value of a process over a time that ends at `time`: its mean, and what it was at least and at most.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProcessValue {
    time: Time,
    host: String,
    pid: u32,
    program: String,
    name: &'static str,
    value: f64,
    min: f64,
    max: f64,
}

/// The values of a point, each as a row.
fn values_of(subject: &Subject, point: &ProcessPoint) -> Vec<ProcessValue> {
    let row = |name: &'static str| {
        let Extent { min, mean, max } = point.extent(name)?;
        Some(ProcessValue {
            time: Time(point.to_us),
            host: subject.identity.host.to_string(),
            pid: subject.identity.pid,
            program: subject.process.name.clone(),
            name,
            value: mean,
            min,
            max,
        })
    };
    values_over_time().filter_map(row).collect()
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
