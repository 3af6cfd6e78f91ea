//! Why something is not done.

use fleetps_nats::command::{Answer, Reason};

use crate::policy::Decision;

/// A reason, and what else there is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub reason: Reason,
    pub detail: String,
}

impl Refusal {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// Something that nobody expects.
    pub(super) fn internal(detail: impl Into<String>) -> Self {
        Self::new(Reason::Internal, detail)
    }

    /// The line that allows, or the refusal.
    pub(super) fn unless_allowed(decision: Decision) -> Result<String, Self> {
        match decision {
            Decision::Allowed { line } => Ok(line),
            Decision::Refused { reason, line } => Err(Self::new(reason, line)),
        }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::refused(refusal.reason, refusal.detail)
    }
}
