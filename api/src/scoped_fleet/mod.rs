//! The present and the past, limited to what one person may see. Handlers have nothing else to answer from, so none can
//! forget a rule.
//!
//! Hidden hosts and withheld command lines are left out where they are loaded: here from the present and the stream, in
//! the history from the past. Filters, searches, totals and limits come after that.
//!
//! `travel` is one host at one past moment, `process` one process, `groups` changes what a host belongs to, `settings` how
//! it is sampled, `live` is what WebSockets follow, `commands` are commands to hosts, `alerts` are alerts, `alert_rules`
//! the rules by which they are raised.

mod acknowledging;
mod alert_routes;
mod alert_rules;
mod alerts;
mod channels;
mod commands;
mod events;
mod groups;
mod joining;
mod live;
mod measured;
pub(crate) mod process;
mod settings;
mod silences;
pub(crate) mod travel;

pub(crate) use alert_routes::Routes;
pub(crate) use alert_rules::{NewRule, bad_rule, no_such_rule};
pub(crate) use alerts::AlertFilter;
pub(crate) use channels::ChannelEntry;
pub(crate) use commands::MAX_TARGETS;
pub(crate) use joining::{Joining, NewToken};
pub(crate) use live::Look;
pub(crate) use silences::NewSilence;

use std::{sync::Arc, time::Duration};

use axum::{extract::FromRequestParts, http::request::Parts};
use fleetps_ingestor::{
    filter::{Deadline, Filter, Stopped},
    history::{FoundOrder, History, HistoryError, Holding, MissingSegment, Scope, Span},
    sql::Choice,
};
use fleetps_nats::{HostName, Snapshot, audit::Outcome, model::HostState};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{Grant, Person},
    authz::{Decision, HostGroups, Permission, TaggedHosts, permission_of},
    broker::AwaySince,
    console::{Answered, Question},
    filtering,
    fleet_views::FleetPage,
    history_service::AskedFor,
    live::{FleetView, LiveSearch, MeasuredHost, Moment, Suggested, Summary, Wanted, recent},
    refusal::Refusal,
    shares::Share,
    state::AppState,
    view::fleet::FleetQuery,
};

/// Snapshots that the history has not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Newer {
    /// The snapshots, in the order of capture.
    pub snapshots: Vec<Snapshot>,
    /// Since when the broker is away, where others may be missing for that.
    pub away: Option<AwaySince>,
}

/// A person's view of the fleet. Handlers take it as an argument; a clone has the same view.
#[derive(Clone)]
pub(crate) struct ScopedFleet {
    shared: AppState,
    person: Person,
    /// The scope, and the version of the tags that it was made from.
    scope: Arc<Mutex<(u64, Arc<Scope>)>>,
}

impl ScopedFleet {
    /// The view of `person` on `shared`. Which hosts that are is found out on a thread that serves no requests, where nobody
    /// with the same grants has come before.
    ///
    /// # Errors
    /// When that panicked.
    pub(crate) async fn of(shared: AppState, person: Person) -> Result<Self, Refusal> {
        if shared.groups.known_scope_of(&person.grants).is_some() {
            return Ok(Self::new(shared, person));
        }
        let views = shared.fleet_views.clone();
        let finding = views.aside(move || Self::new(shared, person));
        finding.await.map_err(|error| Refusal::fault("could not find out which hosts you see", &error))
    }

    /// The view of `person` in metrics of hosts: somebody may read these without seeing the hosts otherwise.
    ///
    /// # Errors
    /// When working out which hosts these are panicked.
    pub(crate) async fn for_metrics(shared: AppState, person: Person) -> Result<Self, Refusal> {
        let grants = person.grants.iter().map(Grant::for_metrics).collect();
        Self::of(shared, Person { grants, ..person }).await
    }

    /// Does `work` with what the metrics of hosts are made of: of all that are seen, or of those in `group`. On a thread that
    /// serves no requests.
    ///
    /// # Errors
    /// When it panicked.
    pub(crate) async fn metrics<T: Send + 'static>(
        &self,
        group: Option<String>,
        work: impl FnOnce(Vec<MeasuredHost>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (fleet, groups, scope) = (Arc::clone(&self.shared.fleet), self.shared.groups.now(), self.scope());
        let working = self.shared.fleet_views.aside(move || {
            let is_wanted =
                |host: &HostName| group.as_ref().is_none_or(|group| groups.of(host).contains(group));
            work(fleet.metrics(&scope, is_wanted))
        });
        working.await.map_err(|error| Refusal::fault("could not collect the metrics", &error))
    }

    fn new(shared: AppState, person: Person) -> Self {
        let version = shared.groups.version();
        let scope = shared.groups.scope_of(&person.grants);
        Self { shared, person, scope: Arc::new(Mutex::new((version, scope))) }
    }

    /// The hosts and command lines that are seen now: tags may change while a page is open.
    pub(crate) fn scope(&self) -> Arc<Scope> {
        let version = self.shared.groups.version();
        let mut known = self.scope.lock();
        if known.0 != version {
            *known = (version, self.shared.groups.scope_of(&self.person.grants));
        }
        Arc::clone(&known.1)
    }

    /// The fleet page with this query.
    pub(crate) fn fleet_page(&self, query: &FleetQuery) -> FleetPage {
        let AppState { fleet, groups, fleet_views, .. } = &self.shared;
        fleet_views.page(fleet, groups, (&self.scope(), &self.person.grants), query)
    }

    /// Does `work` with every host and the groups of all, on a thread that serves no requests.
    ///
    /// # Errors
    /// When it panicked.
    pub(crate) async fn over_fleet<T: Send + 'static>(
        &self,
        work: impl FnOnce(&FleetView, &TaggedHosts) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (fleet, groups, scope) = (Arc::clone(&self.shared.fleet), self.shared.groups.now(), self.scope());
        let working = self.shared.fleet_views.aside(move || work(&fleet.view(&scope, 0), &groups));
        working.await.map_err(|error| Refusal::fault("could not go through the fleet", &error))
    }

    /// Whether this may be done on a host.
    pub(crate) fn permission_of(&self, action: Permission, host: &HostName) -> bool {
        permission_of(&self.person, action, Some(&self.groups(host))) == Decision::Allowed
    }

    /// The groups of a host.
    pub(crate) fn groups(&self, host: &HostName) -> HostGroups {
        self.shared.groups.of(host)
    }

    /// Until when what hosts said is known, in µs since 1970 UTC.
    pub(crate) fn heard_until_us(&self) -> i64 {
        self.shared.fleet.heard_until_us()
    }

    /// One host now.
    pub(crate) fn moment(&self, host: &HostName) -> Option<Moment> {
        self.shared.fleet.moment(&self.scope(), host)
    }

    /// One host now, and whether its command lines are seen in it.
    pub(crate) fn moment_as_seen(&self, host: &HostName) -> Option<(Moment, bool)> {
        let scope = self.scope();
        Some((self.shared.fleet.moment(&scope, host)?, scope.sees_command_lines(host)))
    }

    /// One host's summary.
    pub(crate) fn summary(&self, host: &HostName) -> Option<Arc<Summary>> {
        self.shared.fleet.summary(host).filter(|_| self.scope().sees(host))
    }

    /// When the last snapshot of a host came that sends nothing now; absent for others.
    pub(crate) fn silent_since(&self, host: &HostName) -> Option<i64> {
        let summary = self.summary(host).filter(|summary| summary.state != HostState::Up)?;
        Some(summary.last_seen_us)
    }

    /// Refuses a question about a host that nobody has heard of: not now, and not as far as the history goes.
    ///
    /// # Errors
    /// When there is no such host.
    pub(crate) fn expect_known(&self, host: Option<&HostName>) -> Result<(), Refusal> {
        let Some(host) = host else { return Ok(()) };
        let is_in_the_past = || {
            self.scope().sees(host) && self.history().is_some_and(|history| history.last_us(host).is_some())
        };
        match self.summary(host).is_some() || is_in_the_past() {
            true => Ok(()),
            false => Err(Refusal::no_such_host(host.as_str())),
        }
    }

    /// Tells of every change of one host.
    ///
    /// # Errors
    /// When there is no such host.
    pub(crate) fn watch_host(&self, host: &HostName) -> Result<watch::Receiver<()>, Refusal> {
        let watched = self.shared.fleet.watch_host(host).filter(|_| self.scope().sees(host));
        watched.ok_or_else(|| Refusal::no_such_host(host.as_str()))
    }

    /// Searches the present of every host for a few seconds at most, when it is one's turn.
    ///
    /// # Errors
    /// When too many search.
    pub(crate) async fn search(
        &self,
        filter: Filter,
        order: FoundOrder,
        limit: usize,
    ) -> Result<LiveSearch, Refusal> {
        let share = self.shared.searches.take(&self.person.name).await?;
        let (fleet, scope) = (Arc::clone(&self.shared.fleet), self.scope());
        let search =
            move |deadline: &Deadline| fleet.search_in_order(&scope, &filter, (order, limit), deadline);
        filtering::within(share, search).await
    }

    /// The hosts in whose name or groups all of these words occur, in small letters; the first `most` by name, and how many
    /// there are.
    pub(crate) fn hosts_with(&self, words: &[String], most: usize) -> (Vec<Arc<Summary>>, usize) {
        let (scope, groups) = (self.scope(), self.shared.groups.now());
        let has = |host: &Arc<Summary>| {
            let names = [host.host.as_str(), host.os_host_name.as_str()];
            let texts = || names.into_iter().chain(groups.of(&host.host).iter().map(String::as_str));
            words.iter().all(|word| texts().any(|text| text.to_lowercase().contains(word)))
        };
        let mut found = self.shared.fleet.view(&scope, 0).hosts;
        found.retain(has);
        let count = found.len();
        found.truncate(most);
        (found, count)
    }

    /// Suggests what is called like `wanted` now, on a thread that serves no requests.
    ///
    /// # Errors
    /// When it panicked.
    pub(crate) async fn suggest(&self, wanted: Wanted) -> Result<Suggested, Refusal> {
        let (fleet, groups, scope) = (Arc::clone(&self.shared.fleet), self.shared.groups.now(), self.scope());
        let suggesting = move || fleet.suggest(&scope, &wanted, |host| groups.of(host));
        let suggested = self.shared.fleet_views.aside(suggesting).await;
        suggested.map_err(|error| Refusal::fault("could not look for names", &error))
    }

    /// Does `work`, which filters the processes of one host by `filter`: at once where that lets everything through, else when
    /// it is one's turn.
    ///
    /// # Errors
    /// When too many filter, or it takes too long.
    pub(crate) async fn filter<T: Send + 'static>(
        &self,
        filter: Option<&Filter>,
        work: impl FnOnce(&Deadline) -> Result<T, Stopped> + Send + 'static,
    ) -> Result<T, Refusal> {
        match filter {
            Some(filter) if !filter.is_empty() => {
                let share = self.shared.filters.take(&self.person.name).await?;
                filtering::within(share, work).await?.map_err(filtering::too_slow)
            }
            _ => work(&Deadline::after(Duration::MAX)).map_err(filtering::too_slow),
        }
    }

    /// The snapshots of a host that are not in the history yet, around a moment; none where there is no broker.
    ///
    /// # Errors
    /// When the broker is away or does not answer soon.
    pub(crate) async fn recent(
        &self,
        host: &HostName,
        at_us: i64,
    ) -> Result<Vec<Snapshot>, recent::RecentError> {
        let (Some(stream), Some(summary)) = (self.stream(), self.summary(host)) else {
            return Ok(Vec::new());
        };
        let mut snapshots = recent::around(stream, &summary, at_us).await?;
        if !self.scope().sees_command_lines(host) {
            snapshots.iter_mut().for_each(crate::live::withhold_command_lines);
        }
        Ok(snapshots)
    }

    /// The snapshots of a host within `span` that may be in no segment yet, without their processes, in the order of
    /// capture. Where the broker is away they are missing, because older ones can still be shown.
    pub(crate) async fn newer(&self, host: &HostName, span: Span) -> Newer {
        self.newer_with(host, span, false).await
    }

    /// The same, with their processes where `is_whole`.
    async fn newer_with(&self, host: &HostName, span: Span, is_whole: bool) -> Newer {
        let (Some(stream), Some(summary)) = (self.stream(), self.summary(host)) else {
            return Newer::default();
        };
        let sealed_us = self.history().and_then(|history| history.last_us(host));
        let from_us = sealed_us.unwrap_or(span.from_us).max(span.from_us);
        let away = || self.broker_away().filter(|_| from_us < span.to_us);
        if from_us >= span.to_us.min(summary.captured_at_us) {
            return Newer { away: away(), ..Newer::default() };
        }
        match recent::since(stream, &summary, from_us, is_whole).await {
            Ok(snapshots) => Newer { snapshots, away: None },
            Err(error) => {
                tracing::debug!(%error, %host, "cannot read the newest snapshots; charts end with the last segment");
                Newer { away: away(), ..Newer::default() }
            }
        }
    }

    fn stream(&self) -> Option<recent::Stream<'_>> {
        let client = self.shared.broker.as_ref()?;
        Some(recent::Stream { client, absence: &self.shared.absence })
    }

    /// Since when the broker is away; `None` while it is there, or there is none.
    pub(crate) fn broker_away(&self) -> Option<AwaySince> {
        self.shared.broker_away()
    }

    /// The history; absent while the folder cannot be read.
    pub(crate) fn history(&self) -> Option<History> {
        self.shared.past.history(self.scope())
    }

    /// Asks the history for a page, on a thread that may wait.
    ///
    /// # Errors
    /// When there is no history here, or it cannot answer in time.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.ask_for(AskedFor::Page, question).await
    }

    /// The same for a page or an export.
    ///
    /// # Errors
    /// When there is no history here, or it cannot answer in time.
    pub(crate) async fn ask_for<T: Send + 'static>(
        &self,
        asked_for: impl Into<AskedFor>,
        question: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.shared.past.ask(&self.person.name, asked_for.into(), self.scope(), question).await
    }

    /// The segments that cannot be read, so that what they hold is missing in every answer; known after the question.
    pub(crate) fn set_aside(&self) -> Vec<MissingSegment> {
        self.history().map(|history| history.missing_segments()).unwrap_or_default()
    }

    /// Asks the history in SQL, which then is only what may be seen of it: of some time and hosts, or else as far back as fits.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn ask_sql(
        &self,
        sql: String,
        about: Option<(Span, Vec<HostName>)>,
    ) -> Result<Answered, Refusal> {
        let choice = match (about, self.history()) {
            (Some((span, hosts)), Some(history)) => {
                let holding = self.shared.fleet_views.aside(move || history.holding(&hosts, span)).await;
                let holding =
                    holding.map_err(|error| Refusal::fault("could not look at the index", &error))?;
                Choice::of(span, holding)
            }
            (Some((span, _)), None) => Choice::of(span, Holding::default()),
            (None, _) => Choice::default(),
        };
        let console = &self.shared.console;
        let answered = console.ask_about(&self.person.name, self.scope(), sql.clone(), choice).await;
        let outcome = if answered.is_ok() { Outcome::Done } else { Outcome::Failed };
        self.shared.audit_log.note(&self.person, "sql.ask", None, sql, outcome);
        answered
    }

    /// The questions in SQL that are answered or wait: one's own, and for who administers everything all of them.
    pub(crate) fn sql_questions(&self) -> Vec<Question> {
        let mut questions = self.shared.console.questions();
        questions.retain(|question| self.may_cancel(question));
        questions
    }

    /// Cancels the question in SQL of this number, if it may be seen; without a number, all of one's own.
    pub(crate) fn cancel_sql(&self, number: Option<u64>) {
        let cancelled = self.shared.console.cancel(|question| match number {
            Some(number) => question.number == number && self.may_cancel(question),
            None => question.who == self.person.name,
        });
        for question in cancelled.iter().filter(|question| question.who != self.person.name) {
            let what = format!("of {}: {}", question.who, question.sql);
            self.shared.audit_log.note(&self.person, "sql.cancel", None, what, Outcome::Done);
        }
    }

    /// A question may name hosts that others may not see, so only an administrator of every host sees others'
    /// questions.
    fn may_cancel(&self, question: &Question) -> bool {
        question.who == self.person.name
            || permission_of(&self.person, Permission::ManageUsers, None) == Decision::Allowed
    }

    /// A place among the pages kept up to date.
    ///
    /// # Errors
    /// When one has a whole share of them, or there is none.
    pub(crate) fn live_page(&self) -> Result<Share, Refusal> {
        Ok(self.shared.live_pages.take_now(&self.person.name)?)
    }

    /// Ends when the server does.
    pub(crate) fn shutdown(&self) -> &CancellationToken {
        &self.shared.shutdown
    }
}

impl FromRequestParts<AppState> for ScopedFleet {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &AppState) -> Result<Self, Refusal> {
        Self::of(shared.clone(), Person::from_request_parts(parts, shared).await?).await
    }
}
