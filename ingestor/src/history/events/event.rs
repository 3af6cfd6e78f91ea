//! Something that happened to a process or host.

use fleetps_nats::HostName;

use crate::history::Identity;

/// The kind of an event of a process or host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// A process started.
    Started,
    /// A process exited, at the time of the first snapshot without it.
    Exited,
    /// A program was started again and again: three times or more within ten minutes.
    RestartLoop,
    /// The host sent nothing for longer than three intervals, from the time of the last snapshot before.
    Silent,
    /// The first snapshot after that.
    Back,
    /// The host was booted.
    Booted,
    /// The agent runs another version.
    AgentChanged,
    /// The operating system, its kernel or the machine are others.
    HostChanged,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The time, in µs since 1970 UTC.
    pub at_us: i64,
    /// The kind.
    pub kind: EventKind,
    /// Where.
    pub host: HostName,
    /// To which process, if to one.
    pub process: Option<Identity>,
    /// The name of the process or program; hostile.
    pub name: Option<String>,
    /// More about it, in words; may contain hostile text.
    pub detail: String,
}
