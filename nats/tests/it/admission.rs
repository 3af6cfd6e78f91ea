//! Hosts are admitted, wait, change their keys and are revoked; the broker keeps everybody else out.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{Client, connection::State};
use fleetps_nats::{
    HostName,
    admission::{AdmissionService, AdmissionSettings, EnrolmentTokens, Hello, TOKENS, Welcome},
    audit::Audit,
    bucket::Bucket,
    connection::{Broker, ConnectionError},
    hosts::{self, Admission, HostRecord, LegacyAgent},
    key,
    server::Part,
    subject,
};

use crate::support::{Fixture, host, start, until, within};

const HOUR: Duration = Duration::from_secs(3600);

/// A broker with admission.
pub struct Admitting {
    pub fixture: Fixture,
    pub service: AdmissionService,
    pub tokens: EnrolmentTokens,
    pub hosts: Bucket<HostRecord>,
}

/// A machine: its name, its key and the broker it knows.
pub struct Machine {
    pub host: HostName,
    pub broker: Broker,
}

impl Admitting {
    pub async fn start(settings: AdmissionSettings) -> Self {
        let fixture = start().await;
        let service = within(fixture.server.admission(&host("here"), settings)).await.unwrap();
        let client = fixture.client(Part::Api).await;
        let tokens = EnrolmentTokens::open(&client).await.unwrap();
        let hosts = hosts::open(&client).await.unwrap();
        Self { fixture, service, tokens, hosts }
    }

    pub fn machine(&self, name: &str) -> Machine {
        self.machine_with_key(name, &format!("{name}-{}", fastrand::u64(..)))
    }

    fn machine_with_key(&self, name: &str, file: &str) -> Machine {
        let file: PathBuf = self.fixture.folder.path().join(file);
        if !file.exists() {
            key::make(&file).unwrap();
        }
        let broker = self.fixture.server.broker(Part::Agent).with_key(file);
        Machine { host: host(name), broker }
    }

    pub async fn token(&self, uses: u32) -> String {
        self.tokens.make(HOUR, uses, ["env=prod".parse().unwrap()]).await.unwrap()
    }

    pub async fn record(&self, name: &str) -> Option<HostRecord> {
        self.hosts.get(name).await.unwrap().map(|entry| entry.value)
    }

    pub async fn set(&self, name: &str, change: impl FnOnce(&mut HostRecord)) {
        let mut entry = self.hosts.get(name).await.unwrap().unwrap();
        change(&mut entry.value);
        assert!(self.hosts.update(name, &entry.value, entry.revision).await.unwrap());
    }

    fn refused(&self, reason: &str) -> u64 {
        self.service.refused().get(reason).copied().unwrap_or_default()
    }
}

impl Machine {
    pub async fn connect(&self, token: Option<&str>) -> Result<Client, ConnectionError> {
        within(self.broker.enrol(&self.host, token)).await
    }

    pub fn public_key(&self) -> String {
        key::read(self.broker.nkey_file.as_ref().unwrap()).unwrap().public_key()
    }

    /// Whether what it publishes is acknowledged by the stream.
    async fn can_publish(&self, client: &Client) -> bool {
        let jetstream = async_nats::jetstream::new(client.clone());
        match jetstream.publish(subject::snapshot(&self.host), "x".into()).await {
            Ok(acknowledgement) => acknowledgement.await.is_ok(),
            Err(_) => false,
        }
    }
}

fn is_refused(outcome: Result<Client, ConnectionError>) -> bool {
    let refusal = format!("{:?}", outcome.expect_err("it was let in")).to_lowercase();
    assert!(refusal.contains("authorization"), "{refusal}");
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_admits_a_host_and_from_then_on_only_its_key_speaks_for_its_name() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    broker.fixture.jetstream().await;
    let token = broker.token(1).await;
    let machine = broker.machine("web-01");
    assert!(is_refused(machine.connect(None).await));
    assert!(is_refused(machine.connect(Some("fpse_madeup")).await));
    let client = machine.connect(Some(&token)).await.unwrap();
    assert!(machine.can_publish(&client).await);
    let record = broker.record("web-01").await.unwrap();
    assert_eq!(record.keys, [machine.public_key()]);
    assert_eq!(record.groups, BTreeSet::from(["env=prod".to_owned()]));
    machine.connect(None).await.unwrap();

    let impostor = broker.machine("web-01");
    assert!(is_refused(impostor.connect(None).await));
    assert!(is_refused(broker.machine("web-02").connect(Some(&token)).await));
    let another = broker.token(9).await;
    assert!(is_refused(impostor.connect(Some(&another)).await));
    let counted: Vec<_> = ["unknown-host", "unknown-token", "other-key", "used-token"]
        .map(|reason| broker.refused(reason))
        .into();
    assert_eq!(counted, [1, 1, 2, 1]);
    assert_eq!(broker.record("web-01").await.unwrap().keys, [machine.public_key()]);

    let audit = Audit::open(&broker.fixture.client(Part::Api).await).await.unwrap();
    until("what was done is on record", || async {
        let entries = within(audit.read(1)).await.unwrap();
        let count = |action| entries.iter().filter(|chained| chained.entry.action == action).count();
        count("host.admit") == 1 && count("host.refuse") == 4
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_hosts_at_once_exactly_as_many_get_in_as_the_token_has_uses() {
    let broker = Arc::new(Admitting::start(AdmissionSettings::default()).await);
    let token = broker.token(3).await;
    let mut attempts = tokio::task::JoinSet::new();
    for number in 0..12 {
        let (broker, token) = (Arc::clone(&broker), token.clone());
        attempts.spawn(async move {
            let machine = broker.machine(&format!("web-{number}"));
            machine.connect(Some(&token)).await.is_ok()
        });
    }
    let admitted = within(attempts.join_all()).await.into_iter().filter(|admitted| *admitted).count();
    assert_eq!(admitted, 3);
    assert_eq!(broker.hosts.all().await.unwrap().len(), 3 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_and_is_never_kept_itself() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    let token = broker.tokens.make(Duration::from_millis(1), 5, []).await.unwrap();
    assert!(is_refused(broker.machine("web-01").connect(Some(&token)).await));
    assert_eq!(broker.refused("expired-token"), 1);
    let client = broker.fixture.client(Part::Api).await;
    let kept: Bucket<serde_json::Value> = Bucket::open(&client, TOKENS).await.unwrap();
    let all = kept.all().await.unwrap();
    assert_eq!(all.len(), 1);
    assert!(!format!("{all:?}").contains(token.trim_start_matches("fpse_")), "{all:?}");
    // Making another removes those that are of no use.
    broker.token(1).await;
    assert_eq!(kept.all().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_a_host_waits_until_it_is_approved() {
    let broker = Admitting::start(AdmissionSettings { approve: true, keys: None }).await;
    let (machine, impostor) = (broker.machine("web-01"), broker.machine("web-01"));
    assert!(is_refused(machine.connect(None).await));
    assert!(is_refused(impostor.connect(None).await));
    let waiting = broker.record("web-01").await.unwrap();
    assert_eq!((waiting.admission, &waiting.keys), (Admission::Waiting, &vec![machine.public_key()]));
    broker.set("web-01", |record| record.admission = Admission::Admitted).await;
    machine.connect(None).await.unwrap();
    assert!(is_refused(impostor.connect(None).await));
    assert_eq!((broker.refused("waiting"), broker.refused("other-key")), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_host_is_cut_off_at_once_and_stays_out_and_the_others_stay_in() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    broker.fixture.jetstream().await;
    let token = broker.token(2).await;
    let (bad, good) = (broker.machine("bad"), broker.machine("good"));
    let (bad_client, good_client) =
        (bad.connect(Some(&token)).await.unwrap(), good.connect(Some(&token)).await.unwrap());
    let connections = good_client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed);
    assert!(bad.can_publish(&bad_client).await);
    let revoked = Instant::now();
    broker.set("bad", |record| record.admission = Admission::Revoked).await;
    until("the revoked host is cut off", || async { bad_client.connection_state() != State::Connected })
        .await;
    println!("cut off {:?} after it was revoked", revoked.elapsed());
    assert!(revoked.elapsed() < Duration::from_secs(5));
    until("it was refused", || async { broker.refused("revoked") > 0 }).await;
    assert!(is_refused(bad.connect(None).await));
    let another = broker.token(1).await;
    assert!(is_refused(bad.connect(Some(&another)).await));
    assert!(good.can_publish(&good_client).await);
    assert_eq!(good_client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed), connections);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_host_is_cut_off_and_its_name_is_free_again() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    let (first, second) = (broker.token(1).await, broker.token(1).await);
    let (old, new) = (broker.machine("web-01"), broker.machine("web-01"));
    let client = old.connect(Some(&first)).await.unwrap();
    broker.hosts.delete("web-01").await.unwrap();
    until("the forgotten host is cut off", || async { client.connection_state() != State::Connected }).await;
    new.connect(Some(&second)).await.unwrap();
    assert!(is_refused(old.connect(None).await));
}

async fn hello(client: &Client, name: &str, hello: &Hello) -> Welcome {
    let asking = async {
        loop {
            let question = serde_json::to_vec(hello).unwrap();
            // Lost where the connection ends in this moment.
            if let Ok(answer) = client.request(subject::hello(&host(name)), question.into()).await {
                return serde_json::from_slice(&answer.payload).unwrap();
            }
        }
    };
    within(asking).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_good_once_announced_and_its_first_use_ends_the_former_one() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    let token = broker.token(1).await;
    let (former, next) = (broker.machine("web-01"), broker.machine("web-01"));
    let client = former.connect(Some(&token)).await.unwrap();
    assert!(!hello(&client, "web-01", &Hello::default()).await.rotate);
    broker.set("web-01", |record| record.rotate = true).await;
    until("it is told to change its key", || async {
        hello(&client, "web-01", &Hello::default()).await.rotate
    })
    .await;
    assert!(is_refused(next.connect(None).await));
    let announced =
        hello(&client, "web-01", &Hello { next_key: Some(next.public_key()), ..Hello::default() }).await;
    assert!(announced.accepted);
    for rubbish in ["", "UX", &former.public_key()] {
        let refused =
            hello(&client, "web-01", &Hello { next_key: Some(rubbish.to_owned()), ..Hello::default() }).await;
        assert!(!refused.accepted, "{rubbish}");
    }
    former.connect(None).await.unwrap();
    next.connect(None).await.unwrap();
    until("whoever has the former key is cut off", || async {
        client.connection_state() != State::Connected
    })
    .await;
    assert!(is_refused(former.connect(None).await));
    let record = broker.record("web-01").await.unwrap();
    assert_eq!((record.keys, record.rotate), (vec![next.public_key()], false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_arrives_late_or_again_does_not_lock_out_the_key_announced_since() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    let token = broker.token(1).await;
    let [former, late, next] = [(); 3].map(|()| broker.machine("web-01"));
    let client = former.connect(Some(&token)).await.unwrap();
    for machine in [&late, &next, &late] {
        let announced =
            hello(&client, "web-01", &Hello { next_key: Some(machine.public_key()), ..Hello::default() })
                .await;
        assert!(announced.accepted);
    }
    next.connect(None).await.unwrap();
    assert!(is_refused(late.connect(None).await) && is_refused(former.connect(None).await));
    assert_eq!(broker.record("web-01").await.unwrap().keys, [next.public_key()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_admission_those_who_are_connected_go_on_and_others_come_in_when_it_is_back() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    broker.fixture.jetstream().await;
    let token = broker.token(2).await;
    let (connected, late) = (broker.machine("web-01"), broker.machine("web-02"));
    let client = connected.connect(Some(&token)).await.unwrap();
    late.connect(Some(&token)).await.unwrap();
    let Admitting { fixture, service, .. } = broker;
    drop(service);
    assert!(connected.can_publish(&client).await);
    assert!(is_refused(late.connect(None).await));
    let told = Arc::new(tokio::sync::Notify::new());
    let trying = within(late.broker.connect_agent(&late.host, Arc::clone(&told))).await.unwrap();
    let here = host("here");
    let service = fixture.server.admission(&here, AdmissionSettings::default());
    let _service = within(service).await.unwrap();
    within(told.notified()).await;
    assert!(late.can_publish(&trying).await && connected.can_publish(&client).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_put_into_groups_before_it_came_enrols_like_any_other_and_keeps_them() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    let tagged = HostRecord {
        keys: Vec::new(),
        admission: Admission::Admitted,
        groups: BTreeSet::from(["team=web".to_owned()]),
        first_contact_at_us: 0,
        admitted_at_us: None,
        token: None,
        rotate: false,
        network: None,
        legacy: None,
    };
    for name in ["web-01", "this-one"] {
        assert!(broker.hosts.create(name, &tagged).await.unwrap());
    }
    let machine = broker.machine("web-01");
    assert!(is_refused(machine.connect(None).await));
    assert_eq!(broker.refused("unknown-host"), 1);
    assert_eq!(broker.record("web-01").await.unwrap(), tagged);
    let token = broker.token(2).await;
    machine.connect(Some(&token)).await.unwrap();
    let record = broker.record("web-01").await.unwrap();
    assert_eq!(record.keys, [machine.public_key()]);
    assert_eq!(record.groups, ["env=prod", "team=web"].map(str::to_owned).into());
    assert!(is_refused(broker.machine("web-01").connect(Some(&token)).await));

    // The agent beside the broker, too.
    let key = broker.machine("this-one").public_key();
    assert!(within(hosts::admit(&broker.hosts, &host("this-one"), &key)).await.unwrap());
    let record = broker.record("this-one").await.unwrap();
    assert_eq!((record.keys, record.groups), (vec![key], tagged.groups));
    let other = broker.machine("this-one").public_key();
    assert!(!within(hosts::admit(&broker.hosts, &host("this-one"), &other)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_a_token_takes_the_name_of_an_older_one_which_is_remembered() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    let older = LegacyAgent {
        system: "001".to_owned(),
        key: Some("0".repeat(64)),
        name: "web 1".to_owned(),
        verified: true,
        first_from: None,
        machine: None,
    };
    let record = HostRecord {
        keys: Vec::new(),
        admission: Admission::Admitted,
        groups: BTreeSet::from(["legacy".to_owned()]),
        first_contact_at_us: 0,
        admitted_at_us: None,
        token: None,
        rotate: false,
        network: None,
        legacy: Some(older.clone()),
    };
    assert!(broker.hosts.create("web-01", &record).await.unwrap() && !record.is_superseded());
    let machine = broker.machine("web-01");
    assert!(is_refused(machine.connect(None).await), "without a token it is another machine");
    let token = broker.token(1).await;
    machine.connect(Some(&token)).await.unwrap();
    let record = broker.record("web-01").await.unwrap();
    assert!(
        record.is_superseded() && record.keys == [machine.public_key()] && record.groups.contains("legacy")
    );
    assert_eq!(record.legacy, Some(older));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_put_into_groups_before_it_came_may_wait_to_be_approved() {
    let settings = AdmissionSettings { approve: true, ..AdmissionSettings::default() };
    let broker = Admitting::start(settings).await;
    let groups = BTreeSet::from(["team=web".to_owned()]);
    let tagged = HostRecord {
        keys: Vec::new(),
        admission: Admission::Admitted,
        groups: groups.clone(),
        first_contact_at_us: 0,
        admitted_at_us: None,
        token: None,
        rotate: false,
        network: None,
        legacy: None,
    };
    assert!(broker.hosts.create("web-01", &tagged).await.unwrap());
    let machine = broker.machine("web-01");
    assert!(is_refused(machine.connect(None).await));
    let record = broker.record("web-01").await.unwrap();
    assert_eq!(
        (record.admission, record.keys, record.groups),
        (Admission::Waiting, vec![machine.public_key()], groups)
    );
}
