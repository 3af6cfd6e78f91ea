//! One question to the history: which segments there are while it is answered, which of them it needs attached, and what
//! becomes of a segment that turns out to be damaged.

use std::{
    cell::RefCell,
    collections::{HashMap, hash_map::Entry},
    path::Path,
    sync::Arc,
};

use duckdb::Connection;
use fleetps_nats::HostName;

use super::{
    History, HistoryError, Hosts, Resolution, Scope, Span, State,
    attachments::{Pin, Unattached},
    scope::ScopeSql,
};
use crate::{
    catalog::{Rows, SegmentIndex, relation},
    query::{Budget, RowCount},
    segment::{Fault, SegmentName},
};

/// A question is attempted at most this often: again each time a damaged segment was found, or segments changed
/// meanwhile, which they do every few seconds.
const MAX_ATTEMPTS: usize = 20;

/// A question while it is answered. Segments that come or go meanwhile do not change what it sees.
pub(crate) struct Reading<'a> {
    /// Ask it of [`Reading::relation`]s, whose segments are attached to it until the question ends.
    pub(crate) connection: &'a Connection,
    folder: &'a Path,
    pub(super) state: &'a State,
    pub(super) scope: &'a Scope,
    scope_sql: ScopeSql,
    /// What the question may take.
    pub(crate) budget: &'a Budget,
    pins: RefCell<Pins>,
}

/// The segments that a question needs attached.
#[derive(Default)]
struct Pins {
    by_name: HashMap<SegmentName, Pin>,
    in_order: Vec<SegmentName>,
}

impl Pins {
    /// Lets go of all but the first `count`.
    fn truncate(&mut self, count: usize) {
        for name in self.in_order.drain(count..) {
            self.by_name.remove(&name);
        }
    }
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
    pub(crate) fn relation(&self, table: &str, segments: &[&SegmentIndex]) -> Result<String, HistoryError> {
        self.rows(Rows::Of(table), segments)
    }

    /// The same of one segment, for a query that asks for one host, which is in the scope.
    pub(super) fn relation_of_host(
        &self,
        table: &str,
        segment: &SegmentIndex,
        host: &HostName,
    ) -> Result<String, HistoryError> {
        self.attach(segment.name)?;
        let command_lines = if self.scope.sees_command_lines(host) { Hosts::All } else { Hosts::none() };
        let scope = Scope::new(Hosts::All, command_lines);
        Ok(scope.by_name().rows(table, relation(Rows::Of(table), [&segment.name])))
    }

    /// The same of some rows of a table.
    pub(crate) fn rows(&self, rows: Rows<'_>, segments: &[&SegmentIndex]) -> Result<String, HistoryError> {
        segments.iter().try_for_each(|segment| self.attach(segment.name))?;
        Ok(self.scope_sql.rows(rows.table(), relation(rows, segments.iter().map(|segment| &segment.name))))
    }

    /// Lets go of the segments that only `work` needed, when that is done: for one of many segments that are asked one after
    /// the other. What `work` returns must not name them.
    pub(super) fn in_passing<T>(
        &self,
        work: impl FnOnce() -> Result<T, HistoryError>,
    ) -> Result<T, HistoryError> {
        let before = self.pins.borrow().in_order.len();
        // On an error they are the ones to doubt.
        let made = work()?;
        self.pins.borrow_mut().truncate(before);
        Ok(made)
    }

    /// Has a segment attached until the question ends.
    fn attach(&self, name: SegmentName) -> Result<(), HistoryError> {
        let Pins { by_name, in_order } = &mut *self.pins.borrow_mut();
        let Entry::Vacant(place) = by_name.entry(name) else { return Ok(()) };
        self.check()?;
        let attachments = &self.state.engine.attachments;
        match attachments.pin(self.folder, &name, self.budget.deadline())? {
            Ok(pin) => {
                place.insert(pin);
                in_order.push(name);
                Ok(())
            }
            Err(Unattached::Full) => Err(HistoryError::TooManySegments { most: attachments.bounds.most }),
            Err(Unattached::Fault(Fault::Unavailable(said))) if says_out_of_memory(&said) => {
                Err(HistoryError::OutOfMemory)
            }
            Err(Unattached::Fault(fault)) => Err(HistoryError::Unreadable { segment: name, fault }),
        }
    }
}

/// The coarsest of what segments keep; every sample where there are none.
pub(crate) fn coarsest(segments: &[&SegmentIndex]) -> Resolution {
    segments.iter().map(|segment| segment.resolution()).max().unwrap_or(Resolution::Samples)
}

impl History {
    /// Answers a question within its budget. It is asked again without the segments that turn out to be damaged, and when
    /// those that it was about are gone meanwhile. One that ran out of memory, or of segments that may be attached, is asked
    /// once more: others may have had them.
    pub(crate) fn ask<T>(
        &self,
        question: impl Fn(&Reading<'_>) -> Result<T, HistoryError>,
    ) -> Result<T, HistoryError> {
        let is_too_large = |answer: &Result<T, HistoryError>| {
            matches!(answer, Err(HistoryError::OutOfMemory | HistoryError::TooManySegments { .. }))
        };
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
                Err(HistoryError::Query(error)) if says_out_of_memory(&error.to_string()) => {
                    return Err(HistoryError::OutOfMemory);
                }
                Err(HistoryError::Unreadable { segment, fault }) if attempt < MAX_ATTEMPTS => {
                    self.leave_out(&state, segment, fault)?;
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
            let (connection, folder) = (&pooled.connection, self.folder.as_path());
            let (scope, budget, pins) = (&self.scope, &self.budget, RefCell::default());
            let reading = Reading { connection, folder, state, scope, scope_sql, budget, pins };
            let answer = question(&reading);
            touched = reading.pins.take().in_order;
            answer
        });
        (answer, touched)
    }
}

/// DuckDB could not get the memory that it needs, and says so by the beginning of its error.
fn says_out_of_memory(error: &str) -> bool {
    error.starts_with("Out of Memory Error")
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
