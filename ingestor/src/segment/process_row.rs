//! What a process is in one segment, and what it was before: it may have become another program or taken another user, and
//! its snapshots come in any order.

use fleetps_nats::{model::process::FACTS, snapshot::Process};

/// Times of capture are whole milliseconds: nothing is seen between one and the next.
const NEXT_US: i64 = 1000;

/// All times in µs since 1970 UTC.
#[derive(Debug)]
pub(super) struct ProcessRow {
    /// As it was seen last.
    pub(super) process: Process,
    pub(super) first_seen_us: i64,
    pub(super) last_seen_us: i64,
    /// Since when it is what `process` says.
    pub(super) facts_since_us: i64,
    /// What it was before, in the order of time.
    pub(super) earlier: Vec<EarlierRow>,
}

/// What a process was, from one time to another.
#[derive(Debug, Clone)]
pub(super) struct EarlierRow {
    pub(super) process: Process,
    pub(super) facts_since_us: i64,
    pub(super) last_seen_us: i64,
}

impl ProcessRow {
    pub(super) fn new(captured_at_us: i64, process: &Process) -> Self {
        Self {
            process: process.clone(),
            first_seen_us: captured_at_us,
            last_seen_us: captured_at_us,
            facts_since_us: captured_at_us,
            earlier: Vec::new(),
        }
    }

    /// Notes what the process was at a moment. Returns by how many `earlier` has more.
    pub(super) fn see(&mut self, captured_at_us: i64, process: &Process) -> usize {
        let before = self.earlier.len();
        self.first_seen_us = self.first_seen_us.min(captured_at_us);
        if captured_at_us <= self.last_seen_us {
            self.see_late(captured_at_us, process);
            return self.earlier.len() - before;
        }
        if !is_same_program(&self.process, process) {
            let process = std::mem::replace(&mut self.process, process.clone());
            let (facts_since_us, last_seen_us) = (self.facts_since_us, self.last_seen_us);
            self.earlier.push(EarlierRow { process, facts_since_us, last_seen_us });
            self.facts_since_us = captured_at_us;
        }
        // A clock that was set moves it; the process stays what it is.
        self.process.started_at_us = process.started_at_us;
        self.last_seen_us = captured_at_us;
        self.earlier.len() - before
    }

    /// Notes what it was before it was seen last.
    fn see_late(&mut self, captured_at_us: i64, process: &Process) {
        let begun = self.earlier.partition_point(|row| row.facts_since_us <= captured_at_us);
        if self.facts_since_us <= captured_at_us {
            if !is_same_program(&self.process, process) {
                self.split_present(captured_at_us, process);
            }
            return;
        }
        let then = begun.checked_sub(1).and_then(|place| self.earlier.get_mut(place));
        let was_seen_later = then.as_ref().is_some_and(|then| then.last_seen_us > captured_at_us);
        if let Some(then) = then.filter(|then| is_same_program(&then.process, process)) {
            then.last_seen_us = then.last_seen_us.max(captured_at_us);
            return;
        }
        // It may have become what it was seen as next, and not only for a moment another.
        let (next, next_since_us) = match self.earlier.get_mut(begun) {
            Some(next) => (&next.process, &mut next.facts_since_us),
            None => (&self.process, &mut self.facts_since_us),
        };
        if !was_seen_later && is_same_program(next, process) {
            *next_since_us = captured_at_us;
            return;
        }
        self.split_earlier(begun, captured_at_us, process);
    }

    /// It was another at one moment, and before and after that what it is.
    fn split_present(&mut self, captured_at_us: i64, process: &Process) {
        self.earlier.push(EarlierRow {
            process: self.process.clone(),
            facts_since_us: self.facts_since_us,
            last_seen_us: captured_at_us - NEXT_US,
        });
        self.earlier.push(at(captured_at_us, process));
        self.facts_since_us = captured_at_us + NEXT_US;
    }

    /// It was another at one moment, after `begun` of its earlier rows had begun.
    fn split_earlier(&mut self, begun: usize, captured_at_us: i64, process: &Process) {
        self.earlier.insert(begun, at(captured_at_us, process));
        let then = begun.checked_sub(1).and_then(|place| self.earlier.get_mut(place));
        let Some(then) = then.filter(|then| then.last_seen_us > captured_at_us) else { return };
        let rest = EarlierRow { facts_since_us: captured_at_us + NEXT_US, ..then.clone() };
        then.last_seen_us = captured_at_us - NEXT_US;
        self.earlier.insert(begun + 1, rest);
    }
}

fn at(captured_at_us: i64, process: &Process) -> EarlierRow {
    EarlierRow { process: process.clone(), facts_since_us: captured_at_us, last_seen_us: captured_at_us }
}

/// Whether nothing of a process changed that its row in `process` says.
fn is_same_program(known: &Process, now: &Process) -> bool {
    FACTS.iter().all(|place| known.value(*place) == now.value(*place))
}

#[cfg(test)]
#[path = "process_row_tests.rs"]
mod tests;
