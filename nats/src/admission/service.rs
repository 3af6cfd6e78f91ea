//! The service that answers the broker. Several may run, on one machine or many: each question goes to one of them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{Client, Message, Subscriber};
use futures_util::StreamExt;
use nkeys::KeyPair;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    AdmissionError, AdmissionSettings, EnrolmentTokens, Refusal, answer,
    broker_log::BrokerLog,
    connections::{Connections, Next},
    decide::{Admitted, Rules},
    disconnect,
    hello::{self, Hello, Hellos},
    question::Question,
    refusals::Refusals,
    roll::Unwelcome,
};
use crate::{
    HostName,
    audit::{Audit, AuditEntry, Outcome},
    bucket::Told,
    connection::Broker,
    hosts::{self, Admission, HostRecord},
    key, now_us, subject, with_causes,
};

/// Where the broker asks.
const QUESTIONS: &str = "$SYS.REQ.USER.AUTH";
/// The group of which one answers.
const GROUP: &str = "fleetps-admission";
/// Answers being worked on at a time. More wait with the broker, which gives up after 1.5 s; hosts then try again.
const MAX_AT_ONCE: usize = 64;
/// A connection that was being admitted while its host was revoked is ended by looking again after this, which is longer
/// than the broker waits for an answer.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Hosts that may have connections from before the start and are looked at the same time; each asks every server.
const MAX_ENDED_AT_ONCE: usize = 8;

/// What is needed to answer a broker.
#[derive(Debug)]
pub struct AdmissionKeys {
    auth: Broker,
    system: Broker,
    issuer: PathBuf,
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
    issuer: KeyPair,
    auth: Client,
    pub(super) fleet: Client,
    system: Client,
    pub(super) refusals: Refusals,
    connections: Connections,
    said: Hellos,
    ending: Semaphore,
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
        auth.flush().await?;
        let issuer = key::read(&keys.issuer)?;
        let (audit, refusals) = (Audit::open(&fleet).await?, Refusals::default());
        let (connections, ending) = (Connections::default(), Semaphore::new(MAX_ENDED_AT_ONCE));
        let said = Hellos::default();
        let shared =
            Shared { rules, issuer, auth, fleet, system, refusals, connections, said, ending, audit };
        let shared = Arc::new(shared);
        let mut tasks = tokio::task::JoinSet::new();
        let (known, is_known) = oneshot::channel();
        tasks.spawn(Arc::clone(&shared).follow_hosts(changes, known));
        // Before that, any name would seem free and nobody would seem to wait.
        let _ = is_known.await;
        tasks.spawn(answer_all(Arc::clone(&shared), questions, Shared::answer_question));
        tasks.spawn(answer_all(Arc::clone(&shared), hellos, Shared::answer_hello));
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
    mut messages: Subscriber,
    work: fn(Arc<Shared>, Message) -> Work,
) {
    let places = Arc::new(Semaphore::new(MAX_AT_ONCE));
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
    async fn answer_question(self: Arc<Self>, message: Message) {
        let (Some(question), Some(reply)) = (Question::read(&message.payload), message.reply) else {
            tracing::warn!(
                "the broker asked something that cannot be understood; is it newer than this program?"
            );
            return;
        };
        let now_s = jiff::Timestamp::now().as_second();
        let answered = match self.admit(&question).await {
            Ok(host) => answer::admit(&question, &host, &self.issuer, now_s),
            Err(refusal) => {
                self.note(&question, &refusal);
                answer::refuse(&question, &refusal.to_string(), &self.issuer, now_s)
            }
        };
        let sent = match answered {
            Ok(jwt) => self.auth.publish(reply, jwt.into()).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = sent {
            tracing::warn!(error, "an answer to the broker could not be sent; the host will try again");
        }
    }

    async fn admit(&self, question: &Question) -> Result<HostName, Refusal> {
        let claimant = question.claimant()?;
        let host = claimant.host.clone();
        match self.rules.decide(&claimant).await? {
            // A new host has none, and those of a former key are ended.
            Admitted::Known => self.check_connections(&host).await?,
            Admitted::New => {
                tracing::info!(host = %host, from = question.address(), "admitted a new host");
                self.write_down(question, "host.admit", String::new(), Outcome::Done);
            }
            Admitted::WithNewKey => {
                tracing::info!(host = %host, "the host uses its new key; the former one is good no more");
                self.write_down(question, "host.key", String::new(), Outcome::Done);
                self.disconnect(&host).await;
            }
        }
        Ok(host)
    }

    /// Whether `host` may make one more connection. Where the servers do not say how many it has, it may.
    async fn check_connections(&self, host: &HostName) -> Result<(), Refusal> {
        let may = match self.connections.one_more(host, Instant::now()) {
            Next::Admit => true,
            Next::Refuse => false,
            Next::Look => {
                let found = disconnect::count(&self.system, host).await.unwrap_or_default();
                self.connections.counted(host, found)
            }
        };
        if may { Ok(()) } else { Err(Refusal::TooManyConnections) }
    }

    fn note(&self, question: &Question, refusal: &Refusal) {
        if let Some(times) = self.refusals.count(refusal.reason(), Instant::now()) {
            tracing::warn!(
                host = ?question.claimed_name(), from = question.address(), times, reason = with_causes(refusal),
                "refused a connection to the broker"
            );
            let what = format!("{refusal} ({} since last written down: {times})", refusal.reason());
            self.write_down(question, "host.refuse", what, Outcome::Refused);
        }
    }

    /// Puts it on record, without the host having to wait for that.
    fn write_down(&self, question: &Question, action: &str, what: String, outcome: Outcome) {
        let name = question.claimed_name();
        self.record(AuditEntry {
            at_us: now_us(),
            who: format!("host {name}"),
            from: question.address().parse().ok(),
            action: action.to_owned(),
            host: name.parse().ok(),
            what,
            outcome,
        });
    }

    /// The same, for an entry that is whole.
    pub(super) fn record(&self, entry: AuditEntry) {
        let audit = self.audit.clone();
        tokio::spawn(async move {
            if let Err(error) = audit.record(entry).await {
                tracing::error!(error = with_causes(&error), "what admission did is not on record");
            }
        });
    }

    async fn answer_hello(self: Arc<Self>, message: Message) {
        let (Some(host), Some(reply)) = (subject::host_of_hello(&message.subject), message.reply) else {
            return;
        };
        if !self.said.may(&host, Instant::now()) {
            self.refusals.add("too-many-hellos", 1);
            return;
        }
        let Ok(hello) = serde_json::from_slice::<Hello>(&message.payload) else { return };
        match hello::welcome(&self.rules.hosts, &host, hello).await {
            Ok(welcome) => {
                let answer = serde_json::to_vec(&welcome).unwrap_or_default();
                // A host that hears nothing asks again when it connects the next time.
                let _ = self.fleet.publish(reply, answer.into()).await;
            }
            Err(error) => {
                tracing::warn!(host = %host, error = with_causes(&error), "a hello was not answered")
            }
        }
    }

    /// Knows all hosts, and ends the connections of those that may no more, or that are to change their key.
    async fn follow_hosts(
        self: Arc<Self>,
        mut changes: mpsc::Receiver<Told<HostRecord>>,
        known: oneshot::Sender<()>,
    ) {
        let mut known = Some(known);
        while let Some(told) = changes.recv().await {
            let is_up_to_date = matches!(told, Told::UpToDate);
            let unwelcome = self.rules.roll().apply(told);
            if let Some(known) = known.take_if(|_| is_up_to_date) {
                let _ = known.send(());
            }
            for host in unwelcome {
                tokio::spawn(Arc::clone(&self).end_connections_of(host));
            }
        }
    }

    /// Ends them until a look finds none, or the host is welcome again. The many that may only have been welcome before this
    /// service was started wait for each other, and keep nobody else waiting.
    async fn end_connections_of(self: Arc<Self>, Unwelcome { host, was_welcome }: Unwelcome) {
        let _place = if was_welcome { None } else { self.ending.acquire().await.ok() };
        let mut is_first = true;
        loop {
            let ended = self.disconnect(&host).await;
            if ended == Some(0) && !is_first {
                return;
            }
            is_first = false;
            tokio::time::sleep(LOOK_AGAIN).await;
            if self.is_admitted(&host).await {
                return;
            }
        }
    }

    async fn is_admitted(&self, host: &HostName) -> bool {
        let known = self.rules.hosts.get(host.as_str()).await;
        known.is_ok_and(|known| known.is_some_and(|entry| entry.value.admission == Admission::Admitted))
    }

    /// Ends the connections that `host` has now, and says how many; `None` when the broker does not say.
    async fn disconnect(&self, host: &HostName) -> Option<usize> {
        match disconnect::disconnect(&self.system, host).await {
            Ok(0) => Some(0),
            Ok(count) => {
                tracing::info!(host = %host, count, "ended its connections");
                Some(count)
            }
            Err(error) => {
                tracing::error!(host = %host, error = %error, "its connections could not be ended; trying again");
                None
            }
        }
    }
}
