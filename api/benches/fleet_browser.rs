//! The fleet page in a browser while its hosts send: from a key in the filter, a click on a column's head and a turn of the page
//! until the new rows are drawn; how long the page's scripts keep the browser busy; and how large the page and its patches are.
//!
//! `cargo bench -p fleetps --bench fleet_browser -- 200 10000` measures a fleet of 200 hosts and one of 10,000 (the same
//! without arguments), so that the one is the reference of the other on whatever machine this is. Needs chromium and
//! chromedriver on PATH; takes a minute.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on should panic")]

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use fantoccini::{Client, ClientBuilder};
use fleetps::testing::{live, routes, state::AppState};
use fleetps_agent::simulate::{Fleet, SimulationSettings};
use fleetps_nats::snapshot::{Encoder, Sent};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
};
use tokio_util::sync::CancellationToken;

/// Enough for the figures of a row; what a host has beside changes nothing on this page.
const PROCESSES: usize = 20;
/// Between two snapshots of a host, which come one by one.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long patches are counted.
const PATCHED_S: u64 = 15;
/// What is typed, letter by letter, and taken back.
const TYPED: [&str; 12] = ["w", "we", "web", "web ", "web c", "web cpu", "web", "d", "db", "db-0", "db", ""];

/// Does each of `steps`, and calls back with how many ms each took until the frame with its new rows, and how many of them until
/// the answer was there.
const TIMED: &str = "
    const [steps, kind, done] = arguments;
    const acts = {
        type: (text) => {
            const field = document.getElementById('q');
            field.focus();
            field.value = text;
            field.dispatchEvent(new Event('input', { bubbles: true }));
        },
        click: (selector) => document.querySelector(selector).click(),
    };
    (async () => {
        const [times, answers] = [[], []];
        for (const step of steps) {
            const swapped = new Promise((resolve) => document.addEventListener('swap', resolve, { once: true }));
            const began = performance.now();
            acts[kind](step);
            await swapped;
            document.body.offsetHeight;
            await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
            times.push(performance.now() - began);
            const asked = performance.getEntriesByType('resource').filter((entry) => entry.initiatorType === 'fetch').at(-1);
            answers.push(asked.responseEnd - began);
            await new Promise((resolve) => setTimeout(resolve, 250));
        }
        done({ times, answers });
    })();";

/// Calls back with the sizes of patches over some seconds, on a stream as the page's own, and the ms of tasks over 50 ms.
const PATCHES: &str = "
    const [seconds, done] = arguments;
    const main = document.getElementById('main');
    const url = new URL(main.dataset.live, location.href);
    url.searchParams.set('since', main.dataset.version);
    const sizes = [];
    let busy = 0;
    const observer = new PerformanceObserver((list) => { for (const task of list.getEntries()) busy += task.duration; });
    observer.observe({ type: 'longtask' });
    const source = new EventSource(url);
    source.onmessage = (event) => sizes.push(event.data.length);
    setTimeout(() => { source.close(); observer.disconnect(); done({ sizes, busy }); }, seconds * 1000);";

fn main() {
    let mut fleets: Vec<usize> = std::env::args().skip(1).filter_map(|number| number.parse().ok()).collect();
    if fleets.is_empty() {
        fleets = vec![200, 10_000];
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for hosts in fleets {
        runtime.block_on(measure(hosts));
    }
}

async fn measure(hosts: usize) {
    let shared = AppState::new(None, CancellationToken::new());
    let router = routes::router(shared.clone());
    let done = Arc::new(AtomicBool::new(false));
    let sending = send(hosts, shared, Arc::clone(&done));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let (driver, client) = browser().await;
    // Twice: the first page of a browser tells its zone.
    for _ in 0..2 {
        client.goto(&address).await.unwrap();
    }
    println!("{hosts} hosts with {PROCESSES} processes each, every {} s:", INTERVAL.as_secs());
    let size = "const [page] = performance.getEntriesByType('navigation'); return [page.decodedBodySize, page.encodedBodySize, document.querySelectorAll('#hosts tbody tr').length]";
    println!("  bytes of the page, the same as sent, rows: {}", client.execute(size, vec![]).await.unwrap());
    report("a key in the filter", &client, json!(TYPED), "type").await;
    let heads = ["memory", "load", "host", "procs", "cpu"].map(|head| format!("#hosts th.{head} a"));
    report("a click on a column's head", &client, json!(heads), "click").await;
    if hosts > 1_000 {
        let turns = ["after", "after", "before", "before"].map(|turn| format!("#hosts-{turn}"));
        report("a turn of the page", &client, json!(turns), "click").await;
    }
    let patches = client.execute_async(PATCHES, vec![json!(PATCHED_S)]).await.unwrap();
    report_patches(&patches);
    client.close().await.unwrap();
    drop(driver);
    done.store(true, Relaxed);
    sending.join().unwrap();
    serving.abort();
}

/// Tells of every host twice, and then of one after the other.
fn send(hosts: usize, shared: AppState, done: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let settings =
        SimulationSettings { hosts, processes: PROCESSES, run_id: "bench".to_owned(), ..Default::default() };
    let (mut simulated, mut encoder) = (Fleet::new(&settings), Encoder::new().unwrap());
    let mut tell = move |number: usize| {
        let now_us = live::now_us();
        let snapshot = simulated.snapshot(number, now_us);
        let host = simulated.host_names()[number].clone();
        let message = encoder.encode(&snapshot).unwrap();
        shared.fleet.take(host, &message, snapshot, Sent::new(now_us, None));
    };
    (0..2 * hosts).for_each(|number| tell(number % hosts));
    let between = INTERVAL / u32::try_from(hosts).unwrap();
    std::thread::spawn(move || {
        let began = Instant::now();
        for number in 0.. {
            if done.load(Relaxed) {
                return;
            }
            tell(usize::try_from(number).unwrap() % hosts);
            std::thread::sleep((between * (number + 1)).saturating_sub(began.elapsed()));
        }
    })
}

async fn browser() -> (Child, Client) {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut driver = command.spawn().unwrap();
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port: u16 = loop {
        let line = lines.next_line().await.unwrap().unwrap();
        if let Some((_, port)) = line.split_once("successfully on port ") {
            break port.trim_end_matches('.').parse().unwrap();
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--headless=new",
        "--window-size=1440,900",
    ];
    let capabilities = json!({"goog:chromeOptions": {"args": arguments}, "timeouts": {"script": 120_000}});
    let client = ClientBuilder::new(HttpConnector::new())
        .capabilities(capabilities.as_object().unwrap().clone())
        .connect(&format!("http://127.0.0.1:{port}"))
        .await
        .unwrap();
    (driver, client)
}

async fn report(what: &str, client: &Client, steps: Value, kind: &str) {
    let times = client.execute_async(TIMED, vec![steps, json!(kind)]).await.unwrap();
    let [(median, longest), (answered, _)] = ["times", "answers"].map(|figure| {
        let mut times: Vec<f64> = serde_json::from_value(times[figure].clone()).unwrap();
        times.sort_by(f64::total_cmp);
        (times[times.len() / 2], times[times.len() - 1])
    });
    println!(
        "  {what}: median {median:.0} ms, of which {answered:.0} until the answer, longest {longest:.0} ms"
    );
}

fn report_patches(patches: &Value) {
    let mut sizes: Vec<u64> = serde_json::from_value(patches["sizes"].clone()).unwrap();
    sizes.sort_unstable();
    let at = |percent: usize| sizes.get(sizes.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0);
    println!(
        "  {} patches in {PATCHED_S} s, {} KB in all: median {} bytes, 99 % {}, longest {}; tasks over 50 ms took {} ms",
        sizes.len(),
        sizes.iter().sum::<u64>() / 1024,
        at(50),
        at(99),
        at(100),
        patches["busy"]
    );
}
