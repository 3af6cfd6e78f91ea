//! One question to the history: which segments there are while it is answered, and what becomes of a segment that turns
//! out to be damaged.

use std::{cell::RefCell, sync::Arc};

use duckdb::Connection;
use fleetps_nats::HostName;

use super::{History, HistoryError, Hosts, Resolution, Scope, Span, State, scope::ScopeSql};
use crate::{
    catalog::{Rows, SegmentIndex, relation},
    query::{Budget, RowCount},
    segment::SegmentName,
};

/// A question is attempted at most this often: again each time a damaged segment was found, or segments changed
/// meanwhile, which they do every few seconds.
const MAX_ATTEMPTS: usize = 20;

/// A question while it is answered. Segments that are attached or detached meanwhile do not change what it sees.
pub(crate) struct Reading<'a> {
    /// Every segment is attached to it; ask it of [`Reading::relation`]s.
    pub(crate) connection: &'a Connection,
    pub(super) state: &'a State,
    pub(super) scope: &'a Scope,
    scope_sql: ScopeSql,
    /// What the question may take.
    pub(crate) budget: &'a Budget,
    touched: RefCell<Vec<SegmentName>>,
}

impl<'a> Reading<'a> {
    /// Every segment, in the order of the stream.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &'a SegmentIndex> + use<'a> {
        self.state.index.segments().iter().map(Arc::as_ref)
    }

    /// Whether the question may go on; for loops that may take long. Queries are interrupted without it.
    pub(crate) fn check(&self) -> Result<(), HistoryError> {
        Ok(self.budget.deadline().check()?)
    }

    /// Counts rows that are held in memory.
    pub(crate) fn count_rows(&self) -> RowCount {
        self.budget.count_rows()
    }

    /// The segments with snapshots of `host`, or of any host, from around `span` ([`SegmentIndex::overlaps`]).
    pub(crate) fn overlapping(&self, host: Option<&HostName>, span: Span) -> Vec<&'a SegmentIndex> {
        self.state.index.overlapping(host, span)
    }

    /// Whether its scope leaves no host out.
    pub(super) fn sees_every_host(&self) -> bool {
        self.scope.has_every_host()
    }

    /// When the last snapshot of `host` that is in a segment was captured.
    pub(crate) fn last_us(&self, host: &HostName) -> Option<i64> {
        self.state.index.last_us(host)
    }

    /// The hosts in the scope, each with when its last snapshot that is in a segment was captured.
    pub(crate) fn heard(&self) -> impl Iterator<Item = (&'a HostName, i64)> {
        let heard = self.state.index.heard().map(|(host, _, last_us, _)| (host, last_us));
        heard.filter(|(host, _)| self.scope.sees(host))
    }

    /// The rows of a table of hosts in these segments that are in the scope, as something to select from. Without segments
    /// it has no rows.
    pub(crate) fn relation(&self, table: &str, segments: &[&SegmentIndex]) -> String {
        self.rows(Rows::Of(table), segments)
    }

    /// The same of one segment, for a query that asks for one host, which is in the scope.
    pub(super) fn relation_of_host(&self, table: &str, segment: &SegmentIndex, host: &HostName) -> String {
        self.touched.borrow_mut().push(segment.name);
        let command_lines = if self.scope.sees_command_lines(host) { Hosts::All } else { Hosts::none() };
        Scope::new(Hosts::All, command_lines)
            .by_name()
            .rows(table, relation(Rows::Of(table), [&segment.name]))
    }

    /// The same of some rows of a table.
    pub(crate) fn rows(&self, rows: Rows<'_>, segments: &[&SegmentIndex]) -> String {
        let names = segments.iter().map(|segment| &segment.name);
        self.touched.borrow_mut().extend(names.clone());
        self.scope_sql.rows(rows.table(), relation(rows, names))
    }
}

/// The coarsest of what segments keep; every sample where there are none.
pub(crate) fn coarsest(segments: &[&SegmentIndex]) -> Resolution {
    segments.iter().map(|segment| segment.resolution()).max().unwrap_or(Resolution::Samples)
}

impl History {
    /// Answers a question within its budget. It is asked again without the segments that turn out to be damaged, and when
    /// those that it was about are gone meanwhile. One that ran out of memory is asked once more: others may have had it.
    pub(crate) fn ask<T>(
        &self,
        question: impl Fn(&Reading<'_>) -> Result<T, HistoryError>,
    ) -> Result<T, HistoryError> {
        let is_too_large =
            |answer: &Result<T, HistoryError>| matches!(answer, Err(HistoryError::OutOfMemory));
        let answer = self.ask_until_read(&question);
        if !is_too_large(&answer) {
            return answer;
        }
        let engine = Arc::clone(&self.state().engine);
        let _alone = self.budget.deadline().lock(&engine.large)?;
        self.ask_until_read(&question)
    }

    fn ask_until_read<T>(
        &self,
        question: &impl Fn(&Reading<'_>) -> Result<T, HistoryError>,
    ) -> Result<T, HistoryError> {
        let mut attempt = 1;
        loop {
            let state = self.state();
            let (answer, touched) = self.ask_once(&state, question);
            match answer {
                Err(HistoryError::Query(error)) if is_out_of_memory(&error) => {
                    return Err(HistoryError::OutOfMemory);
                }
                Err(HistoryError::Query(error)) if attempt < MAX_ATTEMPTS => {
                    if !self.recover(&state, touched, &error)? {
                        return Err(HistoryError::Query(error));
                    }
                }
                answer => return answer,
            }
            attempt += 1;
        }
    }

    /// The answer with the segments of `state`, and those that it was read from.
    fn ask_once<T>(
        &self,
        state: &State,
        question: &impl Fn(&Reading<'_>) -> Result<T, HistoryError>,
    ) -> (Result<T, HistoryError>, Vec<SegmentName>) {
        let mut touched = Vec::new();
        let answer = state.engine.with_connection(&self.budget, |pooled| {
            let scope_sql = pooled.scopes.conditions(&pooled.connection, &self.scope)?;
            let touching = RefCell::default();
            let (connection, scope, budget) = (&pooled.connection, &self.scope, &self.budget);
            let reading = Reading { connection, state, scope, scope_sql, budget, touched: touching };
            let answer = question(&reading);
            touched = reading.touched.take();
            answer
        });
        (answer, touched)
    }
}

/// DuckDB could not get the memory that a query needs, and says so by the beginning of its error.
fn is_out_of_memory(error: &duckdb::Error) -> bool {
    error.to_string().starts_with("Out of Memory Error")
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
