//! What became of a command, and how what it applied to is now, as the host says. Every text of it is hostile.

use serde::{Deserialize, Serialize};

use super::{CommandId, Reason};

/// The longest detail, in bytes: what a unit said last fits in.
pub const MAX_DETAIL_BYTES: usize = 4 << 10;
/// The most lines of a unit's output that are told: what it says when it does not start fits in.
pub const MAX_OUTPUT_LINES: usize = 20;
/// The longest of these lines, in bytes.
pub const MAX_OUTPUT_LINE_BYTES: usize = 512;
/// The longest name of a state, in bytes.
const MAX_STATE_BYTES: usize = 64;

/// How far a command is, as the host knows it. A server knows more: asked, published, unknown, not there, cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is believed, and begins as soon as the host has found that it is allowed.
    Accepted,
    /// It is being executed: a unit's job runs, or the end of a process that was signalled is waited for.
    Running,
    /// It was executed.
    Done,
    /// It was tried, and did not succeed.
    Failed,
    /// The host does not execute it.
    Refused,
    /// It came too late, and is never executed.
    Expired,
}

/// The state of one command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The command.
    pub id: CommandId,
    /// How far it is.
    pub stage: Stage,
    /// Why it was refused or failed; absent otherwise.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// What else there is to say, for people: the line of the host's file that decided, the unit's state before and after.
    #[serde(default)]
    pub detail: String,
    /// Whether the signalled process was seen to end; absent where nobody looked.
    #[serde(default)]
    pub gone: Option<bool>,
    /// From when it was taken to when it ended, in ms; absent before that.
    #[serde(default)]
    pub took_ms: Option<u64>,
    /// What the unit wrote to its host's journal since the command began, the last lines; empty where nothing was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<String>,
}

/// How a unit or a process is now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sight {
    /// Whether it is there: a unit that is loaded, the very process and none of the same pid.
    pub exists: bool,
    /// The state in words, as in `active (running)` or `S sleeping`.
    pub state: String,
    /// Since when it has this state, in µs since 1970 UTC by the host's clock.
    pub since_us: Option<i64>,
    /// The unit's main process.
    pub main_pid: Option<u32>,
    /// What else there is to say, for people.
    pub detail: String,
}

impl Stage {
    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Accepted | Self::Running)
    }
}

impl Progress {
    /// A command that is in this stage, without anything else to say.
    pub fn new(id: CommandId, stage: Stage) -> Self {
        Self { id, stage, reason: None, detail: String::new(), gone: None, took_ms: None, output: Vec::new() }
    }

    /// The same with texts of bounded length.
    #[must_use]
    pub fn within_limits(mut self) -> Self {
        cut(&mut self.detail, MAX_DETAIL_BYTES);
        self.output.drain(..self.output.len().saturating_sub(MAX_OUTPUT_LINES));
        self.output.iter_mut().for_each(|line| cut(line, MAX_OUTPUT_LINE_BYTES));
        self
    }
}

impl Sight {
    /// The same with texts of bounded length.
    #[must_use]
    pub fn within_limits(mut self) -> Self {
        cut(&mut self.state, MAX_STATE_BYTES);
        cut(&mut self.detail, MAX_DETAIL_BYTES);
        self
    }
}

/// Shortens `text` to at most `max_bytes`.
pub(super) fn cut(text: &mut String, max_bytes: usize) {
    text.truncate(text.floor_char_boundary(max_bytes));
}
