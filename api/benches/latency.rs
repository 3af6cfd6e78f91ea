//! From an agent's publish to the patch in an open page, with 1,000 simulated hosts publishing beside it, and, in the
//! same run, from the same publish to a bare subscriber of the broker: the limit of what any page could do.
//!
//! `cargo bench -p fleetps --bench latency`; takes about a minute and a half.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on should panic")]

use std::time::{Duration, Instant};

use fleetps::testing::auth::{Addresses, People};
use fleetps_agent::simulate::{self, Fleet, SimulationSettings};
use fleetps_ingestor::IngestorSettings;
use fleetps_nats::{
    HostName,
    server::{ManagedServer, Part, ServerSettings},
    snapshot::Encoder,
    subject,
};
use futures_util::StreamExt;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

const HOSTS: usize = 1000;
const PROCESSES: usize = 300;
const INTERVAL: Duration = Duration::from_secs(10);
/// Enough for a 99th percentile.
const ROUNDS: usize = 400;
/// Longer than the shortest time between two patches of one page (50 ms), which would otherwise be measured.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let host: HostName = "here".parse().unwrap();
    let server = ManagedServer::start(ServerSettings {
        data: folder.path().to_owned(),
        program: None,
        public: None,
        simulator: true,
        max_file_store_bytes: 10 << 30,
    })
    .await
    .unwrap();
    let ended = CancellationToken::new();
    let ingestor = server.broker(Part::Ingestor).connect("ingestor").await.unwrap();
    let settings = IngestorSettings { history: folder.path().join("history"), ..IngestorSettings::default() };
    tokio::spawn(fleetps_ingestor::run(ingestor, settings.clone(), ended.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = server.broker(Part::Api).connect("web").await.unwrap();
    let people = People::anybody(Addresses::default());
    tokio::spawn(fleetps::testing::server::run(
        fleetps::testing::tls::TlsListener::plaintext(listener),
        client.clone(),
        fleetps::testing::server::Health::default(),
        settings,
        fleetps::testing::config::QuestionSettings::default(),
        people,
        ended.clone(),
    ));
    let simulation =
        SimulationSettings { hosts: HOSTS, processes: PROCESSES, interval: INTERVAL, ..Default::default() };
    tokio::spawn(simulate::run(simulation, server.broker(Part::Simulator), ended.clone()));
    // Every host once, and the whole pipeline warm.
    tokio::time::sleep(INTERVAL + INTERVAL / 2).await;

    let mut probe = Probe::new(&server, host.clone()).await;
    probe.publish().await;
    let mut bare = client.subscribe(subject::snapshot(&host)).await.unwrap();
    let mut page = open_page(address, &host).await;
    let (mut to_broker_us, mut to_page_us) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        tokio::time::sleep(BETWEEN_ROUNDS).await;
        let started = Instant::now();
        probe.publish().await;
        let patch = next_event(&mut page);
        let message = async {
            bare.next().await.unwrap();
            started.elapsed()
        };
        let (at_page, at_broker) = tokio::join!(
            async {
                patch.await;
                started.elapsed()
            },
            message
        );
        to_broker_us.push(at_broker.as_micros());
        to_page_us.push(at_page.as_micros());
    }
    println!(
        "{HOSTS} hosts with {PROCESSES} processes each, every {} s; {ROUNDS} rounds",
        INTERVAL.as_secs()
    );
    let broker = report("publish to a bare subscriber", &mut to_broker_us);
    let page = report("publish to the patch in a page", &mut to_page_us);
    println!("ratio at the median {:.1}, at the 99th percentile {:.1}", page.0 / broker.0, page.1 / broker.1);
    ended.cancel();
    server.stop().await;
}

/// Prints the figures; returns the median and the 99th percentile in ms.
#[allow(clippy::cast_precision_loss, reason = "microseconds of a benchmark")]
fn report(what: &str, samples_us: &mut [u128]) -> (f64, f64) {
    samples_us.sort_unstable();
    let at = |percent: usize| samples_us[(samples_us.len() - 1) * percent / 100] as f64 / 1000.0;
    println!("{what}: median {:.2} ms, 99 % {:.2} ms, longest {:.2} ms", at(50), at(99), at(100));
    (at(50), at(99))
}

/// The agent of the page's host: each snapshot differs from the one before, as a real one does.
struct Probe {
    client: async_nats::Client,
    fleet: Fleet,
    encoder: Encoder,
    host: HostName,
}

impl Probe {
    async fn new(server: &ManagedServer, host: HostName) -> Self {
        let client = server.broker(Part::Simulator).connect_later("probe", "_INBOX_simulator").await.unwrap();
        let settings = SimulationSettings {
            hosts: 1,
            processes: PROCESSES,
            run_id: "probe".to_owned(),
            ..Default::default()
        };
        Self { client, fleet: Fleet::new(&settings), encoder: Encoder::new().unwrap(), host }
    }

    async fn publish(&mut self) {
        let now_us = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap();
        let message = self.encoder.encode(&self.fleet.snapshot(0, now_us)).unwrap();
        self.client.publish(subject::snapshot(&self.host), message.into()).await.unwrap();
        self.client.flush().await.unwrap();
    }
}

/// Opens the page's stream of patches and takes the first.
async fn open_page(address: std::net::SocketAddr, host: &HostName) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET /hosts/{host}/live HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = BufReader::new(stream);
    next_event(&mut page).await;
    page
}

/// Waits for the next patch.
async fn next_event(page: &mut BufReader<TcpStream>) {
    let mut line = Vec::new();
    loop {
        line.clear();
        assert!(page.read_until(b'\n', &mut line).await.unwrap() > 0, "the stream of patches ended");
        if line.starts_with(b"data:") {
            return;
        }
    }
}
