//! What a process source reads, before anything is derived from it.

/// One process as the system counts it; what changes between two passes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawProcess {
    /// Process id.
    pub pid: u32,
    /// Parent's process id.
    pub parent_pid: Option<u32>,
    /// When it started, in µs since 1970 UTC; the same in every pass of this boot.
    pub started_at_us: i64,
    /// Name, as the kernel has it.
    pub name: String,
    /// State as a `ps` letter.
    pub state: char,
    /// Threads.
    pub threads: Option<u32>,
    /// CPU time, in ms.
    pub cpu_time_ms: Option<u64>,
    /// Resident set.
    pub resident_bytes: Option<u64>,
    /// Virtual size.
    pub virtual_bytes: Option<u64>,
}

/// What hardly changes about a process, and is therefore read rarely.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// Replaces the content of `into` by the processes that are there now. One that vanishes meanwhile is left out.
    fn read(&mut self, into: &mut Vec<RawProcess>);
    /// What hardly changes about a process.
    fn facts(&mut self, pid: u32) -> Facts;
    /// What it read and wrote; `None` when that may not be read.
    fn storage(&mut self, pid: u32) -> Option<StorageBytes>;
}
