//! The past, as the handlers ask it: the history in a folder, read by a few threads at a time.

use std::{path::PathBuf, sync::Arc, time::Duration};

use fleetps_ingestor::history::{History, HistoryError, Scope, Span};
use fleetps_nats::error_chain;
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    filtering,
    live::{Check, Fleet, Intake, now_us},
    refusal::Refusal,
    shares::{Bounds, Shares},
};

/// Questions answered at once: each may take a processor, and live pages must not wait for them. One person may have
/// half of them. A page asks for its pictures at once, and a key that is held down steps on before they are there.
const BOUNDS: Bounds = Bounds {
    what: "questions about the past under way",
    most: 4,
    of_a_person: 2,
    waiting: 256,
    waiting_of_a_person: 64,
    wait: Duration::from_secs(30),
};
/// The name under which this server itself asks; no user has such a name.
const THIS_SERVER: &str = "";
/// How often the folder is checked for new segments.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The span of the fleet page's sparklines.
const PAST_HOUR_US: i64 = 3_600_000_000;

/// The history, shared by all handlers.
#[derive(Clone)]
pub struct HistoryService {
    /// Absent until the folder can be read.
    history: Arc<RwLock<Option<History>>>,
    /// Why the folder cannot be read now.
    problem: Arc<RwLock<Option<String>>>,
    room: Shares,
}

impl Default for HistoryService {
    fn default() -> Self {
        Self { history: Arc::default(), problem: Arc::default(), room: Shares::new(BOUNDS) }
    }
}

impl HistoryService {
    /// Over a history that was opened.
    pub fn of(history: History) -> Self {
        let past = Self::default();
        *past.history.write() = Some(history);
        past
    }

    /// The history as far as it is in `scope`; absent while the folder cannot be read.
    pub fn history(&self, scope: Arc<Scope>) -> Option<History> {
        self.history.read().as_ref().map(|history| history.within(scope))
    }

    /// Asks the history for `who` as far as it is in `scope`, on a thread that may wait, when it is their turn.
    ///
    /// # Errors
    /// When there is no history here, it cannot answer, or too much is asked of it.
    pub async fn ask<T: Send + 'static>(
        &self,
        who: &str,
        scope: Arc<Scope>,
        question: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let Some(history) = self.history(scope) else {
            return Err(Refusal::no_history(self.problem.read().as_deref()));
        };
        let turn = self.room.take(who).await?;
        let answer = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            question(&history)
        });
        match answer.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(HistoryError::Stopped(stopped))) => Err(filtering::too_slow(stopped)),
            Ok(Err(error)) => Err(Refusal::fault("could not read the history", &error_chain(&error))),
            Err(error) => Err(Refusal::fault("could not read the history", &error)),
        }
    }

    /// Opens the history in `folder` as soon as it is there, and keeps up with new segments, until `shutdown`.
    pub async fn follow(self, folder: PathBuf, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let (past, folder) = (self.clone(), folder.clone());
            let looked = tokio::task::spawn_blocking(move || past.look(&folder)).await;
            if let Ok(looked) = looked {
                self.note(looked.err().map(|error| error_chain(&error)));
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Tells `fleet` once what its past hour was like: as soon as its hosts are known and there is a history.
    pub async fn recall(
        self,
        fleet: Arc<Fleet>,
        mut intake: watch::Receiver<Intake>,
        shutdown: CancellationToken,
    ) {
        let recalling = async {
            intake.wait_for(|intake| intake.caught_up).await.ok()?;
            while self.history.read().is_none() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            let to_us = now_us();
            let hour = Span { from_us: to_us - PAST_HOUR_US, to_us };
            let scope = Arc::new(Scope::everything());
            let asked = self.ask(THIS_SERVER, scope, move |history| history.cpu_peaks(hour));
            asked.await.ok()
        };
        if let Some(Some(peaks)) = shutdown.run_until_cancelled(recalling).await {
            // An hour of every host.
            if let Err(error) = tokio::task::spawn_blocking(move || fleet.recall(&peaks)).await {
                tracing::error!(%error, "cannot show what the past hour was like");
            }
        }
    }

    /// Whether a history that was opened once can still be read.
    pub fn check(&self) -> Check {
        let problem = self.problem.read().clone().filter(|_| self.history.read().is_some());
        problem.map_or(Ok(()), Err)
    }

    /// Notes why the folder cannot be read now; in the log when that changes.
    fn note(&self, problem: Option<String>) {
        let before = std::mem::replace(&mut *self.problem.write(), problem.clone());
        match problem {
            same if same == before => {}
            Some(problem) => tracing::warn!("the history: {problem}; looking again every {LOOK_EVERY:?}"),
            None => tracing::warn!("the history can be read again"),
        }
    }

    fn look(&self, folder: &std::path::Path) -> Result<(), HistoryError> {
        let known = self.history.read().clone();
        match known {
            Some(history) => history.refresh()?,
            None => *self.history.write() = Some(History::open(folder)?),
        }
        Ok(())
    }
}
