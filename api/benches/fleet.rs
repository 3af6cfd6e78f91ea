//! Questions about the whole fleet while its hosts send: the fleet page, the list of hosts, searches, metrics, a page that asks
//! nothing of the fleet, and the processor time of open pages.
//!
//! `cargo bench -p fleetps --bench fleet -- 2000 200` (hosts, processes); takes about a minute.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on should panic")]
#![allow(clippy::cast_precision_loss, reason = "figures of a benchmark")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use fleetps::testing::{live, routes, state::AppState};
use fleetps_agent::simulate::{Fleet, SimulationSettings};
use fleetps_nats::{
    HostName, Snapshot,
    snapshot::{Encoder, Sent},
};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Requests of one kind.
const ROUNDS: usize = 60;
/// Pages that are open at once, all with the same query.
const OPEN_PAGES: usize = 50;
/// How long they are.
const OPEN_FOR: Duration = Duration::from_secs(8);
/// Between two snapshots of a host, which come one by one.
const INTERVAL: Duration = Duration::from_secs(10);
const SEARCHES: [(&str, &str); 3] = [
    ("search that matches few", "/search?q=name+%3D+postgres+and+cpu+%3E+90"),
    ("search that matches everything", "/search?q=cpu+%3E%3D+0"),
    ("search by a rate", "/search?q=read+%3E+100M"),
];
const SUGGESTIONS: [(&str, &str); 2] = [
    ("suggestions for a letter", "/api/v1/suggest?q=n"),
    ("suggestions for a name", "/api/v1/suggest?q=nginx"),
];

const METRICS: [(&str, &str); 3] = [
    ("metrics of fleetps", "/metrics"),
    ("metrics of hosts", "/metrics/hosts"),
    ("metrics of hosts and their programs", "/metrics/hosts?programs=20"),
];

/// A snapshot, packed before anything is measured.
struct Packed {
    host: HostName,
    snapshot: Snapshot,
    message: Vec<u8>,
}

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|number| number.parse().ok()).collect();
    let (hosts, processes) =
        (numbers.first().copied().unwrap_or(2_000), numbers.get(1).copied().unwrap_or(200));
    // Two threads serve requests, as on the machine of two cores that measurements are of.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure(hosts, processes));
}

async fn measure(hosts: usize, processes: usize) {
    let mut site = Site::new(hosts, processes);
    println!("{hosts} hosts with {processes} processes each; resident {} MB", resident_mb());
    println!("at rest:");
    for (what, url) in [("fleet page", "/"), ("list of hosts as JSON", "/api/v1/hosts")]
        .into_iter()
        .chain(SEARCHES)
        .chain(SUGGESTIONS)
    {
        times(&site.router, what, url).await;
    }
    site.take_all("taking a snapshot of each host");
    for (what, url) in METRICS {
        times(&site.router, what, url).await;
    }
    site.take_all("the same while metrics are read");
    for pages in [0, 1, OPEN_PAGES] {
        site.open_pages(pages).await;
    }
    println!("while a snapshot comes every millisecond:");
    let (fleet, sent) = (site.shared.fleet.clone(), site.packed(hosts));
    let sending = std::thread::spawn(move || send(&fleet, sent, Duration::from_millis(1)));
    times(&site.router, "fleet page", "/").await;
    times(&site.router, "page of one host", &format!("/hosts/{}", site.simulated.host_names()[0])).await;
    sending.join().unwrap();
    println!("resident at the end {} MB", resident_mb());
}

struct Site {
    shared: AppState,
    router: Router,
    simulated: Fleet,
    encoder: Encoder,
    hosts: usize,
}

impl Site {
    /// A fleet of which two snapshots of every host are known.
    fn new(hosts: usize, processes: usize) -> Self {
        let shared = AppState::new(None, CancellationToken::new());
        let settings = SimulationSettings {
            hosts,
            processes,
            run_id: "bench".to_owned(),
            ..SimulationSettings::default()
        };
        let mut site = Self {
            router: routes::router(shared.clone()),
            shared,
            simulated: Fleet::new(&settings),
            encoder: Encoder::new().unwrap(),
            hosts,
        };
        for _ in 0..2 {
            let sent = site.packed(hosts);
            send(&site.shared.fleet, sent, Duration::ZERO);
        }
        site
    }

    /// Takes one more snapshot of every host.
    fn take_all(&mut self, what: &str) {
        let sent = self.packed(self.hosts);
        let began = Instant::now();
        send(&self.shared.fleet, sent, Duration::ZERO);
        println!("  {what}: {:.1} ms", began.elapsed().as_secs_f64() * 1000.0);
    }

    /// Snapshots of one host after the other, packed before anything is measured.
    fn packed(&mut self, count: usize) -> Vec<Packed> {
        let of_host = |number: usize| {
            let number = number % self.hosts;
            let snapshot = self.simulated.snapshot(number, live::now_us());
            let host = self.simulated.host_names()[number].clone();
            Packed { host, message: self.encoder.encode(&snapshot).unwrap(), snapshot }
        };
        (0..count).map(of_host).collect()
    }

    /// A fleet that sends every host's snapshot once in an interval, while this many fleet pages are open.
    async fn open_pages(&mut self, pages: usize) {
        let between = INTERVAL / u32::try_from(self.hosts).unwrap();
        let count = OPEN_FOR.as_micros() / between.as_micros();
        let (fleet, sent) = (self.shared.fleet.clone(), self.packed(usize::try_from(count).unwrap()));
        let open: Vec<_> = (0..pages).map(|_| tokio::spawn(read_patches(self.router.clone()))).collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (begun, used_before) = (Instant::now(), processor_time());
        let sending = std::thread::spawn(move || send(&fleet, sent, between));
        let mut waits = Vec::new();
        while !sending.is_finished() {
            let asked = Instant::now();
            get(&self.router, "/healthz").await;
            waits.push(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sending.join().unwrap();
        let used = processor_time().saturating_sub(used_before).as_secs_f64() / begun.elapsed().as_secs_f64();
        println!(
            "{pages} open fleet pages while {count} snapshots come in {} s: {used:.3} of a core",
            OPEN_FOR.as_secs()
        );
        report("a request beside that asks nothing of the fleet", &mut waits);
        open.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Tells the fleet of all these, one every `between`.
fn send(fleet: &live::Fleet, sent: Vec<Packed>, between: Duration) {
    let begun = Instant::now();
    for (number, sent) in sent.into_iter().enumerate() {
        let due = between * u32::try_from(number).unwrap();
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        fleet.take(sent.host, &sent.message, sent.snapshot, Sent::new(live::now_us(), None));
    }
}

async fn read_patches(router: Router) {
    let request = Request::get("/live").header("host", "localhost").body(Body::empty()).unwrap();
    let mut body = router.oneshot(request).await.unwrap().into_body().into_data_stream();
    while let Some(Ok(_)) = body.next().await {}
}

async fn get(router: &Router, url: &str) -> usize {
    let request = Request::get(url).header("host", "localhost").body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{url}");
    to_bytes(response.into_body(), 256 << 20).await.unwrap().len()
}

async fn times(router: &Router, what: &str, url: &str) {
    let mut waits = Vec::new();
    get(router, url).await;
    for _ in 0..ROUNDS {
        let asked = Instant::now();
        // On a worker, as the requests of connections are.
        let (router, url) = (router.clone(), url.to_owned());
        tokio::spawn(async move { get(&router, &url).await }).await.unwrap();
        waits.push(asked.elapsed());
    }
    report(what, &mut waits);
}

fn report(what: &str, waits: &mut [Duration]) {
    waits.sort_unstable();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!("  {what}: median {:.2} ms, 99 % {:.2} ms, longest {:.2} ms", at(50), at(99), at(100));
}

/// Processor time of this process so far; Linux counts it in hundredths of a second.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string(Path::new("/proc/self/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(10 * ticks)
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
}
