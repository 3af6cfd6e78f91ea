//! Why a host does not execute a command, or could not.

use serde::{Deserialize, Serialize};

/// Why. [`Reason::words`] says it to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Commands are off on this host, or it pinned no control key.
    Off,
    /// No line of the host's file allows it.
    NotAllowed,
    /// Nobody may do that, whatever the host's file says: pid 1, kernel threads, the agent, its helper, the broker, D-Bus, systemd.
    Protected,
    /// The pid belongs to another process by now, or the machine has booted since.
    OtherProcess,
    /// There is no such process.
    NoSuchProcess,
    /// There is no such unit.
    NoSuchUnit,
    /// It is not signed with the control key that the host pinned, for this host, or says nothing that can be done.
    NotBelieved,
    /// It came too late.
    Expired,
    /// The ticket was used, or is of an earlier run of the helper.
    UnknownTicket,
    /// The host is asked for too much.
    TooMany,
    /// The kernel cannot name a process in a way that no other process can take over.
    NoPidfd,
    /// The helper does not see the pids of the host: it runs in a container.
    OtherNamespace,
    /// Commands are on, but their helper does not run.
    NoHelper,
    /// The system refused what the host's file allows: a capability or a polkit rule is missing.
    Denied,
    /// The helper knows no command of that id (any more).
    UnknownCommand,
    /// The unit's job failed, or another took its place.
    JobFailed,
    /// The unit's job did not end in time; it may yet.
    JobLate,
    /// Something else went wrong, as the detail says.
    Internal,
    /// A reason that only a later version has.
    #[serde(other)]
    Other,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Off,
        Self::NotAllowed,
        Self::Protected,
        Self::OtherProcess,
        Self::NoSuchProcess,
        Self::NoSuchUnit,
        Self::NotBelieved,
        Self::Expired,
        Self::UnknownTicket,
        Self::TooMany,
        Self::NoPidfd,
        Self::OtherNamespace,
        Self::NoHelper,
        Self::Denied,
        Self::UnknownCommand,
        Self::JobFailed,
        Self::JobLate,
        Self::Internal,
        Self::Other,
    ];

    /// A full sentence for people, with what to do next where something can be done.
    pub fn words(self) -> &'static str {
        match self {
            Self::Off => {
                "Commands are off on this host; its owner can allow them in [control] of agent.toml."
            }
            Self::NotAllowed => "The host's own file does not allow this.",
            Self::Protected => "This is always refused: the machine or fleetps itself depends on it.",
            Self::OtherProcess => {
                "The process has ended; another one has its pid now, or the machine has booted since."
            }
            Self::NoSuchProcess => "The process has ended.",
            Self::NoSuchUnit => "The host has no such unit.",
            Self::NotBelieved => {
                "The host does not believe this command: it is not signed with the control key that the host pinned."
            }
            Self::Expired => "The command came too late and was not executed; send it again.",
            Self::UnknownTicket => {
                "The host's control helper was started again, or the command came twice; it was not executed."
            }
            Self::TooMany => "The host takes no more commands at the moment; try again in a minute.",
            Self::NoPidfd => "The host's kernel is too old to signal a process safely; it takes Linux 5.3.",
            Self::OtherNamespace => {
                "The control helper runs in a container and does not see the host's processes; run it with the host's pids."
            }
            Self::NoHelper => {
                "The control helper does not run on this host: systemctl status fleetps-control.socket"
            }
            Self::Denied => {
                "The system refused it to the control helper; its capability or its polkit rule is missing \
                 (fleetps-agent control polkit)."
            }
            Self::UnknownCommand => "The host's control helper does not know this command.",
            Self::JobFailed => "systemd could not do it; the unit's log says why.",
            Self::JobLate => "systemd has not finished in time; look at the unit again.",
            Self::Internal => "The host could not do it.",
            Self::Other => "The host refused it for a reason that this version does not know.",
        }
    }
}
