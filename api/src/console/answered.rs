//! The answer to an SQL question as JSON, as CSV, and as a line that sums it up.

use std::time::Duration;

use fleetps_ingestor::sql::{Answer, Attached, Column, Cut, LIMITS, Limits, Row};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    answer::{Time, shape},
    display::{count, size_long, time},
    spreadsheet,
};

/// An answer, and how long it took.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The answer.
    pub answer: Answer,
    /// From the question to the answer.
    pub took: Duration,
}

/// The answer to a question in SQL.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SqlAnswer<'a> {
    columns: Vec<SqlColumn<'a>>,
    /// A value for each column; of any type.
    rows: Vec<Vec<Value>>,
    row_count: usize,
    /// The limit that cut the rows off; null where they are all there.
    #[schemars(extend("enum" = ["rows", "bytes", null]))]
    cut_by: Option<&'static str>,
    elapsed_ms: u64,
    /// Whether the history was limited to what the person may see.
    only_what_you_may_see: bool,
    /// Since when there was all of it; null when that is as far back as the history goes.
    history_from: Option<Time>,
    /// Until when the history reached; null when it is empty.
    history_to: Option<Time>,
    /// How much of the history was attached for it. Rows of other times and hosts may be among them, but not all of those.
    segments: Segments,
    /// Files of the history that could not be read, so that their rows are missing.
    incomplete: &'a [String],
    #[schemars(schema_with = "limits_schema")]
    limits: &'a Limits,
}

/// Segments of the history.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SqlSegments")]
struct Segments {
    /// How many were attached.
    attached: usize,
    /// How many there are.
    of: usize,
    /// Since when all that was asked about is in them; null for all of the past.
    from: Option<Time>,
    /// Until before when; null for until the newest.
    to: Option<Time>,
}

/// A column of an answer.
#[derive(Debug, Serialize, JsonSchema)]
struct SqlColumn<'a> {
    name: &'a str,
    /// Its type, as DuckDB writes it.
    r#type: &'a str,
}

impl<'a> SqlColumn<'a> {
    fn of(column: &'a Column) -> Self {
        Self { name: &column.name, r#type: &column.kind }
    }
}

/// The limits in force; each is a whole number, or null where the system has none.
fn limits_schema(_: &mut SchemaGenerator) -> Schema {
    let names = match serde_json::to_value(LIMITS) {
        Ok(Value::Object(limits)) => limits.into_iter().map(|(name, _)| name).collect(),
        _ => Vec::new(),
    };
    let number = json!({"type": ["integer", "null"], "format": "int64"});
    let properties: Map<String, Value> = names.iter().map(|name| (name.clone(), number.clone())).collect();
    json_schema!({"type": "object", "properties": properties, "required": names})
}

shape!(SqlAnswer<'_>);

impl Answered {
    /// As JSON: columns and rows as arrays, because names of columns may be anything.
    pub fn json(&self) -> SqlAnswer<'_> {
        let answer = &self.answer;
        let row = |row: &Row| -> Vec<Value> {
            row.iter().zip(&answer.columns).map(|(value, column)| column.json(value.as_deref())).collect()
        };
        SqlAnswer {
            columns: answer.columns.iter().map(SqlColumn::of).collect(),
            rows: answer.rows.iter().map(row).collect(),
            row_count: answer.rows.len(),
            cut_by: answer.cut.map(|cut| match cut {
                Cut::Rows => "rows",
                Cut::Bytes => "bytes",
            }),
            elapsed_ms: u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            only_what_you_may_see: answer.is_scoped,
            history_from: answer.history_from_us.map(Time),
            history_to: answer.history_to_us.map(Time),
            segments: Segments {
                attached: answer.attached.segments,
                of: answer.attached.of,
                from: answer.attached.from_us.map(Time),
                to: answer.attached.to_us.map(Time),
            },
            incomplete: &answer.incomplete,
            limits: &LIMITS,
        }
    }

    /// As CSV for spreadsheets.
    pub fn csv(&self) -> Vec<u8> {
        let columns = &self.answer.columns;
        let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        let rows = self.answer.rows.iter().map(|row| {
            row.iter().zip(columns).map(|(value, column)| spreadsheet::cell(&column.json(value.as_deref())))
        });
        spreadsheet::table(&names, rows)
    }

    /// The number of rows, the time taken, since when and until when, and what is missing.
    pub fn summary(&self) -> String {
        let answer = &self.answer;
        let rows = match answer.rows.len() {
            1 => "1 row".to_owned(),
            rows => format!("{} rows", count(rows as u64)),
        };
        let cut = match answer.cut {
            None => "",
            Some(Cut::Rows) => ", cut off there: there are more rows than are shown",
            Some(Cut::Bytes) => ", cut off there: the rows are longer than can be shown",
        };
        let of = if answer.is_scoped { "what you may see of the history" } else { "the history" };
        let since =
            answer.history_from_us.map(|since_us| format!(" since {}, which is what fits,", time(since_us)));
        let since = since.unwrap_or_default();
        let until = match answer.history_to_us {
            Some(until_us) => format!("over {of}{since} until {}", time(until_us)),
            None => "over an empty history".to_owned(),
        };
        let incomplete = match answer.incomplete.len() {
            0 => String::new(),
            files => format!(
                "; {files} of its files cannot be read and are missing: {}",
                answer.incomplete.join(", ")
            ),
        };
        let attached = attached(answer.attached);
        format!("{rows}{cut}; {:.2} s; {until}{attached}{incomplete}", self.took.as_secs_f64())
    }
}

/// How much of the history was attached, where that is not all of it.
fn attached(attached: Attached) -> String {
    let Attached { segments, of, from_us, to_us } = attached;
    let [segments, of] = [segments, of].map(|number| count(number as u64));
    match (from_us, to_us) {
        (None, _) => String::new(),
        (Some(from_us), Some(to_us)) => {
            format!("; attached {segments} of {of} segments: from {} to {}", time(from_us), time(to_us))
        }
        (Some(from_us), None) => {
            let from = time(from_us);
            format!(
                "; attached {segments} of {of} segments: all since {from}. For what is earlier, say from when to when"
            )
        }
    }
}

/// The limits in force, in words.
pub(crate) fn limits() -> String {
    let memory = size_long(Some(LIMITS.memory_bytes));
    let memory = match LIMITS.address_space_bytes {
        Some(bytes) => {
            format!("{memory} of memory (the system stops it at {} of address space)", size_long(Some(bytes)))
        }
        None => format!("{memory} of memory (kept by DuckDB; this system has no harder limit)"),
    };
    format!(
        "at most {} rows, {} of text, {} s, {memory}",
        count(LIMITS.rows as u64),
        size_long(Some(LIMITS.bytes as u64)),
        LIMITS.seconds
    )
}
