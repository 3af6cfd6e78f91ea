//! How the ingestor is doing: counters that every part adds to, said to the broker when they change and every few seconds.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use async_nats::Client;
use fleetps_nats::{
    disk::Disk,
    own_figures::{OwnFigure, OwnFigures},
    snapshot::BadSnapshot,
    status::{AlertStatus, IngestorStatus, QueueStatus, STATUS_LOOK, StatusTimer},
    subject,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{catalog::SegmentMeta, segment::Level};

/// The queue of refused messages that wait to be published.
pub(crate) const DEAD_LETTERS: &str = "dead-letters";
/// The queue of events that wait to be published.
pub(crate) const EVENTS: &str = "events-to-publish";

/// A queue between two parts, and how many wait in it.
struct Queue {
    name: &'static str,
    bound: usize,
    waiting: Box<dyn Fn() -> usize + Send>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Queue").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The counters. Each stands for itself, so no order between them is needed.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    sealed_sequence: AtomicU64,
    read_sequence: AtomicU64,
    read_stored_us: AtomicI64,
    pending: AtomicU64,
    /// Snapshots that were handed to the segment writer.
    taken: AtomicU64,
    unsealed_since_us: AtomicI64,
    seals: AtomicU64,
    seal_ms: AtomicU64,
    merges: AtomicU64,
    merge_ms: AtomicU64,
    merge_failures: AtomicU64,
    segments: Mutex<Vec<(String, u64, u64)>>,
    unmerged_since_s: AtomicI64,
    queues: Mutex<Vec<Queue>>,
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
    alerts: Mutex<AlertStatus>,
}

impl Progress {
    /// The messages up to `sequence`, which the broker stored at `stored_at_us`, are read; `pending` wait in the stream.
    pub(crate) fn set_read(&self, (sequence, stored_at_us): (u64, i64), pending: u64) {
        self.read_sequence.store(sequence, Relaxed);
        self.read_stored_us.store(stored_at_us, Relaxed);
        self.pending.store(pending, Relaxed);
    }

    /// The sequences up to `sequence` are sealed, with `snapshots` more snapshots.
    pub(crate) fn set_sealed(&self, sequence: u64, snapshots: u64) {
        self.sealed_sequence.store(sequence, Relaxed);
        self.stored.fetch_add(snapshots, Relaxed);
    }

    /// A snapshot that the broker stored at `stored_at_us` was handed over to be sealed.
    pub(crate) fn count_taken(&self, stored_at_us: i64) {
        if self.taken.fetch_add(1, Relaxed) == self.stored.load(Relaxed) {
            self.unsealed_since_us.store(stored_at_us, Relaxed);
        }
    }

    /// A segment was sealed, which took this long; the broker stored its last snapshot at `last_stored_us`.
    pub(crate) fn count_seal(&self, took: Duration, last_stored_us: Option<i64>) {
        self.seals.fetch_add(1, Relaxed);
        self.seal_ms.fetch_add(ms(took), Relaxed);
        if let Some(last_stored_us) = last_stored_us {
            self.unsealed_since_us.store(last_stored_us, Relaxed);
        }
    }

    /// A segment was made of others, or could not be, which took this long.
    pub(crate) fn count_merge(&self, took: Duration, is_made: bool) {
        let count = if is_made { &self.merges } else { &self.merge_failures };
        count.fetch_add(1, Relaxed);
        self.merge_ms.fetch_add(ms(took), Relaxed);
    }

    /// The segments in use.
    pub(crate) fn set_segments(&self, segments: &[SegmentMeta]) {
        let fresh = segments.iter().filter(|segment| segment.name.level == Level::Fresh);
        let oldest_s = fresh.map(|segment| segment.name.first_stored_s).min();
        self.unmerged_since_s.store(oldest_s.unwrap_or_default(), Relaxed);
        let mut by_level: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for segment in segments {
            let (count, bytes) = by_level.entry(segment.name.level.as_str()).or_default();
            *count += 1;
            *bytes = bytes.saturating_add(segment.bytes);
        }
        let named = by_level.into_iter().map(|(level, (count, bytes))| (level.to_owned(), count, bytes));
        *self.segments.lock().unwrap_or_else(PoisonError::into_inner) = named.collect();
    }

    /// Reports a queue of `bound` places, of which `waiting` says how many are taken.
    pub(crate) fn watch_queue(
        &self,
        name: &'static str,
        bound: usize,
        waiting: impl Fn() -> usize + Send + 'static,
    ) {
        let queue = Queue { name, bound, waiting: Box::new(waiting) };
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        // A part that is begun anew has another one.
        queues.retain(|queue| queue.name != name);
        queues.push(queue);
    }

    /// A channel of `bound` places that is reported. It ends when its last sender is dropped, as any other.
    pub(crate) fn channel<T: Send + 'static>(
        &self,
        name: &'static str,
        bound: usize,
    ) -> (mpsc::Sender<T>, mpsc::Receiver<T>) {
        let (sender, receiver) = mpsc::channel(bound);
        let weak = sender.downgrade();
        self.watch_queue(name, bound, move || {
            weak.upgrade().map_or(0, |sender| sender.max_capacity().saturating_sub(sender.capacity()))
        });
        (sender, receiver)
    }

    fn queues(&self) -> Vec<QueueStatus> {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let status = |queue: &Queue| {
            let dropped = match queue.name {
                DEAD_LETTERS => self.lost_dead_letters.load(Relaxed),
                EVENTS => self.unpublished_events.load(Relaxed),
                _ => 0,
            };
            let (waiting, bound) = ((queue.waiting)() as u64, queue.bound as u64);
            QueueStatus { name: queue.name.to_owned(), waiting, bound, dropped }
        };
        queues.iter().map(status).collect()
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

    /// Changes what is said of the evaluation of alerts.
    pub(crate) fn set_alerts(&self, change: impl FnOnce(&mut AlertStatus)) {
        change(&mut self.alerts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// All of it, as the message says it.
    pub(crate) fn status(&self, partition: u32) -> IngestorStatus {
        let refused = BadSnapshot::REASONS.iter().zip(&self.refused);
        let reasons = first_of(&self.set_aside);
        let waits_to_be_sealed = self.taken.load(Relaxed) > self.stored.load(Relaxed);
        IngestorStatus {
            read_stored_us: self.read_stored_us.load(Relaxed),
            unsealed_since_us: if waits_to_be_sealed { self.unsealed_since_us.load(Relaxed) } else { 0 },
            segments: self.segments.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            unmerged_since_s: self.unmerged_since_s.load(Relaxed),
            seals: self.seals.load(Relaxed),
            seal_ms: self.seal_ms.load(Relaxed),
            merges: self.merges.load(Relaxed),
            merge_ms: self.merge_ms.load(Relaxed),
            merge_failures: self.merge_failures.load(Relaxed),
            queues: self.queues(),
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
            alerts: self.alerts.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            waits_for_clock: self.waits_for_clock.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

fn ms(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// As many of them as a status says, in a message of some 100 KB.
fn first_of(named: &Mutex<Vec<(String, String)>>) -> Vec<(String, String)> {
    /// More would be alike: the folder or its disk is the problem.
    const MAX_NAMED: usize = 200;
    let named = named.lock().unwrap_or_else(PoisonError::into_inner);
    named.iter().take(MAX_NAMED).cloned().collect()
}

/// What rules about fleetps itself measure of this ingestor, whose history is in `folder`.
pub(crate) fn own_figures(progress: &Progress, partition: u32, folder: &Path) -> OwnFigures {
    let status = progress.status(partition);
    let now_us = jiff::Timestamp::now().as_microsecond();
    let unread_us = (status.pending > 0).then_some(status.read_stored_us);
    let waits_since_us =
        [Some(status.unsealed_since_us), unread_us].into_iter().flatten().filter(|us| *us > 0).min();
    let age_s = |since_us: i64| now_us.saturating_sub(since_us).max(0) as f64 / 1e6;
    let unmerged_us = Some(status.unmerged_since_s.saturating_mul(1_000_000)).filter(|us| *us > 0);
    let part = match partition {
        0 => "history".to_owned(),
        partition => format!("history, partition {partition}"),
    };
    OwnFigures::of(
        &part,
        [
            (OwnFigure::HistoryBehind, Some(waits_since_us.map_or(0.0, age_s))),
            (OwnFigure::HistoryDisk, Disk::of(folder).map(|disk| disk.used_percent() as f64)),
            (OwnFigure::MergesBehind, Some(unmerged_us.map_or(0.0, age_s))),
        ],
    )
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
