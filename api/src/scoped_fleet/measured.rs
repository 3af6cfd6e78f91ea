//! Questions of monitoring systems, within what one person sees.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::{StreamExt, stream};

use super::ScopedFleet;
use crate::{
    history_service::AskedFor,
    prometheus::{self, Failure, KnownHosts, Labels, Present, Problem, Question, Steps, Value},
    refusal::Refusal,
};

/// The stream is read of so many hosts at most: each is a request to the broker, and its snapshots are unpacked.
const MOST_READ: usize = 16;
/// Of these, so many at once.
const READ_AT_ONCE: usize = 4;

impl ScopedFleet {
    /// The hosts that questions can be about.
    ///
    /// # Errors
    /// When going through them panicked.
    pub(crate) async fn known_hosts(&self) -> Result<Arc<KnownHosts>, Refusal> {
        let history = self.history();
        let known = self.over_fleet(move |view, groups| {
            let heard = history.map(|history| history.hosts_heard()).unwrap_or_default();
            KnownHosts::new(view, groups, heard)
        });
        known.await.map(Arc::new)
    }

    /// Answers a question. It is read within the person's turn: its conditions may take long to compile, and are tried on
    /// every host.
    ///
    /// # Errors
    /// When there is no history here, or it cannot answer in time.
    pub(crate) async fn ask_prometheus(
        &self,
        text: String,
        steps: Steps,
    ) -> Result<Result<Value, Problem>, Refusal> {
        let known = self.known_hosts().await?;
        let hosts = Arc::clone(&known);
        let read = move |_: &_| Ok(Question::new(&text, steps, &hosts));
        let question = match self.ask_for(AskedFor::Page, read).await? {
            Ok(question) => question,
            Err(problem) => return Ok(Err(problem)),
        };
        let present = self.present(&question).await;
        let asked = move |history: &_| told(prometheus::answer(history, &question, &known, &present));
        self.ask_for(AskedFor::Page, asked).await
    }

    /// The labels of the series that selectors are about, within a time in ms since 1970 UTC.
    ///
    /// # Errors
    /// When there is no history here, or it cannot answer in time.
    pub(crate) async fn label_sets(
        &self,
        selectors: Vec<String>,
        within_ms: (i64, i64),
    ) -> Result<Result<BTreeSet<Labels>, Problem>, Refusal> {
        let known = self.known_hosts().await?;
        let asked = move |history: &_| {
            let found = prometheus::parse_selectors(&selectors).map_err(Failure::from);
            told(found.and_then(|selectors| prometheus::label_sets(history, &selectors, &known, within_ms)))
        };
        self.ask_for(AskedFor::Page, asked).await
    }

    /// What is in no segment yet, where the question is about few hosts.
    async fn present(&self, question: &Question) -> Present {
        let hosts = question.hosts();
        let Some(span) = question.span().filter(|_| hosts.len() <= MOST_READ) else {
            return Present::default();
        };
        let is_whole = question.is_about_programs();
        let reading = stream::iter(hosts).map(|host| async move {
            let newer = self.newer_with(&host, span, is_whole).await;
            // Where the broker is away, what this server holds stands for it.
            newer.away.is_none().then_some((host, newer.snapshots))
        });
        Present {
            newer: reading.buffer_unordered(READ_AT_ONCE).filter_map(std::future::ready).collect().await,
        }
    }
}

/// What the history could not answer is the caller's to tell; what the question is wrong about, the asker's.
fn told<T>(
    answer: Result<T, Failure>,
) -> Result<Result<T, Problem>, fleetps_ingestor::history::HistoryError> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(Failure::Problem(problem)) => Ok(Err(problem)),
        Err(Failure::History(error)) => Err(error),
    }
}
