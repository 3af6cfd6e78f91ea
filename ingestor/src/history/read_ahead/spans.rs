//! Reads the spans of a host's processes without the rest of its snapshots, for trials of rules on a long time.

use std::collections::BTreeSet;

use fleetps_nats::{HostName, model::Field, snapshot::Process};

use super::{
    KnownProcess, ProcessSpan, RowLimits,
    read::{KnownProcesses, Part},
    rows::Key,
};
use crate::{
    catalog::SegmentIndex,
    history::{HistoryError, reading::Reading},
};

/// Wanted processes that one query asks for: some 50 KB of SQL.
const WANTED_TOGETHER: usize = 2_000;

/// Whether a process is wanted, for its facts.
type IsWanted<'a> = dyn Fn(&Process) -> Result<bool, HistoryError> + 'a;

/// What is read of spans.
pub(in crate::history) struct SpansAsked<'a> {
    /// Facts of processes beside their identity, with their places in the model's list.
    pub(in crate::history) facts: &'a [(usize, &'a Field)],
    pub(in crate::history) figures: Vec<&'a Field>,
    /// Whether a process is wanted for its facts; all are where it is absent.
    pub(in crate::history) is_wanted: Option<&'a IsWanted<'a>>,
    /// The SQL condition that some span of a process must meet.
    pub(in crate::history) relevant: Option<&'a str>,
}

impl Reading<'_> {
    /// The spans of `host` in a segment from one moment to another, in any order, with what is `asked` and nothing else.
    pub(in crate::history) fn spans_between(
        &self,
        segment: &SegmentIndex,
        host: &HostName,
        (first_us, last_us): (i64, i64),
        asked: &SpansAsked<'_>,
    ) -> Result<(Vec<KnownProcess>, Vec<ProcessSpan>), HistoryError> {
        let limits = RowLimits::ALL;
        Part { reading: self, segment, host, first_us, last_us, limits }.spans_of(asked)
    }
}

impl Part<'_> {
    /// What is asked of spans. Processes are read first, because those that are not wanted are most of them.
    fn spans_of(
        &self,
        asked: &SpansAsked<'_>,
    ) -> Result<(Vec<KnownProcess>, Vec<ProcessSpan>), HistoryError> {
        let phases = self.processes_with(asked.facts)?;
        let count = &mut self.reading.budget.count_rows();
        let Some(is_wanted) = asked.is_wanted else {
            let spans = self.rows_of_spans(asked.figures.clone(), None, asked.relevant, count)?;
            return Ok(KnownProcesses::of(phases).with(spans));
        };
        let mut wanted: BTreeSet<&Key> = BTreeSet::new();
        for (key, (_, process)) in &phases {
            if is_wanted(process)? {
                wanted.insert(key);
            }
        }
        let pairs: BTreeSet<(u32, i64)> = wanted.iter().map(|(_, pid, start)| (*pid, *start)).collect();
        let pairs: Vec<String> = pairs.into_iter().map(|(pid, start)| format!("({pid}, {start})")).collect();
        let mut spans = Vec::new();
        for some in pairs.chunks(WANTED_TOGETHER) {
            let of_some = format!("(pid, start_ticks) IN ({})", some.join(", "));
            spans.extend(self.rows_of_spans(asked.figures.clone(), Some(&of_some), asked.relevant, count)?);
        }
        // Another boot may have had the same pid and start.
        spans.retain(|(key, ..)| wanted.contains(key));
        let phases = phases.iter().filter(|(key, _)| wanted.contains(key)).cloned().collect();
        Ok(KnownProcesses::of(phases).with(spans))
    }
}
