//! How long evaluating a filter may take, and whether its request still waits.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use duckdb::InterruptHandle;
use parking_lot::Mutex;

/// The end of evaluating a filter: a time, or the end of its request. A clone is the same deadline.
#[derive(Clone)]
pub struct Deadline(Arc<Inner>);

struct Inner {
    after: Duration,
    /// Begins with the first look. Absent in it where it is beyond what a clock can say.
    until: OnceLock<Option<Instant>>,
    is_cancelled: AtomicBool,
    /// The query that runs for it in DuckDB, if any.
    query: Mutex<Option<Arc<InterruptHandle>>>,
}

/// Evaluating a filter was broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// It took longer than it may.
    #[error("the filter took too long")]
    TookTooLong,
    /// The request is gone.
    #[error("the request was cancelled")]
    Cancelled,
}

/// Cancels a deadline when it is dropped, so that work ends with the request that it was for.
#[derive(Debug)]
pub struct CancelOnDrop(Deadline);

/// Lets a deadline interrupt a query, until it is dropped.
pub(crate) struct Interruptible<'a>(&'a Deadline);

impl Deadline {
    /// A deadline `after` this time from when the work begins, which is when it looks first.
    pub fn after(after: Duration) -> Self {
        Self(Arc::new(Inner {
            after,
            until: OnceLock::new(),
            is_cancelled: AtomicBool::new(false),
            query: Mutex::default(),
        }))
    }

    /// Whether work may go on.
    ///
    /// # Errors
    /// When it may not, and why.
    pub fn check(&self) -> Result<(), Stopped> {
        let now = Instant::now();
        let until = self.0.until.get_or_init(|| now.checked_add(self.0.after));
        if self.0.is_cancelled.load(Relaxed) {
            Err(Stopped::Cancelled)
        } else if until.is_some_and(|until| now >= until) {
            Err(Stopped::TookTooLong)
        } else {
            Ok(())
        }
    }

    /// How long there is left; all of it where the work has not begun.
    pub fn left(&self) -> Duration {
        match self.0.until.get() {
            None => self.0.after,
            Some(None) => Duration::MAX,
            Some(Some(until)) => until.saturating_duration_since(Instant::now()),
        }
    }

    /// Interrupts the query that runs for it. For when its time has come: rows in memory see that by themselves.
    pub fn interrupt(&self) {
        if let Some(query) = self.0.query.lock().as_ref() {
            query.interrupt();
        }
    }

    /// Cancels the work when the returned guard is dropped.
    pub fn cancel_on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }

    /// Lets it interrupt what runs on the connection of `query`.
    pub(crate) fn watch(&self, query: Arc<InterruptHandle>) -> Interruptible<'_> {
        *self.0.query.lock() = Some(query);
        Interruptible(self)
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let Self(deadline) = self;
        deadline.0.is_cancelled.store(true, Relaxed);
        deadline.interrupt();
    }
}

impl Drop for Interruptible<'_> {
    fn drop(&mut self) {
        *self.0.0.query.lock() = None;
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Deadline").field("left", &self.left()).finish_non_exhaustive()
    }
}
