//! The outbox: nothing is lost, and a kill sends at most one message twice.
//!
//! A notification for a channel is a message of the stream `NOTIFY`, a work queue, under a message id made of both; so it
//! is put there once however often that is tried within the stream's window. `courier` takes it, and `record` says what
//! became of it, in a bucket under the same id:
//!
//! ```text
//! (none) ─▶ sending ─▶ sent
//!             │  ▲ └──▶ undeliverable   kept and listed
//!             ▼  │
//!           waiting      until the pause is over
//! ```
//!
//! Before anything is sent, `sending` is written with the revision that was read, so of two couriers one sends. After it,
//! the outcome is written, and then the stream's message is acknowledged. A courier that is killed leaves `sending`; when
//! its lease is over the next one sends again, which may be a repetition: the receiver recognises it by the mail's
//! `Message-ID`, the webhook's `Idempotency-Key`. A record that says `sent` outlives the stream's window, so what is put
//! there late is not sent again.
//!
//! The room is bounded for each channel and for all of them. What is full refuses ([`OutboxError::is_full`]), so a receiver that is
//! away keeps no other channel's messages out. What becomes undeliverable always makes room: where the fallback's room is full,
//! the fallback is not told, and the record says so.

mod courier;
mod pace;
mod record;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{
    Client, HeaderMap,
    jetstream::{
        self, Context, ErrorCode,
        consumer::{AckPolicy, PullConsumer, pull},
        stream::{Config, DiscardPolicy, RetentionPolicy, StorageType},
    },
};
use fleetps_nats::{bucket::Bucket, now_us};
use serde::{Deserialize, Serialize};

use super::{notification::Notification, send::key_of};

pub use courier::Courier;
pub use pace::Pace;
pub use record::{Record, State};

/// The stream.
pub(super) const STREAM: &str = "NOTIFY";
/// The bucket of records.
pub(super) const BUCKET: &str = "notify_outbox";
/// Its subjects: one for each channel.
const SUBJECTS: &str = "fleetps-notify.*";
/// Some 4,000 messages with charts: receivers that are away for a day while a fleet has trouble.
const MAX_BYTES: i64 = 32 << 20;
/// Messages of one channel: one a minute for a day, some 12 MiB with charts. So one receiver that is away leaves more than half of
/// the room to the others.
const MAX_OF_CHANNEL: i64 = 1_500;
/// What a message takes: [`Notification::cleaned`] bounds it to a third of this.
const MAX_MESSAGE_BYTES: i32 = 64 << 10;
/// What nobody took for a week is no news any longer.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the broker recognises a message id: ten times what handing over an evaluation takes. Records recognise it
/// after that.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(600);

/// The outbox could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the outbox of notifications")]
pub struct OutboxError {
    action: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl OutboxError {
    /// Whether the outbox has no room: none for the channel, or none at all.
    pub fn is_full(&self) -> bool {
        let answer = self.source.source().and_then(|cause| cause.downcast_ref::<jetstream::Error>());
        // The broker has one number for everything that it cannot store. Its words for limits of a stream are "maximum bytes
        // exceeded" and "maximum messages per subject exceeded".
        answer.is_some_and(|answer| {
            answer.error_code() == ErrorCode::STREAM_STORE_FAILED
                && answer.to_string().starts_with("maximum ")
        })
    }
}

impl fleetps_nats::patience::Passing for OutboxError {
    fn is_passing(&self) -> bool {
        true
    }
}

fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    action: &'static str,
) -> impl FnOnce(E) -> OutboxError {
    move |source| OutboxError { action, source: source.into() }
}

/// What was counted since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Notifications that were put into the outbox.
    pub put: AtomicU64,
    /// … that were there already.
    pub repeats: AtomicU64,
    /// … that the full outbox, or the broker, did not take.
    pub refused: AtomicU64,
    /// Notifications that a receiver took.
    pub sent: AtomicU64,
    /// Attempts that failed and are made again.
    pub retried: AtomicU64,
    /// Attempts after one that may have arrived, because its courier was killed.
    pub perhaps_twice: AtomicU64,
    /// Notifications that no receiver took.
    pub undeliverable: AtomicU64,
    /// Records that made room for newer ones.
    pub forgotten: AtomicU64,
}

impl Counts {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Every counter with its name.
    pub fn all(&self) -> [(&'static str, u64); 8] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("put", read(&self.put)),
            ("repeats", read(&self.repeats)),
            ("refused", read(&self.refused)),
            ("sent", read(&self.sent)),
            ("retried", read(&self.retried)),
            ("perhaps_twice", read(&self.perhaps_twice)),
            ("undeliverable", read(&self.undeliverable)),
            ("forgotten", read(&self.forgotten)),
        ]
    }
}

/// A notification on its way to a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Parcel {
    notification: Notification,
    /// When it was put into the outbox, in µs since 1970 UTC.
    put_at_us: i64,
    /// Quiet hours: not to be sent before, in µs since 1970 UTC.
    #[serde(default)]
    not_before_us: Option<i64>,
    /// Which time it was put there on purpose: a person sends again what was undeliverable.
    #[serde(default)]
    round: u32,
}

/// The outbox; cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    jetstream: Context,
    records: Bucket<Record>,
    counts: Arc<Counts>,
}

impl Outbox {
    /// Opens the outbox; makes its stream and its bucket where they are missing.
    ///
    /// # Errors
    /// When the broker does not answer or has no room.
    pub async fn open(client: &Client) -> Result<Self, OutboxError> {
        let jetstream = jetstream::new(client.clone());
        jetstream.create_or_update_stream(config()).await.map_err(failed("open"))?;
        let records = Bucket::open(client, BUCKET).await.map_err(failed("open"))?;
        Ok(Self { jetstream, records, counts: Arc::default() })
    }

    /// What was counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Puts a notification for `channel` there, unless it is there or was sent; `true` when it is new. It is the broker's
    /// when this returns.
    ///
    /// # Errors
    /// When the broker does not answer or the outbox is full; then it is not there.
    pub async fn put(
        &self,
        channel: &str,
        notification: &Notification,
        not_before_us: Option<i64>,
    ) -> Result<bool, OutboxError> {
        let notification = notification.clone().cleaned();
        let parcel = Parcel { notification, put_at_us: now_us(), not_before_us, round: 0 };
        let put = self.publish(channel, &parcel).await;
        match &put {
            Ok(true) => Counts::add(&self.counts.put),
            Ok(false) => Counts::add(&self.counts.repeats),
            Err(_) => Counts::add(&self.counts.refused),
        }
        put
    }

    async fn publish(&self, channel: &str, parcel: &Parcel) -> Result<bool, OutboxError> {
        let body = packed(parcel).map_err(failed("write to"))?;
        let mut headers = HeaderMap::new();
        let id = format!("{}.{}", record_key(channel, &parcel.notification.id), parcel.round);
        headers.insert(async_nats::header::NATS_MESSAGE_ID, id);
        let published = self.jetstream.publish_with_headers(subject(channel), headers, body.into()).await;
        let taken = published.map_err(failed("write to"))?.await.map_err(failed("write to"))?;
        Ok(!taken.duplicate)
    }

    /// How many messages wait, and when the oldest was put there, in µs since 1970 UTC.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn waiting(&self) -> Result<(u64, i64), OutboxError> {
        let stream = self.jetstream.get_stream(STREAM).await.map_err(failed("read"))?;
        let state = &stream.cached_info().state;
        let oldest_us =
            i64::try_from(state.first_timestamp.unix_timestamp_nanos() / 1000).unwrap_or_default();
        Ok((state.messages, oldest_us))
    }

    /// What became of every notification that is remembered, the latest change first.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn records(&self) -> Result<Vec<(String, Record)>, OutboxError> {
        let all = self.records.all().await.map_err(failed("read"))?;
        let mut records: Vec<_> = all.into_iter().map(|(key, entry)| (key, entry.value)).collect();
        records.sort_by_key(|(_, record)| std::cmp::Reverse(record.at_us));
        Ok(records)
    }

    /// What became of a notification for a channel; `None` while no courier has taken it.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn became_of(&self, channel: &str, notification: &str) -> Result<Option<Record>, OutboxError> {
        let entry = self.records.get(&record_key(channel, notification)).await.map_err(failed("read"))?;
        Ok(entry.map(|entry| entry.value))
    }

    /// Sends again what was undeliverable; `false` where nothing with that key is.
    ///
    /// # Errors
    /// When the broker does not answer or the outbox is full.
    pub async fn send_again(&self, key: &str) -> Result<bool, OutboxError> {
        let Some(entry) = self.records.get(key).await.map_err(failed("read"))? else { return Ok(false) };
        let State::Undeliverable { notification } = &entry.value.state else { return Ok(false) };
        let round = entry.value.round.saturating_add(1);
        let notification = (**notification).clone();
        let parcel = Parcel { notification, put_at_us: now_us(), not_before_us: None, round };
        self.publish(&entry.value.channel, &parcel).await
    }

    /// Forgets a channel that was removed: what waits for it is not sent.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn forget(&self, channel: &str) -> Result<(), OutboxError> {
        let stream = self.jetstream.get_stream(STREAM).await.map_err(failed("open"))?;
        stream.purge().filter(subject(channel)).await.map_err(failed("empty"))?;
        // It may not have had a courier yet.
        let _missing = stream.delete_consumer(&consumer_name(channel)).await;
        Ok(())
    }

    /// The consumer of a channel's messages, which all couriers share.
    async fn consumer(&self, channel: &str, pace: &Pace) -> Result<PullConsumer, OutboxError> {
        let stream = self.jetstream.get_stream(STREAM).await.map_err(failed("open"))?;
        let name = consumer_name(channel);
        let config = pull::Config {
            durable_name: Some(name.clone()),
            filter_subject: subject(channel),
            ack_policy: AckPolicy::Explicit,
            // Longer than a lease: who is still at it is not disturbed.
            ack_wait: pace.lease * 2,
            max_deliver: -1,
            // Those whose pause is not over count, too.
            max_ack_pending: MAX_PENDING,
            ..pull::Config::default()
        };
        stream.create_consumer(config).await.map_err(failed("read"))
    }
}

/// The message of a parcel. One that would be refused for its size, and stop all behind it, goes without what it shows beside
/// its words.
fn packed(parcel: &Parcel) -> serde_json::Result<Vec<u8>> {
    let body = serde_json::to_vec(parcel)?;
    if body.len() + MAX_HEADER_BYTES <= MAX_MESSAGE_BYTES as usize {
        return Ok(body);
    }
    let mut parcel = parcel.clone();
    let notification = &mut parcel.notification;
    (notification.chart, notification.culprits, notification.also) = (None, Vec::new(), Vec::new());
    serde_json::to_vec(&parcel)
}

/// Room for the headers of a message: its id.
const MAX_HEADER_BYTES: usize = 1 << 10;

/// Messages of one channel that couriers have or that wait for their next attempt: more than the outbox holds. With fewer,
/// those of quiet hours would hold up the grave ones that do not wait.
const MAX_PENDING: i64 = 50_000;

/// The subject of a channel's messages.
fn subject(channel: &str) -> String {
    format!("fleetps-notify.{channel}")
}

fn consumer_name(channel: &str) -> String {
    format!("courier-{channel}")
}

/// The key of the record of a notification for a channel.
fn record_key(channel: &str, notification: &str) -> String {
    format!("{channel}.{}", key_of(notification))
}

fn config() -> Config {
    Config {
        name: STREAM.to_owned(),
        subjects: vec![SUBJECTS.to_owned()],
        retention: RetentionPolicy::WorkQueue,
        // What is full refuses: who puts it there tries again, and nothing that waits is dropped.
        discard: DiscardPolicy::New,
        max_messages_per_subject: MAX_OF_CHANNEL,
        discard_new_per_subject: true,
        max_bytes: MAX_BYTES,
        max_message_size: MAX_MESSAGE_BYTES,
        max_age: MAX_AGE,
        duplicate_window: DUPLICATE_WINDOW,
        storage: StorageType::File,
        ..Config::default()
    }
}
