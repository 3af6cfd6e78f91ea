//! The filter language: which processes to show, in pages, JSON, on the command line and in questions to the history.
//!
//! One parser; what it reads becomes a predicate for rows in memory ([`Filter::matching`]) or an SQL condition with bound
//! values ([`Filter::sql`]), and both let the same rows through.
//!
//! **Whoever may look may type any filter**, so none can be evaluated without a [`Deadline`], which is looked at before
//! each row; patterns are bounded in size and number when they are read.
//!
//! **What is absent matches nothing:** every comparison with an absent value is false, so its `not` is true.

mod deadline;
mod expression;
mod field;
mod in_sql;
mod parse;
mod pattern;
mod sql;
#[cfg(test)]
mod tests;

pub use deadline::{CancelOnDrop, Deadline, Stopped};
use expression::Expression;
use fleetps_nats::model::ProcessView;
pub use in_sql::AskedPatterns;
use pattern::Pattern;

/// A filter; the empty one lets everything through.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    expression: Option<Expression>,
}

/// The text is not a filter. `Display` says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct FilterError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub message: String,
}

/// What a filter can ask of a process; absent where it is not known. Texts are borrowed from the row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Fields<'a> {
    /// `host`
    pub host: &'a str,
    /// `name`
    pub name: &'a str,
    /// `cmd`
    pub command_line: Option<&'a str>,
    /// `user`
    pub user_name: Option<&'a str>,
    /// `pid`
    pub pid: u32,
    /// `parent`
    pub parent_pid: Option<u32>,
    /// `cpu`: percent of one core
    pub cpu_percent: Option<f64>,
    /// `mem`: resident set
    pub resident_bytes: Option<f64>,
    /// `mem%`: resident set in percent of installed memory
    pub memory_percent: Option<f64>,
    /// `read`: bytes per second
    pub read_per_s: Option<f64>,
    /// `written`: bytes per second
    pub written_per_s: Option<f64>,
    /// `threads`
    pub threads: Option<u32>,
    /// `state`: one letter
    pub state: Option<char>,
    /// `age`: time since it started
    pub age_s: f64,
    /// `unit`
    pub unit: Option<&'a str>,
    /// `container`
    pub container: Option<&'a str>,
}

impl<'a> From<&ProcessView<'a>> for Fields<'a> {
    fn from(view: &ProcessView<'a>) -> Self {
        let (process, rates) = (view.process, view.rates());
        Self {
            host: view.host().as_str(),
            name: &process.name,
            command_line: process.command_line.as_deref(),
            user_name: process.user_name.as_deref(),
            pid: process.pid,
            parent_pid: process.parent_pid,
            cpu_percent: process.cpu_percent.map(f64::from),
            resident_bytes: process.resident_bytes.map(|bytes| bytes as f64),
            memory_percent: view.memory_percent(),
            read_per_s: rates.read_per_s,
            written_per_s: rates.written_per_s,
            threads: process.threads,
            state: Some(process.state),
            age_s: view.age_us() as f64 / 1e6,
            unit: process.unit.as_deref(),
            container: process.container.as_deref(),
        }
    }
}

/// A filter as an SQL condition over a relation with the columns `host, name, command_line, user_name, pid, parent_pid,
/// cpu_percent, resident_bytes, memory_percent, read_per_s, written_per_s, threads, state, age_s, unit, container`.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlCondition {
    /// The condition, with a `?` for each value and `$question` for the number of the question that its patterns are asked
    /// as; `true` for the empty filter.
    text: String,
    /// The values, in order.
    pub values: Vec<duckdb::types::Value>,
    /// Its regular expressions, as the condition counts them.
    patterns: Vec<Pattern>,
}

impl Filter {
    /// Reads a filter as people type it: words that occur in the name or the command line, and comparisons as in
    /// `java and mem > 2G` or `user = root and not name ~ ^kworker`.
    ///
    /// # Errors
    /// Where and why it is none.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Ok(Self { expression: parse::parse(text)? })
    }

    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.expression.is_none()
    }

    /// Whether it lets each of these processes through, in order. Looks at `deadline` before each, because one may take
    /// milliseconds.
    ///
    /// # Errors
    /// When the deadline came first.
    pub fn matching<'a>(
        &self,
        processes: impl IntoIterator<Item: Into<Fields<'a>>>,
        deadline: &Deadline,
    ) -> Result<Vec<bool>, Stopped> {
        let matches = |process| match &self.expression {
            None => Ok(true),
            Some(expression) => deadline.check().map(|()| expression.matches(&Into::into(process))),
        };
        processes.into_iter().map(matches).collect()
    }

    /// The same as a condition in SQL.
    pub fn sql(&self) -> SqlCondition {
        match &self.expression {
            Some(expression) => sql::condition(expression),
            None => SqlCondition { text: "true".to_owned(), values: Vec::new(), patterns: Vec::new() },
        }
    }
}

impl SqlCondition {
    /// Calls `question` with the text of the condition, on an engine whose patterns are `asked`. It may take until
    /// `deadline`.
    pub fn ask<T>(&self, asked: &AskedPatterns, deadline: &Deadline, question: impl FnOnce(&str) -> T) -> T {
        let asked = asked.ask(self.patterns.clone(), deadline);
        question(&self.text.replace(sql::QUESTION, &asked.number().to_string()))
    }
}
