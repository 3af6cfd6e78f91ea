//! What a host that speaks HTTP and its server tell each other besides snapshots.
//!
//! A host that speaks NATS hears settings, wishes of those who watch, and questions about commands on subjects of its own. One
//! that speaks HTTP asks its server for them: it posts a [`Brought`] to [`EXCHANGE`](crate::signed::EXCHANGE), signed as any
//! request of a host, and the server answers with a [`Heard`] when there is something, or after [`HELD`]. Answers to questions
//! go there, too, in requests of their own. Frames and questions are the same bytes as on the subjects.
//!
//! The server names a random number for a while of exchanges, and hands out nothing to a request that does not name it: a
//! request that somebody recorded takes no question away from the host.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agent_settings::SignedFrame;

/// The longest that a server holds back its answer: proxies give up after 60 s, some after 30.
pub const HELD: Duration = Duration::from_secs(20);
/// The most questions of one answer, and the most answers of one request.
pub const MAX_QUESTIONS: usize = 16;

/// What a host brings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Brought {
    /// The number that the server named last; absent at first.
    pub line: Option<u64>,
    /// Answers to questions that it heard, at most 16, and 1 MiB in all.
    pub answers: Vec<HostAnswer>,
    /// Whether it waits for something new; otherwise it only brings answers.
    pub waits: bool,
}

/// An answer of the host to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAnswer {
    /// The question.
    pub to: u64,
    /// The answer as it travels over the broker: JSON.
    pub answer: String,
}

/// What a host hears.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heard {
    /// The number to name in the next request.
    pub line: u64,
    /// Frames that were sent to the host, the newest of each kind.
    pub frames: Vec<SignedFrame>,
    /// Questions, at most 16, the oldest first.
    pub questions: Vec<HostQuestion>,
}

/// A question to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostQuestion {
    /// Its number, which the answer names.
    pub id: u64,
    /// The question as it travels over the broker: JSON.
    pub question: String,
}
