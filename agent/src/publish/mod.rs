//! Getting packed snapshots into the stream: every one of them, once, in order, or counted as dropped.
//!
//! Sampling pushes into a [`Ring`] and never waits. One task per host takes the oldest snapshot, publishes it and
//! removes it only when the stream has acknowledged it; until then it tries the same snapshot again. So one is in
//! flight at a time and the stream has them in sequence order, on which the ingestor relies. A repeat is harmless: the
//! ingestor recognises it by host, run and sequence. It has no message id, because ids are shared by all hosts of the
//! stream: who knows or guesses one can make the message vanish.
//!
//! It publishes only while the connection is up: the client would otherwise keep copies and send them much later.

mod ring;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_nats::{
    Client,
    connection::State,
    jetstream::{self, Context, context::PublishErrorKind, message::PublishMessage, publish::PublishAck},
};
use bytes::Bytes;
use fleetps_nats::{HostName, connection::reconnect_delay, decode::worth_bytes, stream, subject};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::sample::since_boot;

pub use ring::{Packed, Ring};

/// Bytes of packed snapshots that wait for the broker: half an hour of 300 processes every second, a day at 30 s.
pub const RING_BYTES: usize = 16 << 20;
/// How long a broker may take to acknowledge; a leader election in a cluster takes 8 s, and a repeat is harmless.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the state of the connection is checked while something waits for it; there is no event to wait for.
const CONNECTION_POLL: Duration = Duration::from_millis(100);
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
    jetstream: Context,
    client: Client,
    outbox: Outbox,
    subject: String,
}

/// The outcome of one attempt.
#[derive(Debug, PartialEq, Eq)]
enum Attempt {
    Stored,
    TryAgain,
    NeverFits,
}

impl Publisher {
    /// A publisher of what `host` leaves in `outbox`, over `client`.
    pub fn new(client: Client, host: &HostName, outbox: Outbox) -> Self {
        let jetstream = jetstream::ContextBuilder::new().timeout(ACK_TIMEOUT).build(client.clone());
        Self { jetstream, client, outbox, subject: subject::snapshot(host) }
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
                subject = self.subject,
                waiting = self.outbox.waiting(),
                "stopped before the broker took every snapshot; those waiting are lost"
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
            self.connected().await;
            let Some(packed) = self.outbox.ring().take_flight() else { return };
            match self.attempt(packed).await {
                Attempt::Stored => {
                    self.outbox.ring().confirm();
                    failures = 0;
                }
                Attempt::NeverFits => self.outbox.ring().give_up(),
                Attempt::TryAgain => {
                    self.outbox.ring().release();
                    tokio::time::sleep(reconnect_delay(failures)).await;
                    failures += 1;
                }
            }
        }
    }

    async fn connected(&self) {
        while self.client.connection_state() != State::Connected {
            tokio::time::sleep(CONNECTION_POLL).await;
        }
    }

    async fn disconnected(&self) {
        while self.client.connection_state() == State::Connected {
            tokio::time::sleep(CONNECTION_POLL).await;
        }
    }

    async fn attempt(&self, packed: Packed) -> Attempt {
        let sequence = packed.sequence;
        tokio::select! {
            result = self.publish(packed) => match result {
                Ok(acknowledgement) if is_of_this_message(&acknowledgement) => Attempt::Stored,
                Ok(_) => {
                    tracing::warn!(
                        subject = self.subject, sequence,
                        "the broker did not store a snapshot but takes it for another one; publishing again"
                    );
                    Attempt::TryAgain
                }
                Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                    tracing::error!(
                        subject = self.subject, sequence, error = %error,
                        "dropping a snapshot that the broker never takes; raise its max_payload to 1 MiB or more"
                    );
                    Attempt::NeverFits
                }
                Err(error) => {
                    // Right after a broker's start "no stream" only means "not yet".
                    tracing::debug!(subject = self.subject, sequence, error = %error, "publishing again");
                    Attempt::TryAgain
                }
            },
            // The acknowledgement was lost with the connection: no use waiting for the timeout.
            () = self.disconnected() => Attempt::TryAgain,
        }
    }

    async fn publish(&self, packed: Packed) -> Result<PublishAck, jetstream::context::PublishError> {
        let mut message = PublishMessage::build()
            .payload(packed.message)
            .header(stream::SEQUENCE_HEADER, packed.sequence.to_string().as_str());
        if let Some(sampled_at) = packed.sampled_at {
            let age = since_boot().saturating_sub(sampled_at);
            message = message.header(stream::AGE_HEADER, age.as_micros().to_string().as_str());
        }
        let acknowledgement = self.jetstream.send_publish(self.subject.clone(), message).await?;
        acknowledgement.await
    }
}

/// Whether it says that the message is in the stream now. A message without an id is never a duplicate.
fn is_of_this_message(acknowledgement: &PublishAck) -> bool {
    acknowledgement.stream == stream::SNAPSHOTS && !acknowledgement.duplicate
}
