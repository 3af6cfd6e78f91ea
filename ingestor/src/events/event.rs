//! What happened: a row of the table `event`.

use fleetps_nats::{HostName, snapshot::MAX_OFFSET_US};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// The kind of an event of a process or host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A process started, at the time of the first snapshot with it.
    Started,
    /// A process exited, at the time of the first snapshot without it.
    Exited,
    /// A service is restarted again and again (module `loops`), at the start that made it a loop.
    RestartLoop,
    /// A restart loop ended, at its last start.
    RestartLoopEnded,
    /// The host sent nothing for longer than three intervals, from the time of the last snapshot before.
    Silent,
    /// The first snapshot after that.
    Back,
    /// The host was asked to take no samples, at the time of its last snapshot.
    Paused,
    /// The first snapshot after that.
    Resumed,
    /// The host was booted, at the time of the first snapshot of the boot.
    Booted,
    /// The host's clock was set.
    ClockChanged,
    /// The host's clock came to be off by more than five seconds, or is right again.
    ClockOffset,
    /// Two machines send with the key of one host.
    TwoAgents,
    /// The agent runs another version.
    AgentChanged,
    /// The operating system, its kernel or the machine are others.
    HostChanged,
}

impl EventKind {
    /// Every kind, in the order of the page's switch.
    pub const ALL: [Self; 14] = [
        Self::Started,
        Self::Exited,
        Self::RestartLoop,
        Self::RestartLoopEnded,
        Self::Silent,
        Self::Back,
        Self::Paused,
        Self::Resumed,
        Self::Booted,
        Self::ClockChanged,
        Self::ClockOffset,
        Self::TwoAgents,
        Self::AgentChanged,
        Self::HostChanged,
    ];

    /// Its name in SQL, JSON and addresses.
    pub fn id(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Exited => "exited",
            Self::RestartLoop => "restart_loop",
            Self::RestartLoopEnded => "restart_loop_ended",
            Self::Silent => "silent",
            Self::Back => "back",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Booted => "booted",
            Self::ClockChanged => "clock_changed",
            Self::ClockOffset => "clock_offset",
            Self::TwoAgents => "two_agents",
            Self::AgentChanged => "agent_changed",
            Self::HostChanged => "host_changed",
        }
    }

    /// Whether it is the beginning or the end of a restart loop.
    pub(crate) fn is_of_loop(self) -> bool {
        matches!(self, Self::RestartLoop | Self::RestartLoopEnded)
    }

    /// The kind with this name; `None` where there is none, such as one of a later version.
    pub fn of_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.id() == id)
    }
}

/// Where an event stands in the stream: by the message that decides it, and its number among the events of that message.
/// No two events have the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventPlace {
    /// The partition of the stream.
    #[serde(default)]
    pub partition: u32,
    /// When the numbering of the stream began, in s since 1970 UTC.
    pub epoch_s: i64,
    /// The sequence of the message.
    pub sequence: u64,
    /// Counts the events of one message from 0.
    pub number: u32,
}

/// What is known of the process of an event, or of the program of a restart loop. Every text is hostile.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct EventProgram {
    /// Its name.
    pub name: String,
    /// Its command line, scrubbed on the host.
    pub command_line: Option<String>,
    /// The user that it runs as.
    pub user_name: Option<String>,
    /// Its unit.
    pub unit: Option<String>,
    /// The name of its parent: who started it.
    pub parent_name: Option<String>,
}

/// A process within its host: boot, pid and start.
pub(super) type ProcessKey = (String, u32, i64);

/// The process of an event, within its host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventProcess {
    /// The boot of its host.
    pub boot_id: String,
    /// Its process id.
    pub pid: u32,
    /// Its start, as in [`fleetps_nats::snapshot::Process::start`].
    pub start: i64,
    /// When it started by its host's clock, in µs since 1970 UTC.
    pub started_at_us: i64,
}

impl EventProcess {
    /// Its identity within its host.
    pub(super) fn key(&self) -> ProcessKey {
        (self.boot_id.clone(), self.pid, self.start)
    }
}

/// Something that happened. Times are in µs since 1970 UTC, to the millisecond.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Where it stands in the stream.
    pub place: EventPlace,
    /// When it happened, on the clock of its snapshot's `captured_at_us`.
    pub at_us: i64,
    /// When the broker took the message that decides it.
    pub decided_at_us: i64,
    /// The kind.
    pub kind: EventKind,
    /// Where.
    pub host: HostName,
    /// To which process, if to one.
    pub process: Option<EventProcess>,
    /// The program, where it is about one.
    pub program: Option<EventProgram>,
    /// The process id of its parent.
    pub parent_pid: Option<u32>,
    /// A start: who starts it again when it exits, where that is known (module `supervisor`).
    pub supervisor: Option<String>,
    /// A start with a supervisor: how many of the same it has then, this one included.
    pub instances: Option<u32>,
    /// CPU time that a process had used when it was last seen, in ms.
    pub cpu_time_ms: Option<u64>,
    /// Its resident set then.
    pub resident_bytes: Option<u64>,
    /// In ms. Exited: how long it ran. Silent and back: how long nothing came, by the broker's clock. Clock: by how much it
    /// was set, negative backwards; by how much it is off, negative behind. Restart loops: the median life.
    pub length_ms: Option<i64>,
    /// Restart loops: how often it was started.
    pub lives: Option<u32>,
    /// Restart loops: the first start.
    pub since_us: Option<i64>,
    /// What changed, or more about it, in words; hostile.
    pub change: Option<String>,
}

impl Event {
    /// An event of a host without anything else.
    pub(crate) fn of_host(kind: EventKind, host: &HostName, at_us: i64) -> Self {
        Self {
            place: EventPlace::default(),
            at_us,
            decided_at_us: 0,
            kind,
            host: host.clone(),
            process: None,
            program: None,
            parent_pid: None,
            supervisor: None,
            instances: None,
            cpu_time_ms: None,
            resident_bytes: None,
            length_ms: None,
            lives: None,
            since_us: None,
            change: None,
        }
    }

    /// About how much memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        let program = self.program.as_ref();
        let of_program = program.into_iter().flat_map(|program| {
            let others = [&program.command_line, &program.user_name, &program.unit, &program.parent_name];
            std::iter::once(&program.name).chain(others.into_iter().flatten())
        });
        let boot_id = self.process.as_ref().map(|process| &process.boot_id);
        let texts = of_program.chain(boot_id).chain(&self.supervisor).chain(&self.change);
        size_of::<Self>() + texts.map(String::len).sum::<usize>()
    }

    /// The name of the process or program; hostile.
    pub fn name(&self) -> Option<&str> {
        self.program.as_ref().map(|program| program.name.as_str())
    }

    /// More about it, in words; may contain hostile text.
    pub fn detail(&self) -> String {
        let length = self.length_ms.map(|ms| duration(ms.saturating_abs())).unwrap_or_default();
        match self.kind {
            EventKind::Started => self.started(),
            EventKind::Exited => self.exited(&length),
            EventKind::RestartLoop | EventKind::RestartLoopEnded => self.restart_loop(&length),
            EventKind::Silent if length.is_empty() => String::new(),
            EventKind::Silent => format!("nothing came for {length}"),
            EventKind::Booted | EventKind::Paused => String::new(),
            EventKind::Resumed => format!("after {length}"),
            EventKind::Back => match &self.change {
                Some(change) => format!("after {length}; {change}"),
                None => format!("after {length}"),
            },
            EventKind::ClockChanged if self.length_ms.is_some_and(i64::is_negative) => {
                format!("set back by {length}")
            }
            EventKind::ClockChanged => format!("set forward by {length}"),
            EventKind::ClockOffset => match self.length_ms {
                Some(ms) if ms.saturating_mul(1000).saturating_abs() <= MAX_OFFSET_US => {
                    "as the broker's again".to_owned()
                }
                // Measured to the time that a message takes: 59m 59.9s is an hour.
                Some(ms) => {
                    let off = duration((ms.saturating_abs().saturating_add(500)) / 1000 * 1000);
                    let way = if ms < 0 { "behind" } else { "ahead of" };
                    format!("{off} {way} the broker's")
                }
                None => String::new(),
            },
            EventKind::TwoAgents | EventKind::AgentChanged | EventKind::HostChanged => {
                self.change.clone().unwrap_or_default()
            }
        }
    }

    fn started(&self) -> String {
        let Some(program) = &self.program else { return String::new() };
        let what = program.command_line.clone().unwrap_or_default();
        match &program.parent_name {
            Some(parent) if what.is_empty() => format!("by {parent}"),
            Some(parent) => format!("{what} (by {parent})"),
            None => what,
        }
    }

    fn exited(&self, length: &str) -> String {
        let cpu = self.cpu_time_ms.filter(|ms| *ms > 0).and_then(|ms| i64::try_from(ms).ok());
        let cpu = cpu.map(|ms| format!(", used {} of CPU", cpu_time(ms))).unwrap_or_default();
        let memory = self.resident_bytes.filter(|bytes| *bytes > 0);
        let memory = memory.map(|bytes| format!(", had {}", memory_size(bytes))).unwrap_or_default();
        format!("ran for {length}{cpu}{memory}")
    }

    fn restart_loop(&self, length: &str) -> String {
        if let Some(said) = &self.change {
            return said.clone();
        }
        let by = self.supervisor.as_ref().map(|by| format!(" ({by})")).unwrap_or_default();
        let lives = self.lives.unwrap_or_default();
        match self.since_us.map(|since_us| self.at_us.saturating_sub(since_us) / 1000) {
            Some(within_ms) => {
                let within = duration(within_ms);
                format!("started {lives} times within {within}, lives {length}{by}")
            }
            None => format!("started {lives} times, lives {length}{by}"),
        }
    }
}

/// A length in words, to the second where it is longer than that.
fn duration(ms: i64) -> String {
    let length = SignedDuration::from_millis(ms);
    let length = if ms.abs() >= 1000 { SignedDuration::from_secs(length.as_secs()) } else { length };
    format!("{length:#}")
}

/// CPU time in words, to a tenth of a second where it is short.
fn cpu_time(ms: i64) -> String {
    if ms < 60_000 { format!("{:.1}s", ms as f64 / 1e3) } else { duration(ms) }
}

/// A size of memory in words, to about a thousandth.
fn memory_size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes {
        ..MIB => format!("{} KiB", bytes >> 10),
        MIB..1_073_741_824 => format!("{} MiB", bytes / MIB),
        _ => format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind) -> Event {
        Event::of_host(kind, &"web-01".parse().unwrap(), 60_000_000)
    }

    #[test]
    fn an_event_says_more_in_words() {
        let exited = |cpu_time_ms, resident_bytes| {
            let length_ms = Some(3_725_000);
            Event { length_ms, cpu_time_ms, resident_bytes, ..event(EventKind::Exited) }.detail()
        };
        assert_eq!(exited(None, Some(0)), "ran for 1h 2m 5s");
        assert_eq!(
            exited(Some(2_710), Some(419_656 << 10)),
            "ran for 1h 2m 5s, used 2.7s of CPU, had 409 MiB"
        );
        assert_eq!(exited(Some(61_500), Some(3 << 29)), "ran for 1h 2m 5s, used 1m 1s of CPU, had 1.5 GiB");
        let clock =
            |length_ms| Event { length_ms: Some(length_ms), ..event(EventKind::ClockChanged) }.detail();
        assert_eq!((clock(5_000), clock(-90_000)), ("set forward by 5s".into(), "set back by 1m 30s".into()));
        let offset =
            |length_ms| Event { length_ms: Some(length_ms), ..event(EventKind::ClockOffset) }.detail();
        assert_eq!(offset(3_599_981), "1h ahead of the broker's");
        assert_eq!(offset(-90_400), "1m 30s behind the broker's");
        assert_eq!(offset(-17), "as the broker's again");
        let looped = Event {
            lives: Some(6),
            since_us: Some(0),
            length_ms: Some(7_000),
            supervisor: Some("x.service".to_owned()),
            ..event(EventKind::RestartLoop)
        };
        assert_eq!(looped.detail(), "started 6 times within 1m, lives 7s (x.service)");
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::of_id(kind.id()), Some(kind));
        }
    }
}
