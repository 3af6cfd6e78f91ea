//! What a process is in one segment, and what it was before: it may have become another program or taken another user, and
//! its snapshots come in any order.

use super::programs::Facts;

/// Times of capture are whole milliseconds: nothing is seen between one and the next.
const NEXT_US: i64 = 1000;

/// All times in µs since 1970 UTC.
#[derive(Debug)]
pub(super) struct ProcessRow {
    /// As it was seen last.
    pub(super) facts: Facts,
    /// As its host said it last: a clock that was set moves it.
    pub(super) started_at_us: i64,
    pub(super) first_seen_us: i64,
    pub(super) last_seen_us: i64,
    /// Since when it is what `facts` say.
    pub(super) facts_since_us: i64,
    /// What it was before, in the order of time.
    pub(super) earlier: Vec<EarlierRow>,
    /// The program as which it came first, by which all its runs are ordered.
    pub(super) first_program: u32,
    /// Its last run of samples, as a place among them.
    pub(super) last_run: usize,
}

/// What a process was, from one time to another.
#[derive(Debug, Clone)]
pub(super) struct EarlierRow {
    pub(super) facts: Facts,
    pub(super) facts_since_us: i64,
    pub(super) last_seen_us: i64,
}

impl ProcessRow {
    pub(super) fn new(captured_at_us: i64, facts: Facts, started_at_us: i64) -> Self {
        Self {
            facts,
            started_at_us,
            first_seen_us: captured_at_us,
            last_seen_us: captured_at_us,
            facts_since_us: captured_at_us,
            earlier: Vec::new(),
            first_program: facts.program,
            last_run: 0,
        }
    }

    /// Notes what the process was at a moment. Returns how many more rows there are of what it was before.
    pub(super) fn see(&mut self, captured_at_us: i64, facts: Facts, started_at_us: i64) -> usize {
        let before = self.earlier.len();
        self.first_seen_us = self.first_seen_us.min(captured_at_us);
        match captured_at_us <= self.last_seen_us {
            true => self.see_late(captured_at_us, facts),
            false => self.see_next(captured_at_us, facts, started_at_us),
        }
        self.earlier.len() - before
    }

    fn see_next(&mut self, captured_at_us: i64, facts: Facts, started_at_us: i64) {
        if self.facts != facts {
            let (facts_since_us, last_seen_us) = (self.facts_since_us, self.last_seen_us);
            self.earlier.push(EarlierRow { facts: self.facts, facts_since_us, last_seen_us });
            (self.facts, self.facts_since_us) = (facts, captured_at_us);
        }
        self.started_at_us = started_at_us;
        self.last_seen_us = captured_at_us;
    }

    /// Notes what it was before it was seen last.
    fn see_late(&mut self, captured_at_us: i64, facts: Facts) {
        let begun = self.earlier.partition_point(|row| row.facts_since_us <= captured_at_us);
        if self.facts_since_us <= captured_at_us {
            if self.facts != facts {
                self.split_present(captured_at_us, facts);
            }
            return;
        }
        let then = begun.checked_sub(1).and_then(|place| self.earlier.get_mut(place));
        let was_seen_later = then.as_ref().is_some_and(|then| then.last_seen_us > captured_at_us);
        if let Some(then) = then.filter(|then| then.facts == facts) {
            then.last_seen_us = then.last_seen_us.max(captured_at_us);
            return;
        }
        // It may have become what it was seen as next, and not only for a moment another.
        let (next, next_since_us) = match self.earlier.get_mut(begun) {
            Some(next) => (next.facts, &mut next.facts_since_us),
            None => (self.facts, &mut self.facts_since_us),
        };
        if !was_seen_later && next == facts {
            *next_since_us = captured_at_us;
            return;
        }
        self.split_earlier(begun, captured_at_us, facts);
    }

    /// It was another at one moment, and before and after that what it is.
    fn split_present(&mut self, captured_at_us: i64, facts: Facts) {
        let before = EarlierRow {
            facts: self.facts,
            facts_since_us: self.facts_since_us,
            last_seen_us: captured_at_us - NEXT_US,
        };
        self.earlier.push(before);
        self.earlier.push(at(captured_at_us, facts));
        self.facts_since_us = captured_at_us + NEXT_US;
    }

    /// It was another at one moment, after `begun` of its earlier rows had begun.
    fn split_earlier(&mut self, begun: usize, captured_at_us: i64, facts: Facts) {
        self.earlier.insert(begun, at(captured_at_us, facts));
        let then = begun.checked_sub(1).and_then(|place| self.earlier.get_mut(place));
        let Some(then) = then.filter(|then| then.last_seen_us > captured_at_us) else { return };
        let rest = EarlierRow { facts_since_us: captured_at_us + NEXT_US, ..then.clone() };
        then.last_seen_us = captured_at_us - NEXT_US;
        self.earlier.insert(begun + 1, rest);
    }
}

fn at(captured_at_us: i64, facts: Facts) -> EarlierRow {
    EarlierRow { facts, facts_since_us: captured_at_us, last_seen_us: captured_at_us }
}

#[cfg(test)]
#[path = "process_row_tests.rs"]
mod tests;
