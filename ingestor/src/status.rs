//! How the ingestor is doing: counters that every part adds to, said to the broker when they change and every few seconds.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use async_nats::Client;
use fleetps_nats::{
    snapshot::BadSnapshot,
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
    refused: [AtomicU64; BadSnapshot::REASONS.len()],
    lost_dead_letters: AtomicU64,
    unpublished_events: AtomicU64,
    waits_for: Mutex<BTreeMap<&'static str, u64>>,
    write_error: Mutex<Option<String>>,
    disk_warning: Mutex<Option<String>>,
    upkeep_error: Mutex<Option<String>>,
    audit_error: Mutex<Option<String>>,
    set_aside: Mutex<Vec<(String, String)>>,
    failed_merges: Mutex<Vec<(String, String)>>,
    waits_for_clock: Mutex<Option<String>>,
    beyond_share: Mutex<Vec<String>>,
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
        let place = BadSnapshot::REASONS.iter().position(|known| *known == reason);
        if let Some(counter) = place.and_then(|place| self.refused.get(place)) {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn count_lost_dead_letter(&self) {
        self.lost_dead_letters.fetch_add(1, Relaxed);
    }

    /// Events that were only stored: more came at a time than could be published.
    pub(crate) fn count_unpublished_events(&self, events: u64) {
        self.unpublished_events.fetch_add(events, Relaxed);
    }

    /// Reading waited for a consumer of the stream.
    pub(crate) fn count_wait_for(&self, consumer: &'static str) {
        *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner).entry(consumer).or_default() += 1;
    }

    /// Why nothing can be written now.
    pub(crate) fn set_write_error(&self, error: Option<String>) {
        *self.write_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// Why the history folder cannot be looked after now.
    pub(crate) fn set_upkeep_error(&self, error: Option<String>) {
        *self.upkeep_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// Why the audit is not in segments, or cannot all be read.
    pub(crate) fn set_audit_error(&self, error: Option<String>) {
        *self.audit_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// Sets or clears the problem of the history's disk. A new one is logged.
    pub(crate) fn set_disk_warning(&self, warning: Option<String>) {
        let mut current = self.disk_warning.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(warning), None) = (&warning, current.as_ref()) {
            tracing::warn!("the history: {warning}");
        }
        *current = warning.map(|warning| format!("the history: {warning}"));
    }

    /// The segments whose content is missing, each with the reason.
    pub(crate) fn set_set_aside(&self, segments: Vec<(String, String)>) {
        *self.set_aside.lock().unwrap_or_else(PoisonError::into_inner) = segments;
    }

    /// The first source of each merge that failed and is tried again, with the reason.
    pub(crate) fn set_failed_merges(&self, merges: Vec<(String, String)>) {
        *self.failed_merges.lock().unwrap_or_else(PoisonError::into_inner) = merges;
    }

    /// Why nothing is thinned or removed for its age now. Logged when it begins and ends.
    pub(crate) fn set_waits_for_clock(&self, waits: Option<String>) {
        let mut known = self.waits_for_clock.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*known, &waits) {
            (None, Some(waits)) => tracing::warn!("{waits}"),
            (Some(_), None) => tracing::info!("the clock counts again for the age of the history"),
            _ => {}
        }
        *known = waits;
    }

    /// Which hosts take more than their share of the history.
    pub(crate) fn set_beyond_share(&self, hosts: Vec<String>) {
        *self.beyond_share.lock().unwrap_or_else(PoisonError::into_inner) = hosts;
    }

    /// All of it, as the message says it.
    pub(crate) fn status(&self, partition: u32) -> IngestorStatus {
        let refused = BadSnapshot::REASONS.iter().zip(&self.refused);
        let reasons = first_of(&self.set_aside);
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
            unpublished_events: self.unpublished_events.load(Relaxed),
            waits_for: self
                .waits_for
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .map(|(consumer, waits)| ((*consumer).to_owned(), *waits))
                .collect(),
            disk_warning: self.disk_warning.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            write_error: self.write_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            upkeep_error: self.upkeep_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            audit_error: self.audit_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            set_aside: reasons.iter().map(|(segment, _)| segment.clone()).collect(),
            set_aside_reasons: reasons,
            failed_merges: first_of(&self.failed_merges),
            beyond_share: self.beyond_share.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            waits_for_clock: self.waits_for_clock.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// As many of them as a status says, in a message of some 100 KB.
fn first_of(named: &Mutex<Vec<(String, String)>>) -> Vec<(String, String)> {
    /// More would be alike: the folder or its disk is the problem.
    const MAX_NAMED: usize = 200;
    let named = named.lock().unwrap_or_else(PoisonError::into_inner);
    named.iter().take(MAX_NAMED).cloned().collect()
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
