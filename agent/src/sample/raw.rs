//! The raw values that a process source reads, before anything is derived from them.

use fleetps_nats::snapshot::Process;

/// Facts of a process that are read rarely: they hardly change, or cost a file of their own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// Path of the executable.
    pub executable: Option<String>,
    /// Arguments, the program's own name first; empty where there are none or they may not be read.
    pub arguments: Vec<String>,
    /// User's id as text.
    pub user_id: Option<String>,
    /// systemd unit.
    pub unit: Option<String>,
    /// Container id.
    pub container: Option<String>,
    /// The figures that are read as rarely; everything else in it is as it is by default.
    pub figures: Process,
}

/// Bytes a process read from storage and wrote to it, since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StorageBytes {
    /// Read.
    pub read: u64,
    /// Written.
    pub written: u64,
}

/// Where processes come from: the system, or a test's literals.
pub trait ProcessSource {
    /// Replaces the content of `into` by the processes that are there now, with what every pass reads: identity, parent,
    /// name, state and figures. One that vanishes meanwhile is left out.
    fn read(&mut self, into: &mut Vec<Process>);
    /// Counts starts from another boot time from now on, in µs since 1970 UTC: the clock was set. Nothing where the system
    /// keeps the time itself.
    fn count_from(&mut self, _boot_at_us: i64) {}
    /// Reads the facts of a process.
    fn facts(&mut self, pid: u32) -> Facts;
    /// The bytes that it read and wrote; `None` when that may not be read.
    fn storage(&mut self, pid: u32) -> Option<StorageBytes>;
}
