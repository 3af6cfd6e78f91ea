//! Commands while everything between a person and a unit breaks: two web servers, a broker, agents and their helpers, each a real
//! program that is killed or stands still, over ways that are cut and hold back, mostly in the middle of a command.
//!
//! Each command restarts a unit of its own, and a manager of systemd on a real bus writes down what is called and when. So a second
//! execution of any command, one that the audit does not have before, and one that comes too late cannot be overlooked.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use async_nats::jetstream;
use fastrand::Rng;
use fleetps_nats::{
    audit::{self, AuditEntry},
    bucket::Bucket,
    command::DEFAULT_VALID,
    server::Part,
};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    real::{Program, agent, helper, join},
    scene::Scene,
    systemd::{Bus, Call, Job, Manager, Unit},
    way::{Fault, Way},
};
use crate::{
    chance::{chance, rounds},
    ingest::{blocking, until},
    program::fleetps_on,
};

/// Commands that servers take, for a person who waits; 1,000 with `FLEETPS_TEST_SCALE=20`.
const COMMANDS: usize = 50;
const HOSTS: usize = 6;
/// Commands that are asked for at a time.
const AT_ONCE: usize = 8;
/// After so many commands a helper is killed: it takes ten in a minute, and its next run as many again.
const OF_ONE_HELPER: usize = 9;
/// Each so many rounds something stands still for longer than a ticket works.
const LONG_EVERY: usize = 15;
/// Each so many rounds the broker is killed.
const KILL_EVERY: usize = 8;
/// Longer than a ticket works.
const LONG: Duration = Duration::from_secs(33);
/// Longer than a server may be silent before another takes over what it has.
const SILENT: Duration = Duration::from_secs(13);
/// The longest pause between two rounds.
const BREATH: Duration = Duration::from_secs(2);
/// How long it may take until everything is settled: twice what a server takes to settle one command.
const SETTLED_WITHIN: Duration = Duration::from_secs(300);
/// What a command may come too late by the clock of this test, which reads it when the call has crossed the bus.
const LATE: Duration = Duration::from_secs(2);

/// What goes over the way of a server, and of a host, in the middle of a command.
const AT_A_SERVER: [&str; 5] =
    ["\"command.ask\"", "\"published\"", "\"ask\":\"ticket\"", "\"ask\":\"run\"", "\"answer\":\"stage\""];
const AT_A_HOST: [&str; 5] = [
    "\"ask\":\"ticket\"",
    "\"answer\":\"ticket\"",
    "\"ask\":\"run\"",
    "\"answer\":\"stage\"",
    "\"ask\":\"wait\"",
];

/// A program that is started again when it has ended.
struct Kept {
    command: Command,
    program: Program,
}

impl Kept {
    fn start(mut command: Command) -> Self {
        let program = Program::start(&mut command);
        Self { command, program }
    }

    fn restart(&mut self) {
        self.program = Program::start(&mut self.command);
    }

    fn revive(&mut self) {
        if self.program.has_ended() {
            self.restart();
        }
    }
}

struct Host {
    name: String,
    way: Way,
    agent: Kept,
    helper: Kept,
    /// Commands since the helper was started by this test.
    taken: usize,
}

/// A web server, and its way to the broker.
pub struct Web {
    pub address: String,
    way: Way,
    program: Kept,
}

struct World {
    scene: Scene,
    _bus: Bus,
    manager: Arc<Manager>,
    hosts: Vec<Host>,
    webs: Vec<Web>,
    random: Rng,
}

impl World {
    /// `None` where there is no dbus-daemon.
    async fn start(random: Rng) -> Option<Self> {
        let bus = Bus::start()?;
        let manager = Manager::start(&bus.address).await;
        let scene = Scene::start().await;
        let (mut hosts, mut webs) = (Vec::new(), Vec::new());
        for number in 0..HOSTS {
            let (name, way) = (format!("web-{number}"), Way::to(&scene.server.url()).await);
            let rules = [
                ("units = []", "units = [\"restart job-*.service\"]"),
                ("output_lines = 10", "output_lines = 0"),
            ];
            let config = join(&scene, &way.url, &name, &rules).await;
            let (agent, helper) = (Kept::start(agent(&config)), Kept::start(helper(&config, &bus.address)));
            hosts.push(Host { name, way, agent, helper, taken: 0 });
        }
        for number in 0..2 {
            let way = Way::to(&scene.server.url()).await;
            webs.push(web(&scene, &scene.folder.path().join(format!("serve-{number}")), way));
        }
        let world = Self { scene, _bus: bus, manager, hosts, webs, random };
        for web in &world.webs {
            is_up(web, HOSTS).await;
        }
        Some(world)
    }

    /// Arms a fault somewhere.
    fn harm(&mut self, round: usize) {
        let (is_long, is_kill) = (round % LONG_EVERY == 1, round % KILL_EVERY == 2);
        let time = Duration::from_millis(self.random.u64(100..3_000));
        let broker = self.scene.server.pid();
        if is_long || !is_kill && self.random.bool() {
            let host = self.random.choice(&self.hosts).unwrap();
            let (agent, helper) = (host.agent.program.pid(), host.helper.program.pid());
            let fault = match self.random.u32(0..10) {
                0..4 if is_long => Fault::Stop(agent, LONG),
                4..8 if is_long => Fault::Stop(helper, LONG),
                _ if is_long => Fault::Hold(LONG),
                0 => Fault::Kill(agent),
                1..3 => Fault::Kill(helper),
                3 => Fault::Stop(agent, time),
                4 => Fault::Stop(helper, time),
                5 => Fault::Stop(broker, time),
                6 => Fault::Cut,
                7 => Fault::CutAfter,
                _ => Fault::Hold(time),
            };
            let text = if is_long { "\"ask\":\"run\"" } else { self.random.choice(AT_A_HOST).unwrap() };
            host.way.arm(text, fault);
        } else {
            let web = self.random.choice(&self.webs).unwrap();
            let server = web.program.program.pid();
            let fault = match self.random.u32(0..10) {
                _ if is_kill => Fault::Kill(broker),
                0 => Fault::Stop(server, SILENT),
                1..3 => Fault::Kill(server),
                3 => Fault::Kill(broker),
                4 => Fault::Stop(broker, time),
                5 => Fault::Cut,
                6 => Fault::CutAfter,
                7 => Fault::Hold(SILENT),
                _ => Fault::Hold(time),
            };
            web.way.arm(self.random.choice(AT_A_SERVER).unwrap(), fault);
        }
    }

    /// Asks for some restarts at once, each of a unit that has no other, and returns how many were taken.
    async fn ask(&mut self, number: &mut usize) -> usize {
        let mut asking = Vec::new();
        *self.manager.job.lock().unwrap() =
            self.random.choice([Job::Done, Job::SaidFirst, Job::AmongOthers, Job::Fails]).unwrap();
        for _ in 0..AT_ONCE {
            let unit = format!("job-{number}.service");
            *number += 1;
            let known =
                Unit { names: vec![unit.clone()], active: "active", invocation: 1, main_pid: 1_000_000_000 };
            self.manager.units.lock().unwrap().insert(unit.clone(), known);
            let address = self.random.choice(&self.webs).unwrap().address.clone();
            let place = self.random.usize(..HOSTS);
            let url = format!("{address}/api/v1/hosts/{}/commands", self.hosts[place].name);
            let body = json!({"action": "restart", "unit": unit, "why": "a test"}).to_string();
            // Other answers than this one, and none, leave open whether it was taken: the records say it.
            let ask =
                move || is_taken(ureq::post(url).config().timeout_global(Some(LATE * 5)).build().send(body));
            asking.push(async move { (place, blocking(ask).await) });
        }
        let mut taken = 0;
        for (place, is_taken) in join_all(asking).await {
            self.hosts[place].taken += usize::from(is_taken);
            taken += usize::from(is_taken);
        }
        taken
    }

    /// Waits until most of the last commands are over and came to their hosts, so that the next ones do not all meet the same fault; not
    /// for long, because some take half a minute.
    async fn breathe(&self) {
        let until = Instant::now() + BREATH;
        while Instant::now() < until {
            for web in &self.webs {
                let url = format!("{}/api/v1/commands?limit={AT_ONCE}", web.address);
                let few = blocking(move || troubled(url)).await;
                if few.is_some_and(|few| few <= AT_ONCE / 4) {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Starts what has ended, and helpers that would take no more.
    fn revive(&mut self) {
        for web in &mut self.webs {
            web.program.revive();
        }
        for host in &mut self.hosts {
            host.agent.revive();
            host.helper.revive();
            if host.taken >= OF_ONE_HELPER - 1 {
                host.helper.restart();
                host.taken = 0;
            }
        }
    }

    /// Nothing more goes wrong; what stands still or is held back goes on by itself.
    fn disarm(&self) {
        self.webs
            .iter()
            .map(|web| &web.way)
            .chain(self.hosts.iter().map(|host| &host.way))
            .for_each(Way::disarm);
    }

    /// Every record, when all are over.
    async fn records(&mut self) -> Vec<Value> {
        let since = Instant::now();
        self.disarm();
        loop {
            self.revive();
            let records = match Bucket::<Value>::open(&self.scene.client, "commands").await {
                Ok(bucket) => bucket.all().await.unwrap_or_default(),
                Err(_) => Vec::new(),
            };
            let records: Vec<Value> = records.into_iter().map(|(_, entry)| entry.value).collect();
            let open: Vec<&Value> = records.iter().filter(|record| record["is_over"] != true).collect();
            if open.is_empty() && !records.is_empty() {
                return records;
            }
            assert!(
                since.elapsed() < SETTLED_WITHIN,
                "{} of {} are not over: {open:#?}",
                open.len(),
                records.len()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The entries of the audit, and when the broker had each.
    async fn audited(&self) -> Vec<(SystemTime, AuditEntry)> {
        let stream = jetstream::new(self.scene.client.clone()).get_stream(audit::STREAM).await.unwrap();
        let mut entries = Vec::new();
        for sequence in 1..=stream.cached_info().state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let entry = serde_json::from_slice::<AuditEntry>(&message.payload).unwrap();
            entries.push((message.time.into(), entry));
        }
        entries
    }
}

/// How many of the latest commands are not over, or did not come to their hosts; none where the server says nothing.
fn troubled(url: String) -> Option<usize> {
    let mut answer = ureq::get(url).config().timeout_global(Some(BREATH)).build().call().ok()?;
    let list: Value = serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()?;
    let is_well = |command: &&Value| {
        command["is_over"] == true && command["state"] != "cancelled" && command["state"] != "not_there"
    };
    Some(list["commands"].as_array()?.iter().filter(|command| !is_well(command)).count())
}

fn is_taken(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> bool {
    answer.is_ok_and(|answer| answer.status().is_success())
}

/// Waits until a web server knows of so many hosts.
pub async fn is_up(web: &Web, hosts: usize) {
    let url = format!("{}/api/v1/hosts", web.address);
    let ask = || {
        let url = url.clone();
        blocking(move || ureq::get(url).call().ok()?.body_mut().read_to_string().ok())
    };
    until("every host is known", async || ask().await.unwrap_or_default().matches("\"up\"").count() == hosts)
        .await;
}

/// A web server in a process of its own, which can command hosts.
pub fn web(scene: &Scene, data: &Path, way: Way) -> Web {
    let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let key = scene.server.broker(Part::Api).nkey_file.unwrap();
    let mut command = fleetps_on(data, &listen);
    command.args(["--nats", &way.url, "--nkey"]).arg(&key).arg("--control-key-file");
    command.arg(key.with_file_name("control.nk")).arg("serve");
    Web { address: format!("http://{listen}"), way, program: Kept::start(command) }
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_executed_without_an_entry_before_or_twice_or_late_and_what_is_said_of_each_is_true() {
    let Some(mut world) = World::start(chance()).await else { return };
    let (wanted, mut taken, mut number, mut round) = (rounds(COMMANDS), 0, 0, 0);
    while taken < wanted {
        world.harm(round);
        let more = world.ask(&mut number).await;
        world.revive();
        match more {
            // The broker is away, or both servers are.
            0 => tokio::time::sleep(BREATH / 8).await,
            _ => world.breathe().await,
        }
        taken += more;
        assert!(taken > 0 || round < wanted, "servers take nothing");
        round += 1;
    }
    let records = world.records().await;
    let calls = world.manager.calls.lock().unwrap().clone();
    let mut by_unit: HashMap<&str, Vec<&Call>> = HashMap::new();
    for call in &calls {
        let unit = call.what.split(' ').nth(1).unwrap();
        by_unit.entry(unit).or_default().push(call);
    }
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &records {
        let unit = record["what"]["unit"].as_str().unwrap();
        let called = by_unit.get(unit).map(Vec::as_slice).unwrap_or_default();
        *states.entry(is_true(record, called)).or_default() += 1;
    }
    let asked = world.audited().await;
    for (unit, called) in &by_unit {
        assert_eq!(called.len(), 1, "executed twice: {called:?}");
        is_asked_before(unit, called[0], &asked);
    }
    println!(
        "{} commands, {} executed, {} kills of the broker: {states:?}",
        records.len(),
        calls.len(),
        world.scene.server.restarts()
    );
    assert!(
        records.len() >= wanted && states["done"] >= wanted / 10 && world.scene.server.restarts() > 0,
        "{states:?}"
    );
}

/// Whether the record says what has happened, and that was in time; returns its state.
fn is_true<'a>(record: &'a Value, called: &[&Call]) -> &'a str {
    let steps = record["steps"].as_array().unwrap();
    let last = steps.last().unwrap();
    let (state, reason) = (last["state"].as_str().unwrap(), last["reason"].as_str());
    let is_right = match (state, called) {
        ("done", [call]) => call.job != Job::Fails,
        // A call that systemd did not answer: it may do it yet, and it is said.
        ("failed", _) if reason == Some("job_late") => true,
        ("failed", [call]) => call.job == Job::Fails,
        ("refused" | "expired" | "not_there" | "cancelled", []) | ("unknown", _) => true,
        _ => false,
    };
    assert!(is_right, "it says {state}, and was called {called:?}: {record:#}");
    for call in called {
        let sent = steps.iter().filter(|step| step["state"] == "published");
        let sent_us = sent.map(|step| step["at_us"].as_u64().unwrap()).max().expect("it was sent");
        let until = SystemTime::UNIX_EPOCH + Duration::from_micros(sent_us) + DEFAULT_VALID + LATE;
        assert!(call.at <= until, "executed late: {call:?}: {record:#}");
    }
    state
}

fn is_asked_before(unit: &str, call: &Call, entries: &[(SystemTime, AuditEntry)]) {
    let words = format!("restart {unit}, command ");
    let is_it = |entry: &AuditEntry| entry.action == "command.ask" && entry.what.starts_with(&words);
    let asked = entries.iter().find(|(_, entry)| is_it(entry));
    let (at, _) = asked.unwrap_or_else(|| panic!("no entry of {unit}"));
    assert!(*at < call.at, "{unit} was executed before it was written down");
}
