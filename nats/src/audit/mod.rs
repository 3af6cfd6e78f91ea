//! The audit (who did what): an append-only stream of entries, each chained to the one before by its hash.
//!
//! `entry` is one entry, `chain` how entries follow each other. Any number of programs append to the one chain: the
//! broker accepts an entry only directly after the one that it was chained to; the later of two writers retries. The
//! broker refuses delete and purge; the ingestor keeps the entries in segments of their own.

mod chain;
mod entry;

use std::{sync::Arc, time::Duration};

use async_nats::{
    Client,
    jetstream::{
        self, Context,
        context::{PublishError, PublishErrorKind},
        message::{PublishMessage, StreamMessage},
        stream::{
            Config, DirectGetError, DirectGetErrorKind, DiscardPolicy, RetentionPolicy, StorageType, Stream,
        },
    },
};
use tokio::sync::Mutex;

pub use chain::{BadMessage, Chained, GAP, Link, NO_HASH};
pub use entry::{AuditEntry, NotAnOutcome, Outcome};

use crate::{
    direct::{Batch, DirectError},
    patience::Passing,
    stream::{StreamError, ensure_one},
};

/// The stream of audit entries.
pub const STREAM: &str = "AUDIT";
/// Where entries are published.
pub const SUBJECT: &str = "fleetps-audit.entry";
/// The stream's subjects. They are not below `fleetps.`, where they would overlap with those of the snapshots.
const ALL_SUBJECTS: &str = "fleetps-audit.>";
/// Some 150,000 entries that are not stored in segments yet. Where nothing stores them, the oldest make room.
const MAX_BYTES: i64 = 64 << 20;
/// How often an entry is chained anew because another program was faster. Each time one of them gets through, so only a
/// hundred programs that write at the same moment would exhaust it.
const MAX_ATTEMPTS: usize = 100;
/// Entries read at once, of up to 5 KiB each.
const READ_AT_ONCE: usize = 200;
/// The longest of the waits between two attempts, drawn at random so that the same two do not meet again.
const MAX_WAIT_MS: u64 = 10;

/// An entry was not written, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The stream is not there and cannot be made.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The last entry cannot be read.
    #[error("cannot read the last audit entry from the broker; is it running?")]
    ReadLast(#[source] DirectGetError),
    /// A message in the stream is not an audit entry.
    #[error("what the audit stream holds last is no audit entry; it was not written by fleetps")]
    BadLast(#[source] BadMessage),
    /// The broker did not take the entry.
    #[error("the audit entry was not written down; is the broker running?")]
    Append(#[source] PublishError),
    /// The entries cannot be read.
    #[error(transparent)]
    Read(#[from] DirectError),
    /// An entry of the stream is none.
    #[error("entry {sequence} of the audit stream cannot be read")]
    BadEntry {
        /// Its sequence.
        sequence: u64,
        /// The cause.
        source: BadMessage,
    },
    /// Others were always faster.
    #[error(
        "the audit entry was not written down: {MAX_ATTEMPTS} times another program wrote at the same moment"
    )]
    Crowded,
}

impl Passing for AuditError {
    fn is_passing(&self) -> bool {
        true
    }
}

/// The audit: appends entries to the chain that all programs share.
#[derive(Debug, Clone)]
pub struct Audit {
    client: Client,
    jetstream: Context,
    stream: Stream,
    /// The end of the chain, as far as this program knows. Held while an entry is written, one at a time.
    end: Arc<Mutex<Option<Link>>>,
}

impl Audit {
    /// Opens the audit; makes its stream when it is missing.
    ///
    /// # Errors
    /// When the broker does not answer or refuses.
    pub async fn open(client: &Client) -> Result<Self, AuditError> {
        let jetstream = jetstream::new(client.clone());
        ensure_one(&jetstream, STREAM, config()).await?;
        let stream = jetstream.get_stream(STREAM).await;
        let stream = stream.map_err(|source| StreamError::Get { name: STREAM, source })?;
        Ok(Self { client: client.clone(), jetstream, stream, end: Arc::default() })
    }

    /// Writes an entry down, and returns its sequence; when this returns, the broker has it.
    ///
    /// # Errors
    /// When the entry was not written, or it is unknown whether it was. An action that must be audited must then not be
    /// done.
    pub async fn record(&self, entry: AuditEntry) -> Result<u64, AuditError> {
        let entry = entry.within_limits();
        let (mut end, mut tried) = (self.end.lock().await, None);
        for _ in 0..MAX_ATTEMPTS {
            let last = match end.take() {
                Some(last) => last,
                None => self.last().await?,
            };
            let next = Chained::new(&last, entry.clone());
            match self.append(&last, &next).await {
                Ok(()) => {
                    *end = Some(next.link());
                    return Ok(next.sequence);
                }
                Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                    // Whoever was faster has left another last entry by the next round.
                    let is_stuck = tried.as_ref() == Some(&last);
                    if is_stuck && let Some(gap) = self.lost_end(&last).await? {
                        let before = Link { sequence: gap.sequence - 1, hash: gap.previous.clone() };
                        *end = self.append(&before, &gap).await.ok().map(|()| gap.link());
                        continue;
                    }
                    tried = Some(last);
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=MAX_WAIT_MS))).await;
                }
                Err(error) => return Err(AuditError::Append(error)),
            }
        }
        Err(AuditError::Crowded)
    }

    /// The end of the chain as the broker has it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn last(&self) -> Result<Link, AuditError> {
        match self.stream.direct_get_last_for_subject(SUBJECT).await {
            Ok(message) => {
                let last = Chained::from_message(&message.payload, message.sequence);
                last.map(|last| last.link()).map_err(AuditError::BadLast)
            }
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(Link::before_the_first()),
            Err(error) => Err(AuditError::ReadLast(error)),
        }
    }

    /// The broker's entries from `sequence` on, in order, some hundred at most; empty at the end.
    ///
    /// # Errors
    /// When the broker does not answer, or something else was published to the stream.
    pub async fn read(&self, sequence: u64) -> Result<Vec<Chained>, AuditError> {
        let batch =
            Batch { count: READ_AT_ONCE, subject: SUBJECT, from_sequence: Some(sequence), from_time: None };
        let messages = batch.get(&self.client, STREAM).await?;
        let read = |message: &StreamMessage| {
            let sequence = message.sequence;
            let chained = Chained::from_message(&message.payload, sequence);
            chained.map_err(|source| AuditError::BadEntry { sequence, source })
        };
        messages.iter().map(read).collect()
    }

    /// When the stream was made, in seconds since 1970 UTC: sequences compare within one only.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn created_s(&self) -> Result<i64, AuditError> {
        let stream = self.jetstream.get_stream(STREAM).await;
        let stream = stream.map_err(|source| StreamError::Get { name: STREAM, source })?;
        Ok(stream.cached_info().created.unix_timestamp())
    }

    /// What is to be written behind `last`, if that is the last entry and the broker counts on from a later one all the same: after a
    /// disk that was full it has given out sequences without entries, and would take nothing that follows `last`.
    async fn lost_end(&self, last: &Link) -> Result<Option<Chained>, AuditError> {
        let stream = self.jetstream.get_stream(STREAM).await;
        let stream = stream.map_err(|source| StreamError::Get { name: STREAM, source })?;
        let end = stream.cached_info().state.last_sequence;
        let is_lost = end > last.sequence && self.read(end).await?.is_empty();
        Ok(is_lost.then(|| Chained::behind_gap(last, end)))
    }

    async fn append(&self, last: &Link, next: &Chained) -> Result<(), PublishError> {
        // The id makes a repeat by the client library harmless.
        let message = PublishMessage::build()
            .payload(next.to_message().into())
            .message_id(&next.hash)
            .expected_last_sequence(last.sequence);
        self.jetstream.send_publish(SUBJECT, message).await?.await.map(|_| ())
    }
}

fn config() -> Config {
    Config {
        name: STREAM.to_owned(),
        subjects: vec![ALL_SUBJECTS.to_owned()],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        max_bytes: MAX_BYTES,
        max_messages_per_subject: -1,
        storage: StorageType::File,
        allow_direct: true,
        deny_delete: true,
        deny_purge: true,
        ..Config::default()
    }
}
