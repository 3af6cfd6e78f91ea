//! The raw values that a process source reads, before anything is derived from them.

use std::time::Duration;

use fleetps_nats::snapshot::Process;

/// What every pass reads of a process.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct RawProcess {
    /// Identity, parent, name, state and figures. `ended_children_cpu_ms` is the system's own count: of all children that
    /// it waited for since it started.
    pub process: Process,
    /// The program that it runs.
    pub image: Image,
    /// User's id, where it was looked at in this pass.
    pub owner: Option<u32>,
}

/// A number for the program that a process runs: another one means that it may have called exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only Linux shows which program a process runs")
)]
pub(super) enum Image {
    /// The system does not say.
    #[default]
    Unknown,
    /// It hardly changes otherwise.
    Exact(u64),
    /// It changes otherwise as well.
    Guess(u64),
}

/// Facts of a process that are read rarely: they hardly change, or cost a file of their own.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Facts {
    /// Path of the executable.
    pub executable: Option<String>,
    /// Whether the executable was deleted or replaced.
    pub executable_deleted: Option<bool>,
    /// Arguments, the program's own name first; empty where there are none or they may not be read. `None` where reading
    /// them does not end: those from before stay.
    pub arguments: Option<Vec<String>>,
    /// User's id as text.
    pub user_id: Option<String>,
    /// The host's systemd unit.
    pub unit: Option<String>,
    /// Container.
    pub container: Option<String>,
    /// Kubernetes pod's uid.
    pub pod: Option<String>,
    /// Whether it leaves its children to nobody: the system adds their CPU time to nothing.
    pub ignores_children: bool,
    /// The figures that are read as rarely; everything else in it is as it is by default.
    pub figures: Process,
}

/// Bytes a process read from storage and wrote to it, since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct StorageBytes {
    /// Read.
    pub read: u64,
    /// Written.
    pub written: u64,
}

/// A process of which more is wanted than every pass reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its pid.
    pub pid: u32,
    /// Comes back with the answer, which may be late: another process may have the pid then.
    pub token: u64,
    /// Whether its facts are wanted.
    pub facts: bool,
    /// Whether its storage counters are wanted.
    pub storage: bool,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Details {
    /// The pid asked for.
    pub pid: u32,
    /// The token of the question.
    pub token: u64,
    /// The facts, where they were wanted.
    pub facts: Option<Facts>,
    /// The storage counters, where they were wanted; `Some(None)` when they may not be read.
    pub storage: Option<Option<StorageBytes>>,
}

/// Where processes come from: the system, or a test's literals.
pub(super) trait ProcessSource {
    /// Replaces the content of `into` by the processes that are there now. One that vanishes meanwhile is left out.
    fn read(&mut self, into: &mut Vec<RawProcess>);
    /// Counts starts from another boot time from now on, in µs since 1970 UTC: the clock was set. Nothing where the system
    /// keeps the time itself.
    fn count_from(&mut self, _boot_at_us: i64) {}
    /// Reads more of some processes, waiting for at most `patience`, and hands over what is there; the rest comes with a
    /// later call.
    fn details(&mut self, wanted: &[Wanted], patience: Duration, give: &mut dyn FnMut(Details));
}
