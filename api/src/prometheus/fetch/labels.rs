//! The labels of series: which are asked for, and which there are.

use std::{collections::BTreeSet, sync::Arc};

use fleetps_ingestor::history::{History, ProgramFigure, ProgramName, ProgramReading};
use fleetps_nats::HostName;

use super::{Failure, Reader, asked};
use crate::prometheus::{
    ast::{Selector, WindowFunction},
    known::KnownHosts,
    matcher::Matcher,
    metric::{self, Source},
    parse::NAME,
    present::Present,
    problem::Problem,
    question::{Selection, metrics_of},
    series::Labels,
};

/// The most series that are listed by their labels.
const MAX_LABEL_SETS: usize = 20_000;

/// Whether the conditions on labels of programs let a series without them through.
pub(super) fn has_no_program(selection: &Selection) -> bool {
    selection.selector.matchers.iter().all(|matcher| match matcher.label.as_str() {
        NAME | metric::HOST | metric::GROUP => true,
        // The metric was chosen by it.
        label if selection.metric.label.is_some_and(|(known, _)| known == label) => true,
        _ => matcher.accepts(""),
    })
}

/// Whether a program meets the conditions on its labels, and has no other that is asked for.
pub(super) fn is_selected(selection: &Selection, program: Option<&ProgramName>) -> bool {
    let Some(program) = program else { return false };
    selection.selector.matchers.iter().all(|matcher| match matcher.label.as_str() {
        NAME | metric::HOST | metric::GROUP => true,
        metric::PROGRAM => matcher.accepts(&program.name),
        metric::USER => matcher.accepts(&program.user),
        metric::UNIT => matcher.accepts(&program.unit),
        _ => matcher.accepts(""),
    })
}

pub(super) fn labels(selection: &Selection, host: &HostName, program: Option<&ProgramName>) -> Labels {
    let mut labels = Labels::from([(metric::HOST, Arc::from(host.as_str()))]);
    if matches!(selection.function, None | Some(WindowFunction::Last)) {
        labels.insert(NAME, Arc::from(selection.metric.name));
    }
    labels.extend(selection.metric.label.map(|(label, value)| (label, Arc::from(value))));
    if let Some(program) = program {
        labels.insert(metric::PROGRAM, Arc::from(program.name.as_str()));
        let further = [(metric::USER, &program.user), (metric::UNIT, &program.unit)];
        for (label, text) in further.into_iter().filter(|(_, text)| !text.is_empty()) {
            labels.insert(label, Arc::from(text.as_str()));
        }
    }
    labels
}

/// The values that a label can have, where these are few and known.
pub(super) fn only(selection: &Selection, label: &str) -> Option<Vec<String>> {
    let matchers = selection.selector.matchers.iter();
    matchers.filter(|matcher| matcher.label == label).find_map(Matcher::only_values)
}

/// The labels of the series that one of `selectors` is about, as far as they had values within a time.
///
/// # Errors
/// When the history cannot answer, or there are too many.
pub(crate) fn label_sets(
    history: &History,
    selectors: &[Selector],
    known: &KnownHosts,
    (start_ms, end_ms): (i64, i64),
) -> Result<BTreeSet<Labels>, Failure> {
    let mut all = BTreeSet::new();
    let present = Present::default();
    let reader = Reader::new(history, known, &present);
    for selector in selectors {
        for metric in metrics_of(selector) {
            history.check_deadline()?;
            let selection = Selection::over(selector, metric, known, (start_ms, end_ms));
            let found = match selection.metric.source {
                Source::Program(_) => reader.programs_seen(&selection)?,
                Source::Events => {
                    let happened = reader.happened(&selection)?.into_iter();
                    let named = |(mut labels, _): (Labels, i64)| {
                        labels.insert(NAME, Arc::from(metric.name));
                        labels
                    };
                    happened.map(named).collect()
                }
                _ if !has_no_program(&selection) => Vec::new(),
                _ => selection.hosts.iter().map(|host| labels(&selection, host, None)).collect(),
            };
            all.extend(found);
            if all.len() > MAX_LABEL_SETS {
                let error =
                    format!("these are more than {MAX_LABEL_SETS} series; select fewer by their labels");
                return Err(Problem::at(selector.column, error).into());
            }
        }
    }
    Ok(all)
}

impl Reader<'_> {
    /// The labels of the programs that were seen.
    fn programs_seen(&self, selection: &Selection) -> Result<Vec<Labels>, Failure> {
        if selection.hosts.is_empty() {
            return Ok(Vec::new());
        }
        let query = asked(selection, ProgramFigure::Processes, ProgramReading::Last);
        let hosts = self.known.asked(&selection.hosts);
        let names = self.history.program_names(&hosts, selection.grid, &query)?;
        let seen = names.iter().filter(|(_, program)| is_selected(selection, Some(program)));
        Ok(seen.map(|(host, program)| labels(selection, host, Some(program))).collect())
    }
}
