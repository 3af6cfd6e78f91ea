use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    time::Duration,
};

use async_nats::Client;
use fleetps::testing::notify::{BUCKET, Channel, Courier, Notification, Outbox, Pace, State};
use fleetps_nats::{
    bucket::{Bucket, WatchedBucket},
    server::{ManagedServer, Part},
};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{channel, notification, receiver::Receiver, resolved, sender};
use crate::{pipeline::broker, support::PATIENCE};

/// As usual, but for people who do not wait.
const PACE: Pace = Pace {
    lease: Duration::from_millis(400),
    first_pause: Duration::from_millis(20),
    longest_pause: Duration::from_millis(200),
    give_up_after: Duration::from_secs(3600),
    between: Duration::ZERO,
    remember: Duration::from_secs(3600),
};

struct Office {
    server: ManagedServer,
    client: Client,
    outbox: Outbox,
    channels: Bucket<Channel>,
    watched: WatchedBucket<Channel>,
    _folder: tempfile::TempDir,
}

impl Office {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (server, _) = broker(folder.path()).await;
        let client = server.broker(Part::Api).connect("test").await.unwrap();
        let outbox = Outbox::open(&client).await.unwrap();
        let channels = Bucket::open(&client, BUCKET).await.unwrap();
        let watched = channels.follow().await.unwrap();
        Self { server, client, outbox, channels, watched, _folder: folder }
    }

    async fn webhook(&self, id: &str, url: String, fallback: Option<&str>) {
        let channel = channel(json!({ "kind": "webhook", "url": url }));
        let channel = Channel { fallback: fallback.map(str::to_owned), ..channel };
        self.channels.put(id, &channel).await.unwrap();
    }

    /// A courier; aborted, it is as if it was killed.
    fn courier(&self, pace: Pace) -> (JoinHandle<()>, CancellationToken) {
        let (courier, ended) = (Courier::new(self.outbox.clone(), sender(), pace), CancellationToken::new());
        (tokio::spawn(courier.run(self.watched.clone(), ended.clone())), ended)
    }

    /// Waits until the records say so.
    async fn until(&self, what: &str, holds: impl Fn(&BTreeMap<String, State>) -> bool) {
        let reached = async {
            loop {
                let records = self.outbox.records().await.unwrap_or_default();
                let states = records.into_iter().map(|(key, record)| (key, record.state)).collect();
                if holds(&states) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("{what}: {:#?}", self.outbox.records().await);
        }
    }

    fn count(&self, name: &str) -> u64 {
        self.outbox.counts().all().into_iter().find(|(known, _)| *known == name).unwrap().1
    }
}

fn all_sent(number: usize) -> impl Fn(&BTreeMap<String, State>) -> bool {
    move |states| states.values().filter(|state| matches!(state, State::Sent { .. })).count() == number
}

fn named(number: usize) -> Notification {
    notification(&format!("n{number}"), &format!("number {number}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_there_twice_is_sent_once_and_what_follows_comes_after() {
    let office = Office::new().await;
    let (receiver, address) = Receiver::start().await;
    office.webhook("hook", format!("{address}/fails-first"), None).await;
    assert!(office.outbox.put("hook", &notification("a", "a"), None).await.unwrap());
    assert!(!office.outbox.put("hook", &notification("a", "a"), None).await.unwrap());
    assert!(office.outbox.put("hook", &resolved("a"), None).await.unwrap());
    let (courier, ended) = office.courier(Pace { first_pause: Duration::from_millis(200), ..PACE });
    office.until("both are sent", all_sent(2)).await;
    let kinds: Vec<String> = receiver
        .at("fails-first")
        .iter()
        .map(|got| got.json()["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["raised", "resolved"]);
    assert_eq!((office.count("put"), office.count("repeats"), office.count("sent")), (2, 1, 2));
    ended.cancel();
    courier.await.unwrap();
    office.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_receiver_takes_is_kept_told_elsewhere_and_sent_again_by_hand() {
    let office = Office::new().await;
    let (receiver, address) = Receiver::start().await;
    office.webhook("gone", format!("{address}/gone"), Some("other")).await;
    office.webhook("broken", format!("{address}/broken"), None).await;
    office.webhook("other", format!("{address}/ok"), Some("gone")).await;
    office.outbox.put("gone", &notification("a", "one"), None).await.unwrap();
    office.outbox.put("broken", &notification("b", "two"), None).await.unwrap();
    let (courier, ended) = office.courier(Pace { give_up_after: Duration::from_millis(300), ..PACE });
    let undeliverable = |states: &BTreeMap<String, State>| {
        states.values().filter(|state| matches!(state, State::Undeliverable { .. })).count()
    };
    office.until("the fallback has it, and so has the list", |_| receiver.at("ok").len() == 1).await;
    let key = |records: Vec<(String, fleetps::testing::notify::Record)>, channel: &str| {
        records.into_iter().find(|(_, record)| record.channel == channel)
    };
    office.until("the other is given up", |states| undeliverable(states) > 0).await;
    let (gone, record) = key(office.outbox.records().await.unwrap(), "gone").unwrap();
    assert!(record.reason.contains("410"), "{}", record.reason);
    assert!(matches!(record.state, State::Undeliverable { .. }));
    office.webhook("gone", format!("{address}/ok"), None).await;
    let followed = async {
        while office.watched.get("gone").is_none_or(|channel| channel.fallback.is_some()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, followed).await.unwrap();
    assert!(office.outbox.send_again(&gone).await.unwrap());
    office.until("it is sent by hand", |_| receiver.at("ok").len() == 2).await;
    assert!(!office.outbox.send_again("nothing").await.unwrap());
    ended.cancel();
    courier.await.unwrap();
    office.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_hangs_delays_nobody_else() {
    let office = Office::new().await;
    let (receiver, address) = Receiver::start().await;
    office.webhook("hangs", format!("{address}/hangs"), None).await;
    office.webhook("ok", format!("{address}/ok"), None).await;
    for number in 0..5 {
        office.outbox.put("hangs", &named(number), None).await.unwrap();
        office.outbox.put("ok", &named(number), None).await.unwrap();
    }
    let (courier, _) = office.courier(PACE);
    office.until("all of the others are sent", |_| receiver.at("ok").len() == 5).await;
    courier.abort();
    office.outbox.forget("hangs").await.unwrap();
    office.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_without_room_keeps_out_neither_others_nor_what_its_fallback_cannot_hear_of() {
    let office = Office::new().await;
    let (receiver, address) = Receiver::start().await;
    // Nobody takes what waits for "full": there is no such channel.
    office.webhook("gone", format!("{address}/gone"), Some("full")).await;
    office.webhook("ok", format!("{address}/ok"), None).await;
    let mut waiting = 0;
    let refusal = loop {
        match office.outbox.put("full", &named(waiting), None).await {
            Ok(_) => waiting += 1,
            Err(error) => break error,
        }
    };
    assert!(refusal.is_full(), "{refusal:?}");
    assert_eq!(waiting, 1_500);
    assert!(office.outbox.put("gone", &notification("a", "one"), None).await.unwrap());
    assert!(office.outbox.put("ok", &notification("b", "two"), None).await.unwrap());
    let (courier, ended) = office.courier(Pace { give_up_after: Duration::from_millis(300), ..PACE });
    office.until("the other channel is told", |_| receiver.at("ok").len() == 1).await;
    let is_undeliverable = |state: &State| matches!(state, State::Undeliverable { .. });
    office.until("it is given up", |states| states.values().any(is_undeliverable)).await;
    let record = office.outbox.became_of("gone", "a").await.unwrap().unwrap();
    assert!(record.reason.contains("410"), "{}", record.reason);
    assert!(record.reason.ends_with("because the outbox is full"), "{}", record.reason);
    ended.cancel();
    courier.await.unwrap();
    office.server.stop().await;
}

/// Kills of couriers, and of the broker among them.
const KILLS: usize = 100;
const BROKER_EVERY: usize = 25;
const MESSAGES: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_hundred_kills_nothing_is_lost_and_only_what_a_kill_interrupted_comes_twice() {
    let office = Office::new().await;
    let (receiver, address) = Receiver::start().await;
    office.webhook("hook", format!("{address}/flaky"), None).await;
    let mut next = 0..MESSAGES;
    let mut broker = BTreeSet::new();
    for kill in 1..=KILLS {
        let (courier, _) = office.courier(PACE);
        for number in next.by_ref().take(MESSAGES / KILLS) {
            put_surely(&office, number).await;
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..40))).await;
        if kill % BROKER_EVERY == 0 {
            let pid = office.server.pid();
            broker.insert(pid);
            assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
        }
        courier.abort();
        let _aborted = courier.await;
    }
    assert_eq!(broker.len(), KILLS / BROKER_EVERY, "the broker was started again each time");
    let (courier, ended) = office.courier(PACE);
    office.until("all are sent", all_sent(MESSAGES)).await;
    let mut came: BTreeMap<String, usize> = BTreeMap::new();
    for got in receiver.at("flaky") {
        *came.entry(got.key()).or_default() += 1;
    }
    let twice: usize = came.values().map(|times| times - 1).sum();
    println!("{twice} of {MESSAGES} came again; {:?}", office.outbox.counts().all());
    assert_eq!(came.len(), MESSAGES, "some never came");
    assert!(twice <= KILLS && twice as u64 <= office.count("perhaps_twice"), "{twice} repetitions");
    ended.cancel();
    courier.await.unwrap();
    drop(office.client);
    office.server.stop().await;
}

/// As whoever plans messages does: until the broker has it.
async fn put_surely(office: &Office, number: usize) {
    let put = async {
        while office.outbox.put("hook", &named(number), None).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, put).await.expect("the broker took nothing");
}
