//! The service that answers the broker. Several may run, on one machine or many: each question goes to one of them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_nats::{Client, Message, Subscriber};
use futures_util::StreamExt;
use nkeys::KeyPair;
use tokio::sync::{Semaphore, oneshot};

use super::{
    AdmissionError, AdmissionSettings, EnrolmentTokens, broker_log::BrokerLog, connections::Connections,
    control_desk::ControlDesk, decide::Rules, hello::Hellos, refusals::Refusals,
};
use crate::{
    audit::{Audit, AuditEntry},
    connection::Broker,
    error_chain, hosts, key,
    status::QueueStatus,
    subject,
};

/// Where the broker asks.
const QUESTIONS: &str = "$SYS.REQ.USER.AUTH";
/// The queue group: each question goes to one member.
const GROUP: &str = "fleetps-admission";
/// The control key's file among the keys.
pub(crate) const CONTROL_KEY: &str = "control.nk";
/// Answers being worked on at a time. More wait with the broker, which gives up after 1.5 s; hosts then try again.
const MAX_AT_ONCE: usize = 64;
/// Hosts whose earlier connections are ended at the same time; each asks every server.
const MAX_ENDED_AT_ONCE: usize = 8;

/// The credentials with which admission answers a broker.
#[derive(Debug)]
pub struct AdmissionKeys {
    auth: Broker,
    system: Broker,
    issuer: PathBuf,
    control: PathBuf,
    log: Option<PathBuf>,
}

impl AdmissionKeys {
    /// The keys `auth.nk`, `issuer.nk` and `system.nk` in `folder`, for `broker`.
    pub fn in_folder(broker: &Broker, folder: &Path) -> Self {
        let broker = |file: &str| broker.with_key(folder.join(file));
        Self {
            auth: broker("auth.nk"),
            system: broker("system.nk"),
            issuer: folder.join("issuer.nk"),
            control: folder.join(CONTROL_KEY),
            log: None,
        }
    }

    /// The same, where the broker's log is this file.
    #[must_use]
    pub fn with_log(self, log: PathBuf) -> Self {
        Self { log: Some(log), ..self }
    }
}

/// Answers the broker's questions until it is dropped.
#[derive(Debug)]
pub struct AdmissionService {
    shared: Arc<Shared>,
    tasks: tokio::task::JoinSet<()>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) rules: Rules,
    pub(super) issuer: KeyPair,
    pub(super) auth: Client,
    pub(super) fleet: Client,
    pub(super) system: Client,
    pub(super) refusals: Refusals,
    pub(super) connections: Connections,
    pub(super) said: Hellos,
    pub(super) ending: Semaphore,
    /// For answers to the broker, to hosts that say hello, and to web servers that ask for hosts.
    pub(super) places: [Arc<Semaphore>; 3],
    pub(super) control: ControlDesk,
    audit: Audit,
}

impl AdmissionService {
    /// Connects and begins to answer. `fleet` is a client of the account with the streams.
    ///
    /// # Errors
    /// When a key cannot be read, or the broker does not take it.
    pub async fn start(
        keys: &AdmissionKeys,
        fleet: Client,
        settings: AdmissionSettings,
    ) -> Result<Self, AdmissionError> {
        let auth = keys.auth.connect("fleetps admission").await?;
        let system = keys.system.connect("fleetps admission").await?;
        let rules = Rules {
            hosts: hosts::open(&fleet).await?,
            tokens: EnrolmentTokens::open(&fleet).await?,
            settings,
            roll: Arc::default(),
        };
        let changes = rules.hosts.feed();
        let questions = auth.queue_subscribe(QUESTIONS, GROUP.to_owned()).await?;
        let hellos = fleet.queue_subscribe(subject::ALL_HELLOS, GROUP.to_owned()).await?;
        let enrolments = fleet.queue_subscribe(subject::ENROL, GROUP.to_owned()).await?;
        auth.flush().await?;
        let issuer = key::read(&keys.issuer)?;
        let control = ControlDesk::open(&fleet, &keys.control).await?;
        let (audit, refusals) = (Audit::open(&fleet).await?, Refusals::default());
        let (connections, ending) = (Connections::default(), Semaphore::new(MAX_ENDED_AT_ONCE));
        let said = Hellos::default();
        let places = [0; 3].map(|_| Arc::new(Semaphore::new(MAX_AT_ONCE)));
        let [answering, greeting, enrolling] = places.clone();
        let shared = Arc::new(Shared {
            rules,
            issuer,
            auth,
            fleet,
            system,
            refusals,
            connections,
            said,
            ending,
            places,
            control,
            audit,
        });
        let mut tasks = tokio::task::JoinSet::new();
        let (known, is_known) = oneshot::channel();
        tasks.spawn(Arc::clone(&shared).follow_hosts(changes, known));
        // Before the roll is read, every name would seem free and no host would seem to wait.
        let _ = is_known.await;
        tasks.spawn(answer_all(Arc::clone(&shared), answering, questions, Shared::answer_question));
        tasks.spawn(answer_all(Arc::clone(&shared), greeting, hellos, Shared::answer_hello));
        tasks.spawn(answer_all(Arc::clone(&shared), enrolling, enrolments, Shared::answer_enrolment));
        if let Some(log) = &keys.log {
            tasks.spawn(Arc::clone(&shared).watch(BrokerLog::from_its_end(log)));
        }
        tasks.spawn(Arc::clone(&shared).report());
        Ok(Self { shared, tasks })
    }

    /// The same for a broker that was set up by hand, where the settings name the keys.
    ///
    /// # Errors
    /// When a key cannot be read, or the broker does not take it.
    pub async fn of_settings(
        broker: &Broker,
        fleet: Client,
        settings: AdmissionSettings,
    ) -> Result<Option<Self>, AdmissionError> {
        let Some(folder) = &settings.keys else { return Ok(None) };
        Self::start(&AdmissionKeys::in_folder(broker, folder), fleet, settings.clone()).await.map(Some)
    }

    /// How many connections this service has refused, and subjects that the broker has, by reason.
    pub fn refused(&self) -> BTreeMap<&'static str, u64> {
        self.shared.refusals.all()
    }

    /// Answers until the task is dropped.
    pub async fn run(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Works on each message in a task of its own.
async fn answer_all<Work: Future<Output = ()> + Send + 'static>(
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    mut messages: Subscriber,
    work: fn(Arc<Shared>, Message) -> Work,
) {
    while let Some(message) = messages.next().await {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let work = work(Arc::clone(&shared), message);
        tokio::spawn(async move {
            work.await;
            drop(place);
        });
    }
}

impl Shared {
    /// How many answers are worked on, and hosts whose earlier connections are ended. What finds no place waits with the
    /// broker.
    pub(super) fn queues(&self) -> Vec<QueueStatus> {
        let [answers, hellos, enrolments] = &self.places;
        let of = |name: &str, places: &Semaphore, bound: usize| QueueStatus {
            name: name.to_owned(),
            waiting: bound.saturating_sub(places.available_permits()) as u64,
            bound: bound as u64,
            dropped: 0,
        };
        vec![
            of("answers", answers, MAX_AT_ONCE),
            of("hellos", hellos, MAX_AT_ONCE),
            of("enrolments", enrolments, MAX_AT_ONCE),
            of("endings", &self.ending, MAX_ENDED_AT_ONCE),
        ]
    }

    /// The same, for an entry that is whole.
    pub(super) fn record(&self, entry: AuditEntry) {
        let audit = self.audit.clone();
        tokio::spawn(async move {
            if let Err(error) = audit.record(entry).await {
                tracing::error!(error = error_chain(&error), "what admission did is not on record");
            }
        });
    }
}
