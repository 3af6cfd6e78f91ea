//! The snapshots of one host that are not in a segment yet, read from the stream on demand.
//!
//! The broker is asked for several snapshots at once, from a time on, so that a step back on a page is one round trip.

use async_nats::{Client, jetstream::message::StreamMessage};
use fleetps_nats::{
    Snapshot,
    direct::{Batch, DirectError},
    model::staleness::SILENT_AFTER_INTERVALS,
    snapshot::Decoder,
    stream, subject,
};

use super::Summary;
use crate::broker::Away;

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
pub enum RecentError {
    /// The broker does not answer.
    #[error(transparent)]
    Broker(#[from] DirectError),
    /// The broker is away.
    #[error(transparent)]
    Away(#[from] Away),
    /// There is nothing to unpack with.
    #[error("snapshots cannot be unpacked")]
    Unpack(#[from] std::io::Error),
}

/// Snapshots of the host of `summary`, in the order of capture: from a few before `at_us` to the first after it, as far
/// as the stream has them.
///
/// # Errors
/// When the broker does not answer.
pub async fn around(client: &Client, summary: &Summary, at_us: i64) -> Result<Vec<Snapshot>, RecentError> {
    let mut found = read(client, summary, at_us, at_us).await?;
    let needed = found.partition_point(|snapshot| snapshot.captured_at_us <= at_us) + 1;
    found.truncate(needed);
    Ok(found)
}

/// Snapshots of the host of `summary` without their processes, in the order of capture: from a few before `from_us` on,
/// as far as the stream has them, and at most 400, or 64 MiB unpacked.
///
/// # Errors
/// When the broker does not answer.
pub async fn since(client: &Client, summary: &Summary, from_us: i64) -> Result<Vec<Snapshot>, RecentError> {
    let mut found = read(client, summary, from_us, i64::MAX).await?;
    found.iter_mut().for_each(|snapshot| snapshot.processes = Vec::new());
    Ok(found)
}

/// From a few before `from_us` to at least the first after `to_us`.
async fn read(
    client: &Client,
    summary: &Summary,
    from_us: i64,
    to_us: i64,
) -> Result<Vec<Snapshot>, RecentError> {
    let mut decoder = Decoder::new()?;
    let subject = subject::snapshot(&summary.host);
    let mut batch = Batch {
        count: BATCH,
        subject: &subject,
        from_sequence: None,
        from_time: Some(crate::display::time_exact(start_us(summary, from_us))),
    };
    let (mut found, mut unpacked_bytes): (Vec<Snapshot>, usize) = (Vec::new(), 0);
    for _ in 0..MAX_SNAPSHOTS / BATCH {
        let messages = batch.get(client, stream::SNAPSHOTS).await?;
        let is_last = messages.len() < BATCH;
        batch.from_time = None;
        batch.from_sequence = messages.last().map(|message| message.sequence + 1);
        for message in messages {
            if unpacked_bytes >= MAX_UNPACKED_BYTES {
                break;
            }
            found.extend(decode(&mut decoder, &message, summary.captured_at_us));
            unpacked_bytes += decoder.unpacked_bytes();
        }
        let is_enough = unpacked_bytes >= MAX_UNPACKED_BYTES;
        if is_last || is_enough || found.iter().any(|snapshot| snapshot.captured_at_us > to_us) {
            break;
        }
    }
    found.sort_by_key(|snapshot| snapshot.captured_at_us);
    // An agent that did not hear the broker's acknowledgement sends a snapshot again.
    found.dedup_by(|again, first| again.is_repeat_of(&first.run_id, first.sequence));
    Ok(found)
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
    let mut snapshot = decoder.decode(&message.payload, stored_at_us.max(accepted_us)).ok()?;
    snapshot.captured_at_us -= snapshot.captured_at_us.rem_euclid(KEPT_US);
    Some(snapshot)
}
