//! A process with what follows from its snapshot: rates, age, and the values it sorts by.

use std::cmp::Ordering;

use fleetps_nats::{model::ProcessView, snapshot::Process};

use super::Column;
use crate::live::{Moment, ProcessRates};

/// A process with its rates.
#[derive(Debug, Clone, Copy)]
pub struct ProcessFacts<'a> {
    /// The process.
    pub process: &'a Process,
    /// Its rates.
    pub rates: ProcessRates,
    /// Seconds since it started.
    pub age_s: i64,
}

/// What a row sorts by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SortKey<'a> {
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
    /// The order of two, what is missing last.
    pub fn compare(&self, other: &Self, descending: bool) -> Ordering {
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
        Self { process: view.process, rates: view.rates(), age_s: view.age_us() / 1_000_000 }
    }
}

impl<'a> ProcessFacts<'a> {
    /// Every process of `moment`, in the order of the snapshot.
    pub fn all(moment: &'a Moment) -> Vec<Self> {
        moment.pair.processes().map(|view| Self::from(&view)).collect()
    }

    /// What it sorts by in `column`.
    pub fn sort_key(&self, column: Column) -> SortKey<'a> {
        let process = self.process;
        match column {
            Column::Name => Some(process.name.as_str()).into(),
            Column::User => process.user_name.as_deref().into(),
            Column::Unit => process.unit.as_deref().into(),
            Column::Container => process.container.as_deref().into(),
            Column::Executable => process.executable.as_deref().into(),
            Column::Command => process.command_line.as_deref().into(),
            _ => self.number(column).into(),
        }
    }

    /// Its value in a column of numbers.
    pub fn number(&self, column: Column) -> Option<f64> {
        let process = self.process;
        match column {
            Column::Pid => Some(f64::from(process.pid)),
            Column::Parent => process.parent_pid.map(f64::from),
            Column::Cpu => process.cpu_percent.map(f64::from),
            Column::Memory => process.resident_bytes.map(|bytes| bytes as f64),
            Column::Virtual => process.virtual_bytes.map(|bytes| bytes as f64),
            Column::Read => self.rates.read_per_s,
            Column::Written => self.rates.written_per_s,
            Column::Threads => process.threads.map(f64::from),
            Column::State => Some(f64::from(u32::from(process.state))),
            Column::Age => Some(self.age_s as f64),
            Column::CpuTime => process.cpu_time_ms.map(|time_ms| time_ms as f64),
            _ => None,
        }
    }
}

/// Sums of the columns that add up; a sum of nothing known is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// Processes.
    pub processes: usize,
    /// CPU use in percent of one core.
    pub cpu_percent: Option<f64>,
    /// Resident memory.
    pub resident_bytes: Option<f64>,
    /// Bytes read per second.
    pub read_per_s: Option<f64>,
    /// Bytes written per second.
    pub written_per_s: Option<f64>,
    /// Threads.
    pub threads: Option<f64>,
    /// CPU time.
    pub cpu_time_ms: Option<f64>,
}

impl Sums {
    /// Those of one process.
    pub fn of(facts: &ProcessFacts<'_>) -> Self {
        Self {
            processes: 1,
            cpu_percent: facts.number(Column::Cpu),
            resident_bytes: facts.number(Column::Memory),
            read_per_s: facts.rates.read_per_s,
            written_per_s: facts.rates.written_per_s,
            threads: facts.number(Column::Threads),
            cpu_time_ms: facts.number(Column::CpuTime),
        }
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        fn add(sum: &mut Option<f64>, other: Option<f64>) {
            if let Some(other) = other {
                *sum = Some(sum.unwrap_or_default() + other);
            }
        }
        self.processes += other.processes;
        add(&mut self.cpu_percent, other.cpu_percent);
        add(&mut self.resident_bytes, other.resident_bytes);
        add(&mut self.read_per_s, other.read_per_s);
        add(&mut self.written_per_s, other.written_per_s);
        add(&mut self.threads, other.threads);
        add(&mut self.cpu_time_ms, other.cpu_time_ms);
    }

    /// The sum of `column`; `None` also where it does not add up.
    pub fn number(&self, column: Column) -> Option<f64> {
        match column {
            Column::Cpu => self.cpu_percent,
            Column::Memory => self.resident_bytes,
            Column::Read => self.read_per_s,
            Column::Written => self.written_per_s,
            Column::Threads => self.threads,
            Column::CpuTime => self.cpu_time_ms,
            _ => None,
        }
    }
}
