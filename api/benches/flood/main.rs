//! What a flood from one host costs the others: broker, ingestor and the live fleet of a web server in one process, 20
//! hosts that sample every second (`quiet`), and beside them one that sends 100 times as often and as much, or 10,000
//! process names that are new in every snapshot (`loud`). The same figures without a flood come first: what counts is the
//! ratio.
//!
//! `cargo bench -p fleetps --bench flood -- 30`, with the seconds that each of the three parts takes.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on should panic")]

mod loud;
mod quiet;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_nats::Client;
use fleetps::testing::live::{self, Fleet, Intake};
use fleetps_ingestor::{IngestorSettings, segment::SegmentName};
use fleetps_nats::{
    server::{ManagedServer, Part, ServerSettings},
    status::IngestorStatus,
    subject,
};
use futures_util::StreamExt;
use loud::{Flood, Flooder};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Short, so that a delay is not hidden behind the wait for the next seal.
const SEAL_INTERVAL: Duration = Duration::from_secs(1);
/// Before the first figures, and after each part until memory is read again.
const SETTLE: Duration = Duration::from_secs(5);
/// How often memory and the folder are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Nothing takes as long.
const GIVE_UP: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() {
    if loud::is_asked_for() {
        return loud::flood().await;
    }
    let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(30);
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start(folder.path()).await;
    tokio::time::sleep(SETTLE).await;
    println!("{}; {seconds} s each; seals every {SEAL_INTERVAL:?}", quiet::WHAT);
    let calm = bench.measure(None, seconds).await;
    for flood in Flood::ALL {
        let flooded = bench.measure(Some(flood), seconds).await;
        for (what, calm, flooded) in [("fleet", calm.0, flooded.0), ("segment", calm.1, flooded.1)] {
            println!("  to the {what}: 99 % {:.1} times as long as without", flooded / calm);
        }
    }
    bench.stop().await;
}

/// Everything that runs all the time.
struct Bench {
    data: PathBuf,
    server: ManagedServer,
    fleet: Arc<Fleet>,
    intake: watch::Receiver<Intake>,
    /// The highest sequence in a segment.
    sealed: watch::Receiver<u64>,
    status: watch::Receiver<IngestorStatus>,
    stop: CancellationToken,
    parts: JoinSet<()>,
}

impl Bench {
    async fn start(data: &Path) -> Self {
        let server = ManagedServer::start(ServerSettings {
            data: data.to_owned(),
            program: None,
            public: None,
            simulator: true,
            max_file_store_bytes: 10 << 30,
        })
        .await
        .unwrap();
        let history = data.join("history");
        let settings = IngestorSettings {
            history: history.clone(),
            seal_interval: SEAL_INTERVAL,
            ..IngestorSettings::default()
        };
        let IngestorSettings { host_bytes_per_s, keep_down_hosts, .. } = settings;
        let ingestor = server.broker(Part::Ingestor).connect("ingestor").await.unwrap();
        let client = server.broker(Part::Api).connect("web").await.unwrap();
        let (stop, mut parts, fleet) = (CancellationToken::new(), JoinSet::new(), Arc::<Fleet>::default());
        let ingesting = stop.clone();
        parts.spawn(async move { fleetps_ingestor::run(ingestor, settings, ingesting).await.unwrap() });
        let (said, status) = watch::channel(IngestorStatus::default());
        parts.spawn(follow_status(client.clone(), said));
        let (highest, sealed) = watch::channel(0);
        parts.spawn(follow_segments(history, highest));
        let (progress, intake) = watch::channel(Intake::default());
        let (following, shutdown) = (Arc::clone(&fleet), stop.clone());
        parts.spawn(async move {
            let shown = live::Shown { host_bytes_per_s, down_for: keep_down_hosts };
            live::follow(client, &following, shown, &progress, shutdown).await;
        });
        Self { data: data.to_owned(), server, fleet, intake, sealed, status, stop, parts }
    }

    /// One part of the benchmark; the 99th percentiles of both lags, in ms.
    async fn measure(&self, flood: Option<Flood>, seconds: u64) -> (f64, f64) {
        println!("{}", flood.map_or("without a flood", Flood::what));
        let flooder = flood.map(|flood| Flooder::start(flood, &self.data));
        let (skipped, refused) = (self.intake.borrow().skipped, flooded(&self.status.borrow()));
        let before = self.memory();
        let flooder = flooder.map(Flooder::begin);
        let ((lags, sent), most) = self
            .watching_memory(async {
                let followed = quiet::publish(self, seconds).await;
                let sent = flooder.map(Flooder::end);
                (quiet::lags(followed).await, sent)
            })
            .await;
        if let Some(sent) = sent {
            let refused = flooded(&self.caught_up().await) - refused;
            let skipped = self.intake.borrow().skipped - skipped;
            let [stored, shown] = [refused, skipped].map(|left_out| sent.saturating_sub(left_out));
            println!("  of {sent} messages {stored} were unpacked for the history, {shown} for the fleet");
        }
        tokio::time::sleep(SETTLE).await;
        println!("  resident: before {before}; at most {most}; after {}", self.memory());
        let (mut to_fleet_us, mut to_segment_us): (Vec<_>, Vec<_>) = lags.into_iter().unzip();
        (
            report("publish to the live fleet", &mut to_fleet_us),
            report("publish to a segment", &mut to_segment_us),
        )
    }

    /// What `work` comes to, and how much memory there was at most meanwhile.
    async fn watching_memory<T>(&self, work: impl Future<Output = T>) -> (T, Memory) {
        let (mut work, mut most) = (std::pin::pin!(work), self.memory());
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        loop {
            tokio::select! {
                done = &mut work => return (done, most),
                _ = looks.tick() => most = most.most(self.memory()),
            }
        }
    }

    /// The ingestor's word when there is nothing left to read.
    async fn caught_up(&self) -> IngestorStatus {
        let mut status = self.status.clone();
        status.mark_unchanged();
        let waiting = async {
            loop {
                status.changed().await.unwrap();
                let now = status.borrow().clone();
                if now.pending == 0 {
                    return now;
                }
            }
        };
        tokio::time::timeout(GIVE_UP, waiting).await.unwrap()
    }

    fn memory(&self) -> Memory {
        let resident = |pid: u32| resident_mib(pid).unwrap_or_default();
        Memory { here_mib: resident(std::process::id()), broker_mib: resident(self.server.pid()) }
    }

    async fn stop(mut self) {
        self.stop.cancel();
        self.parts.shutdown().await;
        self.server.stop().await;
    }
}

/// What the ingestor has left unread.
fn flooded(status: &IngestorStatus) -> u64 {
    status.refused.iter().filter(|(reason, _)| reason == "flood").map(|(_, count)| count).sum()
}

async fn follow_status(client: Client, said: watch::Sender<IngestorStatus>) {
    let mut messages = client.subscribe(subject::ALL_INGESTOR_STATUS).await.unwrap();
    while let Some(message) = messages.next().await {
        said.send_replace(IngestorStatus::from_message(&message.payload).unwrap());
    }
}

async fn follow_segments(folder: PathBuf, highest: watch::Sender<u64>) {
    loop {
        let names = fs::read_dir(&folder).into_iter().flatten().flatten();
        let names = names.filter_map(|entry| SegmentName::parse(entry.file_name().to_str()?));
        if let Some(now) = names.map(|name| name.last_sequence).max() {
            highest.send_replace(now);
        }
        tokio::time::sleep(LOOK_INTERVAL / 5).await;
    }
}

/// Prints the figures; returns the 99th percentile in ms.
#[allow(clippy::cast_precision_loss, reason = "microseconds of a benchmark")]
fn report(what: &str, samples_us: &mut [u128]) -> f64 {
    samples_us.sort_unstable();
    let at = |percent: usize| samples_us[(samples_us.len() - 1) * percent / 100] as f64 / 1000.0;
    println!("  {what}: median {:.1} ms, 99 % {:.1} ms, longest {:.1} ms", at(50), at(99), at(100));
    at(99)
}

/// The resident sets of this process and of the broker.
#[derive(Clone, Copy)]
struct Memory {
    here_mib: u64,
    broker_mib: u64,
}

impl Memory {
    fn most(self, other: Self) -> Self {
        Self {
            here_mib: self.here_mib.max(other.here_mib),
            broker_mib: self.broker_mib.max(other.broker_mib),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} MiB (broker {} MiB)", self.here_mib, self.broker_mib)
    }
}

/// Only where the system says it as Linux does.
fn resident_mib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
}
