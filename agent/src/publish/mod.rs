//! Getting packed snapshots into the stream: every one of them, once, in order, or counted as dropped.
//!
//! Sampling pushes into a [`Ring`] and never waits. One task per host takes the oldest snapshot, publishes it and
//! removes it only when the stream has acknowledged it; until then it tries the same snapshot again. So one is in
//! flight at a time and the stream has them in sequence order, on which the ingestor relies. A repeat is harmless: the
//! ingestor recognises it by host, run and sequence. It has no message id, because ids are shared by all hosts of the
//! stream: who knows or guesses one can make the message vanish.
//!
//! There are two ways: `nats` to the broker, `http` through a web server. The ring and the order are the same for both.

mod http;
mod nats;
mod ring;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_nats::Client;
use bytes::Bytes;
use fleetps_nats::{HostName, connection::reconnect_delay, decode::worth_bytes};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::server::Session;
use http::ServerWay;
use nats::BrokerWay;

pub use ring::{Packed, Ring};

/// Bytes of packed snapshots that wait for the stream: half an hour of 300 processes every second, a day at 30 s.
pub const RING_BYTES: usize = 16 << 20;
/// How long the last snapshots may take to leave when the agent stops.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Where sampling leaves its snapshots; cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring>,
    pushed: Notify,
}

impl Outbox {
    /// An empty one that holds at most `max_bytes` ([`RING_BYTES`] for a real host).
    pub fn new(max_bytes: usize) -> Self {
        Self { shared: Arc::new(Shared { ring: Mutex::new(Ring::new(max_bytes)), pushed: Notify::new() }) }
    }

    /// Leaves a packed snapshot of that many `processes` to be published. Never waits; the oldest may be dropped to make
    /// room.
    pub fn push(&self, sequence: u64, message: Vec<u8>, processes: usize) {
        self.push_sampled(sequence, message, processes, None);
    }

    /// The same of a snapshot that was sampled at `sampled_at` since the boot, so that readers learn how old it is when it
    /// leaves.
    pub fn push_sampled(
        &self,
        sequence: u64,
        message: Vec<u8>,
        processes: usize,
        sampled_at: Option<Duration>,
    ) {
        let worth_bytes = worth_bytes(&message, processes);
        self.ring().push(Packed { sequence, message: Bytes::from(message), sampled_at, worth_bytes });
        self.shared.pushed.notify_one();
    }

    /// Snapshots dropped so far.
    pub fn dropped(&self) -> u64 {
        self.ring().dropped()
    }

    /// Snapshots that wait for the stream.
    pub fn waiting(&self) -> usize {
        self.ring().len()
    }

    /// The ring is plain data, so a panic elsewhere leaves nothing half done in it.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.shared.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Publishes what one host leaves in its outbox.
pub struct Publisher {
    way: Way,
    outbox: Outbox,
    host: HostName,
}

/// How a snapshot gets into the stream.
enum Way {
    Broker(Box<BrokerWay>),
    Server(ServerWay),
}

/// The outcome of one attempt.
#[derive(Debug, PartialEq, Eq)]
enum Attempt {
    Stored,
    /// It is worth another try, after this time at the least.
    TryAgain(Duration),
    /// The server has said which `after` it wants: it is worth another try with that now, and is put off when it is asked
    /// for another one again.
    AtOnce,
    NeverFits,
}

impl Publisher {
    /// A publisher of what `host` leaves in `outbox`, over `client`.
    pub fn new(client: Client, host: &HostName, outbox: Outbox) -> Self {
        Self { way: Way::Broker(Box::new(BrokerWay::new(client, host))), outbox, host: host.clone() }
    }

    /// The same through a web server, of the snapshots of `run`.
    pub fn through_server(session: Session, run: String, outbox: Outbox) -> Self {
        let host = session.host().clone();
        Self { way: Way::Server(ServerWay::new(session, run)), outbox, host }
    }

    /// Publishes until `shutdown`, then publishes the waiting snapshots for up to half a second.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.publish_forever() => {}
        }
        // The attempt that was just cut off may have arrived; the ingestor recognises the repeat.
        self.outbox.ring().release();
        if tokio::time::timeout(FLUSH_TIMEOUT, self.flush()).await.is_err() {
            tracing::warn!(
                host = %self.host,
                waiting = self.outbox.waiting(),
                "stopped before the stream took every snapshot; those waiting are lost"
            );
        }
    }

    async fn publish_forever(&self) {
        loop {
            self.flush().await;
            self.outbox.shared.pushed.notified().await;
        }
    }

    /// Publishes until nothing is waiting.
    async fn flush(&self) {
        let mut failures = 0;
        loop {
            if self.outbox.ring().is_empty() {
                return;
            }
            if let Way::Broker(way) = &self.way {
                way.connected().await;
            }
            let Some(packed) = self.outbox.ring().take_flight() else { return };
            let attempt = match &self.way {
                Way::Broker(way) => way.attempt(packed).await,
                Way::Server(way) => way.attempt(packed).await,
            };
            match attempt {
                Attempt::Stored => {
                    self.outbox.ring().confirm();
                    failures = 0;
                }
                Attempt::NeverFits => self.outbox.ring().give_up(),
                // So that a server which asks for something else each time is not asked all the time.
                Attempt::AtOnce if failures == 0 => {
                    self.outbox.ring().release();
                    failures += 1;
                }
                Attempt::AtOnce => self.put_off(Duration::ZERO, &mut failures).await,
                Attempt::TryAgain(wait) => self.put_off(wait, &mut failures).await,
            }
        }
    }

    /// Waits before the next attempt: drawn at random, and longer with each failure.
    async fn put_off(&self, wait: Duration, failures: &mut usize) {
        self.outbox.ring().release();
        tokio::time::sleep(wait + reconnect_delay(*failures)).await;
        *failures += 1;
    }
}
