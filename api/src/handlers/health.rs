//! For supervisors and load balancers: whether the process is up, and whether the pipeline works.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use axum::{Extension, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    answer::{Answer, OrUnavailable, Time, shape},
    auth::{Person, Principal},
    authz::{Decision, HostGroups, Permission, permission_of},
    broker,
    connections::Connections,
    gate::Gate,
    live::{Check, agent_versions, now_us},
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    state::AppState,
};

/// The process is up.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Alive {
    alive: bool,
}

shape!(Alive);
shape!(Ready);

/// Whether the pipeline works; the details are for a person who may see every host.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Ready {
    ready: bool,
    #[serde(flatten)]
    details: Option<Details>,
}

/// The parts of readiness. They tell about the whole fleet.
#[derive(Serialize, JsonSchema)]
struct Details {
    broker: Part,
    intake: Part,
    history: Part,
    connections: Connected,
    /// The broker's own records: users, hosts, tokens.
    state: Part,
    /// Why these records, which are saved at every change, were not when it was tried last.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_not_saved: Option<String>,
    /// The backups that fleetps takes by itself. That they fail is said, and leaves everything else ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<Part>,
    /// When the last complete one of them was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    backup_made_at: Option<Time>,
    /// Segments that cannot be read, with the audit's for a person who may read it: answers about the past lack their
    /// rows, and everything else works.
    incomplete: Vec<String>,
    /// Segments of the history that cannot be read, as these pages or the ingestors found, each with the reason. The
    /// audit's are in `audit`.
    missing: Vec<Missing>,
    /// Merges of segments that failed and are tried again; all else goes on, with more files than usual.
    failed_merges: Vec<Missing>,
    /// How old the oldest fresh segment is, in seconds: while merging keeps up, at most an hour and some minutes. Absent where
    /// none waits to be merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    merge_lag_s: Option<i64>,
    /// Why the audit is not in segments, or cannot all be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<String>,
    /// Whether hosts that wait to be approved all have a place; where they have not, everything else works.
    waiting_hosts: Part,
    /// Notices while everything works: the history waits for the clock to be confirmed, less is kept of a host above its
    /// share, or agents are of another version than this server.
    notices: Vec<String>,
    refused: Refused,
    /// Warnings while everything works, such as a disk that fills up.
    warnings: Vec<String>,
}

/// A segment, and why it cannot be read.
#[derive(Serialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
struct Missing {
    segment: String,
    reason: String,
}

impl From<(String, String)> for Missing {
    fn from((segment, reason): (String, String)) -> Self {
        Self { segment, reason }
    }
}

/// Counts of refusals by reason, since each counting part was started. Zero counts are left out.
#[derive(Serialize, JsonSchema)]
struct Refused {
    /// Connections to the broker, and subjects that are not the host's own.
    broker: BTreeMap<String, u64>,
    /// Snapshots that are not stored.
    history: BTreeMap<String, u64>,
    /// Snapshots that these pages do not show: beyond their host's rate limit, or invalid.
    pages: BTreeMap<&'static str, u64>,
    /// Posts of snapshots: not of the host that they name, or not stored.
    ingest: BTreeMap<&'static str, u64>,
    /// Connections to these pages that made room for others or found none, and clients that were too slow.
    connections: BTreeMap<&'static str, u64>,
}

impl Refused {
    fn so_far(shared: &AppState) -> Self {
        let pages = shared.intake.borrow().refused().into_iter();
        let not_stored = shared.gate.as_ref().map(Gate::refused).unwrap_or_default();
        Self {
            broker: shared.admission.refused(),
            history: shared.ingestors.refused(),
            pages: pages.filter(|(_, count)| *count > 0).collect(),
            ingest: shared.host_keys.refusals().all().into_iter().chain(not_stored).collect(),
            connections: shared.connections.refused(),
        }
    }
}

/// The connections to these pages. Full places leave the server ready: only requests without a signed-in person are
/// turned away.
#[derive(Serialize, JsonSchema)]
struct Connected {
    open: usize,
    most: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Connected {
    fn now(connections: &Connections) -> Self {
        let (open, most) = (connections.open(), connections.limits().most);
        Self { open, most, problem: connections.problem() }
    }
}

#[derive(Serialize, JsonSchema)]
struct Part {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl From<Check> for Part {
    fn from(check: Check) -> Self {
        Self { ok: check.is_ok(), problem: check.err() }
    }
}

/// The process is up; not which version of it, because everybody may ask.
pub(crate) async fn alive() -> Answer<Alive> {
    Answer::of(&Alive { alive: true })
}

/// The parts that readiness is made of.
pub(crate) struct Parts {
    /// Whether the broker can be reached and works.
    pub broker: Check,
    /// Whether snapshots are read from the stream.
    pub intake: Check,
    /// Whether the history is written and can be read.
    pub history: Check,
    /// Whether the broker's records are whole.
    pub state: Check,
}

impl Parts {
    /// How they are now.
    pub(crate) fn now(shared: &AppState, now: Instant) -> Self {
        let connected = shared.broker.as_ref().is_some_and(broker::is_there);
        let broker = match (shared.health.problem(), connected) {
            (Some(problem), _) => Check::Err(problem),
            (None, true) => Ok(()),
            (None, false) => Err("the broker cannot be reached; trying again all the time".to_owned()),
        };
        Self {
            broker,
            intake: shared.ingestors.intake(now).and_then(|()| shared.arrivals.check()),
            history: shared.ingestors.history(now).and_then(|()| shared.past.check()),
            state: shared.records_health.whole(),
        }
    }
}

/// Broker reachable, its records whole, intake advancing, history writable; 503 names the failed parts, for a person
/// who may see every host.
pub(crate) async fn ready(
    State(shared): State<AppState>,
    principal: Option<Extension<Principal>>,
) -> Result<OrUnavailable<Ready>, Refusal> {
    let now = Instant::now();
    let Parts { broker, intake, history, state } = Parts::now(&shared, now);
    let [broker, intake, history, state] = [broker, intake, history, state].map(Part::from);
    let ready = broker.ok && intake.ok && history.ok && state.ok;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let sees_all = |person: &Person| {
        permission_of(person, Permission::SeeHosts, Some(&HostGroups::new())) == Decision::Allowed
    };
    let person = principal.and_then(|Extension(principal)| principal.person().cloned());
    let seeing = match person.filter(sees_all) {
        Some(person) => Some((ScopedFleet::of(shared.clone(), person.clone()).await?, person)),
        None => None,
    };
    let of_agents = match &seeing {
        Some((scoped, _)) => scoped.over_fleet(|fleet, _| agent_versions::notice(&fleet.hosts)).await?,
        None => None,
    };
    let details = seeing.map(|(scoped, person)| {
        let refused = Refused::so_far(&shared);
        let notices = shared.ingestors.notices(now).into_iter().chain(of_agents).collect();
        let warnings =
            shared.health.warnings().into_iter().chain(shared.ingestors.warnings(now, now_us())).collect();
        let backup = shared.records_health.backup().map(Part::from);
        let state_not_saved = shared.records_health.unsaved();
        let waiting_hosts = shared.admission.waiting(now).into();
        let connections = Connected::now(&shared.connections);
        let reads_audit = permission_of(&person, Permission::ReadAudit, None) == Decision::Allowed;
        let of_audit = if reads_audit { shared.audit_log.set_aside() } else { Vec::new() };
        let ingestors = Arc::clone(&shared.ingestors);
        let of_hosts = scoped.set_aside();
        let mut missing: Vec<Missing> = ingestors.set_aside(now).into_iter().map(Missing::from).collect();
        // The ingestor's reason, where it has one.
        let unnamed = |segment: &str| !missing.iter().any(|known| known.segment == segment);
        let of_pages: Vec<Missing> = of_hosts
            .iter()
            .filter(|set_aside| unnamed(&set_aside.segment))
            .map(|set_aside| Missing { segment: set_aside.segment.clone(), reason: set_aside.reason.clone() })
            .collect();
        missing.extend(of_pages);
        missing.sort();
        let incomplete = of_hosts.into_iter().map(|set_aside| set_aside.segment).chain(of_audit).collect();
        let failed_merges = ingestors.failed_merges(now).into_iter().map(Missing::from).collect();
        let audit = reads_audit.then(|| ingestors.audit_error(now)).flatten();
        Details {
            broker,
            intake,
            history,
            state,
            state_not_saved,
            backup,
            backup_made_at: shared.records_health.backup_made_at_us().map(Time),
            connections,
            incomplete,
            missing,
            failed_merges,
            merge_lag_s: shared.ingestors.merge_lag_s(now, now_us()),
            audit,
            waiting_hosts,
            notices,
            refused,
            warnings,
        }
    });
    Ok(OrUnavailable(Answer::with(status, &Ready { ready, details })))
}
