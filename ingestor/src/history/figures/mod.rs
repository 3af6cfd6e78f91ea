//! Figures of many hosts, and of the programs on them, gathered in equal buckets of time: what monitoring systems ask for.
//!
//! A bucket has the samples after its beginning until its end. It keeps what any function over a window needs: number, sum,
//! smallest, greatest and last value, and of a counter by how much it grew and in which time. A window of several buckets
//! is their sum, so one query answers every step of a question.
//!
//! **Growth** is the difference between a sample and the one before it in the same boot, over monotonic time, and counts as
//! of the later sample. There is none where a counter went back, over a reboot, and over a silence (`model::staleness`); a
//! sample that was lost in between changes nothing. That of a program is the sum of its processes', each from its first
//! sample on, or from its start where that is seen.
//!
//! **Hours.** Where a question is about whole hours, programs are read from the sums of hours instead. What grew during a
//! silence is in these, so the time that belongs to them has silences too ([`HostFigure::TimeOfBoots`]).

mod figure;
mod grid;
mod read;
mod sql;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use duckdb::{params_from_iter, types::Value};
use fleetps_nats::HostName;

use self::sql::{GrowthSql, HostSql, HoursSql, LevelsSql, NamesSql};
pub use self::{
    figure::{HostFigure, ProgramFigure, ProgramQuery, ProgramReading},
    grid::Grid,
};
use super::{
    History, HistoryError, Hosts, Resolution,
    reading::{Reading, coarsest},
};
use crate::{
    catalog::{Narrow, Rows, SegmentIndex},
    segment::quote_text,
    template::render,
    time::at,
};

/// The condition that lets everything through.
const ANYTHING: &str = "true";
/// A program: what its processes are called, of whom, and in which unit. Hostile.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProgramName {
    /// The name.
    pub name: String,
    /// The user; empty where that is unknown.
    pub user: String,
    /// The systemd unit; empty where there is none.
    pub unit: String,
}

/// The samples of a figure in one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bucket {
    /// How many.
    pub samples: f64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// The last.
    pub last: f64,
    /// When the last was captured, in ms since 1970 UTC.
    pub last_ms: i64,
    /// The interval between samples that was set then, in ms; 0 of programs.
    pub interval_ms: i64,
    /// By how much a counter grew.
    pub growth: f64,
    /// In which time, in ms; 0 of programs.
    pub elapsed_ms: f64,
    /// The growth and the time between the last two samples, if both are known.
    pub last_pair: Option<(f64, f64)>,
}

/// A figure of a host or of a program on it.
#[derive(Debug, Clone, PartialEq)]
pub struct FigureSeries {
    /// The host.
    pub host: HostName,
    /// The program, where it is one's.
    pub program: Option<ProgramName>,
    /// The buckets with samples, by number.
    pub buckets: Vec<(i64, Bucket)>,
}

/// What the history knows of a figure.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// By host and program.
    pub series: Vec<FigureSeries>,
    /// The least time between two samples that are kept, in ms.
    pub spacing_ms: u32,
    /// When the last snapshot was captured that the answer may have, by host, in µs since 1970 UTC: later ones are in no segment
    /// that was read.
    pub sealed_us: HashMap<HostName, i64>,
}

/// A host that the history knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardHost {
    /// Its name.
    pub host: HostName,
    /// When its first snapshot was captured, in µs since 1970 UTC.
    pub first_us: i64,
    /// When its last was.
    pub last_us: i64,
    /// The time between two, in ms, as it was set last.
    pub interval_ms: u32,
}

impl History {
    /// The hosts that the history knows, by name.
    pub fn hosts_heard(&self) -> Vec<HeardHost> {
        let state = self.state();
        let mut hosts: Vec<HeardHost> = state
            .index
            .heard()
            .filter(|(host, ..)| self.scope.sees(host))
            .map(|(host, first_us, last_us, interval_ms)| HeardHost {
                host: host.clone(),
                first_us,
                last_us,
                interval_ms,
            })
            .collect();
        hosts.sort_unstable_by(|a, b| a.host.cmp(&b.host));
        hosts
    }

    /// A figure of `hosts`.
    ///
    /// # Errors
    /// When a query fails.
    pub fn host_figures(
        &self,
        hosts: &Hosts,
        grid: Grid,
        figure: HostFigure,
    ) -> Result<Figures, HistoryError> {
        self.ask(|reading| host_figures(FigureQuestion::new(reading, hosts, grid), figure))
    }

    /// The programs of a question that there were on `hosts` within a grid's time, whatever its figure and reading are.
    ///
    /// # Errors
    /// When a query fails.
    pub fn program_names(
        &self,
        hosts: &Hosts,
        grid: Grid,
        query: &ProgramQuery,
    ) -> Result<Vec<(HostName, ProgramName)>, HistoryError> {
        self.ask(|reading| program_names(&FigureQuestion::new(reading, hosts, grid), query))
    }

    /// Whether the question may go on, for what is worked out of answers.
    ///
    /// # Errors
    /// When its time is over, or its asker is gone.
    pub fn check_deadline(&self) -> Result<(), HistoryError> {
        Ok(self.budget.deadline().check()?)
    }

    /// A figure of the programs on `hosts`.
    ///
    /// # Errors
    /// When a query fails.
    pub fn program_figures(
        &self,
        hosts: &Hosts,
        grid: Grid,
        query: &ProgramQuery,
    ) -> Result<Figures, HistoryError> {
        self.ask(|reading| {
            let asked = FigureQuestion::new(reading, hosts, grid);
            match query.reading {
                ProgramReading::Growth | ProgramReading::GrowthOfHours => program_growth(asked, query),
                ProgramReading::Last | ProgramReading::Every => program_levels(asked, query),
                ProgramReading::MeanOfHours => program_hours(asked, query),
            }
        })
    }
}

/// A question while it is answered: which segments and hosts it is about.
struct FigureQuestion<'a> {
    reading: &'a Reading<'a>,
    hosts: &'a Hosts,
    grid: Grid,
    segments: Vec<&'a SegmentIndex>,
    /// The condition of the hosts, which the parameter `$1` belongs to.
    of_hosts: &'static str,
    spacing_ms: u32,
}

impl<'a> FigureQuestion<'a> {
    fn new(reading: &'a Reading<'a>, hosts: &'a Hosts, grid: Grid) -> Self {
        let only = match hosts {
            Hosts::Only(names) if names.len() == 1 => names.first(),
            _ => None,
        };
        let of_hosts = match (hosts, only) {
            (Hosts::All, _) => "$1::VARCHAR IS NULL",
            (_, Some(_)) => "host = $1",
            (_, None) => "host IN (SELECT unnest(string_split($1, ' ')))",
        };
        let segments = reading.overlapping(only, grid.span());
        let spacing_ms = coarsest(&segments).spacing().least_ms();
        Self { reading, hosts, grid, segments, of_hosts, spacing_ms }
    }

    /// The parameters of every query: the hosts with spaces between, as no name has one, and the times.
    fn values(&self) -> [Value; 5] {
        let hosts = match self.hosts {
            Hosts::All => Value::Null,
            Hosts::Only(names) => {
                let names: Vec<&str> = names.iter().map(HostName::as_str).collect();
                Value::Text(names.join(" "))
            }
        };
        let (from_ms, to_ms) = self.grid.read_ms();
        let [begin, width, from, to] =
            [self.grid.begin_ms, self.grid.width_ms, from_ms, to_ms].map(Value::BigInt);
        [hosts, begin, width, from, to]
    }

    /// The rows of a table of hosts in all segments.
    fn relation(&self, table: &str) -> Result<String, HistoryError> {
        self.reading.relation(table, &self.segments)
    }

    fn buckets(self, sql: &str, has_program: bool) -> Result<Figures, HistoryError> {
        let values = params_from_iter(self.values());
        let series = read::buckets(self.reading, sql, values, has_program)?;
        Ok(self.into_figures(series))
    }

    fn into_figures(self, series: Vec<FigureSeries>) -> Figures {
        let heard = self.reading.heard().filter(|(host, _)| self.hosts.contains(host));
        let sealed_us = heard.map(|(host, last_us)| (host.clone(), last_us)).collect();
        Figures { series, spacing_ms: self.spacing_ms, sealed_us }
    }
}

fn host_figures(mut asked: FigureQuestion<'_>, figure: HostFigure) -> Result<Figures, HistoryError> {
    let is_of_tables = figure == HostFigure::TimeOfTables;
    // Thinning keeps every sample of a host, without its processes; rolling up leaves the last of each minute.
    if coarsest(&asked.segments) == Resolution::Minutes && !is_of_tables {
        asked.spacing_ms = Resolution::Samples.spacing().least_ms();
    }
    let sql = render(&HostSql {
        host_sample: &asked.relation("host_sample")?,
        of_hosts: asked.of_hosts,
        which: if is_of_tables { "has_processes" } else { ANYTHING },
        value: figure.column(),
        is_counter: figure.is_counter(),
        has_silences: figure == HostFigure::TimeOfBoots,
        spacing_ms: asked.spacing_ms.to_string(),
    });
    asked.buckets(&sql, false)
}

/// The condition of the programs that are asked for, on a column `facts`.
fn wanted(query: &ProgramQuery) -> String {
    let is_one_of = |field: &str, texts: &Option<Vec<String>>| {
        let texts: Vec<String> = texts.as_ref()?.iter().map(|text| quote_text(text)).collect();
        Some(match texts.is_empty() {
            true => "false".to_owned(),
            false => format!("facts.{field} IN ({})", texts.join(", ")),
        })
    };
    let all = [("name", &query.names), ("user_name", &query.users), ("unit", &query.units)];
    let all: Vec<String> = all.into_iter().filter_map(|(field, texts)| is_one_of(field, texts)).collect();
    if all.is_empty() { ANYTHING.to_owned() } else { all.join(" AND ") }
}

fn program_growth(asked: FigureQuestion<'_>, query: &ProgramQuery) -> Result<Figures, HistoryError> {
    let reading = asked.reading;
    let is_hourly = query.reading == ProgramReading::GrowthOfHours;
    let (summed, sampled): (Vec<_>, Vec<_>) =
        asked.segments.iter().partition(|segment| is_hourly && segment.has_hours());
    let (counter, unit) = query.figure.counter();
    let (more_of_hour, more_of_span) = match query.figure {
        ProgramFigure::CpuTime if is_hourly => ("ended_children_cpu_ms", "ended_children_cpu_ms * snapshots"),
        ProgramFigure::CpuTime => ("ended_children_cpu_ms", "ended_children_cpu_ms"),
        _ => ("0", "0"),
    };
    let sql = render(&GrowthSql {
        host_sample: asked.relation("host_sample")?,
        process_hour: reading.relation("process_hour", &summed)?,
        process_span: reading.rows(Rows::SpansBetween(&at("$4"), &at("($5::BIGINT + 1)")), &sampled)?,
        programs: asked.relation("process_history")?,
        of_hosts: asked.of_hosts,
        wanted: wanted(query),
        counter,
        unit,
        more_of_hour,
        more_of_span,
        is_hourly,
        spacing_ms: asked.spacing_ms.to_string(),
    });
    let values = params_from_iter(asked.values());
    let series = read::program_growth(reading, &sql, values, asked.grid)?;
    Ok(asked.into_figures(series))
}

fn program_levels(asked: FigureQuestion<'_>, query: &ProgramQuery) -> Result<Figures, HistoryError> {
    let samples =
        Rows::SamplesAt("moments", Narrow { times: Some((&at("$4"), &at("$5"))), ..Narrow::default() });
    let sql = render(&LevelsSql {
        host_sample: asked.relation("host_sample")?,
        samples: asked.reading.rows(samples, &asked.segments)?,
        programs: asked.relation("process_history")?,
        of_hosts: asked.of_hosts,
        wanted: wanted(query),
        value: query.figure.level(),
        is_every: query.reading == ProgramReading::Every,
    });
    asked.buckets(&sql, true)
}

fn program_hours(asked: FigureQuestion<'_>, query: &ProgramQuery) -> Result<Figures, HistoryError> {
    let summed: Vec<_> = asked.segments.iter().copied().filter(|segment| segment.has_hours()).collect();
    let sql = render(&HoursSql {
        host_sample: asked.relation("host_sample")?,
        process_hour: asked.reading.relation("process_hour", &summed)?,
        programs: asked.relation("process_history")?,
        of_hosts: asked.of_hosts,
        wanted: wanted(query),
        value: query.figure.level_of_hours(),
    });
    asked.buckets(&sql, true)
}

fn program_names(
    asked: &FigureQuestion<'_>,
    query: &ProgramQuery,
) -> Result<Vec<(HostName, ProgramName)>, HistoryError> {
    let sql = render(&NamesSql {
        programs: asked.relation("process_history")?,
        of_hosts: asked.of_hosts,
        wanted: wanted(query),
    });
    let [hosts, .., from_ms, to_ms] = asked.values();
    read::program_names(asked.reading, &sql, params_from_iter([hosts, from_ms, to_ms]))
}
