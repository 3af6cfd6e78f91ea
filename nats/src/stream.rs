//! The streams: the broker keeps messages there until they are stored in segments.

use std::time::Duration;

use async_nats::jetstream::{
    Context, ErrorCode,
    context::{CreateStreamError, GetStreamError, GetStreamErrorKind, UpdateStreamError},
    stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream},
};

use crate::{patience::Passing, subject};

/// The stream of snapshots, the pipeline's write-ahead log.
pub const SNAPSHOTS: &str = "SNAP";
/// The stream of refused messages, for debugging.
pub const DEAD_LETTERS: &str = "DEAD";
/// The stream of what happened lately: the events that are in no segment yet.
pub const EVENTS: &str = "EVENTS";
/// The stream of what became of alerts, each change once.
pub const ALERTS: &str = "ALERT";
/// A message header: the agent's sequence, so that a reader of one host sees what that host lost.
pub const SEQUENCE_HEADER: &str = "Fp-Seq";
/// The header with the age of a snapshot when it is sent, in µs by the host's monotonic clock.
pub const AGE_HEADER: &str = "Fp-Age";
/// How long an unread snapshot is kept: a weekend with the ingestor down loses nothing.
pub const SNAPSHOT_MAX_AGE: Duration = Duration::from_secs(72 * 3600);
/// How long the broker recognises a message id that it has seen: the least it takes. Ids are of no use here, because the
/// ingestor recognises repeats by host, run and sequence. They do harm: the broker keeps each in memory for this long, and
/// an id that one host has used makes another host's message of the same id vanish.
const DUPLICATE_WINDOW: Duration = Duration::from_millis(100);
/// Refused messages are evidence, not data: a week and 64 MiB of them are enough to find the cause.
const DEAD_LETTER_MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
const DEAD_LETTER_MAX_BYTES: i64 = 64 << 20;
/// Events are in a segment within a minute; ten times that where sealing is slow.
const EVENT_MAX_AGE: Duration = Duration::from_secs(600);
/// Some 100,000 events of 300 bytes, and half of what the managed broker has in memory for streams and consumers.
const EVENT_MAX_BYTES: i64 = 32 << 20;

/// As long as samples of one a minute are kept, three times over: a quarter can be looked back at.
const ALERT_MAX_AGE: Duration = Duration::from_secs(90 * 24 * 3600);
/// Some 80,000 changes of 800 bytes; the oldest make room.
const ALERT_MAX_BYTES: i64 = 64 << 20;
/// How long the broker recognises a change that is published again: ten times as long as an ingestor takes to follow another
/// one. After that the last change of the instance tells.
const ALERT_DUPLICATE_WINDOW: Duration = Duration::from_secs(300);

/// A stream could not be made or brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// It could be neither found nor made.
    #[error("cannot create the stream {name}")]
    Create {
        /// The stream.
        name: &'static str,
        /// The broker's answer.
        source: CreateStreamError,
    },
    /// It exists with other settings, which could not be changed.
    #[error("cannot change the settings of the stream {name}")]
    Update {
        /// The stream.
        name: &'static str,
        /// The broker's answer.
        source: UpdateStreamError,
    },
    /// Its state could not be read.
    #[error("cannot read the state of the stream {name}")]
    Get {
        /// The stream.
        name: &'static str,
        /// The broker's answer.
        source: GetStreamError,
    },
}

impl Passing for StreamError {
    fn is_passing(&self) -> bool {
        true
    }
}

/// Makes sure that the streams exist with these settings; `snapshot_max_bytes` bounds the stream of snapshots and must
/// be below the broker's `max_file_store`.
pub async fn ensure(jetstream: &Context, snapshot_max_bytes: i64) -> Result<(), StreamError> {
    ensure_one(jetstream, SNAPSHOTS, snapshots(snapshot_max_bytes)).await?;
    ensure_one(jetstream, DEAD_LETTERS, dead_letters()).await
}

/// Makes sure that the stream of events exists. Without it nothing is lost: events are seen when their segment is sealed.
pub async fn ensure_events(jetstream: &Context) -> Result<(), StreamError> {
    ensure_one(jetstream, EVENTS, events()).await
}

/// Makes sure that the stream of alerts exists.
pub async fn ensure_alerts(jetstream: &Context) -> Result<(), StreamError> {
    ensure_one(jetstream, ALERTS, alerts()).await
}

/// The stream of alerts, with its state as of now.
pub async fn open_alerts(jetstream: &Context) -> Result<Stream, StreamError> {
    jetstream.get_stream(ALERTS).await.map_err(|source| StreamError::Get { name: ALERTS, source })
}

/// The stream of snapshots, with its state as of now.
pub async fn open_snapshots(jetstream: &Context) -> Result<Stream, StreamError> {
    jetstream.get_stream(SNAPSHOTS).await.map_err(|source| StreamError::Get { name: SNAPSHOTS, source })
}

pub(crate) async fn ensure_one(
    jetstream: &Context,
    name: &'static str,
    config: Config,
) -> Result<(), StreamError> {
    match jetstream.get_stream(name).await {
        Ok(stream) => {
            let current = &stream.cached_info().config;
            let is_same = current.max_bytes == config.max_bytes
                && current.max_age == config.max_age
                && current.subjects == config.subjects;
            // The broker fills in a window where none is wanted.
            let is_same_window =
                config.duplicate_window.is_zero() || current.duplicate_window == config.duplicate_window;
            if is_same && is_same_window {
                return Ok(());
            }
            let updated = jetstream.update_stream(config).await;
            updated.map(|_| ()).map_err(|source| StreamError::Update { name, source })
        }
        Err(error) if is_missing(&error) => {
            let created = jetstream.create_stream(config).await;
            created.map(|_| ()).map_err(|source| StreamError::Create { name, source })
        }
        Err(source) => Err(StreamError::Get { name, source }),
    }
}

impl StreamError {
    /// Whether the broker says that there is no such stream.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Get { source, .. } if is_missing(source))
    }
}

/// Whether the broker says that there is no such stream. Anything else says nothing about it: the broker may be starting, or
/// too busy.
pub fn is_missing(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

fn snapshots(max_bytes: i64) -> Config {
    Config {
        name: SNAPSHOTS.to_owned(),
        subjects: vec![subject::ALL_SNAPSHOTS.to_owned(), subject::TICK.to_owned()],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        max_age: SNAPSHOT_MAX_AGE,
        // Without a limit a full disk makes publishing fail; with it the oldest snapshots make room.
        max_bytes,
        max_messages_per_subject: -1,
        duplicate_window: DUPLICATE_WINDOW,
        storage: StorageType::File,
        allow_direct: true,
        deny_delete: true,
        ..Config::default()
    }
}

fn dead_letters() -> Config {
    Config {
        name: DEAD_LETTERS.to_owned(),
        subjects: vec![subject::ALL_DEAD_LETTERS.to_owned()],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        max_age: DEAD_LETTER_MAX_AGE,
        max_bytes: DEAD_LETTER_MAX_BYTES,
        storage: StorageType::File,
        ..Config::default()
    }
}

fn events() -> Config {
    Config {
        name: EVENTS.to_owned(),
        subjects: vec![subject::EVENTS.to_owned()],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        max_age: EVENT_MAX_AGE,
        max_bytes: EVENT_MAX_BYTES,
        // What is lost with the broker is in a segment within a minute.
        storage: StorageType::Memory,
        ..Config::default()
    }
}

fn alerts() -> Config {
    Config {
        name: ALERTS.to_owned(),
        subjects: vec![subject::ALL_ALERTS.to_owned()],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        max_age: ALERT_MAX_AGE,
        max_bytes: ALERT_MAX_BYTES,
        duplicate_window: ALERT_DUPLICATE_WINDOW,
        storage: StorageType::File,
        allow_direct: true,
        deny_delete: true,
        ..Config::default()
    }
}
