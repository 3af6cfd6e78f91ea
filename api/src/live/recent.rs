//! The snapshots of one host that are not in a segment yet, read from the stream on demand.
//!
//! The broker is asked for several snapshots at once, from a time on, so that a step back on a page is one round trip.

use std::time::Duration;

use async_nats::{Client, jetstream::message::StreamMessage};
use fleetps_nats::{
    Snapshot,
    direct::{Batch, DirectError},
    model::staleness::SILENT_AFTER_INTERVALS,
    snapshot::{Decoder, Sent},
    stream, subject,
};

use super::Summary;
use crate::broker::{Absence, Away, SOON};

/// Snapshots requested at once: the one at the moment, those around it, and some to spare.
const BATCH: usize = 20;
/// The most snapshots read for one moment: a host that could not publish for a while sends its backlog at once, so many
/// may lie between the time at which reading starts and the moment.
const MAX_SNAPSHOTS: usize = 400;
/// The limit of unpacked bytes; a snapshot of 300 processes has some 59 KB. A host may pack sixteen megabytes into a
/// few hundred bytes, again and again.
const MAX_UNPACKED_BYTES: usize = 64 << 20;
/// Intervals before the moment at which the reading starts: a snapshot says how its host is until that is silent, and the
/// one before it is needed for rates, with one to spare.
const INTERVALS_BEFORE: i64 = SILENT_AFTER_INTERVALS + 2;
/// The history keeps times to the millisecond; a snapshot in both must have the same time.
const KEPT_US: i64 = 1_000;

/// The stream could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecentError {
    /// The broker does not answer.
    #[error(transparent)]
    Broker(#[from] DirectError),
    /// The broker is away.
    #[error(transparent)]
    Away(#[from] Away),
    /// The stream cannot be opened.
    #[error("the stream of snapshots cannot be opened")]
    Stream(#[source] stream::StreamError),
    /// There is nothing to unpack with.
    #[error("snapshots cannot be unpacked")]
    Unpack(#[from] std::io::Error),
    /// Unpacking them panicked.
    #[error("unpacking snapshots failed")]
    Failed(#[from] tokio::task::JoinError),
}

/// The broker, and what is known of its absence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream<'a> {
    /// Its client.
    pub client: &'a Client,
    /// Whether it is away.
    pub absence: &'a Absence,
}

/// Snapshots of the host of `summary`, in the order of capture: from a few before `at_us` to the first after it, as far
/// as the stream has them.
///
/// # Errors
/// When the broker is away or does not answer soon.
pub(crate) async fn around(
    stream: Stream<'_>,
    summary: &Summary,
    at_us: i64,
) -> Result<Vec<Snapshot>, RecentError> {
    let mut found = read(stream, summary, at_us, at_us).await?;
    let needed = found.partition_point(|snapshot| snapshot.captured_at_us <= at_us) + 1;
    found.truncate(needed);
    Ok(found)
}

/// Snapshots of the host of `summary`, without their processes unless `is_whole`, in the order of capture: from a few before
/// `from_us` on, as far as the stream has them, and at most 400, or 64 MiB unpacked.
///
/// # Errors
/// When the broker is away or does not answer soon.
pub(crate) async fn since(
    stream: Stream<'_>,
    summary: &Summary,
    from_us: i64,
    is_whole: bool,
) -> Result<Vec<Snapshot>, RecentError> {
    let mut found = read(stream, summary, from_us, i64::MAX).await?;
    if !is_whole {
        found.iter_mut().for_each(|snapshot| snapshot.processes = Vec::new());
    }
    Ok(found)
}

/// From a few before `from_us` to at least the first after `to_us`. The broker is waited for [`SOON`] in all; snapshots are
/// unpacked on a thread that serves no requests.
async fn read(
    stream: Stream<'_>,
    summary: &Summary,
    from_us: i64,
    to_us: i64,
) -> Result<Vec<Snapshot>, RecentError> {
    let mut unpacked = Unpacked::new(summary.captured_at_us)?;
    let subject = subject::snapshot(&summary.host);
    let mut batch = Batch {
        count: BATCH,
        subject: &subject,
        from_sequence: None,
        from_time: Some(crate::display::time_exact(start_us(summary, from_us))),
    };
    let mut waited = Duration::ZERO;
    for _ in 0..MAX_SNAPSHOTS / BATCH {
        let asked = tokio::time::Instant::now();
        let answer = batch.get(stream.client, stream::SNAPSHOTS);
        let messages = stream.absence.ask(stream.client, SOON.saturating_sub(waited), answer).await??;
        waited += asked.elapsed();
        let is_last = messages.len() < BATCH;
        batch.from_time = None;
        batch.from_sequence = messages.last().map(|message| message.sequence + 1);
        let unpacking = tokio::task::spawn_blocking(move || {
            unpacked.take(&messages);
            unpacked
        });
        unpacked = unpacking.await?;
        let is_behind = |found: &Snapshot| found.captured_at_us > to_us;
        if is_last || unpacked.is_full() || unpacked.found.iter().any(is_behind) {
            break;
        }
    }
    let mut found = unpacked.found;
    found.sort_by_key(|snapshot| snapshot.captured_at_us);
    // An agent that did not hear the broker's acknowledgement sends a snapshot again.
    found.dedup_by(|again, first| again.is_repeat_of(&first.run_id, first.sequence));
    Ok(found)
}

/// Snapshots that were read.
struct Unpacked {
    decoder: Decoder,
    /// The host's last snapshot, which was taken.
    accepted_us: i64,
    found: Vec<Snapshot>,
    bytes: usize,
}

impl Unpacked {
    fn new(accepted_us: i64) -> std::io::Result<Self> {
        Ok(Self { decoder: Decoder::new()?, accepted_us, found: Vec::new(), bytes: 0 })
    }

    fn is_full(&self) -> bool {
        self.bytes >= MAX_UNPACKED_BYTES
    }

    fn take(&mut self, messages: &[StreamMessage]) {
        for message in messages {
            if self.is_full() {
                break;
            }
            self.found.extend(decode(&mut self.decoder, message, self.accepted_us));
            self.bytes += self.decoder.unpacked_bytes();
        }
    }
}

/// Where to start, by the broker's clock. A host whose clock is ahead captured "later" than the broker took it.
fn start_us(summary: &Summary, at_us: i64) -> i64 {
    let ahead_us = summary.captured_at_us.saturating_sub(summary.last_seen_us).max(0);
    let before_us = i64::from(summary.interval_ms).saturating_mul(1000 * INTERVALS_BEFORE);
    at_us.saturating_sub(before_us).saturating_sub(ahead_us)
}

/// Its times are judged by the broker's clock, or by the host's last snapshot, which was taken: the broker's clock may have
/// been set back.
fn decode(decoder: &mut Decoder, message: &StreamMessage, accepted_us: i64) -> Option<Snapshot> {
    let stored_at_us = i64::try_from(message.time.unix_timestamp_nanos() / 1000).ok()?;
    let age = message.headers.get(stream::AGE_HEADER).map(|age| age.as_str());
    let sent = Sent::new(stored_at_us, age);
    let mut snapshot = decoder.decode_sent(&message.payload, sent, stored_at_us.max(accepted_us)).ok()?;
    snapshot.captured_at_us -= snapshot.captured_at_us.rem_euclid(KEPT_US);
    Some(snapshot)
}
