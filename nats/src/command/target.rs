//! The verbs, and what they apply to. Both are closed lists: no free text is part of what a host does.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::UnitName;

/// How long a process that was told to end is watched for its end: as long as systemd's own tools wait before they say so.
const END_WITHIN: Duration = Duration::from_secs(10);

/// What a host is told to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// Something with a systemd unit.
    Unit {
        /// What.
        action: UnitAction,
        /// The unit.
        unit: UnitName,
    },
    /// To send a signal to one process.
    Signal {
        /// The signal.
        signal: Signal,
        /// The process.
        process: ProcessId,
    },
}

/// What can be done with a unit. `status` is no action: it is [`Ask::Look`](super::Ask::Look).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitAction {
    /// To start it.
    Start,
    /// To stop it.
    Stop,
    /// To stop it and start it again.
    Restart,
    /// To let it read its configuration again.
    Reload,
}

/// A signal that can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// Asks the process to end.
    Term,
    /// Ends it.
    Kill,
    /// Its terminal is gone; daemons read their configuration again.
    Hup,
    /// As Ctrl-C.
    Int,
    /// As Ctrl-\.
    Quit,
    /// The program's own.
    Usr1,
    /// The program's own.
    Usr2,
    /// Stops it where it is.
    Stop,
    /// Lets it go on.
    Cont,
}

/// One process, and no other that has its pid later: boot, pid and start identify it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessId {
    /// The boot of the machine, as in a snapshot.
    pub boot_id: String,
    /// Its pid in the host's own pid namespace.
    pub pid: u32,
    /// When it started, in the kernel's ticks of 10 ms since the boot.
    pub start_ticks: u64,
}

/// What can be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A unit.
    Unit(UnitName),
    /// A process.
    Process(ProcessId),
}

/// The text is no such word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is unknown; expected one of {expected}")]
pub struct UnknownWord {
    given: String,
    expected: String,
}

impl What {
    /// What it applies to.
    pub fn target(&self) -> Target {
        match self {
            Self::Unit { unit, .. } => Target::Unit(unit.clone()),
            Self::Signal { process, .. } => Target::Process(process.clone()),
        }
    }
}

impl UnitAction {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Start, Self::Stop, Self::Restart, Self::Reload];

    /// Its name, as in `restart`: systemd's own, in JSON and in a host's file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
        }
    }
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Term,
        Self::Kill,
        Self::Hup,
        Self::Int,
        Self::Quit,
        Self::Usr1,
        Self::Usr2,
        Self::Stop,
        Self::Cont,
    ];

    /// Its name, as in `TERM`: without `SIG`, in JSON and in a host's file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Kill => "KILL",
            Self::Hup => "HUP",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
        }
    }

    /// How long the host watches for the end of the process, before it says that the process is still there; zero for
    /// signals that mostly end nothing.
    pub fn ends_within(self) -> Duration {
        match self {
            Self::Term | Self::Kill | Self::Int | Self::Quit => END_WITHIN,
            Self::Hup | Self::Usr1 | Self::Usr2 | Self::Stop | Self::Cont => Duration::ZERO,
        }
    }
}

/// The one of `all` with this name.
fn named<T: Copy>(all: &[T], name: fn(T) -> &'static str, given: &str) -> Result<T, UnknownWord> {
    let names = || all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", ");
    let found = all.iter().copied().find(|one| name(*one) == given);
    let shown = || given.chars().take(40).collect();
    found.ok_or_else(|| UnknownWord { given: shown(), expected: names() })
}

impl FromStr for UnitAction {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        named(&Self::ALL, Self::name, text)
    }
}

impl FromStr for Signal {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        named(&Self::ALL, Self::name, text)
    }
}

impl fmt::Display for UnitAction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// As in `restart nginx.service` or `TERM to process 1234`.
impl fmt::Display for What {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit { action, unit } => write!(formatter, "{action} {unit}"),
            Self::Signal { signal, process } => write!(formatter, "{signal} to process {}", process.pid),
        }
    }
}
