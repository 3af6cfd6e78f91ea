//! How the ingestor is doing: counters that every part adds to, said to the broker when they change and every few seconds.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use std::time::Instant;

use async_nats::Client;
use fleetps_nats::{
    snapshot::Refusal,
    status::{IngestorStatus, STATUS_LOOK, StatusTimer},
    subject,
};
use tokio_util::sync::CancellationToken;

/// The counters. Each stands for itself, so no order between them is needed.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    sealed_sequence: AtomicU64,
    read_sequence: AtomicU64,
    pending: AtomicU64,
    stored: AtomicU64,
    duplicates: AtomicU64,
    refused: [AtomicU64; Refusal::REASONS.len()],
    lost_dead_letters: AtomicU64,
    write_error: Mutex<Option<String>>,
    set_aside: Mutex<Vec<String>>,
}

impl Progress {
    /// The messages up to `sequence` are read; `pending` wait in the stream.
    pub(crate) fn set_read(&self, sequence: u64, pending: u64) {
        self.read_sequence.store(sequence, Relaxed);
        self.pending.store(pending, Relaxed);
    }

    /// The sequences up to `sequence` are sealed, with `snapshots` more snapshots.
    pub(crate) fn set_sealed(&self, sequence: u64, snapshots: u64) {
        self.sealed_sequence.store(sequence, Relaxed);
        self.stored.fetch_add(snapshots, Relaxed);
    }

    pub(crate) fn count_duplicate(&self) {
        self.duplicates.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_refused(&self, reason: &'static str) {
        let place = Refusal::REASONS.iter().position(|known| *known == reason);
        if let Some(counter) = place.and_then(|place| self.refused.get(place)) {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn count_lost_dead_letter(&self) {
        self.lost_dead_letters.fetch_add(1, Relaxed);
    }

    /// Why nothing can be written now.
    pub(crate) fn set_write_error(&self, error: Option<String>) {
        *self.write_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    pub(crate) fn set_set_aside(&self, segments: Vec<String>) {
        *self.set_aside.lock().unwrap_or_else(PoisonError::into_inner) = segments;
    }

    /// All of it, as the message says it.
    pub(crate) fn status(&self, partition: u32) -> IngestorStatus {
        let refused = Refusal::REASONS.iter().zip(&self.refused);
        IngestorStatus {
            partition,
            written_at_us: jiff::Timestamp::now().as_microsecond(),
            sealed_sequence: self.sealed_sequence.load(Relaxed),
            read_sequence: self.read_sequence.load(Relaxed),
            pending: self.pending.load(Relaxed),
            stored: self.stored.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            refused: refused.map(|(reason, count)| ((*reason).to_owned(), count.load(Relaxed))).collect(),
            lost_dead_letters: self.lost_dead_letters.load(Relaxed),
            write_error: self.write_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            set_aside: self.set_aside.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// Publishes the status until it is cancelled.
pub(crate) async fn publish_status(
    client: Client,
    partition: u32,
    progress: Arc<Progress>,
    cancel: CancellationToken,
) {
    let (mut ticks, mut timer) = (tokio::time::interval(STATUS_LOOK), StatusTimer::default());
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let status = progress.status(partition);
        if !timer.is_due(IngestorStatus { written_at_us: 0, ..status.clone() }, Instant::now()) {
            continue;
        }
        let message = status.to_message();
        if let Err(error) = client.publish(subject::ingestor_status(partition), message.into()).await {
            tracing::debug!(error = %error, "the status could not be published");
        }
    }
}
