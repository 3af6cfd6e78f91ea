//! What WebSockets follow: changes of the fleet, snapshots of a host, events.

use std::sync::Arc;

use axum::http::{Method, StatusCode, Uri};
use fleetps_ingestor::history::{Event, EventQuery};
use fleetps_nats::HostName;
use tokio::sync::watch;

use super::ScopedFleet;
use crate::{
    audit_log::{AuditClass, AuditedRequest},
    auth::Grant,
    authz::{Permission, TaggedHosts},
    live::{
        FleetChanges, Position, Told,
        recent::RecentError,
        replay::{self, Replay, Replayed},
    },
    refusal::Refusal,
    sockets::Sockets,
};

/// A topic that is watched, for the audit.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    /// The address that asks for the same.
    pub uri: &'a Uri,
    /// The host that it is about.
    pub host: Option<HostName>,
    /// The page about many hosts that it belongs to.
    pub page: &'static str,
    /// Whether it may show command lines.
    pub shows_command_lines: bool,
    /// The status that a request would be answered with.
    pub status: StatusCode,
}

impl ScopedFleet {
    /// Does `work` with the hosts that are others than in the version `since` of the fleet, on a thread that serves no
    /// requests.
    ///
    /// # Errors
    /// When it panicked.
    pub(crate) async fn over_changes<T: Send + 'static>(
        &self,
        since: Option<u64>,
        work: impl FnOnce(FleetChanges, &TaggedHosts) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (fleet, groups, scope) = (Arc::clone(&self.shared.fleet), self.shared.groups.now(), self.scope());
        let working = self.shared.fleet_views.aside(move || work(fleet.changes(&scope, since), &groups));
        working.await.map_err(|error| Refusal::fault("could not go through the fleet", &error))
    }

    /// The version of the fleet, and that of its tags.
    pub(crate) fn versions(&self) -> (u64, u64) {
        (self.shared.fleet.version(), self.shared.groups.version())
    }

    /// How many hosts there are at most.
    pub(crate) fn host_count(&self) -> usize {
        self.shared.fleet.host_count()
    }

    /// Tells of every change in the fleet.
    pub(crate) fn watch_fleet(&self) -> watch::Receiver<u64> {
        self.shared.fleet.watch()
    }

    /// Tells of every change of tags, after which the scope may be another.
    pub(crate) fn watch_groups(&self) -> watch::Receiver<()> {
        self.shared.groups.watch()
    }

    /// The grants by which others see the same; `None` for everybody who sees every host.
    pub(crate) fn shared_grants(&self) -> Option<Vec<Grant>> {
        (!self.scope().has_every_host()).then(|| self.person.grants.clone())
    }

    /// Whether the command lines of a host are seen.
    pub(crate) fn sees_command_lines(&self, host: &HostName) -> bool {
        self.scope().sees_command_lines(host)
    }

    /// What comes next in a replay; `None` where there is no stream.
    ///
    /// # Errors
    /// When the broker is away or does not answer.
    pub(crate) async fn replay(&self, replay: &mut Replay) -> Result<Option<Replayed>, RecentError> {
        let Some(stream) = self.stream() else { return Ok(None) };
        Ok(Some(match replay.next(stream).await? {
            Replayed::Moment(moment) if !self.sees_command_lines(&moment.summary.host) => {
                Replayed::Moment(Box::new(moment.without_command_lines()))
            }
            replayed => replayed,
        }))
    }

    /// The position at which the stream of snapshots begins again, where something behind `position` is gone.
    ///
    /// # Errors
    /// When the broker is away or does not answer.
    pub(crate) async fn gap_after(&self, position: Position) -> Result<Option<Position>, RecentError> {
        match self.stream() {
            Some(stream) => replay::gap_after(stream, position).await,
            None => Ok(Some(self.shared.fleet.position()).filter(|now| *now != position)),
        }
    }

    /// By which name the person's share of anything is counted.
    pub(crate) fn who(&self) -> &str {
        &self.person.name
    }

    /// Tells of every event.
    pub(crate) fn watch_events(&self) -> watch::Receiver<()> {
        self.shared.latest_events.log.watch()
    }

    /// Behind all events; `None` while that is not known.
    pub(crate) fn end_of_events(&self) -> Option<Position> {
        self.shared.latest_events.log.end()
    }

    /// At most `most` events after `position` that `query` asks for and that are seen.
    pub(crate) fn events_after(&self, position: Position, most: usize, query: &EventQuery) -> Told {
        let scope = self.scope();
        let wants = |event: &Event| scope.sees(&event.host) && query.is_about(event);
        let mut told = self.shared.latest_events.log.after(position, most, wants);
        // Withheld before it is asked for a text.
        for (_, event) in told.events.iter_mut().filter(|(_, event)| !scope.sees_command_lines(&event.host)) {
            if let Some(program) = &mut Arc::make_mut(event).program {
                program.command_line = None;
            }
        }
        told.events.retain(|(_, event)| query.matches(event));
        told
    }

    /// What all WebSockets share.
    pub(crate) fn sockets(&self) -> &Sockets {
        &self.shared.sockets
    }

    /// Whether one more question may be asked now.
    ///
    /// # Errors
    /// When the person asks too often.
    pub(crate) fn check_rate(&self) -> Result<(), Refusal> {
        // Where sign-in is off, everybody is one person.
        if self.shared.people.accounts().is_none() {
            return Ok(());
        }
        self.shared.people.check_json(&self.person.name)
    }

    /// Audits a look, as a request for the same would be.
    pub(crate) fn note_look(&self, look: Look<'_>) {
        let sees =
            look.host.as_ref().is_none_or(|host| self.permission_of(Permission::SeeCommandLines, host));
        self.shared.audit_log.request(AuditedRequest {
            person: &self.person,
            class: AuditClass::Looks,
            method: &Method::GET,
            uri: look.uri,
            is_unseen: look.status == StatusCode::NOT_FOUND,
            host: look.host,
            page: look.page,
            shows_command_lines: look.shows_command_lines && sees,
            is_export: false,
            is_search: false,
            status: look.status,
        });
    }
}
