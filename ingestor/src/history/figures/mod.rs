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

mod read;

use std::collections::HashMap;

use askama::Template;
use duckdb::params;
use fleetps_nats::{
    HostName,
    model::{Field, Kind, host::HOST, staleness},
};

use super::{
    History, HistoryError, Hosts, Resolution, Span,
    reading::{Reading, coarsest},
};
use crate::{
    catalog::{Rows, SegmentIndex},
    segment::quote_text,
    template::render,
    time::at,
};

/// The condition that lets everything through.
const ANYTHING: &str = "true";

/// Equal buckets of time, one behind the other. Times are in whole milliseconds, which is what the history keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Where bucket 0 begins, in ms since 1970 UTC; what was captured then is not in it.
    pub begin_ms: i64,
    /// How long a bucket is, at least 1 ms.
    pub width_ms: i64,
    /// How many there are.
    pub count: i64,
    /// How far back before the first bucket samples are read, in ms: they make bucket -1.
    pub reach_ms: i64,
}

/// A figure of a host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HostFigure {
    /// 1 for every sample.
    Heard,
    /// The time between samples with a process table, as a counter of milliseconds.
    TimeOfTables,
    /// The same for all samples: the time in which the host was heard of.
    Time,
    /// The same with silences, from the first sample of each boot to its last: what the sums of hours are over.
    TimeOfBoots,
    /// The time in which cores were idle and no process waited for a disk, in ms (counter).
    IdleTime,
    /// A number of the model.
    Of(&'static Field),
}

/// A figure of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramFigure {
    /// CPU time in ms, with that of children that ended (counter).
    CpuTime,
    /// Bytes read from storage (counter).
    Read,
    /// Bytes written to storage (counter).
    Written,
    /// Resident bytes; what its processes share counts once.
    Resident,
    /// Processes.
    Processes,
}

/// A question about programs.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgramQuery {
    /// The figure.
    pub figure: ProgramFigure,
    /// Only programs of these names, users and units; those without a user or unit count as having an empty one.
    pub names: Option<Vec<String>>,
    /// Only of these users.
    pub users: Option<Vec<String>>,
    /// Only of these units.
    pub units: Option<Vec<String>>,
    /// What is asked of it.
    pub reading: ProgramReading,
}

/// What is asked of a figure of programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramReading {
    /// By how much a counter grew.
    Growth,
    /// The same by the sums of hours: the buckets are whole hours.
    GrowthOfHours,
    /// The value in the last snapshot of each bucket; of a counter, the sum of what the processes of then have counted.
    Last,
    /// The values in every snapshot.
    Every,
    /// The mean of each hour by the sums of hours; only of levels.
    MeanOfHours,
}

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

impl HostFigure {
    /// The number of a host that the model has under `name`; `None` where it has none.
    pub fn of(name: &str) -> Option<Self> {
        HOST.iter().find(|field| field.name == name && field.is_number()).map(Self::Of)
    }

    /// Whether it only grows.
    pub fn is_counter(self) -> bool {
        match self {
            Self::Heard => false,
            Self::TimeOfTables | Self::Time | Self::TimeOfBoots | Self::IdleTime => true,
            Self::Of(field) => field.kind == Kind::Counter,
        }
    }

    fn column(self) -> &'static str {
        match self {
            Self::Heard => "1",
            Self::TimeOfTables | Self::Time | Self::TimeOfBoots => "monotonic_ms",
            Self::IdleTime => "cpu_idle_ms - coalesce(cpu_iowait_ms, 0)",
            Self::Of(field) => field.column,
        }
    }
}

impl ProgramFigure {
    /// Whether it only grows.
    pub fn is_counter(self) -> bool {
        matches!(self, Self::CpuTime | Self::Read | Self::Written)
    }

    /// The columns of a counter: its name, and the unit behind it.
    fn counter(self) -> (&'static str, &'static str) {
        match self {
            Self::Read => ("read_bytes", ""),
            Self::Written => ("written_bytes", ""),
            Self::CpuTime | Self::Resident | Self::Processes => ("cpu_time", "_ms"),
        }
    }

    /// A level in SQL, over the processes of a program in one snapshot.
    fn level(self) -> &'static str {
        match self {
            Self::CpuTime => "sum(cpu_time_ms)",
            Self::Read => "sum(read_bytes)",
            Self::Written => "sum(written_bytes)",
            Self::Processes => "count(*)",
            Self::Resident => {
                "sum(resident_bytes - coalesce(shared_bytes, 0)) + coalesce(max(shared_bytes), 0)"
            }
        }
    }

    /// The same over the sums of an hour, still to be divided by its snapshots.
    fn level_of_hours(self) -> &'static str {
        match self {
            Self::Processes => "sum(samples)",
            _ => {
                "sum(resident_bytes_sum - coalesce(shared_bytes_sum, 0)) + coalesce(max(shared_bytes_sum), 0)"
            }
        }
    }
}

impl Grid {
    /// The time that is read: from behind the first until the second, in ms.
    fn read_ms(self) -> (i64, i64) {
        let length_ms = self.width_ms.saturating_mul(self.count);
        (self.begin_ms.saturating_sub(self.reach_ms), self.begin_ms.saturating_add(length_ms))
    }

    /// The bucket of what was captured at `at_ms`; -1 before the first.
    pub fn bucket(self, at_ms: i64) -> i64 {
        match at_ms <= self.begin_ms {
            true => -1,
            false => (at_ms - self.begin_ms - 1) / self.width_ms.max(1),
        }
    }

    /// What is read, as a span.
    fn span(self) -> Span {
        let (from_ms, to_ms) = self.read_ms();
        let us = |ms: i64| ms.saturating_mul(1000);
        // Until and with the last moment.
        Span { from_us: us(from_ms), to_us: us(to_ms).saturating_add(1) }.bounded()
    }
}

/// [`Grid::bucket`] in SQL, for an expression in ms.
fn bucket_sql(at_ms: &str) -> String {
    format!("(CASE WHEN {at_ms} <= $2::BIGINT THEN -1 ELSE ({at_ms} - $2::BIGINT - 1) // $3::BIGINT END)")
}

/// A figure of hosts.
#[derive(Template)]
#[template(path = "history/figures/host.sql")]
struct HostSql<'a> {
    host_sample: &'a str,
    of_hosts: &'static str,
    /// The condition of the samples.
    which: &'static str,
    value: &'static str,
    is_counter: bool,
    /// Whether pairs with a silence between them count.
    has_silences: bool,
    spacing_ms: String,
}

impl HostSql<'_> {
    fn bucket(at_ms: &str) -> String {
        bucket_sql(at_ms)
    }
}

/// A counter of programs.
#[derive(Template)]
#[template(path = "history/figures/growth.sql")]
struct GrowthSql {
    host_sample: String,
    process_hour: String,
    process_span: String,
    programs: String,
    of_hosts: &'static str,
    wanted: String,
    counter: &'static str,
    unit: &'static str,
    more_of_hour: &'static str,
    more_of_span: &'static str,
    is_hourly: bool,
    spacing_ms: String,
}

impl GrowthSql {
    fn bucket(at_ms: String) -> String {
        bucket_sql(&at_ms)
    }

    /// A moment in ms; of an hour, the first of it.
    fn moment_ms(&self, column: &str) -> String {
        match self.is_hourly {
            true => format!("(epoch_ms({column}) // 3600000 * 3600000 + 1)"),
            false => format!("epoch_ms({column})"),
        }
    }
}

/// A level of programs.
#[derive(Template)]
#[template(path = "history/figures/levels.sql")]
struct LevelsSql {
    host_sample: String,
    samples: String,
    programs: String,
    of_hosts: &'static str,
    wanted: String,
    value: &'static str,
    is_every: bool,
}

impl LevelsSql {
    fn bucket(at_ms: &str) -> String {
        bucket_sql(at_ms)
    }
}

/// The same by the sums of hours.
#[derive(Template)]
#[template(path = "history/figures/hours.sql")]
struct HoursSql {
    host_sample: String,
    process_hour: String,
    programs: String,
    of_hosts: &'static str,
    wanted: String,
    value: &'static str,
}

impl HoursSql {
    fn bucket(at_ms: &str) -> String {
        bucket_sql(at_ms)
    }
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
        self.ask(|reading| host_figures(reading, hosts, grid, figure))
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
        self.ask(|reading| match query.reading {
            ProgramReading::Growth | ProgramReading::GrowthOfHours => {
                program_growth(reading, hosts, grid, query)
            }
            ProgramReading::Last | ProgramReading::Every => program_levels(reading, hosts, grid, query),
            ProgramReading::MeanOfHours => program_hours(reading, hosts, grid, query),
        })
    }
}

/// The hosts of a question as the parameter `$1`, and the condition that goes with it.
fn hosts_sql(hosts: &Hosts) -> (Option<String>, &'static str) {
    match hosts {
        Hosts::All => (None, "$1::VARCHAR IS NULL"),
        Hosts::Only(names) if names.len() == 1 => {
            (names.first().map(|host| host.as_str().to_owned()), "host = $1")
        }
        Hosts::Only(names) => {
            // No name has a space.
            let names: Vec<&str> = names.iter().map(HostName::as_str).collect();
            (Some(names.join(" ")), "host IN (SELECT unnest(string_split($1, ' ')))")
        }
    }
}

fn segments<'a>(reading: &Reading<'a>, hosts: &Hosts, grid: Grid) -> Vec<&'a SegmentIndex> {
    let host = match hosts {
        Hosts::Only(names) if names.len() == 1 => names.first(),
        _ => None,
    };
    reading.overlapping(host, grid.span())
}

fn host_figures(
    reading: &Reading<'_>,
    hosts: &Hosts,
    grid: Grid,
    figure: HostFigure,
) -> Result<Figures, HistoryError> {
    let segments = segments(reading, hosts, grid);
    let (names, of_hosts) = hosts_sql(hosts);
    let is_of_tables = figure == HostFigure::TimeOfTables;
    // Thinning keeps every sample of a host, without its processes; rolling up leaves the last of each minute.
    let spacing = match coarsest(&segments) {
        Resolution::Minutes if !is_of_tables => Resolution::Samples,
        kept => kept,
    };
    let spacing_ms = spacing.spacing().least_ms();
    let sql = render(&HostSql {
        host_sample: &reading.relation("host_sample", &segments),
        of_hosts,
        which: if is_of_tables { "has_processes" } else { ANYTHING },
        value: figure.column(),
        is_counter: figure.is_counter(),
        has_silences: figure == HostFigure::TimeOfBoots,
        spacing_ms: spacing_ms.to_string(),
    });
    let (from_ms, to_ms) = grid.read_ms();
    let values = params![names, grid.begin_ms, grid.width_ms, from_ms, to_ms];
    Ok(Figures {
        series: read::host_buckets(reading, &sql, values)?,
        spacing_ms,
        sealed_us: sealed_us(reading, hosts),
    })
}

/// Until when the segments of this reading have each host.
fn sealed_us(reading: &Reading<'_>, hosts: &Hosts) -> HashMap<HostName, i64> {
    match hosts {
        Hosts::All => reading.heard().map(|(host, last_us)| (host.clone(), last_us)).collect(),
        Hosts::Only(names) => {
            let known = |host: &HostName| Some((host.clone(), reading.last_us(host)?));
            names.iter().filter_map(known).collect()
        }
    }
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

fn program_growth(
    reading: &Reading<'_>,
    hosts: &Hosts,
    grid: Grid,
    query: &ProgramQuery,
) -> Result<Figures, HistoryError> {
    let segments = segments(reading, hosts, grid);
    let is_hourly = query.reading == ProgramReading::GrowthOfHours;
    let spacing_ms = coarsest(&segments).spacing().least_ms();
    let (summed, sampled): (Vec<_>, Vec<_>) =
        segments.iter().partition(|segment| is_hourly && segment.has_hours());
    let (names, of_hosts) = hosts_sql(hosts);
    let (counter, unit) = query.figure.counter();
    let (more_of_hour, more_of_span) = match query.figure {
        ProgramFigure::CpuTime if is_hourly => ("ended_children_cpu_ms", "ended_children_cpu_ms * snapshots"),
        ProgramFigure::CpuTime => ("ended_children_cpu_ms", "ended_children_cpu_ms"),
        _ => ("0", "0"),
    };
    let sql = render(&GrowthSql {
        host_sample: reading.relation("host_sample", &segments),
        process_hour: reading.relation("process_hour", &summed),
        process_span: reading.rows(Rows::SpansBetween(&at("$4"), &at("($5::BIGINT + 1)")), &sampled),
        programs: reading.relation("process_history", &segments),
        of_hosts,
        wanted: wanted(query),
        counter,
        unit,
        more_of_hour,
        more_of_span,
        is_hourly,
        spacing_ms: spacing_ms.to_string(),
    });
    let (from_ms, to_ms) = grid.read_ms();
    let values = params![names, grid.begin_ms, grid.width_ms, from_ms, to_ms];
    Ok(Figures {
        series: read::program_growth(reading, &sql, values, grid)?,
        spacing_ms,
        sealed_us: sealed_us(reading, hosts),
    })
}

fn program_levels(
    reading: &Reading<'_>,
    hosts: &Hosts,
    grid: Grid,
    query: &ProgramQuery,
) -> Result<Figures, HistoryError> {
    let segments = segments(reading, hosts, grid);
    let spacing_ms = coarsest(&segments).spacing().least_ms();
    let (names, of_hosts) = hosts_sql(hosts);
    let samples = Rows::SamplesAt("moments", Some((&at("$4"), &at("$5"))));
    let sql = render(&LevelsSql {
        host_sample: reading.relation("host_sample", &segments),
        samples: reading.rows(samples, &segments),
        programs: reading.relation("process_history", &segments),
        of_hosts,
        wanted: wanted(query),
        value: query.figure.level(),
        is_every: query.reading == ProgramReading::Every,
    });
    let (from_ms, to_ms) = grid.read_ms();
    let values = params![names, grid.begin_ms, grid.width_ms, from_ms, to_ms];
    Ok(Figures {
        series: read::program_levels(reading, &sql, values)?,
        spacing_ms,
        sealed_us: sealed_us(reading, hosts),
    })
}

fn program_hours(
    reading: &Reading<'_>,
    hosts: &Hosts,
    grid: Grid,
    query: &ProgramQuery,
) -> Result<Figures, HistoryError> {
    let segments = segments(reading, hosts, grid);
    let summed: Vec<_> = segments.iter().copied().filter(|segment| segment.has_hours()).collect();
    let (names, of_hosts) = hosts_sql(hosts);
    let sql = render(&HoursSql {
        host_sample: reading.relation("host_sample", &segments),
        process_hour: reading.relation("process_hour", &summed),
        programs: reading.relation("process_history", &segments),
        of_hosts,
        wanted: wanted(query),
        value: query.figure.level_of_hours(),
    });
    let (from_ms, to_ms) = grid.read_ms();
    let values = params![names, grid.begin_ms, grid.width_ms, from_ms, to_ms];
    let spacing_ms = coarsest(&segments).spacing().least_ms();
    Ok(Figures {
        series: read::program_levels(reading, &sql, values)?,
        spacing_ms,
        sealed_us: sealed_us(reading, hosts),
    })
}
