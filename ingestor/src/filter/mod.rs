//! The filter language: which processes to show, in pages, JSON, on the command line and in questions to the history.
//!
//! One parser; what it reads becomes a predicate for rows in memory ([`Filter::matching`]) or an SQL condition with bound
//! values ([`Filter::sql`]), and both let the same rows through.
//!
//! **Every viewer may type any filter**, so none can be evaluated without a [`Deadline`], which is checked before each
//! row; the size and number of patterns are limited when they are parsed.
//!
//! Hosts have the same language with fields of their own ([`HostFilter`]).
//!
//! **An absent value matches nothing:** every comparison with it is false, so its `not` is true.

mod expression;
mod field;
mod figure;
mod host;
mod host_field;
mod in_sql;
mod parse;
mod pattern;
mod sql;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use crate::query::{Deadline, Stopped};
use expression::Expression;
use field::Field;
pub use figure::Figure;
use fleetps_nats::{
    model::{ProcessRates, ProcessView},
    snapshot::Process,
};
pub use host::{HostFields, HostFilter};
pub use host_field::words as host_words;
pub use in_sql::AskedPatterns;
use parse::About;
use pattern::Pattern;

/// Processes between two looks at the clock where no pattern is searched: of the longest texts, they take a millisecond.
const UNCHECKED: usize = 16;

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
    /// The problem, and what was expected.
    pub message: String,
}

/// The values of a process that a filter can ask for; unknown ones are absent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fields<'a> {
    /// The host that it runs on.
    pub host: &'a str,
    /// The process.
    pub process: &'a Process,
    /// The growth per second of its counters.
    pub rates: ProcessRates,
    /// Its resident set, in percent of installed memory.
    pub memory_percent: Option<f64>,
    /// Time since it started, in s.
    pub age_s: f64,
}

impl<'a> Fields<'a> {
    /// The values of a process without a host.
    pub fn of(host: &'a str, process: &'a Process) -> Self {
        Self { host, process, rates: ProcessRates::default(), memory_percent: None, age_s: 0.0 }
    }
}

impl<'a> From<&ProcessView<'a>> for Fields<'a> {
    fn from(view: &ProcessView<'a>) -> Self {
        Self::with_rates(view, view.rates())
    }
}

impl<'a> Fields<'a> {
    /// The values of a process with these rates; for filters that ask for none, the default saves working them out.
    pub(crate) fn with_rates(view: &ProcessView<'a>, rates: ProcessRates) -> Self {
        Self {
            host: view.host().as_str(),
            process: view.process,
            rates,
            memory_percent: view.memory_percent(),
            age_s: view.age_us() as f64 / 1e6,
        }
    }
}

/// The words for everything that a filter can ask about, for people.
pub fn words() -> String {
    Field::words()
}

/// The columns that conditions need: the process's, its rates, and `host`, `memory_percent` and `age_s`.
pub fn columns() -> impl Iterator<Item = &'static str> {
    Field::all().map(|field| field.column)
}

/// A filter as an SQL condition over a relation with the [`columns`].
#[derive(Debug, Clone, PartialEq)]
pub struct SqlCondition {
    /// The condition, with a `?` for each value; cut at each place of the question's number. `true` for the empty filter.
    pieces: Vec<String>,
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
        Ok(Self { expression: parse::parse(text, About::Processes)? })
    }

    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.expression.is_none()
    }

    /// Its words, in small letters, where it is nothing but words that must all occur.
    pub fn words(&self) -> Option<Vec<String>> {
        match self.expression.as_ref()? {
            Expression::Word(word) => Some(vec![word.clone()]),
            Expression::All(parts) => parts
                .iter()
                .map(|part| match part {
                    Expression::Word(word) => Some(word.clone()),
                    _ => None,
                })
                .collect(),
            _ => None,
        }
    }

    /// Whether it asks for the growth of a counter, which takes two snapshots to know.
    pub fn asks_for_rates(&self) -> bool {
        self.expression.as_ref().is_some_and(|expression| expression.asks_for(Field::is_rate))
    }

    /// Whether what it lets through depends on command lines, so that its results tell of them. A word that names no field
    /// is looked for in command lines as well.
    pub fn asks_for_command_lines(&self) -> bool {
        self.expression.as_ref().is_some_and(Expression::asks_for_command_lines)
    }

    /// The places in the model's list of a process's fields that it asks for; `None` where it needs more than the process and the
    /// name of its host.
    pub(crate) fn own_places(&self) -> Option<BTreeSet<usize>> {
        let mut places = BTreeSet::new();
        let is_own = self.expression.as_ref().is_none_or(|expression| expression.own_places(&mut places));
        is_own.then_some(places)
    }

    /// The places in the model's list of a process's fields that it looks at, to compare them or their growth.
    pub fn places(&self) -> BTreeSet<usize> {
        let mut places = BTreeSet::new();
        if let Some(expression) = &self.expression {
            expression.places(&mut places);
        }
        places
    }

    /// Whether it lets each of these processes through, as [`Filter::matching`] says it; rates are worked out only where it asks for
    /// one.
    ///
    /// # Errors
    /// When the deadline came first.
    pub fn matching_views(
        &self,
        processes: &[ProcessView<'_>],
        deadline: &Deadline,
    ) -> Result<Vec<bool>, Stopped> {
        let needs_rates = self.asks_for_rates();
        self.each(processes, deadline, |expression, view| {
            let rates = if needs_rates { view.rates() } else { ProcessRates::default() };
            expression.matches(&Fields::with_rates(view, rates))
        })
    }

    /// Whether it lets a process through. The caller looks at its deadline, because one may take milliseconds.
    pub(crate) fn matches(&self, fields: &Fields<'_>) -> bool {
        self.expression.as_ref().is_none_or(|expression| expression.matches(fields))
    }

    /// Whether it lets each of these processes through, in order. Looks at `deadline` before each that a pattern is searched in,
    /// because one may take milliseconds, and otherwise before each 16th.
    ///
    /// # Errors
    /// When the deadline came first.
    pub fn matching<'a>(
        &self,
        processes: impl IntoIterator<Item: Into<Fields<'a>>>,
        deadline: &Deadline,
    ) -> Result<Vec<bool>, Stopped> {
        self.each(processes, deadline, |expression, process| expression.matches(&process.into()))
    }

    /// The same of values that are lent.
    ///
    /// # Errors
    /// When the deadline came first.
    pub(crate) fn matching_lent(
        &self,
        processes: &[Fields<'_>],
        deadline: &Deadline,
    ) -> Result<Vec<bool>, Stopped> {
        self.each(processes, deadline, |expression, process| expression.matches(process))
    }

    fn each<T>(
        &self,
        rows: impl IntoIterator<Item = T>,
        deadline: &Deadline,
        matches: impl Fn(&Expression, T) -> bool,
    ) -> Result<Vec<bool>, Stopped> {
        let Some(expression) = &self.expression else { return Ok(rows.into_iter().map(|_| true).collect()) };
        let checked = if expression.has_patterns() { 1 } else { UNCHECKED };
        let test = |(number, row): (usize, T)| {
            if number % checked == 0 {
                deadline.check()?;
            }
            Ok(matches(expression, row))
        };
        rows.into_iter().enumerate().map(test).collect()
    }

    /// The same as a condition in SQL.
    pub fn sql(&self) -> SqlCondition {
        match &self.expression {
            Some(expression) => sql::condition(expression),
            None => {
                SqlCondition { pieces: vec!["true".to_owned()], values: Vec::new(), patterns: Vec::new() }
            }
        }
    }
}

impl SqlCondition {
    /// Calls `question` with the text of the condition, on an engine whose patterns are `asked`. It may take until
    /// `deadline`.
    pub fn ask<T>(&self, asked: &AskedPatterns, deadline: &Deadline, question: impl FnOnce(&str) -> T) -> T {
        let asked = asked.ask(self.patterns.clone(), deadline);
        question(&self.pieces.join(&asked.number().to_string()))
    }

    /// Adds to the condition.
    fn push(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(last) => last.push_str(text),
            None => self.pieces.push(text.to_owned()),
        }
    }

    /// Adds the place of the question's number to the condition.
    fn push_question(&mut self) {
        self.pieces.push(String::new());
    }
}
