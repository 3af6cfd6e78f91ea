//! Runs the web server: what it follows, the listener, and the end.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use fleetps_ingestor::{IngestorSettings, sql::SqlClient};
use fleetps_nats::{patience::patiently, server::ServerHealth};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    audit_log::AuditLog,
    auth::People,
    config::QuestionSettings,
    connections::{self, Connections, Limits},
    console::Console,
    history_service::HistoryService,
    legacy::{self, LegacyDoor},
    live::{self, Intake},
    recovery::StateHealth,
    routes,
    state::AppState,
    tls::TlsListener,
};

/// How long the first page may wait for the hosts' last snapshots: longer, and showing what there is serves better.
const CATCH_UP_FOR: Duration = Duration::from_secs(2);
/// How long open requests may take to end after the shutdown began.
const END_WITHIN: Duration = Duration::from_secs(3);

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
    /// Of pages and JSON.
    pub pages: TlsListener,
    /// Of older systems, where they are answered.
    pub legacy: Option<LegacyDoor>,
}

impl From<TlsListener> for Doors {
    fn from(pages: TlsListener) -> Self {
        Self { pages, legacy: None }
    }
}

/// Serves pages and JSON at `door` until `shutdown`, with the present from the broker of `client` and the past from the
/// folder of `settings`, which answers within `questions`, to `people`; `health` is what readiness says of that broker. The first request is
/// answered when the hosts' last snapshots have come, or after two seconds.
///
/// # Errors
/// When this program does not find itself, to answer questions in SQL, or a part panics.
pub async fn run(
    door: impl Into<Doors>,
    client: async_nats::Client,
    health: Health,
    settings: IngestorSettings,
    questions: QuestionSettings,
    people: People,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let IngestorSettings { history, host_bytes_per_s, keep_down_hosts, .. } = settings;
    let mut shared = AppState::new(Some(client.clone()), shutdown.clone());
    shared.past = HistoryService::new(questions, shutdown.clone());
    (shared.health, shared.records_health) = (health.broker, health.records);
    let opening = patiently("the audit", || AuditLog::open(&client, history.clone(), shutdown.clone()));
    let Some(records) = shutdown.run_until_cancelled(opening).await else { return Ok(()) };
    shared.audit_log = records?;
    shared.console = Console::new(Some(SqlClient::with_this_program(history.clone())?));
    shared.people = people.clone();
    let connections = Connections::new(Limits::of_this_process(), people.addresses().clone());
    shared.connections = connections.clone();
    let (progress, mut caught_up) = watch::channel(Intake::default());
    shared.intake = caught_up.clone();
    let intake = {
        let (fleet, client, shutdown) = (Arc::clone(&shared.fleet), client.clone(), shutdown.clone());
        let shown = live::Shown { host_bytes_per_s, down_for: keep_down_hosts };
        on_a_thread("live intake", async move {
            live::follow(client, &fleet, shown, &progress, shutdown).await;
        })?
    };
    let latest_events = {
        let (events, client, shutdown) =
            (Arc::clone(&shared.latest_events), client.clone(), shutdown.clone());
        tokio::spawn(async move { events.follow(&client, shutdown).await })
    };
    let groups = tokio::spawn(shared.groups.clone().follow(client.clone(), shutdown.clone()));
    let absence = tokio::spawn(shared.absence.clone().watch(client.clone(), shutdown.clone()));
    let reports = {
        let client = client.clone();
        let (ingestors, admission) = (Arc::clone(&shared.ingestors), Arc::clone(&shared.admission));
        let arrivals = Arc::clone(&shared.arrivals);
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            tokio::join!(
                live::watch_ingestors(client.clone(), &ingestors, shutdown.clone()),
                live::watch_arrivals(client.clone(), &arrivals, shutdown.clone()),
                live::watch_admission(client.clone(), &admission, shutdown.clone())
            );
        })
    };
    let tidying = {
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            if let Some(accounts) = people.accounts() {
                tokio::select! {
                    () = accounts.tidy() => {}
                    () = shutdown.cancelled() => {}
                }
            }
        })
    };
    let past = tokio::spawn(shared.past.clone().follow(history, shutdown.clone()));
    let recalling =
        shared.past.clone().recall(Arc::clone(&shared.fleet), caught_up.clone(), shutdown.clone());
    let recalling = tokio::spawn(recalling);
    let _ = tokio::time::timeout(CATCH_UP_FOR, caught_up.wait_for(|intake| intake.caught_up)).await;

    let Doors { pages, legacy } = door.into();
    let legacy = older_systems(legacy, client, shared.clone(), host_bytes_per_s, shutdown.clone());
    serve(pages, legacy, shared, connections, shutdown).await;
    latest_events.await?;
    intake.await.context("the live intake panicked")?;
    past.await?;
    recalling.await?;
    groups.await?;
    absence.await?;
    reports.await?;
    tidying.await?;
    Ok(())
}

/// Serves requests until `shutdown`, and those that are open then a little longer.
async fn serve(
    door: TlsListener,
    older_systems: impl Future<Output = ()>,
    shared: AppState,
    connections: Connections,
    shutdown: CancellationToken,
) {
    let pages = connections::serve(door, routes::router(shared), connections, shutdown.clone());
    let serving = async { tokio::join!(pages, older_systems) };
    let hard_end = async {
        shutdown.cancelled().await;
        tokio::time::sleep(END_WITHIN).await;
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
    host_bytes_per_s: u64,
    shutdown: CancellationToken,
) {
    if let Some(door) = door {
        legacy::serve(door, client, shared, host_bytes_per_s, shutdown).await;
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
