//! What a process is in one segment, and what it was before: it may have become another program or taken another user, and
//! its snapshots come in any order.

use fleetps_nats::{
    model::{Value, process::FACTS},
    snapshot::Process,
};

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
    /// The bytes of all texts in this.
    text_bytes: usize,
}

/// What a segment has more of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Added {
    /// Rows of what it was before.
    pub(super) earlier: usize,
    /// Bytes of text.
    pub(super) text_bytes: usize,
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
            text_bytes: text_bytes(process),
        }
    }

    /// What there is of a process that was seen once.
    pub(super) fn added(&self) -> Added {
        Added { earlier: self.earlier.len(), text_bytes: self.text_bytes }
    }

    /// Notes what the process was at a moment. Returns what there is more of it.
    pub(super) fn see(&mut self, captured_at_us: i64, process: &Process) -> Added {
        let before = self.added();
        self.first_seen_us = self.first_seen_us.min(captured_at_us);
        match captured_at_us <= self.last_seen_us {
            true => self.see_late(captured_at_us, process),
            false => self.see_next(captured_at_us, process),
        }
        let now = self.added();
        Added { earlier: now.earlier - before.earlier, text_bytes: now.text_bytes - before.text_bytes }
    }

    fn see_next(&mut self, captured_at_us: i64, process: &Process) {
        if !is_same_program(&self.process, process) {
            let process = std::mem::replace(&mut self.process, process.clone());
            let (facts_since_us, last_seen_us) = (self.facts_since_us, self.last_seen_us);
            self.earlier.push(EarlierRow { process, facts_since_us, last_seen_us });
            self.facts_since_us = captured_at_us;
            self.text_bytes += text_bytes(&self.process);
        }
        // A clock that was set moves it; the process stays what it is.
        self.process.started_at_us = process.started_at_us;
        self.last_seen_us = captured_at_us;
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
        let before = EarlierRow {
            process: self.process.clone(),
            facts_since_us: self.facts_since_us,
            last_seen_us: captured_at_us - NEXT_US,
        };
        let end = self.earlier.len();
        self.insert(end, before);
        self.insert(end + 1, at(captured_at_us, process));
        self.facts_since_us = captured_at_us + NEXT_US;
    }

    /// It was another at one moment, after `begun` of its earlier rows had begun.
    fn split_earlier(&mut self, begun: usize, captured_at_us: i64, process: &Process) {
        self.insert(begun, at(captured_at_us, process));
        let then = begun.checked_sub(1).and_then(|place| self.earlier.get_mut(place));
        let Some(then) = then.filter(|then| then.last_seen_us > captured_at_us) else { return };
        let rest = EarlierRow { facts_since_us: captured_at_us + NEXT_US, ..then.clone() };
        then.last_seen_us = captured_at_us - NEXT_US;
        self.insert(begun + 1, rest);
    }

    fn insert(&mut self, place: usize, row: EarlierRow) {
        self.text_bytes += text_bytes(&row.process);
        self.earlier.insert(place, row);
    }
}

fn at(captured_at_us: i64, process: &Process) -> EarlierRow {
    EarlierRow { process: process.clone(), facts_since_us: captured_at_us, last_seen_us: captured_at_us }
}

fn text_bytes(process: &Process) -> usize {
    process.values().into_iter().filter_map(Value::text).map(str::len).sum()
}

/// Whether nothing of a process changed that its row in `process` says.
fn is_same_program(known: &Process, now: &Process) -> bool {
    FACTS.iter().all(|place| known.value(*place) == now.value(*place))
}

#[cfg(test)]
#[path = "process_row_tests.rs"]
mod tests;
