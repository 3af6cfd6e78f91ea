//! A state of a command, and what there is to say of how it came there.

use fleetps_nats::{
    command::{Reason, Stage},
    now_us,
};
use serde::{Deserialize, Serialize};

/// The longest detail that is kept of a step, in bytes: a few lines. What a host says may have four times that.
pub(super) const MAX_DETAIL_BYTES: usize = 1024;

/// The state that a command came into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which.
    pub state: State,
    /// When this server knew of it, in µs since 1970 UTC.
    pub at_us: i64,
    /// The host's reason, where it gave one.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// What else there is to say. It may come from the host.
    #[serde(default)]
    pub detail: String,
    /// The person who took it; absent for what hosts and servers do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// How the unit was just before it was to be restarted, so that a restart can be told from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<UnitBefore>,
    /// What the unit wrote to its host's journal meanwhile, the last lines. It comes from the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<String>,
}

/// What changes when a unit is restarted, as the host said before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitBefore {
    /// Its main process.
    pub main_pid: Option<u32>,
    /// Since when it had its state, in µs since 1970 UTC by the host's clock.
    pub since_us: Option<i64>,
}

/// How far a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for its turn in a plan. Nothing was signed.
    Waiting,
    /// It is asked; the audit comes first, and nothing is sent yet.
    Asked,
    /// It is signed, and sent from now on.
    Published,
    /// The host has taken it.
    Accepted,
    /// The host executes it.
    Running,
    /// The host has executed it.
    Done,
    /// The host tried, and did not succeed.
    Failed,
    /// The host does not execute it.
    Refused,
    /// It came to the host too late, and is never executed.
    Expired,
    /// The host was not there, so it was not executed.
    NotThere,
    /// The connection was lost after it was sent: it may have been executed, or not.
    Unknown,
    /// It was never sent.
    Cancelled,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Waiting,
        Self::Asked,
        Self::Published,
        Self::Accepted,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Refused,
        Self::Expired,
        Self::NotThere,
        Self::Unknown,
        Self::Cancelled,
    ];

    /// Its name in JSON and in the audit.
    pub fn id(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Asked => "asked",
            Self::Published => "published",
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::NotThere => "not_there",
            Self::Unknown => "unknown",
            Self::Cancelled => "cancelled",
        }
    }

    /// Its word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Published => "sent",
            Self::NotThere => "not there",
            other => other.id(),
        }
    }

    /// Whether nothing follows. [`State::Unknown`] ends too, when nothing more can be found out.
    pub fn is_final(self) -> bool {
        use State::{Cancelled, Done, Expired, Failed, NotThere, Refused};
        matches!(self, Done | Failed | Refused | Expired | NotThere | Cancelled)
    }

    /// Whether nothing of it can have reached a host.
    pub fn is_unsent(self) -> bool {
        matches!(self, Self::Waiting | Self::Asked)
    }
}

impl From<Stage> for State {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Accepted => Self::Accepted,
            Stage::Running => Self::Running,
            Stage::Done => Self::Done,
            Stage::Failed => Self::Failed,
            Stage::Refused => Self::Refused,
            Stage::Expired => Self::Expired,
        }
    }
}

impl Step {
    /// A step that is taken now.
    pub fn now(state: State) -> Self {
        Self {
            state,
            at_us: now_us(),
            reason: None,
            detail: String::new(),
            by: None,
            before: None,
            output: Vec::new(),
        }
    }

    /// The same of a unit that was like this before.
    #[must_use]
    pub fn before(self, before: Option<UnitBefore>) -> Self {
        Self { before, ..self }
    }

    /// The same with this to say; what is too long is cut.
    #[must_use]
    pub fn saying(self, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        detail.truncate(detail.floor_char_boundary(MAX_DETAIL_BYTES));
        Self { detail, ..self }
    }

    /// The same with what the unit wrote.
    #[must_use]
    pub fn with_output(self, output: Vec<String>) -> Self {
        Self { output, ..self }
    }

    /// The same with the host's reason.
    #[must_use]
    pub fn because(self, reason: Option<Reason>) -> Self {
        Self { reason, ..self }
    }

    /// The same, taken by this person.
    #[must_use]
    pub fn by(self, person: &str) -> Self {
        Self { by: Some(person.to_owned()), ..self }
    }

    /// What there is to say for people: the reason as a sentence, and the detail.
    pub fn words(&self) -> String {
        let reason = self.reason.map(Reason::words).unwrap_or_default();
        let parts = [reason, &self.detail];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}
