//! The application state that every request shares: the present, the past, authorization, and the limits.

use std::{sync::Arc, time::Duration};

use fleetps_nats::server::ServerHealth;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    audit_log::AuditLog,
    auth::{Addresses, HostKeys, People},
    authz::Groups,
    broker::{Absence, AwaySince},
    command::Commands,
    config::QuestionSettings,
    connections::{Connections, Limits},
    console::Console,
    control::Control,
    counts::Counts,
    demonstration::Demonstration,
    dispatch::{Acknowledged, Dispatching},
    filtering,
    fleet_views::FleetViews,
    gate::Gate,
    history_service::HistoryService,
    lines::Lines,
    live::{AdmissionReports, Alerts, Arrivals, Fleet, IngestorReports, Intake, LatestEvents},
    metrics::RequestTimes,
    notify::Allowed,
    recovery::StateHealth,
    shares::{Bounds, Shares},
    sockets::Sockets,
    tls::CertificateEnd,
};

/// Open pages kept up to date at once. Each costs its last view, up to about a megabyte.
const MAX_LIVE: usize = 1_000;
/// Of these, one person's: more than a person looks at.
const MAX_LIVE_OF_A_PERSON: usize = 50;
/// Searches through the present of the whole fleet at once: each takes a processor for two seconds at most, so that
/// eight that wait take as many seconds.
const SEARCHES: Bounds = Bounds {
    what: "searches of the fleet under way",
    most: 2,
    of_a_person: 1,
    waiting: 16,
    waiting_of_a_person: 4,
    wait: Duration::from_secs(10),
};
/// The state that handlers share.
#[derive(Clone)]
pub struct AppState {
    /// The present.
    pub fleet: Arc<Fleet>,
    /// What happened that is in no segment yet.
    pub latest_events: Arc<LatestEvents>,
    /// The alerts, and what became of others.
    pub alerts: Arc<Alerts>,
    /// Who looks after which alert.
    pub acknowledged: Acknowledged,
    /// How alerts are told to people.
    pub dispatching: Dispatching,
    /// The fleet pages that are looked at.
    pub fleet_views: FleetViews,
    /// The past.
    pub past: HistoryService,
    /// SQL questions over the past.
    pub console: Console,
    /// The groups of hosts, for authorization.
    pub groups: Groups,
    /// The audit.
    pub audit_log: AuditLog,
    /// The ingestors' last words.
    pub ingestors: Arc<IngestorReports>,
    /// Refusals of the broker, by reason.
    pub admission: Arc<AdmissionReports>,
    /// Whether published snapshots are stored.
    pub arrivals: Arc<Arrivals>,
    /// How the broker is, where this process runs it.
    pub health: ServerHealth,
    /// Whether the broker's records are whole, saved and backed up.
    pub records_health: StateHealth,
    /// How far the present is read.
    pub intake: watch::Receiver<Intake>,
    /// The people who may use this server.
    pub people: People,
    /// The connections over which it is asked.
    pub connections: Connections,
    /// The broker; absent where pages are tested without one.
    pub broker: Option<async_nats::Client>,
    /// The way into the stream for snapshots that come over HTTP; absent without a broker.
    pub gate: Option<Gate>,
    /// The lines to hosts that speak HTTP.
    pub lines: Lines,
    /// Requests of older systems, by what became of them.
    pub legacy_requests: Counts,
    /// What is asked of agents.
    pub control: Control,
    /// Commands to hosts.
    pub commands: Commands,
    /// What channels of notifications may do on this machine, where it delivers to them.
    pub notify_allowed: Option<Allowed>,
    /// Whether a command needs a reason.
    pub commands_need_reason: bool,
    /// Which of the hosts are a demonstration's; absent where none are.
    pub demo: Option<Demonstration>,
    /// The keys by which hosts sign what they send over HTTP.
    pub host_keys: HostKeys,
    /// Since when it is away.
    pub absence: Absence,
    /// Pages kept up to date.
    pub live_pages: Shares,
    /// The WebSockets.
    pub sockets: Sockets,
    /// Searches through the present.
    pub searches: Shares,
    /// Filters over one host.
    pub filters: Shares,
    /// How long answers took.
    pub request_times: Arc<RequestTimes>,
    /// When the certificate of the pages ends; absent without TLS.
    pub certificate: Option<CertificateEnd>,
    /// Ends when the server does.
    pub shutdown: CancellationToken,
}

impl AppState {
    /// Nothing known yet.
    pub fn new(broker: Option<async_nats::Client>, shutdown: CancellationToken) -> Self {
        let alerts: Arc<Alerts> = Arc::default();
        let acknowledged = Acknowledged::default();
        Self {
            fleet: Arc::default(),
            latest_events: Arc::default(),
            alerts: Arc::clone(&alerts),
            acknowledged: acknowledged.clone(),
            dispatching: Dispatching::default(),
            fleet_views: FleetViews::of(alerts, acknowledged),
            past: HistoryService::new(QuestionSettings::default(), shutdown.clone()),
            console: Console::new(None),
            groups: Groups::default(),
            audit_log: AuditLog::default(),
            ingestors: Arc::default(),
            admission: Arc::default(),
            arrivals: Arc::default(),
            health: ServerHealth::default(),
            records_health: StateHealth::default(),
            intake: watch::channel(Intake::default()).1,
            people: People::anybody(Addresses::default()),
            connections: Connections::new(Limits::of_this_process(), Addresses::default()),
            broker,
            gate: None,
            lines: Lines::new(shutdown.clone()),
            legacy_requests: Counts::default(),
            control: Control::default(),
            commands: Commands::default(),
            notify_allowed: None,
            commands_need_reason: false,
            demo: None,
            host_keys: HostKeys::default(),
            absence: Absence::default(),
            live_pages: live_pages(Limits::of_this_process()),
            sockets: Sockets::new(Limits::of_this_process()),
            searches: Shares::new(SEARCHES),
            filters: Shares::new(filtering::FILTERS),
            request_times: Arc::default(),
            certificate: None,
            shutdown,
        }
    }
}

impl AppState {
    /// Since when the broker is away; `None` while it is there, or there is none.
    pub fn broker_away(&self) -> Option<AwaySince> {
        self.absence.since(self.broker.as_ref()?)
    }
}

/// The limit of live pages: each has a connection, and half of the connections are left for everything else.
pub fn live_pages(limits: Limits) -> Shares {
    let most = MAX_LIVE.min(limits.most / 2);
    Shares::new(Bounds {
        what: "pages kept up to date",
        most,
        of_a_person: MAX_LIVE_OF_A_PERSON.min(most / 10).max(1),
        waiting: 0,
        waiting_of_a_person: 0,
        wait: Duration::ZERO,
    })
}
