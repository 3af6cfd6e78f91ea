//! Running the web server.

use std::{sync::Arc, time::Duration};

use fleetps_ingestor::{IngestorSettings, sql::Asker};
use fleetps_nats::{patience::patiently, server::ServerHealth};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    connections::{self, Connections, Limits},
    console::Console,
    filtering,
    live::{self, AdmissionReports, Arrivals, Fleet, IngestorReports, Intake},
    past::Past,
    people::{Addresses, People},
    records::Records,
    routes,
    rules::Groups,
    shares::{Bounds, Shares},
    tls::Door,
};

/// Open pages kept up to date at once. Each costs its last view, up to about a megabyte.
const MAX_LIVE: usize = 1_000;
/// Of these, those of one person: more than anybody looks at.
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
/// How long the first page may wait for the hosts' last snapshots: longer, and showing what there is serves better.
const CATCH_UP_FOR: Duration = Duration::from_secs(2);
/// How long open requests may take to end after the shutdown began.
const END_WITHIN: Duration = Duration::from_secs(3);

/// What the handlers share.
#[derive(Clone)]
pub struct Shared {
    /// The present.
    pub fleet: Arc<Fleet>,
    /// The past.
    pub past: Past,
    /// Anybody's SQL over the past.
    pub console: Console,
    /// The tags of hosts, by which it is decided who sees which.
    pub groups: Groups,
    /// Who did what.
    pub records: Records,
    /// The ingestors' last words.
    pub ingestors: Arc<IngestorReports>,
    /// Who was kept out.
    pub admission: Arc<AdmissionReports>,
    /// Whether what hosts publish is stored.
    pub arrivals: Arc<Arrivals>,
    /// How the broker is, where this process runs it.
    pub health: ServerHealth,
    /// How far the present is read.
    pub intake: watch::Receiver<Intake>,
    /// Whoever may ask.
    pub people: People,
    /// The connections over which it is asked.
    pub connections: Connections,
    /// The broker; absent where pages are tested without one.
    pub broker: Option<async_nats::Client>,
    /// Pages kept up to date.
    pub live_pages: Shares,
    /// Searches through the present.
    pub searches: Shares,
    /// Filters over one host.
    pub filters: Shares,
    /// Ends when the server does.
    pub shutdown: CancellationToken,
}

impl Shared {
    /// Nothing known yet.
    pub fn new(broker: Option<async_nats::Client>, shutdown: CancellationToken) -> Self {
        Self {
            fleet: Arc::default(),
            past: Past::default(),
            console: Console::new(None),
            groups: Groups::default(),
            records: Records::default(),
            ingestors: Arc::default(),
            admission: Arc::default(),
            arrivals: Arc::default(),
            health: ServerHealth::default(),
            intake: watch::channel(Intake::default()).1,
            people: People::anybody(Addresses::default()),
            connections: Connections::new(Limits::of_this_process(), Addresses::default()),
            broker,
            live_pages: live_pages(Limits::of_this_process()),
            searches: Shares::new(SEARCHES),
            filters: Shares::new(filtering::FILTERS),
            shutdown,
        }
    }
}

/// The pages kept up to date that there may be: each has a connection, of which half are left for everything else.
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

/// Every address of the server, over `shared`.
pub fn router(shared: Shared) -> axum::Router {
    routes::router(shared)
}

/// Serves pages and JSON at `door` until `shutdown`, with the present from the broker of `client` and the past from the
/// folder of `settings`, to `people`; `health` is how that broker is, where this process runs it. The first request is
/// answered when the hosts' last snapshots have come, or after two seconds.
///
/// # Errors
/// When this program does not find itself, to answer questions in SQL, or a part panics.
pub async fn run(
    door: Door,
    client: async_nats::Client,
    health: ServerHealth,
    settings: IngestorSettings,
    people: People,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let IngestorSettings { history, host_bytes_per_s, keep_down_hosts, .. } = settings;
    let mut shared = Shared::new(Some(client.clone()), shutdown.clone());
    shared.health = health;
    let opening = patiently("the audit", || Records::open(&client, history.clone(), shutdown.clone()));
    let Some(records) = shutdown.run_until_cancelled(opening).await else { return Ok(()) };
    shared.records = records?;
    shared.console = Console::new(Some(Asker::with_this_program(history.clone())?));
    shared.people = people.clone();
    let connections = Connections::new(Limits::of_this_process(), people.addresses().clone());
    shared.connections = connections.clone();
    let (progress, mut caught_up) = watch::channel(Intake::default());
    shared.intake = caught_up.clone();
    let intake = {
        let (fleet, client, shutdown) = (Arc::clone(&shared.fleet), client.clone(), shutdown.clone());
        let shown = live::Shown { host_bytes_per_s, down_for: keep_down_hosts };
        tokio::spawn(async move { live::follow(client, &fleet, shown, &progress, shutdown).await })
    };
    let groups = tokio::spawn(shared.groups.clone().follow(client.clone(), shutdown.clone()));
    let reports = {
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

    let serving = connections::serve(door, router(shared), connections, shutdown.clone());
    let hard_end = async {
        shutdown.cancelled().await;
        tokio::time::sleep(END_WITHIN).await;
    };
    tokio::select! {
        () = serving => {}
        () = hard_end => tracing::info!("some requests did not end in time and were cut off"),
    }
    intake.await?;
    past.await?;
    recalling.await?;
    groups.await?;
    reports.await?;
    tidying.await?;
    Ok(())
}
