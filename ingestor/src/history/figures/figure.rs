//! What figures there are, and how they are worked out.

use fleetps_nats::model::{Field, Kind, host::HOST};

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

    pub(super) fn column(self) -> &'static str {
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
    pub(super) fn counter(self) -> (&'static str, &'static str) {
        match self {
            Self::Read => ("read_bytes", ""),
            Self::Written => ("written_bytes", ""),
            Self::CpuTime | Self::Resident | Self::Processes => ("cpu_time", "_ms"),
        }
    }

    /// A level in SQL, over the processes of a program in one snapshot.
    pub(super) fn level(self) -> &'static str {
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
    pub(super) fn level_of_hours(self) -> &'static str {
        match self {
            Self::Processes => "sum(samples)",
            _ => {
                "sum(resident_bytes_sum - coalesce(shared_bytes_sum, 0)) + coalesce(max(shared_bytes_sum), 0)"
            }
        }
    }
}
