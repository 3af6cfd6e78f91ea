//! A process with what follows from its snapshot: rates, age, and the values it sorts by.

use std::cmp::Ordering;

use fleetps_nats::{
    model::{ProcessView, Value, sums::GroupMemory, table::TableColumn},
    snapshot::Process,
};

use super::Column;
use crate::live::{Moment, ProcessRates};

/// A process with its rates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessFacts<'a> {
    /// The process.
    pub process: &'a Process,
    /// Its rates.
    pub rates: ProcessRates,
    /// Seconds since it started.
    pub age_s: i64,
    /// CPU use of its children that ended since the snapshot before, in percent of one core.
    pub ended_children_percent: Option<f64>,
}

/// The sort key of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum SortKey<'a> {
    /// Unknown: last, whichever way.
    Missing,
    /// A number.
    Number(f64),
    /// A text.
    Text(&'a str),
}

impl<'a> From<Option<f64>> for SortKey<'a> {
    fn from(value: Option<f64>) -> Self {
        value.map_or(Self::Missing, Self::Number)
    }
}

impl<'a> From<Option<&'a str>> for SortKey<'a> {
    fn from(value: Option<&'a str>) -> Self {
        value.map_or(Self::Missing, Self::Text)
    }
}

impl SortKey<'_> {
    /// The order of two values, missing ones last.
    pub(crate) fn compare(&self, other: &Self, descending: bool) -> Ordering {
        let ascending = match (self, other) {
            (Self::Missing, Self::Missing) => return Ordering::Equal,
            (Self::Missing, _) => return Ordering::Greater,
            (_, Self::Missing) => return Ordering::Less,
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        };
        if descending { ascending.reverse() } else { ascending }
    }
}

impl<'a> From<&ProcessView<'a>> for ProcessFacts<'a> {
    fn from(view: &ProcessView<'a>) -> Self {
        Self {
            process: view.process,
            rates: view.rates(),
            age_s: view.age_us() / 1_000_000,
            ended_children_percent: view.ended_children_percent(),
        }
    }
}

impl<'a> ProcessFacts<'a> {
    /// A process without the snapshot before it: it has no rates.
    pub(crate) fn alone(process: &'a Process, age_s: i64) -> Self {
        Self { process, rates: ProcessRates::default(), age_s, ended_children_percent: None }
    }

    /// Every process of `moment`, in the order of the snapshot.
    pub(crate) fn all(moment: &'a Moment) -> Vec<Self> {
        moment.pair.processes().map(|view| Self::from(&view)).collect()
    }

    /// The sort key in `column`.
    pub(crate) fn sort_key(&self, column: Column) -> SortKey<'a> {
        match self.process.value(column.declared().place) {
            Value::Text(text) => SortKey::Text(text),
            _ => self.number(column).into(),
        }
    }

    /// Its value in a column of numbers.
    pub(crate) fn number(&self, column: Column) -> Option<f64> {
        let TableColumn { place, is_rate, .. } = *column.declared();
        match self.process.value(place) {
            _ if is_rate => self.rates.at(place),
            _ if column == Column::Age => Some(self.age_s as f64),
            Value::Letter(letter) => Some(f64::from(u32::from(letter))),
            value => value.number(),
        }
    }
}

/// Sums of the columns that add up; a sum of nothing known is unknown. CPU use includes children that ended since the
/// snapshot before; memory counts once what processes share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sums {
    /// Processes.
    pub processes: usize,
    memory: GroupMemory,
    /// By the columns' places.
    values: [Option<f64>; Column::COUNT],
}

impl Default for Sums {
    fn default() -> Self {
        Self { processes: 0, memory: GroupMemory::default(), values: [None; Column::COUNT] }
    }
}

impl Sums {
    /// The values of one process, with its ended children.
    pub(super) fn of(facts: &ProcessFacts<'_>) -> Self {
        let value = |column: Column| facts.number(column).filter(|_| column.adds_up());
        let mut sums =
            Self { processes: 1, memory: GroupMemory::of(facts.process), values: Column::ALL.map(value) };
        sums.add_ended_children(facts);
        sums
    }

    /// Adds another's.
    pub(super) fn add(&mut self, other: &Self) {
        self.processes += other.processes;
        self.memory.add(&other.memory);
        for (sum, other) in self.values.iter_mut().zip(other.values) {
            add(sum, other);
        }
    }

    /// Adds the CPU use of the ended children of a process, without its own.
    pub(super) fn add_ended_children(&mut self, facts: &ProcessFacts<'_>) {
        if let Some(cpu_percent) = self.values.get_mut(Column::Cpu.place()) {
            add(cpu_percent, facts.ended_children_percent);
        }
    }

    /// The sum of `column`; `None` also where it does not add up.
    pub(super) fn number(&self, column: Column) -> Option<f64> {
        match column {
            Column::Memory => self.memory.bytes().map(|bytes| bytes as f64),
            _ => self.values.get(column.place()).copied().flatten(),
        }
    }
}

fn add(sum: &mut Option<f64>, part: Option<f64>) {
    if let Some(part) = part {
        *sum = Some(sum.unwrap_or_default() + part);
    }
}
