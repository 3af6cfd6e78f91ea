//! The hosts that are not to be delayed: each publishes once a second, and every snapshot is followed to where it goes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream;
use fleetps::testing::live::Fleet;
use fleetps_agent::simulate::{self, SimulationSettings};
use fleetps_nats::{HostName, now_us, server::Part, snapshot::Encoder, subject};
use tokio::{sync::watch, task::JoinSet};

use crate::{Bench, GIVE_UP};

/// What these hosts are.
pub const WHAT: &str = "20 hosts with 300 processes each, every second";
const HOSTS: usize = 20;
const PROCESSES: usize = 300;
/// Between two snapshots of the same host, and of any.
const INTERVAL: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(50);

/// Snapshots on their way.
pub type Followed = JoinSet<Result<(u128, u128), tokio::time::error::Elapsed>>;

/// Publishes for so many seconds.
pub async fn publish(bench: &Bench, seconds: u64) -> Followed {
    let client = bench.server.broker(Part::Simulator);
    let client = client.connect_later("quiet", "_INBOX_simulator").await.unwrap();
    let mut hosts = simulate::Fleet::new(&SimulationSettings {
        hosts: HOSTS,
        processes: PROCESSES,
        interval: INTERVAL,
        run_id: format!("quiet-{}", now_us()),
        ..SimulationSettings::default()
    });
    let names = hosts.host_names().to_vec();
    let (mut encoder, mut followed) = (Encoder::new().unwrap(), JoinSet::new());
    let mut ticks = tokio::time::interval(STEP);
    for _ in 0..seconds {
        for (number, host) in names.iter().enumerate() {
            ticks.tick().await;
            let snapshot = hosts.snapshot(number, now_us());
            let message = encoder.encode(&snapshot).unwrap();
            let sent = Sent { host: host.clone(), captured_at_us: snapshot.captured_at_us, message };
            let (fleet, sealed) = (Arc::clone(&bench.fleet), bench.sealed.clone());
            followed.spawn(tokio::time::timeout(GIVE_UP, sent.follow(client.clone(), fleet, sealed)));
        }
    }
    followed
}

/// Of every snapshot, how many µs it took to the live fleet and to a segment.
pub async fn lags(followed: Followed) -> Vec<(u128, u128)> {
    followed.join_all().await.into_iter().map(|lag| lag.expect("a snapshot did not arrive")).collect()
}

struct Sent {
    host: HostName,
    captured_at_us: i64,
    message: Vec<u8>,
}

impl Sent {
    /// Publishes it and waits until it, or a later one, is where it belongs.
    async fn follow(
        self,
        client: async_nats::Client,
        fleet: Arc<Fleet>,
        mut sealed: watch::Receiver<u64>,
    ) -> (u128, u128) {
        let started = Instant::now();
        let mut changed = fleet.watch();
        let in_fleet = async {
            let is_later = |at_us: i64| at_us >= self.captured_at_us;
            while !fleet.summary(&self.host).is_some_and(|shown| is_later(shown.captured_at_us)) {
                changed.changed().await.unwrap();
            }
            started.elapsed().as_micros()
        };
        let in_segment = async {
            let jetstream = jetstream::new(client);
            let subject = subject::snapshot(&self.host);
            let message = bytes::Bytes::from(self.message);
            // As an agent does: until the stream has it.
            let stored = loop {
                let sent = jetstream.publish(subject.clone(), message.clone()).await.unwrap();
                if let Ok(stored) = sent.await {
                    break stored;
                }
                tokio::time::sleep(STEP).await;
            };
            sealed.wait_for(|highest| *highest >= stored.sequence).await.unwrap();
            started.elapsed().as_micros()
        };
        tokio::join!(in_fleet, in_segment)
    }
}
