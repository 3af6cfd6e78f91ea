//! What rules have in common: each filter and figure is evaluated once for a snapshot, and each sum is added up once, however many rules
//! ask for it.

use super::rule::{Measure, Over, Rule};
use crate::filter::{Figure, Filter};

/// The filters, figures and sums of some rules, each once.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) filters: Vec<Filter>,
    pub(super) figures: Vec<Figure>,
    pub(super) sums: Vec<Sum>,
    /// The place of each rule's sum; absent for rules that ask for none.
    of_rules: Vec<Option<usize>>,
}

/// Processes added up or counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sum {
    /// The place of the figure that is added up; processes are counted where it is absent.
    pub(super) figure: Option<usize>,
    /// The processes of one value.
    pub(super) over: Over,
    /// The place of the filter of processes that count.
    pub(super) filter: usize,
}

/// A rule, and the place of its sum in the plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planned<'a> {
    pub(crate) rule: &'a Rule,
    pub(super) sum: Option<usize>,
}

impl Plan {
    /// The plan of `rules`.
    pub(super) fn of<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Self {
        let mut plan = Self::default();
        for rule in rules {
            let sum = match rule.measure {
                Measure::Process(figure) => Some(plan.sum(Some(figure), rule)),
                Measure::Count => Some(plan.sum(None, rule)),
                Measure::Host(_)
                | Measure::Disk
                | Measure::DiskFullIn
                | Measure::MemoryFullIn
                | Measure::Unusual
                | Measure::Gone
                | Measure::Silent
                | Measure::RestartLoop
                | Measure::Own(_) => None,
            };
            plan.of_rules.push(sum);
        }
        plan
    }

    /// The rule at `place` in the list of which this is the plan.
    pub(super) fn planned<'a>(&self, place: usize, rule: &'a Rule) -> Planned<'a> {
        Planned { rule, sum: self.of_rules.get(place).copied().flatten() }
    }

    fn sum(&mut self, figure: Option<Figure>, rule: &Rule) -> usize {
        let filter = place_of(&mut self.filters, rule.filter.clone());
        let figure = figure.map(|figure| place_of(&mut self.figures, figure));
        place_of(&mut self.sums, Sum { figure, over: rule.over, filter })
    }
}

/// The place of `wanted`, which is appended where there is none like it.
fn place_of<T: PartialEq>(all: &mut Vec<T>, wanted: T) -> usize {
    all.iter().position(|one| *one == wanted).unwrap_or_else(|| {
        all.push(wanted);
        all.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::Severity;

    #[test]
    fn rules_that_ask_for_the_same_share_it() {
        let sentences = [
            "cpu > 90 over program where user:www",
            "cpu > 50 for 5m over program where user:www",
            "cpu > 50 over unit where user:www",
            "mem > 1G over program where user:www",
            "count > 5 over program",
            "disk > 90%",
            "count > 9 3 of 5 over program",
        ];
        let rules = sentences.map(|sentence| Rule::parse("r", 0, Severity::Info, sentence).unwrap());
        let plan = Plan::of(&rules);
        assert_eq!(plan.of_rules, [Some(0), Some(0), Some(1), Some(2), Some(3), None, Some(3)]);
        assert_eq!((plan.filters.len(), plan.figures.len(), plan.sums.len()), (2, 2, 4));
    }
}
