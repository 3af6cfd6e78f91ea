//! Common parts of all JSON answers.
//!
//! Field names are as in the history's tables; unknown values are `null`; times are RFC 3339 in UTC with microseconds;
//! percentages of processes are of one core, those of hosts of all cores together; sizes are in bytes.

use std::{borrow::Cow, sync::LazyLock};

use fleetps_ingestor::history::{Extent, Resolution, Span};
use fleetps_nats::{
    Snapshot,
    model::{Field, Kind, SnapshotPair, Unit, Value as FieldValue, process::PROCESS, sums::HostSums},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, json};

use crate::{
    answer::{Answer, Shape, Time, shape},
    authz::HostGroups,
    display::time_exact,
    live::{Moment, Summary},
    scoped_fleet::ScopedFleet,
    view::{Column, ProcessFacts},
};

/// What an answer about the past rests on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Past {
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
pub struct AboutPast<T> {
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
    pub fn new(scoped: &ScopedFleet, resolution: Resolution, answer: T) -> Self {
        Self { past: Past::at(scoped, resolution), answer }
    }
}

/// An answer about the present, or about a moment of the past.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}")]
pub struct AtMoment<T> {
    #[serde(flatten)]
    past: Option<Past>,
    #[serde(flatten)]
    answer: T,
}

impl<T: Shape> Shape for AtMoment<T> {
    type Of = AtMoment<T::Of>;
}

/// `answer` as it is now, or as it was at a moment that is kept at `resolution`.
pub fn answer_at<T: Shape>(
    scoped: &ScopedFleet,
    resolution: Option<Resolution>,
    answer: T,
) -> Answer<AtMoment<T::Of>> {
    let past = resolution.map(|resolution| Past::at(scoped, resolution));
    Answer::of(&AtMoment { past, answer })
}

/// The schema of a record of the model, as it is serialised: an object with a field for each of the record's. Those that
/// are absent in `empty`, the values of a default one, may be unknown.
pub fn record(fields: &[Field], empty: &[FieldValue<'_>]) -> Schema {
    let of_field = |(field, empty): (&Field, &FieldValue<'_>)| (field.name.to_owned(), value(field, empty));
    object(fields.iter().zip(empty).map(of_field), |_| true)
}

/// The schema of an object with these fields, of which some are always there.
pub fn object(
    fields: impl Iterator<Item = (String, Value)>,
    is_always_there: impl Fn(&str) -> bool,
) -> Schema {
    let properties: Map<String, Value> = fields.collect();
    let required: Vec<&String> = properties.keys().filter(|name| is_always_there(name)).collect();
    json_schema!({"type": "object", "properties": properties, "required": required})
}

/// The schema of a field of the model, which may be unknown where it is absent in a default record.
fn value(field: &Field, empty: &FieldValue<'_>) -> Value {
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
pub fn insert_extent(fields: &mut Map<String, Value>, name: &str, extent: Option<Extent>) {
    let rounded = |value: f64| (value * 1_000.0).round() / 1_000.0;
    let mut insert = |name: String, value: Option<f64>| fields.insert(name, value.map(rounded).into());
    insert(name.to_owned(), extent.map(|extent| extent.mean));
    insert(format!("{name}_min"), extent.map(|extent| extent.min));
    insert(format!("{name}_max"), extent.map(|extent| extent.max));
}

/// A span of time.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Period {
    from: Time,
    to: Time,
}

impl Period {
    /// This span.
    pub fn of(span: &Span) -> Self {
        Self { from: Time(span.from_us), to: Time(span.to_us) }
    }
}

/// The schema of the points of values over time: each has the mean, and what the value was at least and at most; `whole` are
/// further whole numbers.
pub fn points<'a>(whole: &[&str], values: impl Iterator<Item = &'a str>) -> Schema {
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
pub fn resolution_word(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::Samples => "samples",
        Resolution::Minutes => "minutes",
        Resolution::Hours => "hours",
    }
}

/// A host in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Host<'a> {
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
    pub fn of(summary: &'a Summary, groups: HostGroups) -> Self {
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

/// The first fields of a process in JSON and CSV, in the order that they have had from the start; others follow.
const FIRST_FIELDS: [&str; 16] = [
    "pid",
    "parent_pid",
    "started_at",
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
    "command_line",
];

/// A field of a process in JSON.
#[derive(Debug, Clone, Copy)]
struct ProcessField {
    name: &'static str,
    /// The place of the field in the model.
    place: usize,
    is_rate: bool,
    is_on_request: bool,
}

/// Every field of a process, in order.
static PROCESS_FIELDS: LazyLock<Vec<ProcessField>> = LazyLock::new(|| {
    let of_field = |(place, field): (usize, &Field)| {
        let (name, is_on_request) = (field.column, field.is_on_request);
        let rate =
            field.rate.map(|rate| ProcessField { name: rate.name, place, is_rate: true, is_on_request });
        std::iter::once(ProcessField { name, place, is_rate: false, is_on_request }).chain(rate)
    };
    let mut all: Vec<ProcessField> = PROCESS.iter().enumerate().flat_map(of_field).collect();
    let rank = |field: &ProcessField| {
        FIRST_FIELDS.iter().position(|name| *name == field.name).unwrap_or(FIRST_FIELDS.len())
    };
    all.sort_by_key(rank);
    all
});

/// The names of a process's fields in an answer, in their order: the ones that are always there, and those of
/// `include`.
pub fn process_fields(include: &[Column]) -> impl Iterator<Item = &'static str> {
    let is_there = |field: &&ProcessField| has(include, field);
    PROCESS_FIELDS.iter().filter(is_there).map(|field| field.name)
}

/// The columns of a CSV: the first fields, those of `include` in the order they were asked for, then the others, so that
/// programs which read by place go on.
pub fn csv_columns(include: &[Column]) -> Vec<&'static str> {
    let always: Vec<&str> = process_fields(&[]).collect();
    let (first, others) = always.split_at(FIRST_FIELDS.len().min(always.len()));
    let included = include.iter().map(|column| column.field()).filter(|field| !always.contains(field));
    first.iter().copied().chain(included).chain(others.iter().copied()).collect()
}

/// The columns that are there only where `include` names them.
pub fn on_request() -> impl Iterator<Item = Column> {
    Column::ALL.into_iter().filter(|column| column.of().is_on_request)
}

fn has(include: &[Column], field: &ProcessField) -> bool {
    !field.is_on_request || include.iter().any(|column| column.field() == field.name)
}

/// A process as JSON: the fields of [`process_fields`].
#[derive(Debug)]
pub struct Process<'a> {
    facts: ProcessFacts<'a>,
    include: Vec<Column>,
    /// Whether it has every field, also those that no column shows.
    is_whole: bool,
}

impl<'a> Process<'a> {
    /// Makes it from a process, with the columns of `include`.
    pub fn of(facts: &ProcessFacts<'a>, include: &[Column]) -> Self {
        Self { facts: *facts, include: include.to_vec(), is_whole: false }
    }

    /// The same with every field.
    pub fn whole(facts: &ProcessFacts<'a>) -> Self {
        Self { facts: *facts, include: Vec::new(), is_whole: true }
    }
}

impl JsonSchema for Process<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Process".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let empty = fleetps_nats::snapshot::Process::default();
        let of_field = |field: &ProcessField| {
            let schema = match PROCESS.get(field.place) {
                Some(model) if !field.is_rate => value(model, &empty.value(field.place)),
                _ => json!({"type": ["number", "null"]}),
            };
            (field.name.to_owned(), schema)
        };
        let always: Vec<&str> = process_fields(&[]).collect();
        object(PROCESS_FIELDS.iter().map(of_field), |name| always.contains(&name))
    }
}

impl Serialize for Process<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in PROCESS_FIELDS.iter().filter(|field| self.is_whole || has(&self.include, field)) {
            let value = self.facts.process.value(field.place);
            match (value, PROCESS.get(field.place).map(|field| field.kind)) {
                _ if field.is_rate => map.serialize_entry(field.name, &self.facts.rates.at(field.place))?,
                (FieldValue::Integer(time_us), Some(Kind::Time)) => {
                    map.serialize_entry(field.name, &time_exact(time_us))?;
                }
                (FieldValue::Integer(flag), Some(Kind::Flag)) => {
                    map.serialize_entry(field.name, &(flag != 0))?;
                }
                (FieldValue::Integer(number), _) => map.serialize_entry(field.name, &number)?,
                (FieldValue::Float(number), _) => map.serialize_entry(field.name, &number)?,
                (FieldValue::Text(text), _) => map.serialize_entry(field.name, text)?,
                (FieldValue::Letter(letter), _) => map.serialize_entry(field.name, &letter)?,
                (FieldValue::Absent, _) => map.serialize_entry(field.name, &())?,
            }
        }
        map.end()
    }
}

shape!(Processes<'_>);
shape!(Sample<'_>);

/// A host's processes at one moment.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Processes<'a> {
    /// The host.
    pub host: &'a str,
    /// When the sample was taken.
    pub captured_at: Time,
    /// The number of all matches, without `limit`.
    pub total: usize,
    /// Processes that the host left out of the sample.
    pub processes_left_out: u32,
    /// Processes of the sample with a shortened text, which a filter did not see whole.
    pub texts_shortened: u32,
    /// What keeps the agent from seeing all processes, or all of them whole.
    pub limited_view: Option<&'a str>,
    /// The figures of all processes of the sample together, whatever was asked for.
    pub sums: Sums,
    /// The requested ones.
    pub processes: Vec<Process<'a>>,
}

/// The figures of a sample's processes together, and what they leave of the machine's: CPU use in percent of one core, memory
/// in bytes with what processes share counted once.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Sums {
    cpu_percent: Option<f64>,
    ended_children_cpu_percent: Option<f64>,
    remaining_cpu_percent: Option<f64>,
    machine_cpu_percent: Option<f64>,
    memory_bytes: Option<u64>,
    remaining_memory_bytes: Option<u64>,
    machine_memory_used_bytes: Option<u64>,
}

impl Sums {
    /// The sums of a pair's latest snapshot.
    pub fn of(pair: &SnapshotPair) -> Self {
        let sums = HostSums::of(pair);
        // To a hundredth: CPU time is counted in steps of 10 ms.
        let rounded = |percent: f64| (percent * 100.0).round() / 100.0;
        Self {
            cpu_percent: sums.cpu_percent.map(rounded),
            ended_children_cpu_percent: sums.ended_children_cpu_percent.map(rounded),
            remaining_cpu_percent: sums.remaining_cpu_percent().map(rounded),
            machine_cpu_percent: sums.machine_cpu_percent.map(rounded),
            memory_bytes: sums.memory_bytes,
            remaining_memory_bytes: sums.remaining_bytes(),
            machine_memory_used_bytes: sums.machine_used_bytes,
        }
    }
}

/// One sample of a host, as `live` sends them.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Sample<'a> {
    /// The host and its figures.
    #[serde(flatten)]
    pub host: Host<'a>,
    /// Processes that it left out of the sample.
    pub processes_left_out: u32,
    /// Processes with a shortened text.
    pub texts_shortened: u32,
    /// What keeps the agent from seeing all processes, or all of them whole.
    pub limited_view: Option<&'a str>,
    /// The figures of its processes together.
    pub sums: Sums,
    /// Its processes.
    pub processes: Vec<Process<'a>>,
}

impl<'a> Sample<'a> {
    /// Makes it from a moment and the host's groups.
    pub fn of(moment: &'a Moment, groups: HostGroups) -> Self {
        let processes = ProcessFacts::all(moment).iter().map(|facts| Process::of(facts, &[])).collect();
        let Snapshot { processes_left_out, texts_shortened, .. } = *moment.snapshot();
        Self {
            host: Host::of(&moment.summary, groups),
            processes_left_out,
            texts_shortened,
            limited_view: moment.snapshot().host_info.limited_view.as_deref(),
            sums: Sums::of(&moment.pair),
            processes,
        }
    }
}
