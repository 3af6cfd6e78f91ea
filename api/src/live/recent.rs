//! The snapshots that are not in a segment yet: those of one host around a moment, read from the stream on demand.
//!
//! The library asks for one message at a time; this asks the broker for several at once ("batched direct get", since
//! nats-server 2.11), from a time on and of one subject, so that a step back on a page is one round trip.

use std::time::Duration;

use async_nats::{Client, jetstream::message::StreamMessage};
use fleetps_nats::{Snapshot, snapshot::Decoder, stream, subject};
use futures_util::StreamExt;
use serde::Serialize;

use super::Summary;

/// Snapshots asked for at once: the one at the moment, those around it, and some to spare.
const BATCH: usize = 20;
/// The most snapshots looked at for one moment: a host that could not publish for a while sends its backlog at once, so
/// that many may lie between the time at which the reading starts and the moment.
const MAX_SNAPSHOTS: usize = 400;
/// How long the broker may take for one answer: ten times what a busy one takes.
const WAIT: Duration = Duration::from_secs(2);
/// Intervals before the moment at which the reading starts: a snapshot is believed for three, and the one before it is
/// needed for rates.
const INTERVALS_BEFORE: i64 = 5;
/// The history keeps times to the millisecond; what is in both must be the same moment.
const KEPT_US: i64 = 1_000;

/// The stream could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the broker does not answer what is in its stream: {0}")]
pub struct RecentError(String);

#[derive(Serialize)]
struct Request<'a> {
    batch: usize,
    next_by_subj: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
}

/// Snapshots of the host of `summary`, in the order of capture: from a few before `at_us` to the first after it, as far
/// as the stream has them.
///
/// # Errors
/// When the broker does not answer.
pub async fn around(client: &Client, summary: &Summary, at_us: i64) -> Result<Vec<Snapshot>, RecentError> {
    let mut decoder = Decoder::new().map_err(|error| RecentError(error.to_string()))?;
    let subject = subject::snapshot(&summary.host);
    let mut request = Request {
        batch: BATCH,
        next_by_subj: &subject,
        seq: None,
        start_time: Some(crate::display::time_exact(start_us(summary, at_us))),
    };
    let mut found: Vec<Snapshot> = Vec::new();
    for _ in 0..MAX_SNAPSHOTS / BATCH {
        let messages = ask(client, &request).await?;
        let is_last = messages.len() < BATCH;
        request.start_time = None;
        request.seq = messages.last().map(|message| message.sequence + 1);
        let decoded = messages.iter().filter_map(|message| decode(&mut decoder, message));
        found.extend(decoded);
        if is_last || found.iter().any(|snapshot| snapshot.captured_at_us > at_us) {
            break;
        }
    }
    found.sort_by_key(|snapshot| snapshot.captured_at_us);
    let needed = found.partition_point(|snapshot| snapshot.captured_at_us <= at_us) + 1;
    found.truncate(needed);
    Ok(found)
}

/// Where to start, by the broker's clock. A host whose clock is ahead captured "later" than the broker took it.
fn start_us(summary: &Summary, at_us: i64) -> i64 {
    let ahead_us = summary.captured_at_us.saturating_sub(summary.last_seen_us).max(0);
    let before_us = i64::from(summary.interval_ms).saturating_mul(1000 * INTERVALS_BEFORE);
    at_us.saturating_sub(before_us).saturating_sub(ahead_us)
}

fn decode(decoder: &mut Decoder, message: &StreamMessage) -> Option<Snapshot> {
    let stored_at_us = i64::try_from(message.time.unix_timestamp_nanos() / 1000).ok()?;
    let mut snapshot = decoder.decode(&message.payload, stored_at_us).ok()?;
    snapshot.captured_at_us -= snapshot.captured_at_us.rem_euclid(KEPT_US);
    Some(snapshot)
}

async fn ask(client: &Client, request: &Request<'_>) -> Result<Vec<StreamMessage>, RecentError> {
    let failed = |error: &dyn std::fmt::Display| RecentError(error.to_string());
    let body = serde_json::to_vec(request).map_err(|error| failed(&error))?;
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| failed(&error))?;
    let address = format!("$JS.API.DIRECT.GET.{}", stream::SNAPSHOTS);
    client.publish_with_reply(address, inbox, body.into()).await.map_err(|error| failed(&error))?;
    let mut messages = Vec::new();
    loop {
        let answer = tokio::time::timeout(WAIT, answers.next()).await.map_err(|error| failed(&error))?;
        let answer = answer.ok_or_else(|| failed(&"the connection was closed"))?;
        match answer.status {
            Some(status) => match status.as_u16() {
                // The end of a batch, and a batch without messages.
                204 | 404 => return Ok(messages),
                other => return Err(failed(&format!("it answers {other}"))),
            },
            None => messages.push(StreamMessage::try_from(answer).map_err(|error| failed(&error))?),
        }
    }
}
