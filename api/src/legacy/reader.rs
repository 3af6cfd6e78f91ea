//! Who reads on this listener: everybody who reaches it, with the one grant that the settings name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{Method, StatusCode, Uri, request::Parts},
};
use fleetps_nats::{HostName, audit::Outcome, hosts::Admission};

use tokio::sync::watch;

use super::{Fault, Legacy, LegacyHost, System, stream_reads::Stored};
use crate::{
    audit_log::{AuditClass, AuditedRequest},
    auth::{Grant, Person, Role},
    live::{Moment, Summary},
    scoped_fleet::{
        ScopedFleet,
        travel::{self, PastLookup},
    },
    tls::Peer,
};

/// The name of everybody who reads here, in the audit and where people are counted.
const NAME: &str = "reader of older systems";

/// The address that a request came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct From(pub std::net::IpAddr);

impl FromRequestParts<Arc<Legacy>> for From {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, legacy: &Arc<Legacy>) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>().map(|info| info.0.0.ip());
        Ok(Self(legacy.shared.people.addresses().came(peer, &parts.headers).from))
    }
}

/// The query of an address, as the older systems read it: what they do not know is left aside, and of two the last counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// The value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

/// Somebody who reads. Handlers take it as an argument; there is nothing else that they could answer from.
#[derive(Clone)]
pub(super) struct Reader {
    /// What may be seen.
    pub scoped: ScopedFleet,
    grant: Grant,
    person: Person,
    legacy: Arc<Legacy>,
}

impl FromRequestParts<Arc<Legacy>> for Reader {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, legacy: &Arc<Legacy>) -> Result<Self, Fault> {
        let Ok(From(from)) = From::from_request_parts(parts, legacy).await;
        let grant = legacy.settings.readers.clone().ok_or_else(|| {
            let detail =
                "nobody may read here; the server's setting readers in [legacy] names what may be seen";
            Fault::new(StatusCode::FORBIDDEN, "no-readers", detail)
        })?;
        let person = Person {
            name: NAME.to_owned(),
            grants: vec![grant.clone()],
            session: None,
            from,
            may_command: false,
        };
        let scoped = ScopedFleet::of(legacy.shared.clone(), person.clone());
        let scoped = scoped.await.map_err(|_| Fault::unavailable())?;
        Ok(Self { scoped, grant, person, legacy: Arc::clone(legacy) })
    }
}

impl Reader {
    /// Whether a host may be seen.
    pub(super) fn sees(&self, host: &HostName) -> bool {
        self.scoped.scope().sees(host)
    }

    /// Whether changes may be made: settings of agents, actions.
    ///
    /// # Errors
    /// When the grant is only for looking.
    pub(super) fn may_act(&self) -> Result<(), Fault> {
        self.has_role(Role::Operator)
    }

    /// Whether hosts may be forgotten.
    ///
    /// # Errors
    /// When the grant is for less.
    pub(super) fn may_forget(&self) -> Result<(), Fault> {
        self.has_role(Role::Administrator)
    }

    fn has_role(&self, least: Role) -> Result<(), Fault> {
        if self.grant.role >= least {
            return Ok(());
        }
        let detail =
            format!("this needs the role {}; here everybody is {}", least.name(), self.grant.role.name());
        Err(Fault::new(StatusCode::FORBIDDEN, "not-allowed", detail))
    }

    /// Audits something that was done to a host.
    pub(super) fn note(&self, action: &str, host: &HostName, what: String) {
        self.legacy.shared.audit_log.note(&self.person, action, Some(host.clone()), what, Outcome::Done);
    }

    /// The host that [`Self::all`] lists as `name`: of that name in the fleet, or else the first of those that call themselves
    /// so, those of `system` before others.
    pub(super) fn host_of(&self, system: System, name: &str) -> Option<HostName> {
        let is_listed = |host: &HostName| self.sees(host) && self.is_known(host);
        let of_fleet = name.parse::<HostName>().ok().filter(is_listed);
        let first =
            |named: Vec<LegacyHost>| named.into_iter().map(|known| known.host).filter(is_listed).min();
        let registry = &self.legacy.registry;
        of_fleet
            .or_else(|| first(registry.named(system, name)))
            .or_else(|| first(registry.of_any_system(name)))
    }

    /// The host of `system` that calls itself `name`, if it may be seen.
    pub(super) fn named(&self, system: System, name: &str) -> Option<LegacyHost> {
        let named = self.legacy.registry.named(system, name).into_iter();
        named.filter(|known| self.is_listed(known)).min_by(|a, b| a.host.cmp(&b.host))
    }

    fn is_listed(&self, known: &LegacyHost) -> bool {
        self.sees(&known.host) && known.record.admission != Admission::Revoked
    }

    fn is_known(&self, host: &HostName) -> bool {
        self.scoped.summary(host).is_some()
    }

    /// The hosts of `system` that may be seen, by name.
    pub(super) fn hosts_of(&self, system: System) -> Vec<LegacyHost> {
        let mut hosts = self.legacy.registry.all(system);
        hosts.retain(|known| self.is_listed(known));
        hosts
    }

    /// Every host that has sent something, by what it calls itself, as `system` lists them.
    ///
    /// # Errors
    /// When going through them fails.
    pub(super) async fn all(&self, system: System) -> Result<BTreeMap<String, Arc<Summary>>, Fault> {
        let own: BTreeSet<HostName> = self.hosts_of(system).into_iter().map(|known| known.host).collect();
        let listing = self.scoped.over_fleet(move |fleet, _| {
            let of_fleet: BTreeSet<&str> = fleet.hosts.iter().map(|summary| summary.host.as_str()).collect();
            let mut all = BTreeMap::new();
            let (first, others): (Vec<_>, Vec<_>) =
                fleet.hosts.iter().partition(|summary| own.contains(&summary.host));
            for summary in first.into_iter().chain(others) {
                let name = called(summary);
                // Two may call themselves the same, or one as another's name in the fleet, which only one host has.
                let is_taken = all.contains_key(&name) || of_fleet.contains(name.as_str());
                let name = if is_taken { summary.host.to_string() } else { name };
                all.insert(name, Arc::clone(summary));
            }
            all
        });
        listing.await.map_err(|_| Fault::unavailable())
    }

    /// The snapshot that had this sequence in the stream, from the history; `None` where it is not kept, or there is no history.
    pub(super) async fn sealed_by_sequence(&self, sequence: u64) -> Option<Stored> {
        let (host, at_us) =
            self.scoped.ask(move |history| history.by_sequence(sequence)).await.ok().flatten()?;
        match travel::to(&self.scoped, &host, at_us).await.ok()? {
            PastLookup::PastMoment(past) if past.moment.snapshot().captured_at_us == at_us => {
                Some(Stored { sequence, host, snapshot: past.moment.snapshot().clone() })
            }
            _ => None,
        }
    }

    /// Tells of every change in the fleet.
    pub(super) fn watch_fleet(&self) -> watch::Receiver<u64> {
        self.legacy.shared.fleet.watch()
    }

    /// Audits a look at the command lines of a host.
    pub(super) fn note_command_lines(&self, host: &HostName) {
        self.legacy.shared.audit_log.request(AuditedRequest {
            person: &self.person,
            class: AuditClass::Looks,
            method: &Method::GET,
            uri: &Uri::from_static("/api/v1/snapshots"),
            host: Some(host.clone()),
            page: "/api/v1/snapshots",
            is_unseen: false,
            shows_command_lines: true,
            is_export: false,
            is_search: false,
            status: StatusCode::OK,
        });
    }

    /// One host now.
    pub(super) async fn moment(&self, host: HostName) -> Option<Moment> {
        let scoped = self.scoped.clone();
        tokio::task::spawn_blocking(move || scoped.moment(&host)).await.ok().flatten()
    }
}

/// What a host is called in the lists of older systems: what its agent says, letter for letter, and the name in the fleet for
/// an agent of fleetps.
pub(super) fn called(summary: &Summary) -> String {
    match summary.source {
        Some(_) => summary.os_host_name.clone(),
        None => summary.host.to_string(),
    }
}
