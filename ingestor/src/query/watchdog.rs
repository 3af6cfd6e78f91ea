//! A thread that stops queries whose time is over.

use std::{collections::HashMap, io, sync::Arc, thread, time::Duration};

use duckdb::InterruptHandle;
use parking_lot::{Condvar, Mutex};

use super::Deadline;

/// How soon a query whose time is over is interrupted, and how soon again: one that had not quite begun missed it. A
/// fifth of the 100 ms within which a question ends; a look takes a microsecond.
const INTERRUPT_EVERY: Duration = Duration::from_millis(20);

/// Interrupts the queries on the connections of one engine when their time is over, until they end. Sleeps while there is none.
#[derive(Debug)]
pub(crate) struct Watchdog(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    watched: Mutex<Watched>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Watched {
    number: u64,
    deadlines: HashMap<u64, Deadline>,
    has_ended: bool,
}

/// A connection whose queries are interrupted when their time is over, until this is dropped.
pub(crate) struct Interruptible<'a> {
    watchdog: &'a Watchdog,
    number: u64,
    deadline: &'a Deadline,
    query: Arc<InterruptHandle>,
}

impl Watchdog {
    /// Starts the thread, which ends when this is dropped.
    pub(crate) fn start() -> io::Result<Self> {
        let inner = Arc::new(Inner::default());
        let watching = Arc::clone(&inner);
        thread::Builder::new().name("query-watchdog".to_owned()).spawn(move || watching.watch())?;
        Ok(Self(inner))
    }

    /// Watches what runs on the connection of `query`, until `deadline`.
    pub(crate) fn watch<'a>(
        &'a self,
        deadline: &'a Deadline,
        query: Arc<InterruptHandle>,
    ) -> Interruptible<'a> {
        deadline.add(Arc::clone(&query));
        let mut watched = self.0.watched.lock();
        watched.number += 1;
        let number = watched.number;
        let was_idle = watched.deadlines.is_empty();
        watched.deadlines.insert(number, deadline.clone());
        if was_idle {
            self.0.changed.notify_one();
        }
        Interruptible { watchdog: self, number, deadline, query }
    }
}

impl Inner {
    fn watch(&self) {
        let mut watched = self.watched.lock();
        while !watched.has_ended {
            if watched.deadlines.is_empty() {
                self.changed.wait(&mut watched);
                continue;
            }
            let over = watched.deadlines.values().filter(|deadline| deadline.check().is_err());
            over.for_each(Deadline::interrupt);
            self.changed.wait_for(&mut watched, INTERRUPT_EVERY);
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.watched.lock().has_ended = true;
        self.0.changed.notify_one();
    }
}

impl Drop for Interruptible<'_> {
    fn drop(&mut self) {
        self.watchdog.0.watched.lock().deadlines.remove(&self.number);
        self.deadline.remove(&self.query);
    }
}
