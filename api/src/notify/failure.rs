//! What came of sending.

use std::time::Duration;

use crate::display::{cut, visible};

/// The longest reason that is kept: enough for a receiver's own words.
const MAX_REASON: usize = 300;

/// The receiver took it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sent {
    /// What the receiver calls the message, where that is needed to answer in its thread.
    pub receipt: Option<String>,
}

/// The receiver did not take it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// What happened and what to do, in one line.
    pub reason: String,
    /// Whether it is worth trying again.
    pub again: Again,
}

/// Whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// The same would happen again until somebody changes something.
    Never,
    /// After a pause that grows.
    Later,
    /// Not before this has passed: the receiver says so.
    After(Duration),
}

impl Failure {
    /// One that stays until somebody changes something.
    pub fn lasting(reason: impl AsRef<str>) -> Self {
        Self::new(reason, Again::Never)
    }

    /// One that may pass.
    pub fn passing(reason: impl AsRef<str>) -> Self {
        Self::new(reason, Again::Later)
    }

    /// One with words that may be a receiver's: hostile, bounded here.
    pub fn new(reason: impl AsRef<str>, again: Again) -> Self {
        Self { reason: visible(&cut(reason.as_ref(), MAX_REASON)).into_owned(), again }
    }
}
