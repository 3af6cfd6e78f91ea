//! The permissions of an admitted agent, tried against the real server: every subject of its own host, of another, of
//! all, of the system and of JetStream. Everything that is not listed here as allowed must be refused.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
};

use data_encoding::BASE64URL_NOPAD;
use fleetps_nats::{
    admission::AdmissionSettings,
    audit::{self, Audit, Outcome},
    key,
    server::Part,
    stream, subject,
};
use futures_util::{FutureExt, StreamExt, TryStreamExt};

use crate::{
    admission::{Admitting, Machine},
    support::{host, until, within},
};

/// A connection that speaks the broker's protocol as it likes.
struct Raw {
    reader: BufReader<TcpStream>,
}

impl Raw {
    fn connect(url: &str, user: &str, key_file: &Path) -> Self {
        let stream = TcpStream::connect(url.trim_start_matches("nats://")).unwrap();
        let mut raw = Self { reader: BufReader::new(stream) };
        let info = raw.line();
        let info: serde_json::Value = serde_json::from_str(info.trim_start_matches("INFO ")).unwrap();
        let key = key::read(key_file).unwrap();
        let nonce = info["nonce"].as_str().unwrap();
        let connect = serde_json::json!({
            "verbose": false, "pedantic": false, "headers": true, "protocol": 1, "user": user,
            "nkey": key.public_key(),
            "sig": BASE64URL_NOPAD.encode(&key.sign(nonce.as_bytes()).unwrap()),
        });
        assert_eq!(raw.errors(&format!("CONNECT {connect}\r\n")), Vec::<String>::new());
        raw
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The broker's complaints about `command`.
    fn errors(&mut self, command: &str) -> Vec<String> {
        let sent = self.reader.get_mut().write_all(format!("{command}PING\r\n").as_bytes());
        let mut errors = Vec::new();
        while sent.is_ok() {
            match self.line().as_str() {
                "PONG" => break,
                "" => {
                    errors.push("closed".to_owned());
                    break;
                }
                line if line.starts_with("-ERR") => errors.push(line.to_owned()),
                _ => {}
            }
        }
        errors
    }

    /// Waits for a message, and returns where its sender waits for the answer.
    fn asked(&mut self) -> String {
        loop {
            let line = self.line();
            assert!(!line.is_empty() && !line.starts_with("-ERR"), "{line}");
            // Subject, subscription, reply, sizes; the broker adds a header to what comes from another account.
            if let Some(message) = line.strip_prefix("MSG ").or_else(|| line.strip_prefix("HMSG ")) {
                let fields: Vec<&str> = message.split(' ').collect();
                let bytes: usize = fields[fields.len() - 1].parse().unwrap();
                self.reader.read_exact(&mut vec![0; bytes + "\r\n".len()]).unwrap();
                return fields[2].to_owned();
            }
        }
    }

    fn may_publish(&mut self, subject: &str) -> bool {
        is_permitted(&self.errors(&format!("PUB {subject} 1\r\nx\r\n")))
    }

    fn may_subscribe(&mut self, subject: &str, group: &str) -> bool {
        let is_permitted = is_permitted(&self.errors(&format!("SUB {subject}{group} 7\r\n")));
        self.errors("UNSUB 7\r\n");
        is_permitted
    }
}

fn is_permitted(errors: &[String]) -> bool {
    assert!(errors.iter().all(|error| error.contains("Permissions Violation")), "{errors:?}");
    errors.is_empty()
}

/// Every kind of subject, for one host or several.
const OF_A_HOST: [&str; 23] = [
    "fleetps.{host}",
    "fleetps.{host}.snapshot",
    "fleetps.{host}.snapshot.more",
    "fleetps.{host}.sharp",
    "fleetps.{host}.hello",
    "fleetps.{host}.settings",
    "fleetps.{host}.cmd",
    "fleetps.{host}.>",
    "fleetps.{host}.*",
    "fleetps-audit.{host}.sign-in",
    "fleetps-dead.{host}.flood",
    "fleetps-status.ingestor.{host}",
    "_INBOX_{host}.x",
    "_INBOX_{host}.>",
    "_INBOX.{host}",
    "$KV.settings.{host}",
    "$KV.hosts.{host}",
    "$KV.users.{host}",
    "$KV.enrolment_tokens.{host}",
    "$JS.API.DIRECT.GET.KV_settings.$KV.settings.{host}",
    "$JS.API.DIRECT.GET.KV_hosts.$KV.hosts.{host}",
    "$JS.API.DIRECT.GET.SNAP.fleetps.{host}.snapshot",
    "$JS.API.CONSUMER.CREATE.SNAP.c.fleetps.{host}.snapshot",
];

/// The system's, JetStream's, and everything.
const OF_NO_HOST: [&str; 33] = [
    ">",
    "*",
    "fleetps.>",
    "fleetps-audit.>",
    "_INBOX.>",
    "_INBOX_simulator.x",
    "$SYS.>",
    "$SYS.REQ.USER.AUTH",
    "$SYS.REQ.USER.INFO",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.SERVER.PING.CONNZ",
    "$SYS.REQ.SERVER.N.KICK",
    "$SYS.REQ.ACCOUNT.PING.CONNZ",
    "$SYS.ACCOUNT.AGENTS.CONNECT",
    "$SYS.ACCOUNT.FLEET.>",
    "$JS.>",
    "$JS.API.>",
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.CREATE.X",
    "$JS.API.STREAM.UPDATE.SNAP",
    "$JS.API.STREAM.PURGE.SNAP",
    "$JS.API.STREAM.DELETE.SNAP",
    "$JS.API.STREAM.INFO.SNAP",
    "$JS.API.STREAM.MSG.GET.SNAP",
    "$JS.API.STREAM.MSG.DELETE.SNAP",
    "$JS.API.DIRECT.GET.SNAP",
    "$JS.API.CONSUMER.CREATE.SNAP",
    "$JS.API.CONSUMER.CREATE.KV_settings",
    "$JS.API.CONSUMER.MSG.NEXT.SNAP.c",
    "$JS.ACK.SNAP.c.1.1.1.1.1",
    "$JS.FC.SNAP.c.x",
    "$O.X.C.x",
];

const MAY_PUBLISH: [&str; 4] = [
    "fleetps.own.snapshot",
    "fleetps.own.sharp",
    "fleetps.own.hello",
    "$JS.API.DIRECT.GET.KV_settings.$KV.settings.own",
];
const MAY_HEAR: [&str; 4] = ["fleetps.own.settings", "fleetps.own.cmd", "_INBOX_own.x", "_INBOX_own.>"];

/// The same of a host with a dot in its name, which is none of the host `own`, nor of `own_name`.
const DOTTED: &str = "own.name";
const DOTTED_MAY_PUBLISH: [&str; 4] = [
    "fleetps.own=name.snapshot",
    "fleetps.own=name.sharp",
    "fleetps.own=name.hello",
    "$JS.API.DIRECT.GET.KV_settings.$KV.settings.own=name",
];
const DOTTED_MAY_HEAR: [&str; 4] =
    ["fleetps.own=name.settings", "fleetps.own=name.cmd", "_INBOX_own=name.x", "_INBOX_own=name.>"];

fn every_subject() -> Vec<String> {
    let names =
        ["own", "other", "own.name", "own=name", "own_name", "own.*", "own.>", "own=*", "name", "*", ">"];
    let of_hosts = names
        .into_iter()
        .flat_map(|host| OF_A_HOST.into_iter().map(move |subject| subject.replace("{host}", host)));
    // `>` in the middle is no wildcard but an invalid subject, which ends the connection.
    let is_valid = |subject: &String| subject.find('>').is_none_or(|place| place + 1 == subject.len());
    of_hosts.chain(OF_NO_HOST.map(str::to_owned)).filter(is_valid).collect()
}

async fn own(broker: &Admitting) -> Raw {
    let token = broker.token(2).await;
    let machine = broker.machine("own");
    machine.connect(Some(&token)).await.unwrap();
    broker.machine("other").connect(Some(&token)).await.unwrap();
    Raw::connect(&machine.broker.url, "own", &machine.broker.nkey_file.unwrap())
}

/// Tries every subject with `raw`. Everything in its `inbox` may be heard.
fn may_only(raw: &mut Raw, publish: &[&str], hear: &[&str], inbox: &str) {
    let subjects = every_subject();
    assert!(subjects.len() > 240, "{}", subjects.len());
    for subject in &subjects {
        assert_eq!(raw.may_publish(subject), publish.contains(&subject.as_str()), "publish {subject}");
        let may_hear = hear.contains(&subject.as_str()) || subject.starts_with(inbox);
        assert_eq!(raw.may_subscribe(subject, ""), may_hear, "subscribe {subject}");
        assert_eq!(raw.may_subscribe(subject, " group"), may_hear, "subscribe {subject} in a group");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_publish_and_hear_its_own_and_nothing_else() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    broker.fixture.jetstream().await;
    may_only(&mut own(&broker).await, &MAY_PUBLISH, &MAY_HEAR, "_INBOX_own.");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_a_dot_in_its_name_may_publish_and_hear_its_own_and_nothing_else() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    broker.fixture.jetstream().await;
    let token = broker.token(3).await;
    let mut machines = Vec::new();
    // Side by side: three hosts.
    for name in [DOTTED, "own_name", "own-name"] {
        let machine = broker.machine(name);
        machine.connect(Some(&token)).await.unwrap();
        machines.push(machine);
    }
    for machine in &machines {
        let record = broker.record(machine.host.as_str()).await.unwrap();
        assert_eq!(record.keys, [machine.public_key()], "{}", machine.host);
    }
    let key = machines[0].broker.nkey_file.clone().unwrap();
    let mut raw = Raw::connect(&machines[0].broker.url, DOTTED, &key);
    may_only(&mut raw, &DOTTED_MAY_PUBLISH, &DOTTED_MAY_HEAR, "_INBOX_own=name.");
    assert!(!raw.may_publish("fleetps.other.snapshot"));
    until("the refusals are on record with its name", || async {
        let audit = Audit::open(&broker.fixture.client(Part::Api).await).await.unwrap();
        let entries = audit.read(1).await.unwrap_or_default();
        entries
            .into_iter()
            .any(|chained| chained.entry.action == "host.refuse" && chained.entry.host == Some(host(DOTTED)))
    })
    .await;
    // The key of one is nobody else's.
    let foreign = Machine { host: host("own_name"), broker: machines[0].broker.clone() };
    assert!(foreign.connect(None).await.is_err());
    assert!(machines[0].connect(None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_refuses_to_a_host_is_counted_and_on_record_with_its_name() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    let mut raw = own(&broker).await;
    for _ in 0..3 {
        assert!(!raw.may_publish("fleetps.other.snapshot"));
    }
    assert!(!raw.may_subscribe("fleetps.*.settings\u{1b}", ""));
    assert!(raw.may_publish("fleetps.own.hello"));
    let count = |reason: &str| broker.service.refused().get(reason).copied().unwrap_or_default();
    until("they are counted", || async {
        (count("foreign-publish"), count("foreign-subscription")) == (3, 1)
    })
    .await;
    let audit = Audit::open(&broker.fixture.client(Part::Api).await).await.unwrap();
    let refused = async || {
        // Nothing, as long as the broker is away.
        let entries = audit.read(1).await.unwrap_or_default().into_iter().map(|chained| chained.entry);
        entries.filter(|entry| entry.action == "host.refuse").collect::<Vec<_>>()
    };
    until("it is on record", || async { !refused().await.is_empty() }).await;
    let entry = refused().await.swap_remove(0);
    assert_eq!(
        (entry.who.as_str(), entry.host, entry.outcome),
        ("host own", Some(host("own")), Outcome::Refused)
    );
    assert!(entry.what.starts_with("not its own: \"fleetps.") && entry.what.is_ascii(), "{}", entry.what);

    // The broker is started again, and goes on with its log.
    let (machine, token) = (broker.machine("later"), broker.token(10).await);
    let before = broker.fixture.server.pid();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(i32::try_from(before).unwrap()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    until("the broker is back", || async { broker.fixture.server.pid() != before }).await;
    until("admission is back", || async { machine.connect(Some(&token)).await.is_ok() }).await;
    let mut raw = Raw::connect(&machine.broker.url, "later", &machine.broker.nkey_file.unwrap());
    assert!(!raw.may_publish("fleetps.own.snapshot"));
    until("that is counted, too", || async { count("foreign-publish") == 4 }).await;
    let of_later = async || refused().await.into_iter().any(|entry| entry.host == Some(host("later")));
    until("and on record", of_later).await;
}

/// A payload with words by which the host would be recognised.
const OWN_WORDS: &str = "own-words";

/// Publishes everything that a host may, each with every subject there is as the place for the reply. Returns how many of them
/// were snapshots that the broker took.
fn publish_with_every_reply(machine: &Machine) -> u64 {
    let key = machine.broker.nkey_file.clone().unwrap();
    let mut raw = Raw::connect(&machine.broker.url, "own", &key);
    let mut snapshots = 0;
    for subject in MAY_PUBLISH {
        for reply in every_subject() {
            let command = format!("PUB {subject} {reply} {}\r\n{OWN_WORDS}\r\n", OWN_WORDS.len());
            let errors = raw.errors(&command);
            if errors.iter().any(|error| error == "closed") {
                raw = Raw::connect(&machine.broker.url, "own", &key);
            }
            snapshots += u64::from(subject.ends_with(".snapshot") && errors.is_empty());
        }
    }
    snapshots
}

/// Every stream with its last sequence, but for those that admission itself writes to.
async fn streams(jetstream: &async_nats::jetstream::Context) -> BTreeMap<String, u64> {
    let streams: Vec<_> = jetstream.streams().try_collect().await.unwrap();
    let of_others = streams.into_iter().filter(|stream| stream.config.name != audit::STREAM);
    of_others.map(|stream| (stream.config.name, stream.state.last_sequence)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_a_host_has_sent_elsewhere_change_nothing_and_carry_none_of_its_words() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    let token = broker.token(2).await;
    let (machine, other) = (broker.machine("own"), broker.machine("other"));
    machine.connect(Some(&token)).await.unwrap();
    let other = other.connect(Some(&token)).await.unwrap();
    let fleet = broker.fixture.client(Part::Api).await;
    let everything = fleet.subscribe(">").await.unwrap();
    let of_other = ["fleetps.other.settings", "fleetps.other.cmd", "_INBOX_other.>"];
    let mut heard = stream_select_all(&other, &of_other).await;
    fleet.flush().await.unwrap();

    // Without a stream only the broker itself answers; with one, JetStream acknowledges.
    publish_with_every_reply(&machine);
    let jetstream = broker.fixture.jetstream().await;
    let hosts_before = broker.hosts.all().await.unwrap();
    let mut expected = streams(&jetstream).await;
    let snapshots = publish_with_every_reply(&machine);
    *expected.get_mut(stream::SNAPSHOTS).unwrap() += snapshots;
    until("all of them are stored", || async { streams(&jetstream).await == expected }).await;
    assert_eq!(broker.hosts.all().await.unwrap(), hosts_before);

    // Where everything is, its words came only by the subjects that are its own.
    let end = "fleetps-test.end";
    fleet.publish(end, "".into()).await.unwrap();
    let mut everything = everything.take_while(|message| std::future::ready(message.subject.as_str() != end));
    let (mut own, mut strange) = (0_u64, Vec::new());
    while let Some(message) = within(everything.next()).await {
        match message.payload.as_ref() == OWN_WORDS.as_bytes() {
            true if MAY_PUBLISH.contains(&message.subject.as_str()) => own += 1,
            true => strange.push(message.subject),
            false => {}
        }
    }
    assert!(strange.is_empty() && own >= 2 * snapshots, "{own} {strange:?}");

    // Another host receives replies that it did not request; so a listener believes nothing that is not signed.
    other.flush().await.unwrap();
    let mut answers = 0;
    while let Some(Some(message)) = heard.next().now_or_never() {
        assert_ne!(message.payload.as_ref(), OWN_WORDS.as_bytes(), "{}", message.subject);
        answers += 1;
    }
    println!("another host heard {answers} answers that it did not ask for");
}

/// The messages that a client receives on all of these subjects.
async fn stream_select_all(
    client: &async_nats::Client,
    subjects: &[&'static str],
) -> futures_util::stream::SelectAll<async_nats::Subscriber> {
    let mut all = futures_util::stream::SelectAll::new();
    for subject in subjects {
        all.push(client.subscribe(*subject).await.unwrap());
    }
    client.flush().await.unwrap();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_answers_a_command_once_and_only_where_it_was_asked() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    let mut raw = own(&broker).await;
    assert!(raw.may_subscribe(&subject::commands(&host("own")), ""));
    assert!(raw.errors("SUB fleetps.own.cmd 9\r\n").is_empty());
    let fleet = broker.fixture.client(Part::Api).await;
    let asking = tokio::spawn(async move { within(fleet.request("fleetps.own.cmd", "do".into())).await });
    let answering = tokio::task::spawn_blocking(move || {
        let reply = raw.asked();
        // Elsewhere it may publish as little as before.
        let elsewhere = ["fleetps.other.snapshot", "fleetps.own.cmd", "_INBOX.x", "_INBOX_other.x"];
        assert!(!elsewhere.into_iter().any(|subject| raw.may_publish(subject)));
        assert!(!raw.may_publish(&format!("{reply}.more")));
        assert!(raw.may_publish(&reply), "the answer");
        assert!(!raw.may_publish(&reply), "a second answer");
    });
    assert_eq!(within(asking).await.unwrap().unwrap().payload.as_ref(), b"x");
    within(answering).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_sends_too_much_or_listens_to_too_much_is_stopped_by_the_broker() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    broker.fixture.jetstream().await;
    let mut raw = own(&broker).await;
    let errors: Vec<String> =
        (0..20).flat_map(|number| raw.errors(&format!("SUB _INBOX_own.{number} {number}\r\n"))).collect();
    assert!(errors.iter().any(|error| error.to_lowercase().contains("maximum subscriptions")), "{errors:?}");
    let mut raw = {
        let machine = broker.machine("large");
        let token = broker.token(1).await;
        machine.connect(Some(&token)).await.unwrap();
        Raw::connect(&machine.broker.url, host("large").as_str(), &machine.broker.nkey_file.unwrap())
    };
    let largest = "x".repeat(1 << 20);
    assert!(raw.errors(&format!("PUB fleetps.large.snapshot {}\r\n{largest}\r\n", largest.len())).is_empty());
    let errors = raw.errors(&format!("PUB fleetps.large.snapshot {}\r\n", (1 << 20) + 8193));
    assert!(errors.iter().any(|error| error.contains("Maximum Payload")), "{errors:?}");
}
