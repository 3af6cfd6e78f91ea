//! What a snapshot says of every rule. Whatever several rules ask for is worked out once, when it is first asked for.
//!
//! Of hundreds of processes, hardly any belongs to an instance that something is to be remembered of. So values are added up by
//! number, and only an instance that is known or beyond the threshold gets a key.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashMap},
};

use fleetps_nats::{
    model::{ProcessRates, ProcessView, SnapshotPair},
    snapshot::Process,
};

use super::{
    measure::{Culprit, Key, disk_value, host_value, largest},
    plan::{Plan, Planned, Sum},
    presence::names_of,
    rule::{Measure, Needs, Over, Rule},
};
use crate::filter::{Deadline, Fields, Figure, Stopped};

/// The value of each instance; absent where it is not known.
pub(crate) type ValueOf = BTreeMap<Key, Option<f64>>;

/// What is measured at one moment of a host.
pub(crate) trait Values {
    /// The values that may change something: of the instances in `known` that there are, and of those beyond the threshold at
    /// which an alert is raised.
    ///
    /// # Errors
    /// When the filter took too long.
    fn values(&self, planned: Planned<'_>, known: &[&Key]) -> Result<ValueOf, Stopped>;

    /// The names of the services (units) or programs that there are, sorted, each once.
    fn present(&self, over: Over) -> Vec<&str>;

    /// Whether there is this process, whatever a filter says of it.
    fn has_process(&self, pid: u32, start: i64) -> bool;

    /// The processes that make the value of an instance what it is, those with the largest part first.
    fn culprits(&self, planned: Planned<'_>, key: &Key) -> Vec<Culprit>;
}

/// The values of a snapshot.
pub(super) struct Measured<'a> {
    pair: &'a SnapshotPair,
    plan: &'a Plan,
    needs: Needs,
    deadline: Deadline,
    fields: OnceCell<Vec<Fields<'a>>>,
    places: OnceCell<HashMap<(u32, i64), usize>>,
    programs: OnceCell<Groups<'a>>,
    units: OnceCell<Groups<'a>>,
    users: OnceCell<Groups<'a>>,
    /// Whether each process passes, by the filter's place in the plan.
    matching: Vec<OnceCell<Result<Vec<bool>, Stopped>>>,
    /// The value of each process, by the figure's place in the plan.
    figures: Vec<OnceCell<Vec<Option<f64>>>>,
    /// By the sum's place in the plan.
    totals: Vec<OnceCell<Result<Vec<Total>, Stopped>>>,
}

/// The sum over the processes of one instance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Total {
    /// No process belongs to it.
    Nobody,
    /// The value of none of its processes is known.
    Unknown,
    /// Those that are known, added up.
    Of(f64),
}

impl Total {
    /// The same with one more process.
    pub(crate) fn and(self, value: Option<f64>) -> Self {
        match (self, value) {
            (Self::Of(sum), value) => Self::Of(sum + value.unwrap_or_default()),
            (_, Some(value)) => Self::Of(value),
            (_, None) => Self::Unknown,
        }
    }

    /// The value; `None` where it is not known.
    pub(crate) fn known(self) -> Option<f64> {
        match self {
            Self::Of(value) => Some(value),
            Self::Nobody | Self::Unknown => None,
        }
    }
}

/// Processes by a name that they share.
struct Groups<'a> {
    names: Vec<&'a str>,
    by_name: HashMap<&'a str, usize>,
    /// The group of each process; absent where it belongs to none, such as a process without a unit.
    of_processes: Vec<Option<usize>>,
}

impl<'a> Groups<'a> {
    fn of(names: impl Iterator<Item = Option<&'a str>>) -> Self {
        let mut groups = Self { names: Vec::new(), by_name: HashMap::new(), of_processes: Vec::new() };
        for name in names {
            let group = name.map(|name| groups.group(name));
            groups.of_processes.push(group);
        }
        groups
    }

    fn group(&mut self, name: &'a str) -> usize {
        *self.by_name.entry(name).or_insert_with(|| {
            self.names.push(name);
            self.names.len() - 1
        })
    }
}

impl<'a> Measured<'a> {
    /// The latest snapshot of `pair` as rules with this plan and these needs look at it, to be measured until `deadline`.
    pub(super) fn of(pair: &'a SnapshotPair, (plan, needs): (&'a Plan, Needs), deadline: Deadline) -> Self {
        Self {
            pair,
            plan,
            needs,
            deadline,
            fields: OnceCell::new(),
            places: OnceCell::new(),
            programs: OnceCell::new(),
            units: OnceCell::new(),
            users: OnceCell::new(),
            matching: plan.filters.iter().map(|_| OnceCell::new()).collect(),
            figures: plan.figures.iter().map(|_| OnceCell::new()).collect(),
            totals: plan.sums.iter().map(|_| OnceCell::new()).collect(),
        }
    }

    fn fields(&self) -> &[Fields<'a>] {
        let fields = |view: ProcessView<'a>| match self.needs {
            Needs::Processes => Fields::from(&view),
            Needs::Nothing | Needs::Host => Fields::with_rates(&view, ProcessRates::default()),
        };
        self.fields.get_or_init(|| self.pair.processes().map(fields).collect())
    }

    /// The place of each process.
    fn places(&self) -> &HashMap<(u32, i64), usize> {
        let of_processes = || {
            let processes = self.pair.latest().processes.iter().enumerate();
            processes.map(|(place, process)| (process.key(), place)).collect()
        };
        self.places.get_or_init(of_processes)
    }

    /// The groups of processes by name; `None` where what is measured is no such group.
    fn groups(&self, over: Over) -> Option<&Groups<'a>> {
        let processes = || self.pair.latest().processes.iter();
        match over {
            Over::Program => {
                Some(self.programs.get_or_init(|| Groups::of(processes().map(|it| Some(it.name.as_str())))))
            }
            Over::Unit => {
                Some(self.units.get_or_init(|| Groups::of(processes().map(|it| it.unit.as_deref()))))
            }
            Over::User => {
                Some(self.users.get_or_init(|| Groups::of(processes().map(|it| it.user_name.as_deref()))))
            }
            Over::Host | Over::Process | Over::Filesystem => None,
        }
    }

    fn matching(&self, filter: usize) -> Result<&[bool], Stopped> {
        let (Some(cell), Some(filter)) = (self.matching.get(filter), self.plan.filters.get(filter)) else {
            return Ok(&[]);
        };
        let matching = || filter.matching_lent(self.fields(), &self.deadline);
        cell.get_or_init(matching).as_deref().map_err(|stopped| *stopped)
    }

    fn totals(&self, place: usize) -> Result<&[Total], Stopped> {
        let (Some(cell), Some(sum)) = (self.totals.get(place), self.plan.sums.get(place)) else {
            return Ok(&[]);
        };
        cell.get_or_init(|| self.add_up(*sum)).as_deref().map_err(|stopped| *stopped)
    }

    /// The value of each process.
    fn of_figure(&self, place: usize) -> &[Option<f64>] {
        let (Some(cell), Some(figure)) = (self.figures.get(place), self.plan.figures.get(place)) else {
            return &[];
        };
        cell.get_or_init(|| self.fields().iter().map(|fields| figure.of(fields)).collect())
    }

    fn add_up(&self, sum: Sum) -> Result<Vec<Total>, Stopped> {
        let matching = self.matching(sum.filter)?;
        let (figures, groups) = (sum.figure.map(|figure| self.of_figure(figure)), self.groups(sum.over));
        let count = match (sum.over, groups) {
            (Over::Host, _) => 1,
            (_, Some(groups)) => groups.names.len(),
            (_, None) => matching.len(),
        };
        let is_count_of_host = sum.over == Over::Host && sum.figure.is_none();
        let mut totals = vec![if is_count_of_host { Total::Of(0.0) } else { Total::Nobody }; count];
        for (place, _) in matching.iter().enumerate().filter(|(_, matches)| **matches) {
            let group = match (sum.over, groups) {
                (Over::Host, _) => Some(0),
                (_, Some(groups)) => groups.of_processes.get(place).copied().flatten(),
                (_, None) => Some(place),
            };
            let value = figures.map_or(Some(1.0), |figures| figures.get(place).copied().flatten());
            if let Some(total) = group.and_then(|group| totals.get_mut(group)) {
                *total = total.and(value);
            }
        }
        Ok(totals)
    }

    /// The key of the instance with this number.
    fn key(&self, over: Over, number: usize) -> Option<Key> {
        match (over, self.groups(over)) {
            (Over::Host, _) => Some(Key::Host),
            (Over::Process, _) => self.pair.latest().processes.get(number).map(Key::of_process),
            (_, Some(groups)) => groups.names.get(number).map(|name| Key::Named((*name).to_owned())),
            (_, None) => None,
        }
    }

    /// The number of the instance with this key, if there is one.
    fn number(&self, over: Over, key: &Key) -> Option<usize> {
        match (over, key) {
            (Over::Host, Key::Host) => Some(0),
            (Over::Process, Key::Process { pid, start, name }) => {
                let place = self.places().get(&(*pid, *start)).copied()?;
                self.pair.latest().processes.get(place).filter(|it| it.name == *name).map(|_| place)
            }
            (_, Key::Named(name)) => self.groups(over)?.by_name.get(name.as_str()).copied(),
            _ => None,
        }
    }

    fn sums(&self, rule: &Rule, sum: usize, known: &[&Key]) -> Result<ValueOf, Stopped> {
        let totals = self.totals(sum)?;
        let is_hit = |total: &Total| total.known().is_some_and(|value| rule.threshold.is_hit(value));
        let hit = totals.iter().enumerate().filter(|(_, total)| is_hit(total));
        let mut values: ValueOf =
            hit.filter_map(|(number, total)| Some((self.key(rule.over, number)?, total.known()))).collect();
        for key in known {
            let total = self.number(rule.over, key).and_then(|number| totals.get(number));
            if let Some(total) = total.filter(|total| **total != Total::Nobody) {
                values.entry((*key).clone()).or_insert(total.known());
            }
        }
        Ok(values)
    }

    /// The processes that have written most since they started. What they write at present takes two snapshots to know.
    fn writers(&self) -> Vec<Culprit> {
        let processes = self.pair.latest().processes.iter();
        let writer = |process| Culprit::of(process, process.written_bytes.map(|bytes| bytes as f64));
        largest(processes.filter_map(writer).collect())
    }

    /// The processes with the largest values of `figure`.
    fn largest_of(&self, figure: &str) -> Vec<Culprit> {
        let Some(figure) = Figure::find(figure) else { return Vec::new() };
        let fields = self.fields().iter();
        largest(fields.filter_map(|fields| Culprit::of(fields.process, figure.of(fields))).collect())
    }

    /// The process itself, with its memory.
    fn memory_of(&self, key: &Key) -> Vec<Culprit> {
        let place = self.number(Over::Process, key);
        let process = place.and_then(|place| self.pair.latest().processes.get(place));
        let culprit =
            |process: &Process| Culprit::of(process, process.resident_bytes.map(|bytes| bytes as f64));
        process.and_then(culprit).into_iter().collect()
    }

    /// The processes of an instance of a sum that have the largest parts in it.
    fn parts(&self, sum: Sum, key: &Key) -> Vec<Culprit> {
        let Some(number) = self.number(sum.over, key) else { return Vec::new() };
        let figure = sum.figure.and_then(|figure| self.plan.figures.get(figure)).copied();
        let Some(figure) = figure.or_else(|| Figure::find("cpu")) else { return Vec::new() };
        // A filter that took too long raised no alert.
        let Ok(matching) = self.matching(sum.filter) else { return Vec::new() };
        let is_part = |place: usize| match (sum.over, self.groups(sum.over)) {
            (Over::Host, _) => true,
            (_, Some(groups)) => groups.of_processes.get(place).copied().flatten() == Some(number),
            (_, None) => place == number,
        };
        let all = self.fields().iter().zip(matching).enumerate();
        let parts = all.filter(|(place, (_, matches))| **matches && is_part(*place));
        largest(parts.filter_map(|(_, (fields, _))| Culprit::of(fields.process, figure.of(fields))).collect())
    }
}

impl Values for Measured<'_> {
    fn values(&self, planned: Planned<'_>, known: &[&Key]) -> Result<ValueOf, Stopped> {
        let Planned { rule, sum } = planned;
        Ok(match (rule.measure, sum) {
            (Measure::Host(figure), _) => BTreeMap::from([(Key::Host, host_value(self.pair, figure))]),
            (Measure::Disk, _) => self.pair.latest().filesystems.iter().map(disk_value).collect(),
            (Measure::Count | Measure::Process(_), Some(sum)) => self.sums(rule, sum, known)?,
            _ => BTreeMap::new(),
        })
    }

    fn present(&self, over: Over) -> Vec<&str> {
        names_of(over, self.pair.latest().processes.iter())
    }

    fn has_process(&self, pid: u32, start: i64) -> bool {
        self.places().contains_key(&(pid, start))
    }

    fn culprits(&self, planned: Planned<'_>, key: &Key) -> Vec<Culprit> {
        let sum = planned.sum.and_then(|sum| self.plan.sums.get(sum));
        match (planned.rule.measure, sum) {
            (Measure::Process(_) | Measure::Count, Some(sum)) => self.parts(*sum, key),
            (Measure::Host(figure), _) if figure.is_of_memory() => self.largest_of("mem"),
            (Measure::MemoryFullIn, _) => self.memory_of(key),
            (Measure::Unusual, _) => {
                self.largest_of(if *key == Key::Named("memory".to_owned()) { "mem" } else { "cpu" })
            }
            (Measure::Host(_), _) => self.largest_of("cpu"),
            (Measure::Disk | Measure::DiskFullIn, _) => self.writers(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
#[path = "measured_tests.rs"]
mod tests;
