//! Alerts are a function of the stream: each change is published once, whoever evaluates it and whenever that was killed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_nats::jetstream::{self, consumer::pull};
use fastrand::Rng;
use fleetps_ingestor::{
    alerts::{Change, Evaluator, Rule, SavedRule, Severity, Transition, open_rules, rules_in_force},
    events::{Detector, MessagePlace},
    history::{History, MAX_EPISODES, Span},
};
use fleetps_nats::{
    HostName, Snapshot,
    decode::MessageDecoder,
    own_figures::{OwnFigure, OwnFigures},
    reader::{Delivery, SnapshotReader, Start},
    server::Part,
    snapshot::{Encoder, FORMAT, Process},
    stream, subject,
};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::{
    chance::{chance, rounds},
    support::{Fixture, kill, within},
};

/// Hosts that publish.
const HOSTS: usize = 3;
/// Programs on each.
const PROGRAMS: u32 = 12;
const RULES: [(&str, &str); 5] = [
    ("busy", "cpu > 50 clear 40 over program"),
    ("lasting", "cpu > 20 for 20s over program"),
    ("often", "mem > 1G 2 of 4 over process"),
    ("reads", "read > 1M clear 1K over program"),
    ("full", "history_disk > 80% clear 40%"),
];

/// A host whose programs come and go.
struct Host {
    jetstream: jetstream::Context,
    name: HostName,
    encoder: Encoder,
    rng: Rng,
    sequence: u64,
    read_bytes: Vec<u64>,
}

impl Host {
    async fn new(fixture: &Fixture, number: usize, rng: Rng) -> Self {
        let (encoder, name) = (Encoder::new().unwrap(), format!("host-{number}").parse().unwrap());
        let read_bytes = vec![0; PROGRAMS as usize];
        Self { jetstream: fixture.hosts().await, name, encoder, rng, sequence: 0, read_bytes }
    }

    fn process(&mut self, number: u32, started_at_us: i64) -> Process {
        // Sometimes it is another process of the same program.
        let pid = 100 * (number + 1) + u32::from(self.rng.u8(..20) == 0);
        let reads = &mut self.read_bytes[number as usize];
        *reads += if self.rng.u8(..8) == 0 { 100 << 20 } else { 0 };
        let read_bytes = Some(*reads);
        Process {
            pid,
            parent_pid: Some(1),
            started_at_us,
            start_ticks: Some(u64::from(pid)),
            name: format!("program-{number}"),
            cpu_percent: (self.rng.u8(..10) > 0).then(|| f32::from(self.rng.u8(..12)) * 10.0),
            resident_bytes: Some(u64::from(self.rng.u8(..4)) << 29),
            read_bytes,
            ..Process::default()
        }
    }

    /// The next snapshot: ten seconds after the one before, or after a gap.
    fn snapshot(&mut self, began_us: i64) -> Snapshot {
        self.sequence += if self.rng.u8(..25) == 0 { 9 } else { 1 };
        let captured_at_us = began_us + i64::try_from(self.sequence).unwrap() * 10_000_000;
        let started_at_us = began_us - 3_600_000_000;
        let all: Vec<u32> = (0..PROGRAMS).filter(|_| self.rng.u8(..12) > 0).collect();
        let processes = all.into_iter().map(|number| self.process(number, started_at_us)).collect();
        Snapshot {
            format: FORMAT,
            boot_id: "boot".to_owned(),
            run_id: "run".to_owned(),
            sequence: self.sequence,
            captured_at_us,
            monotonic_ms: self.sequence * 10_000,
            interval_ms: 10_000,
            processes,
            ..Snapshot::default()
        }
    }

    async fn publish(&mut self, began_us: i64) {
        let snapshot = self.snapshot(began_us);
        let message = self.encoder.encode(&snapshot).unwrap();
        let published = self.jetstream.publish(subject::snapshot(&self.name), message.into()).await.unwrap();
        within(published.into_future()).await.unwrap();
    }
}

/// Publishes from every host until told to stop, as if for days.
async fn publish(
    fixture: &Fixture,
    rng: &mut Rng,
    stop: CancellationToken,
) -> Vec<tokio::task::JoinHandle<()>> {
    // Long ago, so that none of it is of the future.
    let began_us = (fleetps_nats::now_us() - 20 * 86_400_000_000) / 1000 * 1000;
    let mut publishing = Vec::new();
    for number in 0..HOSTS {
        let (mut host, stop) = (Host::new(fixture, number, rng.fork()).await, stop.clone());
        publishing.push(tokio::spawn(async move {
            while !stop.is_cancelled() {
                host.publish(began_us).await;
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }));
    }
    publishing
}

/// Says how full disks are of two parts of fleetps on another machine, until told to stop.
async fn tell(client: async_nats::Client, mut rng: Rng, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let part = if rng.bool() { "history" } else { "history, partition 1" };
        let mut told = OwnFigures::of(part, [(OwnFigure::HistoryDisk, Some(f64::from(rng.u8(..100))))]);
        told.host = "server".parse().unwrap();
        client.publish(subject::TICK, told.to_message().into()).await.unwrap();
        client.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

async fn save_rules(fixture: &Fixture) -> Vec<Rule> {
    let rules = open_rules(&fixture.client(Part::Ingestor).await).await.unwrap();
    for (id, sentence) in RULES {
        let saved = SavedRule {
            sentence: sentence.to_owned(),
            severity: Severity::Warning,
            enabled: true,
            groups: None,
            note: String::new(),
            changed_by: "ada".to_owned(),
            changed_at_us: 0,
        };
        assert!(rules.create(id, &saved).await.unwrap());
    }
    rules_of(&fixture.client(Part::Ingestor).await).await
}

/// The rules that are evaluated.
async fn rules_of(client: &async_nats::Client) -> Vec<Rule> {
    let saved = open_rules(client).await.unwrap().all().await.unwrap();
    rules_in_force(saved).into_iter().map(|entry| entry.rule.unwrap()).collect()
}

/// What one evaluator says that reads the whole stream, as it is appended.
async fn expected(fixture: &Fixture, rules: Vec<Rule>) -> Vec<Transition> {
    let jetstream = fixture.jetstream().await;
    let snapshots = stream::open_snapshots(&jetstream).await.unwrap();
    let info = snapshots.cached_info();
    let (last, epoch_s) = (info.state.last_sequence, info.created.unix_timestamp());
    let mut reader = SnapshotReader::new(jetstream, Start::Sequence(1), None);
    let mut decoder = MessageDecoder::new(1 << 30).unwrap();
    let (mut detector, mut evaluator) = (Detector::default(), Evaluator::default());
    evaluator.set_rules(rules, 0);
    let mut appended: BTreeMap<String, Transition> = BTreeMap::new();
    let mut all = Vec::new();
    for sequence in 1..=last {
        let Delivery::Message(delivered) = within(reader.next()).await else { panic!("something is lost") };
        assert_eq!(delivered.sequence, sequence);
        let stored_at_us = delivered.stored_at_us;
        let place = MessagePlace { partition: 0, epoch_s, sequence, stored_at_us };
        let changes = match decoder.decode(&delivered) {
            Ok((host, snapshot)) => {
                detector.snapshot(place, &host, &snapshot);
                evaluator.snapshot(place, detector.clock(), &host, &Arc::new(snapshot))
            }
            Err(_) => {
                detector.tick(place);
                let told = OwnFigures::from_message(&delivered.payload);
                let mut changes = told.map_or_else(Vec::new, |told| evaluator.own(place, &told));
                changes.extend(evaluator.tick(place, detector.clock()));
                changes
            }
        };
        for (number, change) in (0..).zip(changes) {
            let place = fleetps_ingestor::events::EventPlace { partition: 0, epoch_s, sequence, number };
            let instance = change.alert.instance_id();
            let transition = Transition { place, decided_at_us: stored_at_us, change };
            if let Some(next) = transition.behind(appended.get(&instance)) {
                appended.insert(instance, next.clone());
                all.push(next);
            }
        }
    }
    all
}

/// What the stream of alerts has.
async fn published(fixture: &Fixture) -> Vec<Transition> {
    let alerts = stream::open_alerts(&fixture.jetstream().await).await.unwrap();
    let mut left = alerts.cached_info().state.messages;
    let consumer = alerts.create_consumer(pull::OrderedConfig::default()).await.unwrap();
    let (mut messages, mut found) = (consumer.messages().await.unwrap(), Vec::new());
    while left > 0 {
        let message = within(messages.next()).await.unwrap().unwrap();
        found.push(Transition::from_message(&message.payload).unwrap());
        left -= 1;
    }
    found
}

/// Waits until the stream of alerts has as many changes as are expected, and compares each.
async fn assert_published(fixture: &Fixture, rules: Vec<Rule>) -> usize {
    let expected = expected(fixture, rules).await;
    let jetstream = fixture.jetstream().await;
    let waiting = async {
        loop {
            let alerts = stream::open_alerts(&jetstream).await.unwrap();
            if alerts.cached_info().state.messages >= expected.len() as u64 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(crate::support::PATIENCE, waiting).await;
    let found = published(fixture).await;
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
    assert!(in_time.is_ok());
    expected.len()
}

async fn until_published(fixture: &Fixture, more_than: u64) -> u64 {
    let jetstream = fixture.jetstream().await;
    let waiting = async {
        loop {
            let alerts = stream::open_alerts(&jetstream).await;
            let count = alerts.map_or(0, |alerts| alerts.cached_info().state.messages);
            if count > more_than {
                return count;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(waiting).await
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_the_evaluator_lose_no_change_and_publish_none_twice() {
    let mut chance = chance();
    let fixture = Fixture::start().await;
    let rules = save_rules(&fixture).await;
    let stop = CancellationToken::new();
    let mut publishing = publish(&fixture, &mut chance, stop.clone()).await;
    let telling = tell(fixture.client(Part::Api).await, chance.fork(), stop.clone());
    publishing.push(tokio::spawn(telling));
    let mut ingestor = fixture.process();
    let mut count = 0;
    for _ in 0..rounds(3) {
        count = until_published(&fixture, count).await;
        tokio::time::sleep(Duration::from_millis(chance.u64(0..900))).await;
        kill(&mut ingestor);
        if chance.u8(..4) == 0 {
            // It goes on with what the stream of alerts has.
            let _ = std::fs::remove_file(fixture.history().join("alerts-0.state"));
        }
        ingestor = fixture.process();
    }
    until_published(&fixture, count).await;
    stop.cancel();
    for host in publishing {
        within(host).await.unwrap();
    }
    let changes = assert_published(&fixture, rules).await;
    assert!(changes > 100, "only {changes} changes");
    let of_server =
        published(&fixture).await.into_iter().filter(|it| it.change.alert.host.as_str() == "server");
    assert!(of_server.count() > 2, "what fleetps said of itself raised nothing");
    kill(&mut ingestor);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_of_a_rule_that_is_switched_off_ends() {
    let fixture = Fixture::start().await;
    save_rules(&fixture).await;
    let mut host = Host::new(&fixture, 1, Rng::with_seed(1)).await;
    let ingestor = fixture.ingestor(fixture.settings()).await;
    let began_us = fleetps_nats::now_us() - 86_400_000_000;
    let jetstream = fixture.jetstream().await;
    let publishing = async {
        loop {
            host.publish(began_us).await;
            let alerts = stream::open_alerts(&jetstream).await;
            if alerts.is_ok_and(|alerts| alerts.cached_info().state.messages > 20) {
                return;
            }
        }
    };
    within(publishing).await;
    let rules = open_rules(&fixture.client(Part::Ingestor).await).await.unwrap();
    for (id, _) in RULES {
        let saved = rules.get(id).await.unwrap().unwrap();
        let off = SavedRule { enabled: false, ..saved.value };
        assert!(rules.update(id, &off, saved.revision).await.unwrap());
    }
    let ending = async {
        loop {
            host.publish(began_us).await;
            let mut last: BTreeMap<String, Transition> = BTreeMap::new();
            for transition in published(&fixture).await {
                last.insert(transition.change.alert.instance_id(), transition);
            }
            let is_ended = |it: &Transition| it.change.change == Change::RuleChanged;
            if last.values().all(|it| !it.is_open()) && last.values().any(is_ended) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(ending).await;
    ingestor.stop().await;
}

/// An episode: rule, host, what, from when, and when and why it ended.
type Told = (String, String, String, i64, Option<(i64, Change)>);

/// The episodes that these changes make.
fn episodes(changes: &[Transition]) -> Vec<Told> {
    let mut found: BTreeMap<&str, Told> = BTreeMap::new();
    for Transition { change, .. } in changes {
        let alert = &change.alert;
        match change.change {
            Change::Raised | Change::Flapping if !found.contains_key(alert.id.as_str()) => {
                let (rule, host, what) = (alert.rule.clone(), alert.host.to_string(), alert.instance());
                found.insert(&alert.id, (rule, host, what, alert.raised_at_us, None));
            }
            ended if ended.is_end() => {
                found.get_mut(alert.id.as_str()).unwrap().4 = Some((change.at_us, ended));
            }
            _ => {}
        }
    }
    let mut all: Vec<Told> = found.into_values().collect();
    all.sort_by(|a, b| format!("{a:?}").cmp(&format!("{b:?}")));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_raised_is_what_a_trial_on_the_past_finds() {
    let fixture = Fixture::start().await;
    save_rules(&fixture).await;
    let ingestor = fixture.ingestor(fixture.settings()).await;
    let (mut rng, stop) = (chance(), CancellationToken::new());
    let publishing = publish(&fixture, &mut rng, stop.clone()).await;
    let mut count = 0;
    while count < 200 {
        count = until_published(&fixture, count).await;
    }
    stop.cancel();
    for host in publishing {
        within(host).await.unwrap();
    }
    let last = stream::open_snapshots(&fixture.jetstream().await).await.unwrap();
    let messages = last.cached_info().state.last_sequence;
    fixture.until_count("SELECT count(*) FROM host_sample", messages).await;
    assert_published(&fixture, rules_of(&fixture.client(Part::Ingestor).await).await).await;
    ingestor.stop().await;
    let raised = episodes(&published(&fixture).await);
    let history = History::open(&fixture.history()).unwrap();
    let span = Span { from_us: 0, to_us: fleetps_nats::now_us() };
    let mut tried = Vec::new();
    for (id, sentence) in RULES {
        let rule = Rule::parse(id, 0, Severity::Warning, sentence).unwrap();
        if !rule.measure.is_in_the_past() {
            continue;
        }
        let test = history.back_test(&[rule], span, &|_| true).unwrap();
        assert!(test.episode_count < MAX_EPISODES as u64);
        let episode = |it: fleetps_ingestor::history::Episode| {
            (id.to_owned(), it.host.to_string(), it.key.to_string(), it.from_us, it.end)
        };
        tried.extend(test.episodes.into_iter().map(episode));
    }
    tried.sort_by(|a, b| format!("{a:?}").cmp(&format!("{b:?}")));
    for (raised, tried) in raised.iter().zip(&tried) {
        assert_eq!(raised, tried);
    }
    assert_eq!(raised.len(), tried.len());
    assert!(raised.len() > 50, "only {} episodes", raised.len());
}
