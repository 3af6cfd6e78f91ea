//! One host over time: `/api/v1/hosts/{host}/metrics`, `…/breakdown` and `…/snapshots`, as JSON or as CSV.
//!
//! All take `from`, `to` and `range` (an hour until now without them). `metrics` takes `points`; each point has the mean
//! of a value under its own name, and what it was at least and at most under `…_min` and `…_max`; with `shape=series` each
//! value is a row. `breakdown` takes `of` (`cpu` or `memory`), `parts` and `layers`. `snapshots` takes `limit`.

use std::{borrow::Cow, time::Duration};

use fleetps_ingestor::history::{Breakdown, BreakdownOf, Extent, HostPoint, Span};
use fleetps_nats::HostName;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    json::{self, AboutPast, Period},
    listing,
    shape::{InEither, InShape, Series, Shape},
};
use crate::{
    answer::{Answer, Time, shape},
    csv::{Format, InFormat},
    display::time_exact,
    extract::{Host, Query},
    live::now_us,
    query::{
        parameter::{self, BadParameter, Count, is_default},
        parameters,
    },
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    view::{chart::hosts::KINDS, when::SpanQuery},
};

/// Points unless asked otherwise: enough for a chart across a page.
const DEFAULT_POINTS: usize = 600;
/// The most points: more than a screen has pixels.
const MAX_POINTS: usize = 2_000;
/// Parts of a breakdown unless asked otherwise.
const DEFAULT_PARTS: usize = 120;
/// Programs in a breakdown unless asked otherwise.
const DEFAULT_LAYERS: usize = 6;
/// The most programs in a breakdown.
const MAX_LAYERS: usize = 50;
/// Moments listed unless asked otherwise, and at most: a day of one every ten seconds is 8,640.
const DEFAULT_MOMENTS: usize = 1_000;
const MAX_MOMENTS: usize = 100_000;
/// The span unless one is given.
const DEFAULT_SPAN: Duration = Duration::from_secs(3_600);

/// The query of a host's metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MetricsQuery {
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    points: Count<DEFAULT_POINTS, MAX_POINTS, 1>,
    #[serde(flatten)]
    span: SpanQuery,
}

/// The query of a breakdown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct BreakdownQuery {
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    of: BreakdownOf,
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    parts: Count<DEFAULT_PARTS, MAX_POINTS, 1>,
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    layers: Count<DEFAULT_LAYERS, MAX_LAYERS, 1>,
    #[serde(flatten)]
    span: SpanQuery,
}

/// The query of a list of snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SnapshotsQuery {
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    limit: Count<DEFAULT_MOMENTS, MAX_MOMENTS, 1>,
    #[serde(flatten)]
    span: SpanQuery,
}

parameters! {
    MetricsQuery {
        points: "The most points.",
        ..span,
    }
}

parameters! {
    BreakdownQuery {
        of: "What is broken down.",
        parts: "Into how many parts the span is cut.",
        layers: "The most programs; the rest is other.",
        ..span,
    }
}

parameters! {
    SnapshotsQuery {
        limit: "The most snapshots.",
        ..span,
    }
}

impl parameter::Value for BreakdownOf {
    fn read(given: &str) -> Result<Self, String> {
        match given {
            "cpu" => Ok(Self::Cpu),
            "memory" => Ok(Self::Memory),
            _ => Err("`cpu` or `memory`".to_owned()),
        }
    }

    fn written(&self) -> String {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
        .to_owned()
    }

    fn schema() -> Value {
        parameter::words(["cpu", "memory"])
    }
}

fn resolved(span: &SpanQuery) -> Result<Span, BadParameter> {
    let now_us = now_us();
    span.resolve(now_us, now_us, DEFAULT_SPAN)
}

/// A host's load over time.
#[derive(Serialize, JsonSchema)]
pub(crate) struct HostOverTime {
    host: String,
    from: Time,
    to: Time,
    /// When nothing was heard of it.
    gaps: Vec<Period>,
    #[schemars(with = "Vec<PointFields>")]
    points: Vec<Value>,
}

/// A point: the mean of each value, and what it was at least and at most.
struct PointFields;

impl JsonSchema for PointFields {
    fn schema_name() -> Cow<'static, str> {
        "HostPoint".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json::points(&[TOTAL], values())
    }
}

/// What made up a host's CPU or memory.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Breakdown")]
pub(crate) struct BrokenDown {
    host: String,
    from: Time,
    to: Time,
    /// The ends of the parts: one more than there are values.
    bounds: Vec<Time>,
    layers: Vec<Layer>,
    /// What is in none of the layers, in each part.
    other: Vec<Option<f64>>,
}

/// A program's share.
#[derive(Serialize, JsonSchema)]
struct Layer {
    name: String,
    /// Its value in each part; null where nothing is known.
    values: Vec<Option<f64>>,
}

/// When snapshots were taken.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Snapshots {
    host: String,
    from: Time,
    to: Time,
    /// How many there are, without `limit`.
    total: u64,
    captured_at: Vec<Time>,
}

shape!(HostOverTime);
shape!(BrokenDown);
shape!(Snapshots);

/// The value that has no extent of its own: the most there was.
const TOTAL: &str = "memory_total_bytes";

/// The names of the values of a point: those of the charts in their order, then those that no chart shows.
fn values() -> impl Iterator<Item = &'static str> {
    let of_charts = || KINDS.iter().flat_map(|kind| kind.lines).map(|line| line.field);
    let is_in_none = move |name: &&str| *name != TOTAL && of_charts().all(|charted| charted != *name);
    of_charts().chain(HostPoint::names().filter(is_in_none))
}

/// The host's load over time.
pub(crate) async fn metrics(
    scoped: ScopedFleet,
    Host(host): Host,
    Query(InShape { query: InFormat { query, format }, shape }): Query<InShape<InFormat<MetricsQuery>>>,
) -> Result<InEither<AboutPast<HostOverTime>, HostValue>, Refusal> {
    let span = resolved(&query.span)?;
    let (name, points) = (host.clone(), query.points.get());
    let newer = scoped.newer(&name, span).await.snapshots;
    let metrics =
        scoped.ask_for(format, move |history| history.host_metrics(&name, span, points, &newer)).await?;
    if shape == Shape::Series {
        let values: Vec<HostValue> =
            metrics.points.iter().flat_map(|point| values_of(&host, point)).collect();
        let (columns, resolution) = (&SERIES_COLUMNS, metrics.resolution);
        let series = Series { name: &format!("{host}-metrics"), columns, resolution, values: &values };
        return Ok(InEither::series(&scoped, format, series));
    }
    let rows: Vec<Value> = metrics.points.iter().map(row).collect();
    if format == Format::Csv {
        let columns = columns();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let name = format!("{host}-metrics");
        let csv = listing::file(&scoped, metrics.resolution, &name, &columns, &rows);
        return Ok(Answer::of_csv(csv).into());
    }
    let answer = HostOverTime {
        host: host.to_string(),
        from: Time(span.from_us),
        to: Time(span.to_us),
        gaps: metrics.gaps.iter().map(Period::of).collect(),
        points: rows,
    };
    Ok(Answer::of(&AboutPast::new(&scoped, metrics.resolution, answer)).into())
}

/// The columns of a value of a host.
const SERIES_COLUMNS: [&str; 6] = ["time", "host", "name", "value", "min", "max"];

/// A value of a host over a time that ends at `time`: its mean, and what it was at least and at most.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HostValue {
    time: Time,
    host: String,
    name: &'static str,
    value: f64,
    min: f64,
    max: f64,
}

/// The values of a point, each as a row.
fn values_of(host: &HostName, point: &HostPoint) -> Vec<HostValue> {
    let row = |name: &'static str| {
        let Extent { min, mean, max } = point.extent(name)?;
        Some(HostValue { time: Time(point.to_us), host: host.to_string(), name, value: mean, min, max })
    };
    values().filter_map(row).collect()
}

fn columns() -> Vec<String> {
    let of_a_value = |name: &str| [name.to_owned(), format!("{name}_min"), format!("{name}_max")];
    let fixed = ["from", "to", "samples", TOTAL].map(str::to_owned);
    fixed.into_iter().chain(values().flat_map(of_a_value)).collect()
}

fn row(point: &HostPoint) -> Value {
    let mut row = Map::new();
    row.insert("from".to_owned(), time_exact(point.from_us).into());
    row.insert("to".to_owned(), time_exact(point.to_us).into());
    row.insert("samples".to_owned(), point.samples.into());
    row.insert(TOTAL.to_owned(), point.memory_total_bytes().into());
    for name in values() {
        json::insert_extent(&mut row, name, point.extent(name));
    }
    Value::Object(row)
}

/// The breakdown of the host's CPU or memory by program.
pub(crate) async fn breakdown(
    scoped: ScopedFleet,
    Host(host): Host,
    Query(InFormat { query, format }): Query<InFormat<BreakdownQuery>>,
) -> Result<Answer<AboutPast<BrokenDown>>, Refusal> {
    let span = resolved(&query.span)?;
    let (name, of) = (host.clone(), query.of);
    let (parts, layers) = (query.parts.get(), query.layers.get());
    let breakdown =
        scoped.ask_for(format, move |history| history.breakdown(&name, span, of, parts, layers)).await?;
    if format == Format::Csv {
        let columns = ["from", "to", "name", "value"];
        let rows = breakdown_rows(&breakdown);
        let name = format!("{host}-breakdown");
        return Ok(Answer::of_csv(listing::file(&scoped, breakdown.resolution, &name, &columns, &rows)));
    }
    let layers = breakdown.layers.into_iter().map(|layer| Layer { name: layer.name, values: layer.values });
    let answer = BrokenDown {
        host: host.to_string(),
        from: Time(span.from_us),
        to: Time(span.to_us),
        bounds: breakdown.bounds_us.into_iter().map(Time).collect(),
        layers: layers.collect(),
        other: breakdown.other,
    };
    Ok(Answer::of(&AboutPast::new(&scoped, breakdown.resolution, answer)))
}

/// A row for each program and part.
fn breakdown_rows(breakdown: &Breakdown) -> Vec<Value> {
    let layers = breakdown.layers.iter().map(|layer| (Value::String(layer.name.clone()), &layer.values));
    let all = layers.chain([(Value::Null, &breakdown.other)]);
    let of_a_layer = |(name, values): (Value, &Vec<Option<f64>>)| -> Vec<Value> {
        let parts = breakdown.bounds_us.windows(2).zip(values.clone());
        let row = |(bounds, value): (&[i64], Option<f64>)| match bounds {
            [from_us, to_us] => {
                json!({"from": time_exact(*from_us), "to": time_exact(*to_us), "name": name, "value": value})
            }
            _ => Value::Null,
        };
        parts.map(row).collect()
    };
    all.flat_map(of_a_layer).collect()
}

/// When snapshots of the host that have a process table were captured.
pub(crate) async fn snapshots(
    scoped: ScopedFleet,
    Host(host): Host,
    Query(InFormat { query, format }): Query<InFormat<SnapshotsQuery>>,
) -> Result<Answer<AboutPast<Snapshots>>, Refusal> {
    let span = resolved(&query.span)?;
    let (name, limit) = (host.clone(), query.limit.get());
    let listed = scoped.ask_for(format, move |history| history.snapshots(&name, span, limit)).await?;
    let moments: Vec<Time> = listed.items.iter().copied().map(Time).collect();
    if format == Format::Csv {
        let rows: Vec<Value> =
            moments.iter().map(|captured_at| json!({"captured_at": captured_at})).collect();
        let name = format!("{host}-snapshots");
        return Ok(Answer::of_csv(listing::file(&scoped, listed.resolution, &name, &["captured_at"], &rows)));
    }
    let answer = Snapshots {
        host: host.to_string(),
        from: Time(span.from_us),
        to: Time(span.to_us),
        total: listed.total,
        captured_at: moments,
    };
    Ok(Answer::of(&AboutPast::new(&scoped, listed.resolution, answer)))
}
