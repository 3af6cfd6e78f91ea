//! A command as it is signed, and how a host opens it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CommandId, Ticket, What};
use crate::{
    HostName,
    agent_settings::{ControlKey, Kind, NotBelieved, SignedFrame},
};

/// How long a ticket works, and so the longest life of a command that has not begun.
pub const MAX_TICKET_AGE: Duration = Duration::from_secs(60);
/// How long a command may take to reach the host, counted from when its ticket was given out.
pub const DEFAULT_VALID: Duration = Duration::from_secs(30);
/// The longest name of a person or a token, in bytes.
pub const MAX_WHO_BYTES: usize = 256;
/// The longest reason that a person gives, in bytes.
pub const MAX_WHY_BYTES: usize = 1024;
/// The longest boot id, in bytes: a UUID has 36.
const MAX_BOOT_ID_BYTES: usize = 64;

/// A command to one run of one host's control helper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Its name.
    pub id: CommandId,
    /// The ticket that it uses up.
    pub ticket: Ticket,
    /// How old the ticket may be when the command is taken, in ms by the clock of the host: 1 to 60,000.
    pub valid_ms: u64,
    /// What is to be done.
    pub what: What,
    /// Who asked, as the audit names them.
    pub who: String,
    /// Why, as they said; may be empty.
    pub why: String,
    /// The sequence of the audit entry that says that it was asked.
    pub audit: Option<u64>,
}

/// A command that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCommand {
    /// `valid_ms` is out of range.
    #[error("valid_ms is out of range; expected 1 to {}", MAX_TICKET_AGE.as_millis())]
    Valid,
    /// A text is too long, or has control characters.
    #[error("{0} is too long or has control characters")]
    Text(&'static str),
    /// The pid is no process's.
    #[error("the pid is no process's; expected 1 to {}", i32::MAX)]
    Pid,
}

impl Command {
    /// How old its ticket may be.
    pub fn valid(&self) -> Duration {
        Duration::from_millis(self.valid_ms)
    }

    /// Checks every value against its range.
    ///
    /// # Errors
    /// When one is outside.
    pub fn check(&self) -> Result<(), BadCommand> {
        if self.valid().is_zero() || self.valid() > MAX_TICKET_AGE {
            return Err(BadCommand::Valid);
        }
        check_text("who", &self.who, MAX_WHO_BYTES)?;
        check_text("why", &self.why, MAX_WHY_BYTES)?;
        match &self.what {
            What::Unit { .. } => Ok(()),
            What::Signal { process, .. } => {
                check_text("boot_id", &process.boot_id, MAX_BOOT_ID_BYTES)?;
                let is_pid = process.pid > 0 && i32::try_from(process.pid).is_ok();
                is_pid.then_some(()).ok_or(BadCommand::Pid)
            }
        }
    }

    /// Signs it for `host`.
    ///
    /// # Errors
    /// When `key` has no private half.
    pub fn sign(&self, host: &HostName, key: &ControlKey) -> Result<SignedFrame, nkeys::error::Error> {
        // Texts and numbers always become JSON.
        let body = serde_json::to_string(self).unwrap_or_default();
        key.sign(Kind::Command, host, 0, body)
    }

    /// The command in `frame`, if the holder of the key with the public half `pinned`, or of one that follows it, has signed it for `host`, and every value
    /// is in its range. Whether its ticket still works only the helper knows that gave it out.
    ///
    /// # Errors
    /// When it is of another kind, for another host, not signed with that key, or out of range.
    pub fn open(frame: &SignedFrame, host: &HostName, pinned: &str) -> Result<Self, NotBelieved> {
        let body = frame.open(Kind::Command, host, pinned)?;
        let command: Self = serde_json::from_str(body).map_err(|_| NotBelieved::Body)?;
        command.check().map_err(|_| NotBelieved::Body)?;
        Ok(command)
    }
}

fn check_text(name: &'static str, text: &str, max_bytes: usize) -> Result<(), BadCommand> {
    let fits = text.len() <= max_bytes && !text.chars().any(char::is_control);
    fits.then_some(()).ok_or(BadCommand::Text(name))
}
