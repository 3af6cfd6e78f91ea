//! The fields of a process in JSON and CSV, as the model declares them.

use std::{borrow::Cow, sync::LazyLock};

use fleetps_nats::model::{Field, Kind, Value as FieldValue, process::PROCESS};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::json as literal;

use super::json;
use crate::{
    display::time_exact,
    view::{Column, ProcessFacts},
};

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
pub(super) fn names(include: &[Column]) -> impl Iterator<Item = &'static str> {
    let is_there = |field: &&ProcessField| has(include, field);
    PROCESS_FIELDS.iter().filter(is_there).map(|field| field.name)
}

/// The columns of a CSV: the first fields, those of `include` in the order they were asked for, then the others, so that
/// programs which read by place go on.
pub(super) fn csv_columns(include: &[Column]) -> Vec<&'static str> {
    let always: Vec<&str> = names(&[]).collect();
    let (first, others) = always.split_at(FIRST_FIELDS.len().min(always.len()));
    let included = include.iter().map(|column| column.field()).filter(|field| !always.contains(field));
    first.iter().copied().chain(included).chain(others.iter().copied()).collect()
}

/// The columns that are there only where `include` names them.
pub(super) fn on_request() -> impl Iterator<Item = Column> {
    Column::ALL.into_iter().filter(|column| column.of().is_on_request)
}

fn has(include: &[Column], field: &ProcessField) -> bool {
    !field.is_on_request || include.iter().any(|column| column.field() == field.name)
}

/// A process as JSON: the fields of [`names`].
#[derive(Debug)]
pub(crate) struct ProcessJson<'a> {
    facts: ProcessFacts<'a>,
    include: Vec<Column>,
    /// Whether it has every field, also those that no column shows.
    is_whole: bool,
}

impl<'a> ProcessJson<'a> {
    /// Makes it from a process, with the columns of `include`.
    pub(crate) fn of(facts: &ProcessFacts<'a>, include: &[Column]) -> Self {
        Self { facts: *facts, include: include.to_vec(), is_whole: false }
    }

    /// The same with every field.
    pub(crate) fn whole(facts: &ProcessFacts<'a>) -> Self {
        Self { facts: *facts, include: Vec::new(), is_whole: true }
    }
}

impl JsonSchema for ProcessJson<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Process".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let empty = fleetps_nats::snapshot::Process::default();
        let of_field = |field: &ProcessField| {
            let schema = match PROCESS.get(field.place) {
                Some(model) if !field.is_rate => json::value(model, &empty.value(field.place)),
                _ => literal!({"type": ["number", "null"]}),
            };
            (field.name.to_owned(), schema)
        };
        let always: Vec<&str> = names(&[]).collect();
        json::object(PROCESS_FIELDS.iter().map(of_field), |name| always.contains(&name))
    }
}

impl Serialize for ProcessJson<'_> {
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
