//! Reading the snapshots in the order of the stream, from a known place, across every interruption.
//!
//! A pull consumer without acknowledgements: the reader keeps its own position, so nothing is confirmed and nothing is
//! delivered twice. At any anomaly (missed heartbeats, a deleted consumer, a jump in the consumer's own count) it makes
//! a new consumer at the next sequence. It is not async-nats' ordered consumer: version 0.51 restarts one that has not
//! delivered anything yet at sequence 1.

use std::time::Duration;

use async_nats::{
    HeaderMap, HeaderName, HeaderValue,
    jetstream::{
        Context, Message,
        consumer::{AckPolicy, DeliverPolicy, ReplayPolicy, pull},
    },
};
use bytes::Bytes;
use futures_util::StreamExt;

use crate::{
    connection::reconnect_delay,
    error_chain::error_chain,
    snapshot::Sent,
    stream::{self, StreamError},
};

/// Messages requested at once: enough to stay busy over a round trip, at most 200 MiB of the largest snapshots.
const BATCH: usize = 200;
/// How often the broker says that it is still there; two missed ones are an interruption.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long one request stays open; the heartbeat tells earlier when something is wrong.
const EXPIRES: Duration = Duration::from_secs(30);
/// How long the broker keeps a consumer without a reader.
const INACTIVE_THRESHOLD: Duration = Duration::from_secs(60);

/// Where to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At this stream sequence (or the first that is still there). Every sequence is then delivered or reported lost, ticks
    /// ([`crate::subject::TICK`]) as well.
    Sequence(u64),
    /// The last snapshot of every host, then everything new; after an interruption the same again.
    LastOfEachHost,
}

/// A delivery of the stream, or an event of reading it.
#[derive(Debug)]
pub enum Delivery {
    /// A message.
    Message(Delivered),
    /// The broker no longer had these sequences.
    Lost {
        /// The first lost sequence.
        first: u64,
        /// The last lost sequence.
        last: u64,
    },
    /// The stream was deleted and recreated, or lost its end in a power failure: delivered sequences are assigned
    /// again. The reader has ended.
    Replaced {
        /// When the stream was made, in seconds since 1970 UTC; as before where it only lost its end.
        created_s: i64,
    },
}

/// One message of the stream.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// Its place in the stream.
    pub sequence: u64,
    /// Its subject, which the broker authorised.
    pub subject: String,
    /// The payload.
    pub payload: Bytes,
    /// The length of its headers, names and values together.
    pub header_bytes: usize,
    /// When the broker took it, in µs since 1970 UTC.
    pub stored_at_us: i64,
    /// How old its snapshot was when it was sent, in µs, as its sender says.
    pub age_us: Option<i64>,
    /// Messages still waiting behind it.
    pub pending: u64,
}

/// Reads the snapshots in the order of the stream.
pub struct SnapshotReader {
    jetstream: Context,
    start: Start,
    created_s: Option<i64>,
    open: Option<Open>,
    failures: usize,
}

/// A consumer that is being read.
struct Open {
    messages: pull::Stream,
    consumer_sequence: u64,
    waiting: Option<Message>,
}

impl SnapshotReader {
    /// A reader that starts at `start`; `created_s` is when the stream that `start` counts in was made (seconds since
    /// 1970 UTC), where that is known.
    pub fn new(jetstream: Context, start: Start, created_s: Option<i64>) -> Self {
        Self { jetstream, start, created_s, open: None, failures: 0 }
    }

    /// The next delivery; waits for one as long as it takes, through broker restarts. Safe to cancel.
    pub async fn next(&mut self) -> Delivery {
        loop {
            if self.open.is_none() {
                match self.reopen().await {
                    Ok(None) => {}
                    Ok(Some(created_s)) => return Delivery::Replaced { created_s },
                    Err(error) => {
                        self.pause(&error).await;
                        continue;
                    }
                }
            }
            if let Some(delivery) = self.take().await {
                return delivery;
            }
        }
    }

    /// When the stream that it reads was made, in seconds since 1970 UTC; `None` before the first message.
    pub fn created_s(&self) -> Option<i64> {
        self.created_s
    }

    /// Makes the consumer; the new creation time when the stream is another one than before.
    async fn reopen(&mut self) -> Result<Option<i64>, ReadError> {
        let stream = stream::open_snapshots(&self.jetstream).await?;
        let created_s = stream.cached_info().created.unix_timestamp();
        let last_sequence = stream.cached_info().state.last_sequence;
        let lost_its_end = matches!(self.start, Start::Sequence(next) if next > last_sequence + 1);
        if lost_its_end || self.created_s.is_some_and(|known_s| known_s != created_s) {
            return Ok(Some(created_s));
        }
        self.created_s = Some(created_s);
        let (deliver_policy, filter_subject) = match self.start {
            // Without a filter: what it left out would look lost.
            Start::Sequence(start_sequence) => {
                (DeliverPolicy::ByStartSequence { start_sequence }, String::new())
            }
            // Refused without a filter.
            Start::LastOfEachHost => {
                (DeliverPolicy::LastPerSubject, crate::subject::ALL_SNAPSHOTS.to_owned())
            }
        };
        let config = pull::Config {
            deliver_policy,
            ack_policy: AckPolicy::None,
            replay_policy: ReplayPolicy::Instant,
            filter_subject,
            inactive_threshold: INACTIVE_THRESHOLD,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(ReadError::other)?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(BATCH)
            .heartbeat(HEARTBEAT)
            .expires(EXPIRES)
            .messages()
            .await
            .map_err(ReadError::other)?;
        self.open = Some(Open { messages, consumer_sequence: 0, waiting: None });
        Ok(None)
    }

    /// The next delivery of the open consumer; `None` when it had to be closed.
    async fn take(&mut self) -> Option<Delivery> {
        let open = self.open.as_mut()?;
        let message = match open.waiting.take() {
            Some(message) => message,
            None => match open.messages.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => {
                    self.pause(&ReadError::other(error)).await;
                    return None;
                }
                None => {
                    self.pause(&ReadError::Ended).await;
                    return None;
                }
            },
        };
        let Ok(info) = message.info() else {
            self.pause(&ReadError::NoSequence).await;
            return None;
        };
        let (sequence, consumer_sequence) = (info.stream_sequence, info.consumer_sequence);
        if let Start::Sequence(expected) = self.start {
            if sequence < expected {
                return None;
            }
            if consumer_sequence > open.consumer_sequence + 1 {
                // A message was missed between the broker and here; the stream may still have it.
                self.pause(&ReadError::Missed).await;
                return None;
            }
            if sequence > expected {
                self.start = Start::Sequence(sequence);
                open.waiting = Some(message);
                return Some(Delivery::Lost { first: expected, last: sequence - 1 });
            }
            self.start = Start::Sequence(sequence + 1);
        }
        let stored_at_us = i64::try_from(info.published.unix_timestamp_nanos() / 1000).unwrap_or_default();
        let pending = info.pending;
        let age = message.headers.as_ref().and_then(|headers| headers.get(stream::AGE_HEADER));
        let age = age.map(HeaderValue::as_str);
        open.consumer_sequence = consumer_sequence;
        self.failures = 0;
        Some(Delivery::Message(Delivered {
            sequence,
            subject: message.subject.to_string(),
            payload: message.payload.clone(),
            header_bytes: message.headers.as_ref().map_or(0, header_bytes),
            stored_at_us,
            age_us: Sent::new(stored_at_us, age).age_us,
            pending,
        }))
    }

    /// Closes the consumer and waits a little before the next attempt.
    async fn pause(&mut self, error: &ReadError) {
        self.open = None;
        tracing::warn!(
            error = error_chain(error),
            "reading the stream was interrupted; going on at {:?}",
            self.start
        );
        tokio::time::sleep(reconnect_delay(self.failures)).await;
        self.failures += 1;
    }
}

fn header_bytes(headers: &HeaderMap) -> usize {
    let lengths = |(name, values): (&HeaderName, &Vec<HeaderValue>)| {
        let name: &str = name.as_ref();
        values.iter().map(|value| name.len() + value.as_str().len()).sum::<usize>()
    };
    headers.iter().map(lengths).sum()
}

/// Why reading was interrupted.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("the consumer ended")]
    Ended,
    #[error("a message carries no sequence")]
    NoSequence,
    #[error("the consumer skipped a message")]
    Missed,
    #[error("{0}")]
    Other(String),
}

impl ReadError {
    fn other(error: impl std::error::Error) -> Self {
        Self::Other(error.to_string())
    }
}
