//! Common parts of all JSON answers.
//!
//! Field names are as in the history's tables; unknown values are `null`; times are RFC 3339 in UTC with microseconds;
//! percentages of processes are of one core, those of hosts of all cores together; sizes are in bytes.

use fleetps_ingestor::history::{Extent, Resolution, Span};
use fleetps_nats::model::{Field, Kind, Unit, Value as FieldValue};
use schemars::{JsonSchema, Schema, json_schema};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    answer::{Answer, Shape, Time},
    authz::HostGroups,
    live::Summary,
    scoped_fleet::ScopedFleet,
};

/// What an answer about the past rests on.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Past {
    /// How finely the past was kept.
    #[schemars(extend("enum" = ["samples", "minutes", "hours"]))]
    resolution: &'static str,
    /// Files of the history that could not be read, so that their rows are missing.
    incomplete: Vec<String>,
    /// Since when the broker is away: what is newer than the last stored snapshot is missing then.
    #[serde(skip_serializing_if = "Option::is_none")]
    broker_away_since: Option<Time>,
}

impl Past {
    fn at(scoped: &ScopedFleet, resolution: Resolution) -> Self {
        let incomplete = scoped.set_aside().into_iter().map(|set_aside| set_aside.segment).collect();
        let broker_away_since = scoped.broker_away().map(|since| Time(since.0));
        Self { resolution: resolution_word(resolution), incomplete, broker_away_since }
    }
}

/// An answer about the past.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}")]
pub(crate) struct AboutPast<T> {
    #[serde(flatten)]
    past: Past,
    #[serde(flatten)]
    answer: T,
}

impl<T: Shape> Shape for AboutPast<T> {
    type Of = AboutPast<T::Of>;
}

impl<T> AboutPast<T> {
    /// `answer`, which the history gave at `resolution`.
    pub(crate) fn new(scoped: &ScopedFleet, resolution: Resolution, answer: T) -> Self {
        Self { past: Past::at(scoped, resolution), answer }
    }
}

/// An answer about the present, or about a moment of the past.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}")]
pub(crate) struct AtMoment<T> {
    #[serde(flatten)]
    past: Option<Past>,
    #[serde(flatten)]
    answer: T,
}

impl<T: Shape> Shape for AtMoment<T> {
    type Of = AtMoment<T::Of>;
}

/// `answer` as it is now, or as it was at a moment that is kept at `resolution`.
pub(crate) fn answer_at<T: Shape>(
    scoped: &ScopedFleet,
    resolution: Option<Resolution>,
    answer: T,
) -> Answer<AtMoment<T::Of>> {
    let past = resolution.map(|resolution| Past::at(scoped, resolution));
    Answer::of(&AtMoment { past, answer })
}

/// The schema of a record of the model, as it is serialised: an object with a field for each of the record's. Those that
/// are absent in `empty`, the values of a default one, may be unknown.
pub(crate) fn record(fields: &[Field], empty: &[FieldValue<'_>]) -> Schema {
    let of_field = |(field, empty): (&Field, &FieldValue<'_>)| (field.name.to_owned(), value(field, empty));
    object(fields.iter().zip(empty).map(of_field), |_| true)
}

/// The schema of an object with these fields, of which some are always there.
pub(crate) fn object(
    fields: impl Iterator<Item = (String, Value)>,
    is_always_there: impl Fn(&str) -> bool,
) -> Schema {
    let properties: Map<String, Value> = fields.collect();
    let required: Vec<&String> = properties.keys().filter(|name| is_always_there(name)).collect();
    json_schema!({"type": "object", "properties": properties, "required": required})
}

/// The schema of a field of the model, which may be unknown where it is absent in a default record.
pub(crate) fn value(field: &Field, empty: &FieldValue<'_>) -> Value {
    let mut schema = known_or_not(field);
    if !matches!(empty, FieldValue::Absent) {
        schema["type"] = schema["type"][0].take();
    }
    schema
}

fn known_or_not(field: &Field) -> Value {
    let is_whole = field.unit != Unit::Percent && !matches!(field.sql_type, "FLOAT" | "DOUBLE");
    match field.kind {
        Kind::Text => json!({"type": ["string", "null"]}),
        Kind::Letter => json!({"type": ["string", "null"], "maxLength": 1}),
        Kind::Flag => json!({"type": ["boolean", "null"]}),
        Kind::Time => json!({"type": ["string", "null"], "format": "date-time"}),
        Kind::Level | Kind::Counter if is_whole => json!({"type": ["integer", "null"], "format": "int64"}),
        Kind::Level | Kind::Counter => json!({"type": ["number", "null"]}),
    }
}

/// Puts the mean under `name`, and the bounds under `name_min` and `name_max`; to a thousandth, because
/// single-precision figures have no more digits.
pub(crate) fn insert_extent(fields: &mut Map<String, Value>, name: &str, extent: Option<Extent>) {
    let rounded = |value: f64| (value * 1_000.0).round() / 1_000.0;
    let mut insert = |name: String, value: Option<f64>| fields.insert(name, value.map(rounded).into());
    insert(name.to_owned(), extent.map(|extent| extent.mean));
    insert(format!("{name}_min"), extent.map(|extent| extent.min));
    insert(format!("{name}_max"), extent.map(|extent| extent.max));
}

/// A span of time.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Period {
    from: Time,
    to: Time,
}

impl Period {
    /// This span.
    pub(crate) fn of(span: &Span) -> Self {
        Self { from: Time(span.from_us), to: Time(span.to_us) }
    }
}

/// The schema of the points of values over time: each has the mean, and what the value was at least and at most; `whole` are
/// further whole numbers.
pub(crate) fn points<'a>(whole: &[&str], values: impl Iterator<Item = &'a str>) -> Schema {
    let time = || json!({"type": "string", "format": "date-time"});
    let number = |name: String| (name, json!({"type": ["number", "null"]}));
    let count = |name: &&str| ((*name).to_owned(), json!({"type": ["integer", "null"], "format": "int64"}));
    let of_a_value = |name: &str| [name.to_owned(), format!("{name}_min"), format!("{name}_max")];
    let fixed = [
        ("from".to_owned(), time()),
        ("to".to_owned(), time()),
        ("samples".to_owned(), json!({"type": "integer", "format": "int64"})),
    ];
    let fields =
        fixed.into_iter().chain(whole.iter().map(count)).chain(values.flat_map(of_a_value).map(number));
    object(fields, |_| true)
}

/// How finely the past was kept, in a word.
pub(crate) fn resolution_word(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::Samples => "samples",
        Resolution::Minutes => "minutes",
        Resolution::Hours => "hours",
    }
}

/// A host in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Host<'a> {
    host: &'a str,
    os_host_name: &'a str,
    /// `paused`: asked to take no samples; `silent`: nothing for 3 intervals; `down`: for 10.
    #[schemars(extend("enum" = ["up", "paused", "silent", "down"]))]
    state: &'static str,
    /// When its last snapshot arrived.
    last_seen: Time,
    /// When its last snapshot was taken.
    captured_at: Time,
    /// By how much its clock is ahead of the broker's; null where its agent does not say.
    clock_offset_ms: Option<i64>,
    /// Whether two machines send with its key.
    two_agents: bool,
    /// What is wrong with its clock or key, in words.
    warning: Option<String>,
    interval_ms: u32,
    os: Option<&'a str>,
    source: Option<&'a str>,
    /// The version of its agent; null where another program reports.
    agent_version: Option<&'a str>,
    /// Of all cores together.
    cpu_percent: Option<f32>,
    load_1: Option<f32>,
    memory_used_bytes: Option<u64>,
    memory_total_bytes: Option<u64>,
    process_count: u32,
    groups: HostGroups,
}

impl<'a> Host<'a> {
    /// Makes it from a summary and the host's groups.
    pub(crate) fn of(summary: &'a Summary, groups: HostGroups) -> Self {
        Self {
            host: summary.host.as_str(),
            os_host_name: &summary.os_host_name,
            state: summary.state.word(),
            last_seen: Time(summary.last_seen_us),
            captured_at: Time(summary.captured_at_us),
            clock_offset_ms: summary.clock_offset_us.map(|offset_us| offset_us.div_euclid(1000)),
            two_agents: summary.has_two_agents(),
            warning: Some(summary.warning()).filter(|warning| !warning.is_empty()),
            interval_ms: summary.interval_ms,
            os: summary.os.as_deref(),
            source: summary.source.as_deref(),
            agent_version: summary.agent(),
            cpu_percent: summary.cpu_percent,
            load_1: summary.load_1,
            memory_used_bytes: summary.memory_used_bytes,
            memory_total_bytes: summary.memory_total_bytes,
            process_count: summary.process_count,
            groups,
        }
    }
}
