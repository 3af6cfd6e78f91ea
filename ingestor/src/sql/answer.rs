//! What a question is answered with, and how the two processes say it to each other: one line of JSON each way.

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::choice::{Attached, Choice};
use crate::history::Scope;

/// Rows, and what was cut off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Row>,
    /// What cut the rows off, if there were more.
    pub cut: Option<Cut>,
    /// Whether the history was limited to the hosts and command lines that the person may see.
    pub is_scoped: bool,
    /// Since when there was all of that, in µs since 1970 UTC; absent when that is as far back as the history goes.
    pub history_from_us: Option<i64>,
    /// Until when the history reached, in µs since 1970 UTC; absent when it was empty.
    pub history_to_us: Option<i64>,
    /// How much of the history it is about.
    pub attached: Attached,
    /// The segments that could not be read, and are missing in the answer.
    pub incomplete: Vec<String>,
}

/// A row, with the values as DuckDB writes them; absent is NULL.
pub type Row = Vec<Option<String>>;

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as DuckDB writes it.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Which limit cut the rows off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// There were more rows.
    Rows,
    /// The texts were too long.
    Bytes,
}

impl Column {
    /// Whether its values are numbers.
    pub fn is_number(&self) -> bool {
        const NUMBERS: [&str; 12] = [
            "TINYINT",
            "SMALLINT",
            "INTEGER",
            "BIGINT",
            "HUGEINT",
            "UTINYINT",
            "USMALLINT",
            "UINTEGER",
            "UBIGINT",
            "UHUGEINT",
            "FLOAT",
            "DOUBLE",
        ];
        NUMBERS.contains(&self.kind.as_str())
            || (self.kind.starts_with("DECIMAL(") && self.kind.ends_with(')'))
    }

    /// A value in JSON: numbers, booleans and times (RFC 3339 in UTC) as such, everything else as DuckDB writes it, and
    /// so are numbers that JSON cannot hold.
    pub fn json(&self, value: Option<&str>) -> Value {
        let Some(text) = value else { return Value::Null };
        match self.kind.as_str() {
            "BOOLEAN" => Value::Bool(text == "true"),
            "TIMESTAMP" | "TIMESTAMP_S" | "TIMESTAMP_MS" | "TIMESTAMP_NS" => text
                .parse::<jiff::civil::DateTime>()
                .map_or_else(|_| text.into(), |_| (text.replace(' ', "T") + "Z").into()),
            _ if self.is_number() => number(text).map_or_else(|| text.into(), Value::Number),
            _ => text.into(),
        }
    }
}

/// A number as JSON has it, if that loses nothing of a whole one.
fn number(text: &str) -> Option<Number> {
    let is_whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let number: Number = text.parse().ok()?;
    (!is_whole || number.is_i64() || number.is_u64()).then_some(number)
}

/// What the process that asks writes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) sql: String,
    pub(super) scope: Scope,
    pub(super) choice: Choice,
}

/// What the process that answers writes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// The answer.
    Answer(Answer),
    /// DuckDB refused the question.
    Refused {
        /// The cause.
        message: String,
        /// The byte of the question that it is about.
        position: Option<usize>,
    },
    /// What it is about is in more segments than may be attached; why not.
    TooManySegments(String),
    /// The question needs more memory than it may have.
    OutOfMemory,
    /// DuckDB gave up by its own clock.
    TooSlow,
    /// The question came upon a damaged segment; what DuckDB said.
    Damaged(String),
    /// The question was not even asked.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_become_what_json_has_for_them() {
        for (kind, text, expected) in [
            ("BIGINT", "-5", json!(-5)),
            ("UBIGINT", "18446744073709551615", json!(u64::MAX)),
            ("HUGEINT", "18446744073709551616", json!("18446744073709551616")),
            ("DOUBLE", "1.5e300", json!(1.5e300)),
            ("DOUBLE", "nan", json!("nan")),
            ("DOUBLE", "inf", json!("inf")),
            ("DECIMAL(5,2)", "1.50", json!(1.5)),
            ("DECIMAL(5,2)[]", "[1.50]", json!("[1.50]")),
            ("BOOLEAN", "true", json!(true)),
            ("TIMESTAMP", "2026-11-21 03:12:00.123", json!("2026-11-21T03:12:00.123Z")),
            ("TIMESTAMP", "infinity", json!("infinity")),
            ("VARCHAR", "5", json!("5")),
            ("DATE", "2026-11-21", json!("2026-11-21")),
        ] {
            let column = Column { name: "x".to_owned(), kind: kind.to_owned() };
            assert_eq!(column.json(Some(text)), expected, "{kind} {text}");
            assert_eq!(column.json(None), Value::Null);
        }
    }
}
