//! The health of the managed server, for readiness and pages.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::disk;

/// Notes that are kept; the oldest goes.
const MAX_NOTES: usize = 8;

/// How the managed server is. Cheap to clone; all clones say the same.
#[derive(Debug, Clone, Default)]
pub struct ServerHealth {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    problem: Option<String>,
    notes: VecDeque<String>,
    store: Option<PathBuf>,
}

impl ServerHealth {
    /// Why the server cannot be used now, and what is done about it; `None` while it works.
    pub fn problem(&self) -> Option<String> {
        self.inner().problem.clone()
    }

    /// What a person should know although everything works: the disk fills up, or the store lost something.
    pub fn warnings(&self) -> Vec<String> {
        let (store, mut warnings) = {
            let inner = self.inner();
            (inner.store.clone(), Vec::from(inner.notes.clone()))
        };
        let disk = store.and_then(|store| disk::warning(&store));
        warnings.extend(disk.map(|problem| format!("the broker: {problem}")));
        warnings
    }

    /// Sets or clears the problem. A new one is logged.
    pub fn set_problem(&self, problem: Option<String>) {
        let before = std::mem::replace(&mut self.inner().problem, problem.clone());
        // Without the lock: the log's reader may be slow.
        match problem {
            same if same == before => {}
            Some(problem) => tracing::error!("the broker cannot be used: {problem}"),
            None => tracing::warn!("the broker can be used again"),
        }
    }

    /// Keeps and logs what happened to the store.
    pub(super) fn note(&self, note: String) {
        tracing::warn!("{note}");
        let mut inner = self.inner();
        if inner.notes.len() >= MAX_NOTES {
            inner.notes.pop_front();
        }
        inner.notes.push_back(note);
    }

    /// Says where its store is.
    pub(super) fn set_store(&self, store: PathBuf) {
        self.inner().store = Some(store);
    }

    /// The problem and the notes are plain data, so a panic elsewhere leaves nothing half done in them.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_bounded_and_the_oldest_goes() {
        let health = ServerHealth::default();
        for number in 0..=MAX_NOTES {
            health.note(number.to_string());
        }
        assert_eq!(health.warnings().len(), MAX_NOTES);
        assert_eq!(health.warnings()[0], "1");
        health.set_problem(Some("it hangs".to_owned()));
        assert_eq!(health.clone().problem().as_deref(), Some("it hangs"));
    }
}
