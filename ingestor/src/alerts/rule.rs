//! What a rule says.

use std::{collections::BTreeSet, fmt, time::Duration};

use fleetps_nats::{
    model::{Kind, Unit, host::HOST},
    own_figures::OwnFigure,
    units,
};
use serde::{Deserialize, Serialize};

use crate::filter::{Figure, Filter};

/// Rules that are tried beside one: each costs as much.
const MAX_STEADIER: usize = 2;

/// When something needs a person, and how much.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Names it for ever, in addresses and alerts: letters, digits and `-`.
    pub id: String,
    /// Grows with every change of it. An alert belongs to one revision.
    pub revision: u64,
    /// How bad it is.
    pub severity: Severity,
    /// What is measured.
    pub measure: Measure,
    /// What one value is of.
    pub over: Over,
    /// Which processes count. `disk` takes one and ignores it; it is empty in other rules that measure no processes.
    pub filter: Filter,
    /// When it is too much, and when it is well again.
    pub threshold: Threshold,
    /// How long it must last.
    pub lasting: Lasting,
    /// The sentence that it was made of.
    pub sentence: String,
    /// The groups whose hosts it is for: those in any of them; every host where it is absent.
    pub groups: Option<BTreeSet<String>>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Somebody should look at it today.
    #[default]
    Warning,
    /// Somebody should look at it now.
    Critical,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// A figure of the machine, as its agent measures it.
    Host(HostMeasure),
    /// A number of processes: of a single one, or summed.
    Process(Figure),
    /// How many processes there are.
    Count,
    /// Used space of a file system, in percent of what its users can have.
    Disk,
    /// When a file system will be full if it goes on as in the last day and week, in s.
    DiskFullIn,
    /// When the memory of a host is used up by the growth of one process if that goes on steadily, in s.
    MemoryFullIn,
    /// How far figures of the machine are beyond what they were in the last week, in percent of that range.
    Unusual,
    /// How long something that was always there is gone, in s.
    Gone,
    /// How long a host has sent nothing beyond the three intervals after which it counts as silent, in s.
    Silent,
    /// A supervised program that is started again and again, as the event of that name has it.
    RestartLoop,
    /// A figure of fleetps's own: of each part of it that tells one.
    Own(OwnFigure),
}

/// A number of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostMeasure {
    /// Memory in use, in percent of what is installed.
    MemoryPercent,
    /// Swap space in use, in percent of what there is.
    SwapPercent,
    /// A level of the model, by its place in [`HOST`].
    Level(usize),
    /// A counter's growth per second.
    Rate(usize),
    /// How far the host's clock is off from the broker's, either way, in s.
    ClockOffset,
    /// Snapshots per second that the agent dropped, because it could not send them in time.
    DroppedSnapshots,
}

/// What one value is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// A host.
    Host,
    /// A process.
    Process,
    /// The processes of one name on a host.
    Program,
    /// The processes of one unit on a host.
    Unit,
    /// The processes of one user on a host.
    User,
    /// A file system of a host.
    Filesystem,
}

/// What is needed of the snapshot before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Needs {
    /// Nothing.
    #[default]
    Nothing,
    /// The host's own counters.
    Host,
    /// Its processes as well: some 100 KB of each host are kept in memory.
    Processes,
}

/// When it is too much, and when it is well again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// Whether more than `raise` is too much; otherwise less than it.
    pub is_above: bool,
    /// Beyond this it is too much.
    pub raise: f64,
    /// Within this it is well again: not beyond it, as seen from `raise`.
    pub clear: f64,
}

impl Threshold {
    /// Whether `value` is too much.
    pub fn is_hit(&self, value: f64) -> bool {
        if self.is_above { value > self.raise } else { value < self.raise }
    }

    /// Whether `value` is well again.
    pub fn is_well(&self, value: f64) -> bool {
        if self.is_above { value <= self.clear } else { value >= self.clear }
    }
}

/// How long it must last before an alert is raised, and as long be well before it is cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// Throughout this time, as far as it was observed; zero for one sample.
    For(Duration),
    /// In so many of the last samples.
    Samples {
        /// So many.
        hits: u8,
        /// Of so many.
        of: u8,
    },
}

impl fmt::Display for Lasting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(length) if length.is_zero() => formatter.write_str("at once"),
            Self::For(length) => write!(formatter, "for {}", units::format_duration(*length)),
            Self::Samples { hits, of } => write!(formatter, "{hits} of {of}"),
        }
    }
}

impl Severity {
    /// All, the worst last.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl Over {
    /// All.
    pub const ALL: [Self; 6] =
        [Self::Host, Self::Process, Self::Program, Self::Unit, Self::User, Self::Filesystem];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Process => "process",
            Self::Program => "program",
            Self::Unit => "unit",
            Self::User => "user",
            Self::Filesystem => "filesystem",
        }
    }
}

impl HostMeasure {
    /// The figure that people call `word`: `memory` and `swap` in percent, and every figure of the model by the name of its
    /// column, counters with `/s` behind it.
    pub fn find(word: &str) -> Option<Self> {
        match word {
            "memory" => return Some(Self::MemoryPercent),
            "swap" => return Some(Self::SwapPercent),
            "clock_offset" => return Some(Self::ClockOffset),
            "dropped_snapshots/s" => return Some(Self::DroppedSnapshots),
            _ => {}
        }
        let (column, kind) = match word.strip_suffix("/s") {
            Some(column) => (column, Kind::Counter),
            None => (word, Kind::Level),
        };
        let place = HOST.iter().position(|field| field.column == column && field.kind == kind)?;
        Some(if kind == Kind::Counter { Self::Rate(place) } else { Self::Level(place) })
    }

    /// The words of all.
    pub fn words() -> impl Iterator<Item = String> {
        let of_model = HOST.iter().filter_map(|field| match field.kind {
            Kind::Level => Some(field.column.to_owned()),
            Kind::Counter => Some(format!("{}/s", field.column)),
            _ => None,
        });
        let own = ["memory", "swap", "clock_offset", "dropped_snapshots/s"];
        own.map(str::to_owned).into_iter().chain(of_model)
    }

    /// Its word.
    pub fn word(self) -> String {
        match self {
            Self::MemoryPercent => "memory".to_owned(),
            Self::SwapPercent => "swap".to_owned(),
            Self::ClockOffset => "clock_offset".to_owned(),
            Self::DroppedSnapshots => "dropped_snapshots/s".to_owned(),
            Self::Level(place) => HOST[place].column.to_owned(),
            Self::Rate(place) => format!("{}/s", HOST[place].column),
        }
    }

    /// Whether it is about memory: the processes that explain it are those with most of it.
    pub(super) fn is_of_memory(self) -> bool {
        match self {
            Self::MemoryPercent | Self::SwapPercent => true,
            Self::Level(place) | Self::Rate(place) => {
                let name = HOST[place].name;
                name.starts_with("memory_") || name.starts_with("swap_") || name == "oom_kills"
            }
            Self::ClockOffset | Self::DroppedSnapshots => false,
        }
    }

    /// Whether it is how many processes the kernel kills because memory is short.
    pub(super) fn is_of_kills(self) -> bool {
        matches!(self, Self::Rate(place) if HOST[place].name == "oom_kills")
    }

    /// Whether it is the growth of a counter.
    pub fn is_rate(self) -> bool {
        matches!(self, Self::Rate(_) | Self::DroppedSnapshots)
    }

    /// The unit of its values.
    pub fn unit(self) -> Unit {
        match self {
            Self::MemoryPercent | Self::SwapPercent => Unit::Percent,
            Self::ClockOffset => Unit::Seconds,
            Self::DroppedSnapshots => Unit::Count,
            Self::Level(place) | Self::Rate(place) => HOST[place].unit,
        }
    }
}

impl Measure {
    /// The unit of its values, and whether they are per second.
    pub fn unit(self) -> (Unit, bool) {
        match self {
            Self::Host(figure) => (figure.unit(), figure.is_rate()),
            Self::Process(figure) => figure.unit(),
            Self::Disk | Self::Unusual => (Unit::Percent, false),
            Self::Silent | Self::DiskFullIn | Self::MemoryFullIn | Self::Gone => (Unit::Seconds, false),
            Self::Count | Self::RestartLoop => (Unit::Count, false),
            Self::Own(figure) => (figure.unit(), false),
        }
    }

    /// Whether its values are percentages of a whole, and so 100 at most.
    pub(super) fn is_share(self) -> bool {
        match self {
            Self::Host(HostMeasure::Level(place)) => HOST[place].unit == Unit::Percent,
            Self::Host(HostMeasure::MemoryPercent | HostMeasure::SwapPercent) | Self::Disk => true,
            Self::Own(figure) => figure.unit() == Unit::Percent,
            _ => false,
        }
    }

    /// Whether the history has what it takes to try a rule of it on the past: what fleetps says of itself is in the stream only.
    pub fn is_in_the_past(self) -> bool {
        !matches!(self, Self::Own(_))
    }

    /// Whether it takes two snapshots to know.
    pub fn is_rate(self) -> bool {
        match self {
            Self::Host(figure) => figure.is_rate(),
            Self::Process(figure) => figure.is_rate(),
            Self::Count
            | Self::Disk
            | Self::DiskFullIn
            | Self::MemoryFullIn
            | Self::Unusual
            | Self::Gone
            | Self::Silent
            | Self::RestartLoop
            | Self::Own(_) => false,
        }
    }
}

impl Rule {
    /// The same rule with other times that it must last, which tell less: to be tried beside it. None of a rule that has no such
    /// time.
    pub fn steadier(&self) -> Vec<Self> {
        if matches!(self.measure, Measure::Silent | Measure::Gone | Measure::RestartLoop) {
            return Vec::new();
        }
        let minutes = |minutes: u64| Lasting::For(Duration::from_secs(60 * minutes));
        let others = [Lasting::Samples { hits: 3, of: 5 }, minutes(5), minutes(15), minutes(60)];
        let is_longer = |other: &Lasting| match (self.lasting, other) {
            (Lasting::For(mine), Lasting::For(other)) => *other > mine,
            (Lasting::For(mine), Lasting::Samples { .. }) => mine.is_zero(),
            (Lasting::Samples { .. }, Lasting::For(_)) => true,
            (Lasting::Samples { .. }, Lasting::Samples { .. }) => false,
        };
        let rule = |lasting| Self { lasting, ..self.clone() };
        others.into_iter().filter(is_longer).take(MAX_STEADIER).map(rule).collect()
    }

    /// Whether it is for a host that belongs to `groups`.
    pub fn is_for(&self, groups: Option<&BTreeSet<String>>) -> bool {
        let Some(wanted) = &self.groups else { return true };
        groups.is_some_and(|groups| !wanted.is_disjoint(groups))
    }

    /// Whether `other` says the same under the same revision, so that what is known of the one holds for the other.
    pub fn is_same(&self, other: &Self) -> bool {
        let of = |rule: &Self| (rule.id.clone(), rule.revision, rule.sentence.clone(), rule.groups.clone());
        of(self) == of(other)
    }

    /// What it takes of the snapshot before to evaluate one.
    pub(super) fn needs(&self) -> Needs {
        match self.measure {
            Measure::Process(figure) if figure.is_rate() => Needs::Processes,
            _ if self.filter.asks_for_rates() => Needs::Processes,
            Measure::Unusual => Needs::Host,
            measure if measure.is_rate() => Needs::Host,
            _ => Needs::Nothing,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}
