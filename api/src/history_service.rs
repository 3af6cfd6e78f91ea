//! The past, as the handlers ask it: the history in a folder, read by a few threads at a time.
//!
//! Every question waits for its turn among the questions of all persons, gets a budget (`fleetps_ingestor::query`), and is
//! cancelled when the request that waits for it is dropped, or the server stops.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::http::StatusCode;
use fleetps_ingestor::{
    history::{History, HistoryError, Scope, Span},
    query::{Budget, Deadline, Stopped, TooManyRows},
};
use fleetps_nats::error_chain;
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    config::QuestionSettings,
    csv::Format,
    display,
    live::{Check, Fleet, Intake, now_us},
    metrics::Bounded,
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

/// How long questions under way go on after the shutdown began: most are answered by then.
const END_AFTER: Duration = Duration::from_secs(1);

/// What a question is asked for, which says how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedFor {
    /// A page or its JSON, which somebody waits for.
    Page,
    /// A file of many rows.
    Export,
}

/// The history, shared by all handlers.
#[derive(Clone)]
pub struct HistoryService {
    /// Absent until the folder can be read.
    history: Arc<RwLock<Option<History>>>,
    /// Why the folder cannot be read now.
    problem: Arc<RwLock<Option<String>>>,
    room: Shares,
    limits: QuestionSettings,
    shutdown: CancellationToken,
}

impl HistoryService {
    /// Without a history yet. Questions end at the `limits`, and a second after `shutdown`.
    pub fn new(limits: QuestionSettings, shutdown: CancellationToken) -> Self {
        let (history, problem) = Default::default();
        Self { history, problem, room: Shares::new(BOUNDS), limits, shutdown }
    }

    /// Over a history that was opened.
    pub fn of(history: History) -> Self {
        Self::new(QuestionSettings::default(), CancellationToken::new()).over(history)
    }

    /// The same over a history that was opened.
    pub fn over(self, history: History) -> Self {
        *self.history.write() = Some(history);
        self
    }

    /// How many questions are under way, and how many wait for their turn.
    pub fn questions(&self) -> (usize, usize) {
        self.room.in_use()
    }

    /// How full the room for questions is, and the memory of the caches.
    pub fn bounded(&self) -> Vec<Bounded> {
        let caches = self.history.read().as_ref().map(History::caches);
        let cache = |(of, in_use, limit)| Bounded { of, in_use, limit, refused: 0 };
        let mut all = self.room.bounded("questions", Some("questions-waiting"));
        all.extend(caches.into_iter().flatten().map(cache));
        all
    }

    /// The history as far as it is in `scope`; absent while the folder cannot be read.
    pub fn history(&self, scope: Arc<Scope>) -> Option<History> {
        self.history.read().as_ref().map(|history| history.within(scope))
    }

    /// Asks the history for `who` as far as it is in `scope`, on a thread that may wait, when it is their turn. The question
    /// ends with the future that this returns: when that is dropped, it is cancelled.
    ///
    /// # Errors
    /// When there is no history here, it cannot answer, it takes too long, or too much is asked of it.
    pub async fn ask<T: Send + 'static>(
        &self,
        who: &str,
        asked_for: AskedFor,
        scope: Arc<Scope>,
        question: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let Some(history) = self.history(scope) else {
            return Err(Refusal::no_history(self.problem.read().as_deref()));
        };
        let within = match asked_for {
            AskedFor::Page => self.limits.page_within,
            AskedFor::Export => self.limits.export_within,
        };
        let turn = self.room.take_within(who, within).await?;
        let deadline = Deadline::after(within);
        let _cancel = deadline.cancel_on_drop();
        let history = history.within_budget(Budget::until(deadline));
        let answer = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            question(&history)
        });
        tokio::select! {
            answer = answer => match answer {
                Ok(answer) => answer.map_err(|error| refusal(&error, within)),
                Err(error) => Err(Refusal::fault("could not read the history", &error)),
            },
            () = self.end() => Err(stopping()),
        }
    }

    /// When questions under way must end.
    async fn end(&self) {
        self.shutdown.cancelled().await;
        tokio::time::sleep(END_AFTER).await;
    }

    /// Opens the history in `folder` as soon as it is there, and keeps up with new segments, until `shutdown`.
    pub async fn follow(self, folder: PathBuf, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let (past, folder) = (self.clone(), folder.clone());
            let looking = tokio::task::spawn_blocking(move || past.look(&folder));
            // A folder that is slow to read does not delay the end.
            let Some(looked) = shutdown.run_until_cancelled(looking).await else { return };
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
            let asked =
                self.ask(THIS_SERVER, AskedFor::Export, scope, move |history| history.cpu_peaks(hour));
            let asked = asked.await;
            if let Err(refusal) = &asked {
                tracing::warn!("the past hour of the fleet is not known: {}", refusal.error);
            }
            asked.ok()
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

/// Why the history does not answer a question that might have taken until `within`.
fn refusal(error: &HistoryError, within: Duration) -> Refusal {
    let seconds = i64::try_from(within.as_secs()).unwrap_or(i64::MAX);
    let hint = "choose a shorter range, or one host; where it has a filter, plain words are quicker than regular expressions";
    match error {
        HistoryError::Stopped(Stopped::TookTooLong) => Refusal::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!(
                "this question about the past was stopped, because it took longer than {}",
                display::duration(seconds)
            ),
            hint,
        ),
        HistoryError::Stopped(Stopped::Cancelled) => stopping(),
        HistoryError::TooManyRows(TooManyRows { max_rows }) => Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("this question about the past needs more than {max_rows} samples at once"),
            hint,
        ),
        HistoryError::TooManySegments { most } => Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("this question about the past needs more than {most} files of the history at once"),
            hint,
        ),
        HistoryError::OutOfMemory => Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "this question about the past needs more memory than all questions together may have",
            hint,
        ),
        error => Refusal::fault("could not read the history", &error_chain(error)),
    }
}

/// Questions under way are given up.
fn stopping() -> Refusal {
    let hint = "ask again when it is back";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this server is stopping", hint).for_now(LOOK_EVERY)
}

impl From<Format> for AskedFor {
    fn from(format: Format) -> Self {
        match format {
            Format::Json => Self::Page,
            Format::Csv => Self::Export,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asked_too_much_hears_what_to_do_and_nobody_else_is_blamed() {
        let of = |error: &HistoryError| refusal(error, Duration::from_secs(90));
        for (error, status, words) in [
            (HistoryError::Stopped(Stopped::TookTooLong), StatusCode::GATEWAY_TIMEOUT, "longer than 1 m"),
            (HistoryError::Stopped(Stopped::Cancelled), StatusCode::SERVICE_UNAVAILABLE, "is stopping"),
            (TooManyRows { max_rows: 7 }.into(), StatusCode::UNPROCESSABLE_ENTITY, "more than 7 samples"),
            (
                HistoryError::TooManySegments { most: 9 },
                StatusCode::UNPROCESSABLE_ENTITY,
                "more than 9 files",
            ),
            (HistoryError::OutOfMemory, StatusCode::UNPROCESSABLE_ENTITY, "more memory"),
        ] {
            let refusal = of(&error);
            assert_eq!(refusal.status, status, "{error}");
            assert!(refusal.error.contains(words) && !refusal.hint.is_empty(), "{refusal:?}");
        }
    }
}
