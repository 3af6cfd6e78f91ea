//! Clients that go on where they were: with a real broker, nothing is lost and nothing comes twice, or a gap is told.

use std::net::SocketAddr;

use async_nats::jetstream;
use fleetps::testing::{
    auth::{Addresses, People},
    config::QuestionSettings,
    server,
    tls::TlsListener,
};
use fleetps_ingestor::{
    IngestorSettings,
    events::{Event, to_messages},
};
use fleetps_nats::{
    Snapshot,
    server::{ManagedServer, Part, ServerSettings},
    snapshot::Encoder,
    stream, subject,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    hung::Hung,
    support::{PATIENCE, family, process, snapshot},
    websocket::Client,
};

/// A web server with its broker; the tests are the hosts and the ingestor.
pub struct Live {
    pub address: SocketAddr,
    pub server: ManagedServer,
    pub jetstream: jetstream::Context,
    folder: tempfile::TempDir,
    web: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Live {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = ServerSettings {
            data: folder.path().to_owned(),
            program: None,
            public: None,
            simulator: false,
            max_file_store_bytes: 1 << 30,
        };
        let server = ManagedServer::start(settings).await.unwrap();
        let client = server.broker(Part::Ingestor).connect("test").await.unwrap();
        let jetstream = jetstream::new(client);
        stream::ensure(&jetstream, 64 << 20).await.unwrap();
        stream::ensure_events(&jetstream).await.unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut live = Self { address, server, jetstream, folder, web: None };
        live.start_web().await;
        live
    }

    /// Starts the web server, which knows nothing of an earlier one.
    pub async fn start_web(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.address = listener.local_addr().unwrap();
        let client = self.server.broker(Part::Api).connect("web").await.unwrap();
        let history = self.folder.path().join("history");
        std::fs::create_dir_all(&history).unwrap();
        let settings = IngestorSettings { history, ..IngestorSettings::default() };
        let ended = CancellationToken::new();
        let running = server::run(
            TlsListener::plaintext(listener),
            client,
            server::Health::default(),
            settings,
            QuestionSettings::default(),
            People::anybody(Addresses::default()),
            ended.clone(),
        );
        let web = tokio::spawn(async move { running.await.unwrap() });
        self.web = Some((ended, web));
    }

    pub async fn stop_web(&mut self) {
        if let Some((ended, web)) = self.web.take() {
            ended.cancel();
            web.await.unwrap();
        }
    }

    pub async fn open(&self) -> Client {
        Client::open(self.address, &[]).await.unwrap()
    }

    /// Publishes a host's snapshot; its sequence in the stream.
    pub async fn publish(&self, host: &str, sequence: i64) -> u64 {
        self.publish_snapshot(host, &snapshot(sequence, family())).await
    }

    pub async fn publish_snapshot(&self, host: &str, snapshot: &Snapshot) -> u64 {
        let message = Encoder::new().unwrap().encode(snapshot).unwrap();
        let subject = subject::snapshot(&host.parse().unwrap());
        let stored = self.jetstream.publish(subject, message.into()).await.unwrap();
        stored.await.unwrap().sequence
    }

    /// Publishes events as one message; its sequence.
    pub async fn decide(&self, events: &[Event]) -> u64 {
        let message = to_messages(events).swap_remove(0);
        self.jetstream.publish(subject::EVENTS, message.into()).await.unwrap().await.unwrap().sequence
    }

    /// A socket on which this host is watched, with the first message.
    pub async fn watch(&self, watch: Value) -> (Client, Value) {
        let watching = async {
            loop {
                let mut client = self.open().await;
                client.say(watch.clone()).await;
                let first = client.next().await;
                // The server may not have heard of the host yet.
                if first["type"] != "error" {
                    return (client, first);
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, watching).await.expect("the host is unknown")
    }

    pub async fn end(mut self) {
        self.stop_web().await;
        self.server.stop().await;
    }
}

fn event(number: u64, host: &str) -> Event {
    let text = r#"{"place":{"epoch_s":7,"sequence":0,"number":0},"at_us":1795161600000000,"decided_at_us":5,"kind":"started","host":"web-01"}"#;
    let mut event: Event = serde_json::from_str(text).unwrap();
    event.place.sequence = number;
    event.host = host.parse().unwrap();
    event.change = Some(format!("{number}"));
    event.length_ms = Some(i64::try_from(number).unwrap());
    event
}

/// The sequences of the sample of each message, which the host counted.
fn pids(message: &Value) -> u64 {
    message["data"]["processes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|process| process["pid"].as_u64().unwrap())
        .max()
        .unwrap()
}

/// A snapshot that is known by the greatest process id.
fn numbered(number: u32) -> Snapshot {
    snapshot(i64::from(number), vec![process(1, 0, "init"), process(1_000 + number, 1, "numbered")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_gets_every_sample_that_it_missed_once_and_then_the_present() {
    let mut live = Live::new().await;
    live.publish_snapshot("web-01", &numbered(1)).await;
    let (mut client, first) = live.watch(json!({"watch": "host", "host": "web-01"})).await;
    assert_eq!(pids(&first), 1_001);
    live.publish_snapshot("web-01", &numbered(2)).await;
    let second = client.next().await;
    assert_eq!(pids(&second), 1_002);
    drop(client);
    // Samples of others and those that are sent again are between them, and the server is another one.
    for number in 3..=30 {
        live.publish("db-01", i64::from(number)).await;
        live.publish_snapshot("web-01", &numbered(number)).await;
        live.publish_snapshot("web-01", &numbered(number)).await;
        if number == 15 {
            live.stop_web().await;
        }
    }
    live.start_web().await;
    let watch = json!({"watch": "host", "host": "web-01", "since": second["position"]});
    let (mut client, mut message) = live.watch(watch).await;
    let mut seen = Vec::new();
    for number in 3..=60 {
        assert_eq!((&message["type"], &message["skipped"]), (&json!("snapshot"), &json!(0)), "{number}");
        seen.push(pids(&message));
        // Rates are of the sample before, from the first one on.
        assert!(message["data"]["processes"][0]["read_bytes_per_s"].is_number(), "{number}");
        if number < 60 {
            if number >= 30 {
                live.publish_snapshot("web-01", &numbered(number + 1)).await;
            }
            message = client.next().await;
        }
    }
    assert_eq!(seen, (1_003..=1_060).collect::<Vec<u64>>());
    let now = message["position"].clone();
    let (mut again, _) = live.watch(json!({"watch": "fleet", "since": now})).await;
    again.say(json!({"watch": "host", "host": "web-01", "since": now})).await;
    again.nothing_came().await;
    live.publish_snapshot("web-01", &numbered(61)).await;
    loop {
        let message = again.next().await;
        if message["topic"] == "host" {
            assert_eq!(pids(&message), 1_061, "a client that missed nothing gets the next one next");
            break;
        }
    }
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_stream_no_longer_has_is_a_gap_and_so_is_a_stream_that_was_made_anew() {
    let live = Live::new().await;
    let position = |sequence: u64, epoch: &str| format!("{epoch}-{sequence}");
    live.publish_snapshot("web-01", &numbered(1)).await;
    let (_, first) = live.watch(json!({"watch": "host", "host": "web-01"})).await;
    let epoch = first["position"].as_str().unwrap().split('-').next().unwrap().to_owned();
    for number in 2..=9 {
        live.publish_snapshot("web-01", &numbered(number)).await;
    }
    let snapshots = live.jetstream.get_stream(stream::SNAPSHOTS).await.unwrap();
    snapshots.purge().sequence(6).await.unwrap();
    let (mut client, gap) =
        live.watch(json!({"watch": "host", "host": "web-01", "since": first["position"]})).await;
    let expected = json!({"topic": "host", "host": "web-01", "type": "gap", "position": position(5, &epoch),
        "from": first["position"], "to": position(5, &epoch)});
    assert_eq!(gap, expected);
    for number in 6..=9 {
        assert_eq!(pids(&client.next().await), 1_000 + number);
    }
    // Behind the last that is gone, nothing is missing.
    let (_, message) =
        live.watch(json!({"watch": "host", "host": "web-01", "since": position(5, &epoch)})).await;
    assert_eq!(pids(&message), 1_006);
    // Of a later stream, of an earlier one, and behind its end.
    for since in ["1-7".to_owned(), position(7, "99999999999"), position(99, &epoch)] {
        let (mut client, gap) = live.watch(json!({"watch": "host", "host": "web-01", "since": since})).await;
        assert_eq!(
            (&gap["type"], &gap["from"], &gap["to"]),
            (&json!("gap"), &json!(since), &json!(position(5, &epoch)))
        );
        assert_eq!(pids(&client.next().await), 1_006);
        let (mut client, gap) = live.watch(json!({"watch": "fleet", "since": since})).await;
        assert_eq!(gap["type"], "gap");
        assert_eq!(client.next().await["type"], "snapshot");
    }
    let (_, first) = live.watch(json!({"watch": "fleet", "since": position(7, &epoch)})).await;
    assert_eq!((&first["type"], &first["position"]), (&json!("snapshot"), &json!(position(9, &epoch))));
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_gap_a_host_that_says_nothing_sends_its_present() {
    let live = Live::new().await;
    live.publish_snapshot("web-01", &numbered(1)).await;
    live.publish_snapshot("web-01", &numbered(2)).await;
    let (_, first) = live.watch(json!({"watch": "host", "host": "web-01"})).await;
    for number in 3..=9 {
        live.publish("db-01", number).await;
    }
    let snapshots = live.jetstream.get_stream(stream::SNAPSHOTS).await.unwrap();
    snapshots.purge().sequence(6).await.unwrap();
    let (mut client, gap) = live.watch(json!({"watch": "host", "host": "web-01", "since": "1-1"})).await;
    assert_eq!((&gap["type"], &gap["from"]), (&json!("gap"), &json!("1-1")));
    let present = client.next().await;
    assert_eq!((pids(&present), &present["skipped"]), (1_002, &json!(0)));
    assert_eq!(present["position"], first["position"]);
    live.publish_snapshot("web-01", &numbered(3)).await;
    let next = client.next().await;
    assert_eq!((pids(&next), &next["skipped"]), (1_003, &json!(0)));
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_comes_once_across_interruptions_or_a_gap_says_so() {
    let mut live = Live::new().await;
    let numbers = |message: &Value| -> Vec<i64> {
        let events = message["data"]["events"].as_array().unwrap();
        events.iter().map(|event| event["length_ms"].as_i64().unwrap()).collect()
    };
    live.decide(&[event(1, "web-01")]).await;
    let (mut client, start) = live.watch(json!({"watch": "events"})).await;
    assert_eq!(start["type"], "position", "{start}");
    live.decide(&[event(2, "web-01"), event(3, "db-01")]).await;
    let message = client.next().await;
    assert_eq!(
        (numbers(&message), &message["topic"], &message["type"]),
        (vec![2, 3], &json!("events"), &json!("events"))
    );
    drop(client);
    live.decide(&(4..=400).map(|number| event(number, "web-01")).collect::<Vec<_>>()).await;
    live.stop_web().await;
    // The ingestor was restarted, and decides again what it had not sealed.
    live.decide(&(300..=450).map(|number| event(number, "web-01")).collect::<Vec<_>>()).await;
    live.start_web().await;
    let mut since = message["position"].clone();
    let mut seen = Vec::new();
    // A client that comes back after each message.
    while seen.len() < 447 {
        let (_, message) = live.watch(json!({"watch": "events", "since": since})).await;
        assert_eq!(message["type"], "events", "{message}");
        seen.extend(numbers(&message));
        since = message["position"].clone();
    }
    assert_eq!(seen, (4..=450).collect::<Vec<i64>>());

    // Filters, and a position although nothing is told.
    let mut client = live.open().await;
    client.say(json!({"watch": "events", "since": start["position"], "host": "db-01", "kind": ["started", "exited"]})).await;
    let message = client.next().await;
    assert_eq!((numbers(&message), &message["data"]["events"][0]["kind"]), (vec![3], &json!("started")));
    client.say(json!({"watch": "events", "since": start["position"], "kind": ["exited"]})).await;
    client.nothing_came().await;

    // The broker keeps them in memory.
    live.jetstream.delete_stream(stream::EVENTS).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    stream::ensure_events(&live.jetstream).await.unwrap();
    live.decide(&[event(500, "web-01")]).await;
    // Until it is noticed, nothing happens, and the client may be told so.
    let mut gap = client.next().await;
    while gap["type"] == "position" {
        gap = client.next().await;
    }
    assert_eq!(gap["type"], "gap", "{gap}");
    let (mut client, gap) = live.watch(json!({"watch": "events", "since": since})).await;
    assert_eq!((&gap["type"], &gap["from"]), (&json!("gap"), &since));
    assert_eq!(numbers(&client.next().await), [500]);
    live.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_while_the_broker_is_away_is_told_so() {
    let mut live = Live::new().await;
    let position = live.publish("web-01", 1).await;
    let (mut client, first) = live.watch(json!({"watch": "host", "host": "web-01"})).await;
    assert!(first["position"].as_str().unwrap().ends_with(&format!("-{position}")));
    let hung = Hung::new(live.server.pid());
    client.say(json!({"watch": "host", "host": "web-01", "since": first["position"]})).await;
    let end = client.next().await;
    drop(hung);
    assert_eq!((&end["type"], &end["topic"]), (&json!("end"), &json!("host")), "{end}");
    assert!(end["error"].as_str().unwrap().contains("broker"), "{end}");
    live.stop_web().await;
    live.end().await;
}
