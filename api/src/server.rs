//! Runs the web server: what it follows, the listener, and the end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use fleetps_ingestor::{IngestorSettings, sql::SqlClient};
use fleetps_nats::{
    agent_settings::ControlKey,
    now_us,
    own_figures::{self, OwnFigure, OwnFigures},
    patience::patiently,
    server::ServerHealth,
};
use futures_util::future::OptionFuture;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    audit_log::AuditLog,
    auth::{Addresses, People},
    config::QuestionSettings,
    connections::{self, Connections, Limits},
    console::Console,
    demonstration::Demonstration,
    dispatch::{self, DispatchSettings, World},
    gate::Gate,
    history_service::HistoryService,
    legacy::{self, LegacyDoor},
    live::{self, Intake},
    notify::Allowed,
    recovery::StateHealth,
    routes,
    state::AppState,
    tls::{CertificateEnd, TlsListener},
    watching,
};

/// How long the first page may wait for the hosts' last snapshots: longer, and showing what there is serves better.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections to where this machine reads metrics: a few programs, with a few each.
const READERS: Limits =
    Limits { most: 32, strangers: 32, of_a_network: 32, of_a_person: 32, highest_descriptor: u64::MAX };
/// How long open requests may take to end after the shutdown began.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// How the broker is, for readiness.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Its process, where this one runs it.
    pub broker: ServerHealth,
    /// Its records.
    pub records: StateHealth,
}

/// Where requests come in.
pub struct Doors {
    /// For pages and JSON.
    pub pages: TlsListener,
    /// For metrics, to everybody on this machine; without it, these are read where the pages are.
    pub metrics: Option<TlsListener>,
    /// For older systems, where they are answered.
    pub legacy: Option<LegacyDoor>,
    /// The key that signs what is asked of agents; without it, nothing is.
    pub control_key: Option<ControlKey>,
    /// How people are told of alerts; without it, nobody is.
    pub dispatch: Option<DispatchSettings>,
    /// Whether a command to a host needs a reason.
    pub commands_need_reason: bool,
    /// Which of the hosts are a demonstration's; absent where none are.
    pub demo: Option<Demonstration>,
}

impl From<TlsListener> for Doors {
    fn from(pages: TlsListener) -> Self {
        Self {
            pages,
            metrics: None,
            legacy: None,
            control_key: None,
            commands_need_reason: false,
            dispatch: None,
            demo: None,
        }
    }
}

/// Serves pages and JSON at `doors` until `shutdown`, with the present from the broker of `client` and the past from the
/// folder of `settings`, which answers within `questions`, to `people`; `health` is what readiness says of that broker. The
/// first request is answered when the hosts' last snapshots have come, or after two seconds.
///
/// # Errors
/// When this program does not find itself, to answer questions in SQL, or a part panics.
pub async fn run(
    doors: impl Into<Doors>,
    client: async_nats::Client,
    health: Health,
    settings: IngestorSettings,
    questions: QuestionSettings,
    people: People,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut doors = doors.into();
    let IngestorSettings { ref history, host_bytes_per_s, keep_down_hosts, .. } = settings;
    let mut shared = AppState::new(Some(client.clone()), shutdown.clone());
    shared.past = HistoryService::new(questions, shutdown.clone());
    (shared.health, shared.records_health) = (health.broker, health.records);
    let opening = patiently("the audit", || AuditLog::open(&client, history.clone(), shutdown.clone()));
    let Some(records) = shutdown.run_until_cancelled(opening).await else { return Ok(()) };
    shared.audit_log = records?;
    shared.console = Console::new(Some(SqlClient::with_this_program(history.clone())?));
    (shared.people, shared.notify_allowed) = (people.clone(), doors.allowed());
    let gate = Gate::new(client.clone(), host_bytes_per_s);
    shared.gate = Some(gate.clone());
    let connections = Connections::new(Limits::of_this_process(), people.addresses().clone());
    shared.connections = connections.clone();
    shared.certificate = doors.pages.certificate();
    (shared.commands_need_reason, shared.demo) = (doors.commands_need_reason, doors.demo.take());
    let (progress, mut caught_up) = watch::channel(Intake::default());
    shared.intake = caught_up.clone();
    let intake = {
        let (fleet, client, shutdown) = (Arc::clone(&shared.fleet), client.clone(), shutdown.clone());
        let shown = live::Shown { host_bytes_per_s, down_for: keep_down_hosts };
        on_a_thread("live intake", async move {
            live::follow(client, &fleet, shown, &progress, shutdown).await;
        })?
    };
    let tasks = start_tasks(&shared, &mut doors, &client, &settings, &shutdown);
    let _ = tokio::time::timeout(CATCH_UP_TIMEOUT, caught_up.wait_for(|intake| intake.caught_up)).await;

    let legacy = older_systems(doors.legacy.take(), client, shared.clone(), gate, shutdown.clone());
    serve(doors, legacy, shared, connections, shutdown).await;
    intake.await.context("the live intake panicked")?;
    for task in tasks {
        task.await?;
    }
    Ok(())
}

impl Doors {
    /// What channels may do on this machine, where it delivers to them.
    fn allowed(&self) -> Option<Allowed> {
        self.dispatch.as_ref().map(|settings| settings.allowed.clone())
    }
}

/// Starts what goes on beside requests: what follows the broker, what tells people and hosts, and what tidies up. Each ends
/// at `shutdown`.
fn start_tasks(
    shared: &AppState,
    doors: &mut Doors,
    client: &async_nats::Client,
    settings: &IngestorSettings,
    shutdown: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    let end = || (client.clone(), shutdown.clone());
    let events = {
        let (events, (client, shutdown)) = (Arc::clone(&shared.latest_events), end());
        async move { events.follow(&client, shutdown).await }
    };
    let alerts = {
        let (alerts, (client, shutdown)) = (Arc::clone(&shared.alerts), end());
        async move { alerts.follow(&client, shutdown).await }
    };
    let telling = tell_people(shared.clone(), doors.dispatch.take(), client.clone(), shutdown.clone());
    let reports = watch_reports(shared.clone(), doors, client.clone(), shutdown.clone());
    let (watched, fleet) = (shared.control.clone(), Arc::clone(&shared.fleet));
    let sharpening =
        watching::sharpen(client.clone(), watched, fleet, settings.host_bytes_per_s, shutdown.clone());
    let (fleet, caught_up) = (Arc::clone(&shared.fleet), shared.intake.clone());
    vec![
        tokio::spawn(events),
        tokio::spawn(alerts),
        tokio::spawn(telling),
        tokio::spawn(follow_hosts(
            shared.clone(),
            doors.control_key.take(),
            client.clone(),
            shutdown.clone(),
        )),
        tokio::spawn(shared.absence.clone().watch(client.clone(), shutdown.clone())),
        tokio::spawn(reports),
        tokio::spawn(sharpening),
        tokio::spawn(tidy(shared.people.clone(), shutdown.clone())),
        tokio::spawn(shared.past.clone().follow(settings.history.clone(), shutdown.clone())),
        tokio::spawn(shared.past.clone().recall(fleet, caught_up, shutdown.clone())),
    ]
}

/// Follows which hosts there are, and what is asked of them.
async fn follow_hosts(
    shared: AppState,
    control_key: Option<ControlKey>,
    client: async_nats::Client,
    shutdown: CancellationToken,
) {
    let groups = shared.groups.clone().follow(client.clone(), shutdown.clone());
    let host_keys = shared.host_keys.clone().follow(client.clone(), shutdown.clone());
    let audit_log = shared.audit_log.clone();
    let commands =
        shared.commands.clone().follow(client.clone(), control_key.clone(), audit_log, shutdown.clone());
    let control = shared.control.clone().follow(client, control_key, shared.groups.clone(), shutdown);
    tokio::join!(groups, host_keys, control, commands);
}

/// Tells people of alerts, and follows who looks after them.
async fn tell_people(
    shared: AppState,
    settings: Option<DispatchSettings>,
    client: async_nats::Client,
    shutdown: CancellationToken,
) {
    let acknowledged =
        shared.acknowledged.clone().follow(client.clone(), Arc::clone(&shared.alerts), shutdown.clone());
    let world = World {
        alerts: shared.alerts.clone(),
        fleet: shared.fleet.clone(),
        groups: shared.groups.clone(),
        past: shared.past.clone(),
        ingestors: shared.ingestors.clone(),
    };
    let telling =
        settings.map(|settings| dispatch::run(shared.dispatching, world, settings, client, shutdown));
    tokio::join!(acknowledged, OptionFuture::from(telling));
}

/// Tells how long the certificate of the pages at `address` lasts, for alerts; nothing without one.
async fn tell_certificate(
    certificate: Option<CertificateEnd>,
    address: Option<SocketAddr>,
    client: async_nats::Client,
    shutdown: CancellationToken,
) {
    let Some(certificate) = certificate else { return };
    let part = address.map_or_else(|| "web server".to_owned(), |address| address.to_string());
    let figures = move || {
        let left_s =
            certificate.ends_s().map(|ends_s| ends_s.saturating_sub(now_us() / 1_000_000).max(0) as f64);
        OwnFigures::of(&part, [(OwnFigure::CertificateEndsIn, left_s)])
    };
    own_figures::tell(client, figures, shutdown).await;
}

/// Follows what the other parts say of themselves, and says how this one does.
fn watch_reports(
    shared: AppState,
    doors: &Doors,
    client: async_nats::Client,
    shutdown: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let address = doors.pages.local_addr().ok();
    async move {
        tokio::join!(
            live::watch_ingestors(client.clone(), &shared.ingestors, shutdown.clone()),
            live::watch_arrivals(client.clone(), &shared.arrivals, shutdown.clone()),
            live::watch_admission(client.clone(), &shared.admission, shutdown.clone()),
            tell_certificate(shared.certificate.clone(), address, client.clone(), shutdown.clone())
        );
    }
}

/// Removes what has ended from the records of people.
async fn tidy(people: People, shutdown: CancellationToken) {
    if let Some(accounts) = people.accounts() {
        shutdown.run_until_cancelled(accounts.tidy()).await;
    }
}

/// Serves requests until `shutdown`, and those that are open then a little longer.
async fn serve(
    doors: Doors,
    older_systems: impl Future<Output = ()>,
    shared: AppState,
    connections: Connections,
    shutdown: CancellationToken,
) {
    let metrics = doors.metrics.map(|door| {
        let connections = Connections::new(READERS, Addresses::default());
        connections::serve(door, routes::metrics_router(shared.clone()), connections, shutdown.clone())
    });
    let pages = connections::serve(doors.pages, routes::router(shared), connections, shutdown.clone());
    let serving = async { _ = tokio::join!(pages, OptionFuture::from(metrics), older_systems) };
    let hard_end = async {
        shutdown.cancelled().await;
        tokio::time::sleep(END_TIMEOUT).await;
    };
    tokio::select! {
        _ = serving => {}
        () = hard_end => tracing::info!("some requests did not end in time and were cut off"),
    }
}

/// Answers older systems until `shutdown`, where they have a door.
async fn older_systems(
    door: Option<LegacyDoor>,
    client: async_nats::Client,
    shared: AppState,
    gate: Gate,
    shutdown: CancellationToken,
) {
    if let Some(door) = door {
        legacy::serve(door, client, shared, gate, shutdown).await;
    }
}

/// Runs `work` on a thread of its own: decoding every snapshot of the fleet, and going through all hosts every second, is not
/// for the threads that serve requests. The receiver gets its end, and fails when it panicked.
fn on_a_thread(
    name: &str,
    work: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<oneshot::Receiver<()>> {
    let (ended, end) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        runtime.block_on(work);
        let _ = ended.send(());
    })?;
    Ok(end)
}
