//! Alerts become messages: through the real stream, ledger and outbox, to receivers of HTTP.

mod escalation;
mod explained;
mod heartbeat;
mod kills;
mod storms;
mod whole;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_nats::{Client, jetstream, jetstream::message::PublishMessage};
use fleetps::testing::{
    dispatch::{DispatchSettings, Dispatching, World, run},
    notify::{Allowed, Channel, Grouping, Pace, Records},
    state::AppState,
};
use fleetps_ingestor::{
    alerts::{Alert, AlertChange, Change, Culprit, Key, Severity, Transition},
    events::EventPlace,
};
use fleetps_nats::{
    now_us,
    server::{ManagedServer, Part},
    stream, subject,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    notify::receiver::{Got, Receiver},
    pipeline::broker,
    support::PATIENCE,
};

/// As usual, but for people who do not wait.
const PACE: Pace = Pace {
    lease: Duration::from_millis(400),
    first_pause: Duration::from_millis(20),
    longest_pause: Duration::from_millis(200),
    give_up_after: Duration::from_secs(3600),
    between: Duration::ZERO,
    remember: Duration::from_secs(3600),
};

/// A broker with a stream of alerts, and a receiver.
struct Scene {
    server: ManagedServer,
    client: Client,
    records: Records,
    receiver: Receiver,
    address: String,
    grouping: Grouping,
    beat_every: Duration,
    _folder: tempfile::TempDir,
}

/// A server that dispatches; aborted, it is as if it was killed.
struct Running {
    task: JoinHandle<()>,
    ended: CancellationToken,
    shared: AppState,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (server, _) = broker(folder.path()).await;
        let client = server.broker(Part::Api).connect("test").await.unwrap();
        stream::ensure_alerts(&jetstream::new(client.clone())).await.unwrap();
        let (receiver, address) = Receiver::start().await;
        let records = Records::new(client.clone());
        // Longer than it takes to publish a storm.
        let grouping =
            Grouping { quiet: Duration::from_secs(1), longest: Duration::from_secs(20), fleet_wide: 10 };
        let beat_every = Duration::from_millis(50);
        Self { server, client, records, receiver, address, grouping, beat_every, _folder: folder }
    }

    async fn with_channel() -> Self {
        let scene = Self::new().await;
        scene.channel("hook", "ok").await;
        scene
    }

    /// A webhook to a path of the receiver.
    async fn channel(&self, id: &str, path: &str) {
        self.save_channel(id, json!({ "kind": "webhook", "url": format!("{}/{path}", self.address) })).await;
    }

    async fn save_channel(&self, id: &str, means: Value) {
        let channel: Channel = serde_json::from_value(json!({ "name": id, "means": means })).unwrap();
        assert!(self.records.save_channel(id, channel, None).await.unwrap());
    }

    /// Starts a server, and waits until it has looked at the stream.
    async fn start(&self) -> Running {
        let running = self.start_at_once();
        running.until("it begins", |dispatching| dispatching.outbox().is_some()).await;
        let began = async {
            let ledger = jetstream::new(self.client.clone());
            loop {
                let stream = ledger.get_stream("DISPATCH").await;
                if stream.is_ok_and(|stream| stream.cached_info().state.messages > 0) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, began).await.expect("it wrote no ledger");
        running
    }

    fn start_at_once(&self) -> Running {
        let shared = AppState::new(Some(self.client.clone()), CancellationToken::new());
        shared.groups.set(BTreeMap::new());
        self.start_over(shared)
    }

    /// Starts one that knows what `shared` has.
    fn start_over(&self, shared: AppState) -> Running {
        let ended = CancellationToken::new();
        let world = World {
            alerts: Arc::clone(&shared.alerts),
            fleet: Arc::clone(&shared.fleet),
            groups: shared.groups.clone(),
            past: shared.past.clone(),
            ingestors: Arc::clone(&shared.ingestors),
        };
        let settings = self.settings();
        let alerts = Arc::clone(&shared.alerts);
        let (client, until) = (self.client.clone(), ended.clone());
        let dispatching = run(shared.dispatching.clone(), world, settings, client.clone(), until.clone());
        let task = tokio::spawn(async move {
            tokio::join!(alerts.follow(&client, until), dispatching);
        });
        Running { task, ended, shared }
    }

    fn settings(&self) -> DispatchSettings {
        let allowed = Allowed { networks: vec!["127.0.0.0/8".parse().unwrap()], programs: Vec::new() };
        DispatchSettings {
            grouping: self.grouping,
            pace: PACE,
            beat_every: self.beat_every,
            ..DispatchSettings::new(allowed, "https://ps.example.com".to_owned())
        }
    }

    /// Publishes as the ingestor does: each once, however often it is tried.
    async fn publish(&self, transitions: &[Transition]) {
        let jetstream = jetstream::new(self.client.clone());
        for transition in transitions {
            let to = subject::alert(0, &transition.change.alert.instance_id());
            let message = || {
                PublishMessage::build().message_id(transition.id()).payload(transition.to_message().into())
            };
            let publish = async {
                loop {
                    if let Ok(sent) = jetstream.send_publish(to.clone(), message()).await
                        && sent.await.is_ok()
                    {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::time::timeout(PATIENCE, publish).await.expect("the broker took nothing");
        }
    }

    /// Waits until something holds of what came.
    async fn until(&self, what: &str, holds: impl Fn(&[Got]) -> bool) {
        let reached = async {
            while !holds(&self.receiver.got()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            let got: Vec<String> = self.receiver.got().iter().map(headline).collect();
            panic!("{what}: {got:#?}");
        }
    }

    /// The streams of the broker that notifications have.
    async fn made(&self) -> Vec<String> {
        use futures_util::TryStreamExt;
        let names: Vec<String> =
            jetstream::new(self.client.clone()).stream_names().try_collect().await.unwrap();
        let is_ours = |name: &&String| name.to_lowercase().contains("notify") || *name == "DISPATCH";
        names.iter().filter(is_ours).cloned().collect()
    }
}

impl Running {
    async fn until(&self, what: &str, holds: impl Fn(&Dispatching) -> bool) {
        let reached = async {
            while !holds(&self.shared.dispatching) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        assert!(reached.is_ok(), "{what}: {:?}", self.shared.dispatching.figures());
    }

    async fn kill(self) {
        self.task.abort();
        let _aborted = self.task.await;
        self.ended.cancel();
    }

    async fn stop(self) {
        self.ended.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it does not end").unwrap();
    }
}

fn headline(got: &Got) -> String {
    format!("{}: {}", got.path, got.json()["headline"])
}

/// A change of the alert of a rule on a host, now.
fn transition(host: &str, rule: &str, change: Change) -> Transition {
    let mut alert = Alert {
        id: String::new(),
        rule: rule.to_owned(),
        revision: 1,
        sentence: "memory > 95% clear 90% for 5m".to_owned(),
        severity: Severity::Critical,
        host: host.parse().unwrap(),
        key: Key::Host,
        raised_at_us: now_us(),
        raised_by: 1,
    };
    alert.id = alert.instance_id();
    let number = Change::ALL.iter().position(|it| *it == change).unwrap() as u64;
    let culprit = Culprit { pid: 4_711, start: 5, name: "java".to_owned(), value: 12e9 };
    let culprits = if change == Change::Raised { vec![culprit] } else { Vec::new() };
    let place = EventPlace { partition: 0, epoch_s: 1, sequence: 1 + number, number: 0 };
    let (at_us, value) = (now_us(), Some(if change == Change::Raised { 97.0 } else { 71.0 }));
    Transition { place, decided_at_us: at_us, change: AlertChange { alert, change, at_us, value, culprits } }
}
