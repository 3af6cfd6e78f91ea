//! The ten questions of somebody who has a fleet, each answered in a real browser by keyboard alone.
//!
//! `FLEETPS_TEST_FLEET=http://127.0.0.1:8080 cargo test --release -p fleetps --test it -- --ignored --nocapture
//! browser_questions::measures` asks them of a running `fleetps --demo 40 --auth off --no-agent` that has its past, and prints the table of
//! docs/measurements.md.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fleetps::testing::live::{now_us, steady_us};
use fleetps_ingestor::alerts::Change;
use fleetps_nats::{
    Snapshot,
    command::{Ask, Stage},
    snapshot::Process,
};
use serde_json::{Value, json};

use crate::{
    alerts::transition,
    browser::Browser,
    command::{
        helper::Turn,
        scene::{Scene, Web},
    },
    history::{PastSite, STEP_US},
    support::{Site, process, snapshot},
};

const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';
const DOWN: char = '\u{e015}';
/// Steps of Tab that nobody would take: there is no way then.
const MAX_TABS: usize = 60;

/// What is asked about, and what is true.
pub struct Truth {
    /// When `job` took all cores of `job_host`, as it is typed.
    job_at: String,
    job: &'static str,
    job_host: &'static str,
    /// What only grows on `leak_host`, who started it and when.
    leak: &'static str,
    leak_host: &'static str,
    leak_parent: &'static str,
    leak_started: String,
    /// Over which range it grew, where that is not the usual one: it may have been restarted.
    grown_within: Option<&'static str>,
    /// Whether it is among what grew most.
    leak_is_seen: bool,
    /// Before something changed on `leak_host`, as it is typed, and what it was.
    changed_since: String,
    changed: &'static str,
    /// What is started again and again, and where.
    looping: &'static str,
    looping_host: &'static str,
    /// A host that fell silent.
    silent_host: Option<&'static str>,
}

/// Somebody at a keyboard, and what it took until the answer was there.
struct Walk<'a> {
    browser: &'a Browser,
    began: Instant,
    typed: usize,
    opened: usize,
    pressed: usize,
}

/// A line of the table.
struct Line {
    question: &'static str,
    typed: usize,
    opened: usize,
    pressed: usize,
    took: Duration,
}

impl<'a> Walk<'a> {
    /// From the fleet page.
    async fn begin(browser: &'a Browser) -> Self {
        let began = Instant::now();
        browser.go("/").await;
        Self { browser, began, typed: 0, opened: 0, pressed: 0 }
    }

    async fn keys(&mut self, text: &str) {
        let mut keys = KeyActions::new("keyboard".to_owned());
        for value in text.chars() {
            keys = keys.then(KeyAction::Down { value }).then(KeyAction::Up { value });
        }
        self.pressed += text.chars().count();
        self.browser.client.perform_actions(keys).await.unwrap();
    }

    /// Types a line into the box of the head.
    async fn find(&mut self, text: &str) {
        self.keys("g").await;
        self.keys(text).await;
        self.typed += 1;
    }

    /// Chooses the suggestion whose link begins so, and opens it.
    async fn take(&mut self, href: &str) {
        let place = format!(
            "const place = [...document.querySelectorAll('#suggestions [role=option]')].findIndex((option) => option.getAttribute('href').startsWith({href:?})); return place"
        );
        let is_there = format!("return (() => {{ {place} }})() >= 0");
        self.browser.until(&is_there, json!(true)).await;
        let place = self.browser.run(&place).await.as_u64().unwrap();
        for _ in 0..=place {
            self.keys(&DOWN.to_string()).await;
        }
        self.open().await;
    }

    /// Goes by Tab to what a selector finds.
    async fn tab_to(&mut self, selector: &str) {
        let is_there = format!("return document.querySelector({selector:?}) !== null");
        self.browser.until(&is_there, json!(true)).await;
        let is_reached = format!("return document.activeElement?.matches({selector:?}) ?? false");
        for _ in 0..MAX_TABS {
            if self.browser.run(&is_reached).await == json!(true) {
                return;
            }
            self.keys(&TAB.to_string()).await;
        }
        panic!("{selector} is not reached by {MAX_TABS} steps of Tab");
    }

    /// The same, and opens it.
    async fn open_at(&mut self, selector: &str) {
        self.tab_to(selector).await;
        self.open().await;
    }

    async fn open(&mut self) {
        self.keys(&ENTER.to_string()).await;
        self.opened += 1;
    }

    /// The answer is there when this is true.
    async fn sees(self, question: &'static str, script: &str) -> Line {
        self.browser.until(script, json!(true)).await;
        let Self { typed, opened, pressed, began, .. } = self;
        Line { question, typed, opened, pressed, took: began.elapsed() }
    }
}

/// Whether some element that a selector finds has this text, on the first screen.
fn shows(selector: &str, text: &str) -> String {
    format!(
        "return [...document.querySelectorAll({selector:?})].some((element) => element.textContent.includes({text:?}) && element.getBoundingClientRect().bottom <= innerHeight)"
    )
}

async fn ask_all(browser: &Browser, truth: &Truth) -> Vec<Line> {
    let mut lines = ask_about_now(browser, truth).await;
    lines.extend(ask_about_then(browser, truth).await);
    lines
}

async fn ask_about_now(browser: &Browser, truth: &Truth) -> Vec<Line> {
    let Truth { leak, leak_host, looping, looping_host, .. } = truth;
    let walk = Walk::begin(browser).await;
    // The greatest first, both of programs and of hosts.
    let sorted = "const of = (table) => [...document.querySelectorAll(`${table} td.cpu`)].slice(0, 3).map((cell) => parseFloat(cell.textContent.replace(',', '')));
        return ['#programs', '#busy'].every((table) => { const all = of(table); return all.length > 0 && all.every((value, place) => place === 0 || value <= all[place - 1]); })";
    let mut lines = vec![walk.sees("1 what takes CPU now", sorted).await];

    let mut walk = Walk::begin(browser).await;
    walk.open_at("#what-grew").await;
    if let Some(range) = truth.grown_within {
        walk.open_at(&format!("a[href*='range={range}']")).await;
    }
    // In a large demonstration, whole hosts that have come lately grew most.
    let grew = if truth.leak_is_seen { *leak } else { "" };
    let grown = shows("#grown tbody tr:nth-child(-n + 3) td.name", grew);
    lines.push(walk.sees("4 what grew in memory", &grown).await);

    let walk = Walk::begin(browser).await;
    let is_there = format!(
        "return [...document.querySelectorAll('#troubles tbody tr')].some((row) => row.textContent.includes({looping:?}) && row.textContent.includes({looping_host:?}))"
    );
    lines.push(walk.sees("6 what is started again and again", &is_there).await);

    let mut walk = Walk::begin(browser).await;
    walk.find(leak).await;
    walk.take(&format!("/hosts/{leak_host}/processes/")).await;
    lines.push(walk.sees("7 who started it", &shows("p.path a", truth.leak_parent)).await);
    let mut walk = Walk::begin(browser).await;
    walk.find(leak).await;
    walk.take(&format!("/hosts/{leak_host}/processes/")).await;
    let started = format!(
        "return [...document.querySelectorAll('dl.who time')].some((time) => time.dateTime.startsWith({:?}))",
        truth.leak_started
    );
    lines.push(walk.sees("8 since when it is there", &started).await);

    if let Some(silent_host) = truth.silent_host {
        let mut walk = Walk::begin(browser).await;
        walk.keys("/silent").await;
        walk.typed += 1;
        let is_it = format!(
            "const rows = [...document.querySelectorAll('#hosts tbody tr')]; return rows.length === 1 && rows[0].textContent.includes({silent_host:?}) && Date.parse(rows[0].querySelector('time').dateTime) > 0"
        );
        lines.push(walk.sees("9 which hosts are silent, since when", &is_it).await);
    }
    lines
}

async fn ask_about_then(browser: &Browser, truth: &Truth) -> Vec<Line> {
    let Truth { job, job_at, job_host, leak_host, changed_since, changed, .. } = truth;
    let mut walk = Walk::begin(browser).await;
    walk.find(&format!("{job_host} at {job_at}")).await;
    walk.take(&format!("/hosts/{job_host}?at=")).await;
    browser.until("return document.getElementById('bar') !== null", json!(true)).await;
    // The tree has it below its parent.
    walk.keys("t").await;
    walk.opened += 1;
    let question = "2 what took CPU on a host at a moment";
    let is_job = format!(
        "return location.search.includes('view=flat') && [...document.querySelectorAll('#processes tbody tr')].slice(0, 5).some((row) => row.querySelector('td.name').textContent.includes({job:?}))"
    );
    let mut lines = vec![walk.sees(question, &is_job).await];

    let mut walk = Walk::begin(browser).await;
    walk.find(&format!("{job} at {job_at}")).await;
    walk.open().await;
    let is_found = format!(
        "return document.getElementById('total')?.textContent.includes(' on ') && [...document.querySelectorAll('#found td.host')].some((cell) => cell.textContent === {job_host:?})"
    );
    lines.push(walk.sees("3 which hosts ran a program then", &is_found).await);

    let mut walk = Walk::begin(browser).await;
    walk.find(&format!("{leak_host} at {changed_since}")).await;
    walk.take(&format!("/hosts/{leak_host}?at=")).await;
    browser.until("return document.getElementById('changed-since') !== null", json!(true)).await;
    walk.keys("c").await;
    walk.opened += 1;
    let is_changed = format!(
        "return ['#started', '#gone', '#restarted'].some((table) => [...document.querySelectorAll(`${{table}} td.name`)].some((cell) => cell.textContent.includes({changed:?})))"
    );
    lines.push(walk.sees("5 what changed on a host", &is_changed).await);
    lines
}

fn print(lines: &mut [Line]) {
    lines.sort_by_key(|line| line.question);
    let mut out = std::io::stdout();
    writeln!(out, "| question | lines typed | things opened | keys | s |\n|---|---|---|---|---|").unwrap();
    for Line { question, typed, opened, pressed, took } in lines {
        let took = took.as_secs_f64();
        writeln!(out, "| {question} | {typed} | {opened} | {pressed} | {took:.1} |").unwrap();
    }
}

/// The processes of a host at a step of its past: a job that takes a core for a while, a cache that grows, a web server that is
/// restarted in the middle.
fn past_of(host: &str, begin_us: i64, step: i64) -> Vec<Process> {
    let mut all = vec![process(1, 0, "init")];
    let steps = u64::try_from(step).unwrap();
    match host {
        "db-01" if (4..8).contains(&step) => {
            all.push(Process { cpu_percent: Some(99.0), ..process(40, 1, "xz") });
        }
        "web-01" => {
            let (pid, started_at_us) = if step < 6 { (50, begin_us) } else { (51, begin_us + 6 * STEP_US) };
            all.push(Process { started_at_us, ..process(pid, 1, "node") });
            let grown = Some((100 + 40 * steps) << 20);
            all.push(Process { resident_bytes: grown, ..process(60, 1, "report-cache") });
        }
        "node-01" => all.push(process(70 + u32::try_from(step).unwrap(), 1, "payments-worker")),
        _ => {}
    }
    all
}

const HOSTS: [&str; 4] = ["db-01", "web-01", "node-01", "quiet-01"];

/// Two minutes half an hour ago, and now.
fn fleet() -> (Site, Truth) {
    let begin_us = (now_us() - 1_800_000_000) / 1_000_000 * 1_000_000;
    let then = (0..12).flat_map(|step| {
        HOSTS.map(|host| {
            let captured_at_us = begin_us + step * STEP_US;
            (host, Snapshot { captured_at_us, ..snapshot(step + 1, past_of(host, begin_us, step)) })
        })
    });
    let past = PastSite::of(begin_us, then.collect());
    let (job_at, changed_since) = (past.at(6), past.at(2));
    let site = past.site;
    site.tell("quiet-01", past_of("quiet-01", begin_us, 11));
    site.shared.fleet.age(steady_us() + 31_000_000);
    for host in HOSTS.into_iter().filter(|host| *host != "quiet-01") {
        site.tell(host, past_of(host, begin_us, 11));
    }
    site.shared.alerts.take(transition("node-01", "payments-worker", Change::Raised));
    let truth = Truth {
        job_at,
        job: "xz",
        job_host: "db-01",
        leak: "report-cache",
        leak_host: "web-01",
        leak_parent: "init",
        leak_started: "2026-09-21T14:13:20".to_owned(),
        grown_within: None,
        leak_is_seen: true,
        changed_since,
        changed: "node",
        looping: "payments-worker",
        looping_host: "node-01",
        silent_host: Some("quiet-01"),
    };
    (site, truth)
}

#[tokio::test(flavor = "multi_thread")]
async fn nine_of_the_ten_questions_are_answered_by_keyboard_alone() {
    let (site, truth) = fleet();
    let Some(browser) = Browser::open(site, true).await else { return };
    let mut lines = ask_all(&browser, &truth).await;
    assert_eq!(lines.len(), 9);
    for Line { question, typed, opened, .. } in &lines {
        assert!(*typed <= 1 && *opened <= 2, "{question}: {typed} lines and {opened} things opened");
    }
    print(&mut lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tenth_a_unit_is_restarted_by_keyboard_alone_and_the_page_says_by_whom() {
    let scene = Scene::start().await;
    let web = scene.web(true).await;
    let host = scene.host("web-01").await;
    host.helper.lock().runs_for = 0;
    host.directed(|helper, ask| {
        if matches!(ask, Ask::Run { .. }) {
            helper.ends = Stage::Done;
        }
        Turn::Usual
    });
    web.knows("web-01");
    let Web { site, .. } = web;
    let Some(browser) = Browser::open(site, true).await else { return };
    let mut walk = Walk::begin(&browser).await;
    walk.find("java").await;
    walk.take("/hosts/web-01/processes/10?").await;
    walk.open_at("a.command[href*='unit=leaky.service']").await;
    walk.tab_to("[name=why]").await;
    walk.keys("it leaks").await;
    walk.typed += 1;
    walk.open().await;
    let is_done = "return document.querySelector('[data-f=state]').textContent === 'done' && document.querySelector('dl.who').textContent.includes('Asked by') && document.querySelector('dl.who').textContent.includes('it leaks')";
    let line = walk.sees("10 restart a unit, and by whom", is_done).await;
    assert_eq!((line.typed, line.opened), (2, 3));
    assert_eq!(host.executed().len(), 1);
    print(&mut [line]);
    drop(browser);
    scene.stop().await;
}

/// What JSON of the running fleet says.
async fn json_of(fleet: &Browser, path: &str) -> Value {
    let script = format!(
        "window.answer = null; fetch({path:?}).then((answer) => answer.json()).then((read) => {{ window.answer = read }})"
    );
    fleet.run(&script).await;
    fleet.until("return window.answer !== null", json!(true)).await;
    fleet.run("return window.answer").await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures; needs a running demonstration"]
async fn measures() {
    let address = std::env::var("FLEETPS_TEST_FLEET").unwrap();
    let mut browser = Browser::open(Site::new(), true).await.unwrap();
    browser.address = address;
    browser.go("/").await;
    // What the simulator lets happen, as agent/src/simulate/incident.rs has it.
    let jobs = json_of(&browser, "/api/v1/hosts/db-01/events?kind=started&program=xz&range=6h").await;
    let deployed = json_of(&browser, "/api/v1/hosts/web-01/events?kind=started&program=node&range=6h").await;
    let cache = json_of(&browser, "/api/v1/search?q=name+%3D+report-cache").await;
    let hosts = json_of(&browser, "/api/v1/hosts").await;
    let time = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let before = |time: &str| {
        let time: jiff::Timestamp = time.parse().unwrap();
        (time - jiff::SignedDuration::from_secs(60)).to_string()
    };
    let truth = Truth {
        job_at: time(&jobs["events"][0], "occurred_at"),
        job: "xz",
        job_host: "db-01",
        leak: "report-cache",
        leak_host: "web-01",
        leak_parent: "systemd",
        leak_started: time(&cache["processes"][0], "started_at")[..19].to_owned(),
        grown_within: Some("15m"),
        leak_is_seen: hosts["hosts"].as_array().unwrap().len() < 100,
        changed_since: before(&time(&deployed["events"][0], "occurred_at")),
        changed: "node",
        looping: "payments-worker",
        looping_host: "node-01",
        silent_host: None,
    };
    for _ in 0..2 {
        print(&mut ask_all(&browser, &truth).await);
    }
}
