//! What one person sees of the present and the past. Handlers have nothing else to answer from, so none can forget a rule.
//!
//! Hosts that are not for whoever asks, and command lines that are withheld, are left out where they are loaded: here of the
//! present and of the stream, by the history of the past. Filters, searches, totals and limits come after that.

use std::{sync::Arc, time::Instant};

use axum::{extract::FromRequestParts, http::request::Parts};
use fleetps_ingestor::{
    filter::Filter,
    history::{History, HistoryError, Scope, SetAside},
};
use fleetps_nats::{HostName, audit::Outcome};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    console::Answered,
    live::{FleetView, LiveSearch, Moment, Summary, recent},
    people::Person,
    refusal::Refusal,
    web::Shared,
};

/// What one person sees. Handlers take it as an argument; a clone sees the same.
#[derive(Clone)]
pub struct Sight {
    shared: Shared,
    person: Person,
    /// The scope, and the version of the tags that it was made from.
    scope: Arc<Mutex<(u64, Arc<Scope>)>>,
}

impl Sight {
    /// What `person` sees of `shared`.
    pub fn new(shared: Shared, person: Person) -> Self {
        let version = shared.groups.version();
        let scope = Arc::new(shared.groups.scope_of(&person));
        Self { shared, person, scope: Arc::new(Mutex::new((version, scope))) }
    }

    /// Whoever looks.
    pub fn person(&self) -> &Person {
        &self.person
    }

    /// The hosts and command lines that are seen now: tags may change while a page is open.
    pub fn scope(&self) -> Arc<Scope> {
        let version = self.shared.groups.version();
        let mut known = self.scope.lock();
        if known.0 != version {
            *known = (version, Arc::new(self.shared.groups.scope_of(&self.person)));
        }
        Arc::clone(&known.1)
    }

    /// The fleet now, with its `programs` busiest programs.
    pub fn fleet(&self, programs: usize) -> FleetView {
        self.shared.fleet.view(&self.scope(), programs)
    }

    /// One host now.
    pub fn moment(&self, host: &HostName) -> Option<Moment> {
        self.shared.fleet.moment(&self.scope(), host)
    }

    /// One host's summary.
    pub fn summary(&self, host: &HostName) -> Option<Arc<Summary>> {
        self.shared.fleet.summary(host).filter(|_| self.scope().sees(host))
    }

    /// Tells of every change in the fleet: that there is one, not of what.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.fleet.watch()
    }

    /// Tells of every change of one host.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn watch_host(&self, host: &HostName) -> Result<watch::Receiver<()>, Refusal> {
        let watched = self.shared.fleet.watch_host(host).filter(|_| self.scope().sees(host));
        watched.ok_or_else(|| Refusal::no_such_host(host.as_str()))
    }

    /// Searches the present until `until`; absent while too many others do.
    ///
    /// # Errors
    /// When the search ends before its time.
    pub async fn search(
        &self,
        filter: Filter,
        limit: usize,
        until: Instant,
    ) -> Result<Option<LiveSearch>, Refusal> {
        let Ok(room) = Arc::clone(&self.shared.search_room).try_acquire_owned() else { return Ok(None) };
        let (fleet, scope) = (Arc::clone(&self.shared.fleet), self.scope());
        let searching = tokio::task::spawn_blocking(move || {
            let _room = room;
            fleet.search(&scope, &filter, limit, until)
        });
        searching.await.map(Some).map_err(|error| Refusal::fault("could not search", &error))
    }

    /// The snapshots of a host that are not in the history yet, around a moment; none where there is no broker.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn recent(
        &self,
        host: &HostName,
        at_us: i64,
    ) -> Result<Vec<fleetps_nats::Snapshot>, recent::RecentError> {
        let (Some(client), Some(summary)) = (&self.shared.broker, self.summary(host)) else {
            return Ok(Vec::new());
        };
        let mut snapshots = recent::around(client, &summary, at_us).await?;
        if !self.scope().sees_command_lines(host) {
            snapshots.iter_mut().for_each(crate::live::withhold_command_lines);
        }
        Ok(snapshots)
    }

    /// The history; absent while the folder cannot be read.
    pub fn history(&self) -> Option<History> {
        self.shared.past.history(self.scope())
    }

    /// Asks the history, on a thread that may wait.
    ///
    /// # Errors
    /// When there is no history here, or it cannot answer.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.shared.past.ask(self.scope(), question).await
    }

    /// The segments that cannot be read, so that what they hold is missing in every answer; known after the question.
    pub fn set_aside(&self) -> Vec<SetAside> {
        self.history().map(|history| history.set_aside()).unwrap_or_default()
    }

    /// Asks the history in SQL, which then is only what may be seen of it.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask_sql(&self, sql: String) -> Result<Answered, Refusal> {
        let answered = self.shared.console.ask(self.scope(), sql.clone()).await;
        let outcome = if answered.is_ok() { Outcome::Done } else { Outcome::Failed };
        self.shared.records.note(&self.person, "sql.ask", None, sql, outcome);
        answered
    }

    /// Cancels the question in SQL that is being answered.
    pub fn cancel_sql(&self) {
        self.shared.console.cancel();
    }

    /// A place among the pages kept up to date.
    ///
    /// # Errors
    /// When there is none.
    pub fn room(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let room: Arc<Semaphore> = Arc::clone(&self.shared.live_room);
        room.try_acquire_owned().map_err(|_| Refusal::too_many_live())
    }

    /// Ends when the server does.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shared.shutdown
    }
}

impl FromRequestParts<Shared> for Sight {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Refusal> {
        Ok(Self::new(shared.clone(), Person::from_request_parts(parts, shared).await?))
    }
}
