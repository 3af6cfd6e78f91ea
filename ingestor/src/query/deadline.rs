//! How long an answer may take, and whether its asker still waits.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use duckdb::InterruptHandle;
use parking_lot::{Mutex, MutexGuard};

/// How soon work that waits for a lock notices that its time is over.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The end of an answer: a time, or the end of its request. A clone is the same deadline.
#[derive(Clone)]
pub struct Deadline(Arc<Inner>);

struct Inner {
    after: Duration,
    /// Begins with the first look. Absent in it where it is beyond what a clock can say.
    until: OnceLock<Option<Instant>>,
    is_cancelled: AtomicBool,
    /// The connections that queries run on for it.
    running: Mutex<Vec<Arc<InterruptHandle>>>,
}

/// An answer was broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// It took longer than it may.
    #[error("it took too long")]
    TookTooLong,
    /// The request is gone, or the program ends.
    #[error("the request was cancelled")]
    Cancelled,
}

/// Cancels a deadline when it is dropped, so that work ends with the request that it was for.
#[derive(Debug)]
pub struct CancelOnDrop(Deadline);

impl Deadline {
    /// A deadline `after` this time from when the work begins, which is when it looks first.
    pub fn after(after: Duration) -> Self {
        Self(Arc::new(Inner {
            after,
            until: OnceLock::new(),
            is_cancelled: AtomicBool::new(false),
            running: Mutex::default(),
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

    /// Waits for a lock as long as work may go on.
    ///
    /// # Errors
    /// When it may not, and why.
    pub(crate) fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> Result<MutexGuard<'a, T>, Stopped> {
        loop {
            self.check()?;
            if let Some(guard) = mutex.try_lock_for(LOOK_EVERY) {
                return Ok(guard);
            }
        }
    }

    /// Ends the work now.
    pub fn cancel(&self) {
        self.0.is_cancelled.store(true, Relaxed);
        self.interrupt();
    }

    /// Cancels the work when the returned guard is dropped.
    pub fn cancel_on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }

    /// Interrupts the queries that run for it in DuckDB.
    pub(super) fn interrupt(&self) {
        // Under the lock, so that none reaches a connection that was given back.
        self.0.running.lock().iter().for_each(|query| query.interrupt());
    }

    /// Lets it interrupt what runs on this connection.
    pub(super) fn add(&self, query: Arc<InterruptHandle>) {
        self.0.running.lock().push(query);
    }

    /// No longer.
    pub(super) fn remove(&self, query: &Arc<InterruptHandle>) {
        self.0.running.lock().retain(|running| !Arc::ptr_eq(running, query));
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Deadline").field("left", &self.left()).finish_non_exhaustive()
    }
}
