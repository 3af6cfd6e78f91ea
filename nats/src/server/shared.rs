//! State shared by the supervisor and its two threads.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicU64},
};

use tokio_util::sync::CancellationToken;

use super::ServerHealth;

/// Messages between the supervisor and its two threads.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Ends everything.
    pub(super) stop: CancellationToken,
    /// The process id of the server that was started last.
    pub(super) pid: AtomicU32,
    /// Whether it has greeted and was not found to have ended.
    pub(super) is_up: AtomicBool,
    /// How often it was started again.
    pub(super) restarts: AtomicU64,
    /// How often the certificate's files had changed and could not be used.
    pub(super) unusable_certificates: AtomicU64,
    /// How it is, for readiness.
    pub(super) health: ServerHealth,
    wanted: Mutex<Option<Restart>>,
}

/// A request to end the server and start it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Restart {
    /// The cause.
    pub(super) why: String,
    /// Whether it does not listen any more, so that asking it to end is of no use.
    pub(super) hangs: bool,
}

impl Shared {
    pub(super) fn new(health: ServerHealth, stop: CancellationToken) -> Self {
        Self { health, stop, ..Self::default() }
    }

    /// Has the server started again.
    pub(super) fn want(&self, restart: Restart) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(restart);
    }

    /// The restart wanted since the last call.
    pub(super) fn take_wanted(&self) -> Option<Restart> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
