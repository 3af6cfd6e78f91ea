//! The past, as the handlers ask it: the history in a folder, read by a few threads at a time; `travel` is one host at
//! one past moment, `process` one process.

pub mod process;
pub mod travel;

use std::{path::PathBuf, sync::Arc, time::Duration};

use fleetps_ingestor::history::{History, HistoryError, SetAside};
use fleetps_nats::with_causes;
use parking_lot::RwLock;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::refusal::Refusal;

/// Questions answered at once: each may take a processor, and live pages must not wait for them.
const MAX_QUESTIONS: usize = 4;
/// How often the folder is looked at for new segments.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The history, shared by all handlers.
#[derive(Clone)]
pub struct Past {
    /// Absent until the folder can be read.
    history: Arc<RwLock<Option<Arc<History>>>>,
    room: Arc<Semaphore>,
}

impl Default for Past {
    fn default() -> Self {
        Self { history: Arc::default(), room: Arc::new(Semaphore::new(MAX_QUESTIONS)) }
    }
}

impl Past {
    /// Over a history that was opened.
    pub fn of(history: History) -> Self {
        let past = Self::default();
        *past.history.write() = Some(Arc::new(history));
        past
    }

    /// The history; absent while the folder cannot be read.
    pub fn history(&self) -> Option<Arc<History>> {
        self.history.read().clone()
    }

    /// The segments that cannot be read, so that what they hold is missing in every answer; known after the question.
    pub fn set_aside(&self) -> Vec<SetAside> {
        self.history().map(|history| history.set_aside()).unwrap_or_default()
    }

    /// Asks the history, on a thread that may wait.
    ///
    /// # Errors
    /// When there is no history here, or it cannot answer.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let Some(history) = self.history() else { return Err(Refusal::no_history()) };
        let permit = Arc::clone(&self.room).acquire_owned().await;
        let answer = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            question(&history)
        });
        match answer.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Refusal::fault("could not read the history", &with_causes(&error))),
            Err(error) => Err(Refusal::fault("could not read the history", &error)),
        }
    }

    /// Opens the history in `folder` as soon as it is there, and keeps up with new segments, until `shutdown`.
    pub async fn follow(self, folder: PathBuf, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let (past, folder) = (self.clone(), folder.clone());
            let looked = tokio::task::spawn_blocking(move || past.look(&folder)).await;
            if let Ok(Err(error)) = looked {
                tracing::debug!("the history: {}", with_causes(&error));
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn look(&self, folder: &std::path::Path) -> Result<(), HistoryError> {
        if let Some(history) = self.history() {
            return history.refresh();
        }
        let history = Arc::new(History::open(folder)?);
        *self.history.write() = Some(history);
        Ok(())
    }
}
