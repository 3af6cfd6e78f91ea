//! A field of the server's JSON as a column of a terminal's table.

use serde_json::Value;

use super::table::{Heading, render};
use crate::{
    display::{MISSING, count, cpu_time, duration, percent, size},
    live::now_us,
};

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Text,
    /// A whole number.
    Count,
    /// A number that names something, which has no separators.
    Id,
    Percent,
    Bytes,
    Milliseconds,
    /// How far a clock is off, in ms; to the second.
    Offset,
    /// A time, written as how long before the moment of the answer it was.
    Age,
}

/// A column: a field of the JSON, and what stands above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) heading: &'static str,
    pub(super) form: Form,
}

impl Field {
    pub(super) const fn new(name: &'static str, heading: &'static str, form: Form) -> Self {
        Self { name, heading, form }
    }

    pub(super) fn heading(&self) -> Heading<'static> {
        Heading { name: self.heading, is_number: self.form != Form::Text }
    }

    /// The value that `row` has, at the moment `now_us`.
    pub(super) fn cell(&self, row: &Value, now_us: i64) -> String {
        let value = &row[self.name];
        let number = value.as_f64();
        match self.form {
            Form::Text => match value {
                Value::String(text) => text.clone(),
                Value::Bool(true) => "yes".to_owned(),
                Value::Bool(false) => "no".to_owned(),
                _ => MISSING.to_owned(),
            },
            Form::Id => value.as_u64().map_or_else(|| MISSING.to_owned(), |id| id.to_string()),
            Form::Count => match number {
                Some(number) if number < 0.0 => number.round().to_string(),
                _ => number.map_or_else(|| MISSING.to_owned(), |number| count(number.round() as u64)),
            },
            Form::Percent => percent(number),
            Form::Bytes => size(number),
            Form::Milliseconds => cpu_time(value.as_u64()),
            Form::Offset => match value.as_i64().map(|ms| ms / 1000) {
                None => MISSING.to_owned(),
                Some(0) => "ok".to_owned(),
                Some(seconds) if seconds < 0 => format!("-{}", duration(-seconds)),
                Some(seconds) => format!("+{}", duration(seconds)),
            },
            Form::Age => {
                let time_us = time_us(value);
                time_us.map_or_else(|| MISSING.to_owned(), |time_us| duration((now_us - time_us) / 1_000_000))
            }
        }
    }
}

/// A time of the JSON, in µs since 1970 UTC.
pub(super) fn time_us(value: &Value) -> Option<i64> {
    value.as_str()?.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}

/// The rows that an answer has under `name`.
pub(super) fn rows<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().map_or(&[], Vec::as_slice)
}

/// The rows that an answer has under `name`, as a table of these fields.
pub(super) fn listed(answer: &Value, name: &str, fields: &[Field]) -> String {
    let now_us = now_us();
    let cells =
        rows(answer, name).iter().map(|row| fields.iter().map(|field| field.cell(row, now_us)).collect());
    render(&fields.iter().map(Field::heading).collect::<Vec<_>>(), cells)
}
