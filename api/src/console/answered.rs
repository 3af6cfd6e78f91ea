//! The answer to an SQL question as JSON, as CSV, and as a line that sums it up.

use std::time::Duration;

use fleetps_ingestor::sql::{Answer, Cut, LIMITS, Row};
use serde_json::{Value, json};

use crate::{
    display::{count, size_long, time, time_exact},
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

impl Answered {
    /// As JSON: columns and rows as arrays, because names of columns may be anything.
    pub fn json(&self) -> Value {
        let answer = &self.answer;
        let row = |row: &Row| -> Value {
            row.iter().zip(&answer.columns).map(|(value, column)| column.json(value.as_deref())).collect()
        };
        json!({
            "columns": answer.columns,
            "rows": answer.rows.iter().map(row).collect::<Value>(),
            "row_count": answer.rows.len(),
            "cut_by": answer.cut,
            "elapsed_ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            "only_what_you_may_see": answer.is_scoped,
            "history_from": answer.history_from_us.map(time_exact),
            "history_to": answer.history_to_us.map(time_exact),
            "incomplete": answer.incomplete,
            "limits": LIMITS,
        })
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
        format!("{rows}{cut}; {:.2} s; {until}{incomplete}", self.took.as_secs_f64())
    }
}

/// The limits in force, in words.
pub fn limits() -> String {
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
