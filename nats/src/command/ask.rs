//! The questions of a server and the answers of a host.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

use super::{
    CommandId, Progress, Reason, Sight, Signal, Stage, Target, Ticket, UnitAction,
    progress::{MAX_DETAIL_BYTES, cut},
};
use crate::agent_settings::SignedFrame;

/// The longest question and the longest answer, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// How long an answer to [`Ask::Wait`] is held back.
pub const WAIT: Duration = Duration::from_secs(5);
/// The most lines of a host's file that an answer has.
const MAX_RULES: usize = 128;
/// Their bytes in all, so that the answer fits although JSON writes a backslash of a unit's name as two.
const MAX_RULES_BYTES: usize = 24 << 10;
/// The longest of these lines, in bytes.
const MAX_RULE_BYTES: usize = 512;

/// What a server asks a host on its command subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// For a new ticket. Answered by [`Answer::Ticket`].
    Ticket,
    /// To execute a command. Answered by its [`Answer::Stage`] as soon as it is decided, which takes 10 s at most and mostly some
    /// milliseconds. Refused, it was not executed; without an answer, it may have been.
    Run {
        /// A frame of [`Kind::Command`](crate::agent_settings::Kind::Command), whose body is a
        /// [`Command`](super::Command) as JSON.
        frame: SignedFrame,
    },
    /// What became of a command. Answered by its [`Answer::Stage`]: at once if that is another than `known`, else when it
    /// changes, or after [`WAIT`].
    Wait {
        /// The command.
        id: CommandId,
        /// The stage that the server knows; absent to be answered at once.
        #[serde(default)]
        known: Option<Stage>,
    },
    /// How a unit or a process is now. It changes nothing, and is not signed.
    Look {
        /// Which.
        target: Target,
    },
}

/// What a host answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// A ticket for one command.
    Ticket {
        /// The ticket.
        ticket: Ticket,
        /// The boot that the helper runs in; a process of another one is gone.
        boot_id: String,
        /// How long the ticket works, in ms.
        valid_ms: u64,
        /// What the host's file allows.
        allows: Allowed,
    },
    /// The stage that a command is in.
    Stage(Progress),
    /// How the target is.
    Looked(Sight),
    /// The question is not answered: of a command that was not believed, nothing else is said.
    Refused {
        /// Why.
        reason: Reason,
        /// What else there is to say, for people.
        #[serde(default)]
        detail: String,
    },
}

/// What a host's own file allows, for people who choose. The host decides again when a command comes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Allowed {
    /// Actions that are allowed for some units.
    #[serde(deserialize_with = "known")]
    pub actions: BTreeSet<UnitAction>,
    /// Signals that are allowed for some processes.
    #[serde(deserialize_with = "known")]
    pub signals: BTreeSet<Signal>,
    /// The lines as they are written there, as in `restart,reload nginx.service`.
    pub rules: Vec<String>,
}

/// The bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAMessage {
    /// It is longer than [`MAX_MESSAGE_BYTES`].
    #[error("it is longer than {MAX_MESSAGE_BYTES} bytes")]
    TooLong,
    /// It has another form.
    #[error("it cannot be read: {0}")]
    Shape(String),
}

/// The words that this version knows.
fn known<'de, D: Deserializer<'de>, T: DeserializeOwned + Ord>(
    deserializer: D,
) -> Result<BTreeSet<T>, D::Error> {
    let words = Vec::<serde_json::Value>::deserialize(deserializer)?;
    Ok(words.into_iter().filter_map(|word| serde_json::from_value(word).ok()).collect())
}

impl Ask {
    /// Reads a question; nothing of it is believed yet.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, NotAMessage> {
        read(bytes)
    }

    /// The question as it travels: one line.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Texts and numbers always become JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Answer {
    /// A refusal.
    pub fn refused(reason: Reason, detail: impl Into<String>) -> Self {
        Self::Refused { reason, detail: detail.into() }
    }

    /// Reads an answer, with texts and lists of bounded length: it comes from a host.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, NotAMessage> {
        read(bytes).map(Self::within_limits)
    }

    /// The answer as it travels: one line.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The same with texts and lists of bounded length.
    #[must_use]
    pub fn within_limits(self) -> Self {
        match self {
            Self::Ticket { ticket, mut boot_id, valid_ms, allows } => {
                cut(&mut boot_id, MAX_RULE_BYTES);
                Self::Ticket { ticket, boot_id, valid_ms, allows: allows.within_limits() }
            }
            Self::Stage(progress) => Self::Stage(progress.within_limits()),
            Self::Looked(sight) => Self::Looked(sight.within_limits()),
            Self::Refused { reason, mut detail } => {
                cut(&mut detail, MAX_DETAIL_BYTES);
                Self::Refused { reason, detail }
            }
        }
    }
}

impl Allowed {
    fn within_limits(mut self) -> Self {
        self.rules.truncate(MAX_RULES);
        self.rules.iter_mut().for_each(|rule| cut(rule, MAX_RULE_BYTES));
        let mut room = MAX_RULES_BYTES;
        self.rules.retain(|rule| {
            room = room.saturating_sub(rule.len());
            room > 0
        });
        self
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotAMessage> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(NotAMessage::TooLong);
    }
    serde_json::from_slice(bytes).map_err(|error| NotAMessage::Shape(error.to_string()))
}
