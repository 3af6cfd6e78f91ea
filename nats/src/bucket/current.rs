//! The present content of a bucket: one consumer delivers the last value of every key, and then every change.
//!
//! A pull consumer without acknowledgements, as for the snapshots. Not async-nats' own watch: it ends without a word
//! some seconds after the broker was started again.

use std::{collections::BTreeMap, time::Duration};

use async_nats::jetstream::{
    Message,
    consumer::{AckPolicy, DeliverPolicy, ReplayPolicy, pull},
    kv::Store,
};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use super::Entry;

/// Values requested at once; they are small.
const BATCH: usize = 500;
/// How often the broker says that it is still there; two missed ones are an interruption. So a change made while the
/// broker was started again is known within seconds.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long one request stays open.
const EXPIRES: Duration = Duration::from_secs(30);
/// How long the broker keeps a consumer without a reader.
const INACTIVE_THRESHOLD: Duration = Duration::from_secs(30);

/// A broker delivers in milliseconds what it has. Where nothing comes for this long …
const QUIET: Duration = Duration::from_secs(2);
/// … so often, although it lives (it says so every second) and answers, nothing will.
const MAX_QUIET: u32 = 3;

/// The headers by which the broker marks a removed key.
const GONE_HEADERS: [&str; 2] = ["KV-Operation", "Nats-Marker-Reason"];

pub(super) type Entries<T> = BTreeMap<String, Entry<T>>;
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Every change from now on.
pub(super) struct Changes {
    messages: pull::Stream,
    prefix: String,
    consumer: String,
    seen: u64,
    /// Keys that were there when this was opened and were not told yet.
    waiting: u64,
}

/// The change of a key.
pub(super) struct Change<T> {
    pub(super) key: String,
    /// `None`: it is gone.
    pub(super) entry: Option<Entry<T>>,
    /// The key was removed; otherwise its value cannot be parsed.
    pub(super) is_removed: bool,
    /// When the broker took the change, in µs since 1970 UTC.
    pub(super) at_us: i64,
}

/// A bucket as it is.
pub(super) struct Read<T> {
    pub(super) entries: Entries<T>,
    /// How many messages the broker delivered: the last of each key, also where that says that it is gone.
    pub(super) delivered: u64,
    /// How many more it announced: it cannot read them.
    pub(super) unread: u64,
    /// The later changes.
    changes: Changes,
}

/// Everything in the bucket, and what follows.
pub(super) async fn read<T: DeserializeOwned>(store: &Store) -> Result<(Entries<T>, Changes), Failure> {
    let Read { entries, unread, changes, .. } = read_all(store).await?;
    if unread > 0 {
        tracing::error!(
            bucket = store.name,
            values = unread,
            "the broker cannot read some values; they do not count"
        );
    }
    Ok((entries, changes))
}

/// Everything in the bucket, and how much of it cannot be read.
pub(super) async fn read_all<T: DeserializeOwned>(store: &Store) -> Result<Read<T>, Failure> {
    let mut changes = open(store).await?;
    let (announced, mut entries) = (changes.waiting, Entries::new());
    while let Some(Change { key, entry, .. }) = changes.next_held(store).await? {
        if let Some(entry) = entry {
            entries.insert(key, entry);
        }
    }
    // Values missing between others are skipped without an error.
    let delivered = changes.seen;
    Ok(Read { entries, delivered, unread: announced.saturating_sub(delivered), changes })
}

/// The bucket's content, key by key, with recently removed keys; then its changes.
pub(super) async fn open(store: &Store) -> Result<Changes, Failure> {
    let config = pull::Config {
        deliver_policy: DeliverPolicy::LastPerSubject,
        ack_policy: AckPolicy::None,
        replay_policy: ReplayPolicy::Instant,
        // LastPerSubject is refused without a filter.
        filter_subject: format!("{}>", store.prefix),
        inactive_threshold: INACTIVE_THRESHOLD,
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    let consumer = store.stream.create_consumer(config).await?;
    let (waiting, name) = (consumer.cached_info().num_pending, consumer.cached_info().name.clone());
    let stream = consumer.stream().max_messages_per_batch(BATCH).heartbeat(HEARTBEAT).expires(EXPIRES);
    let (messages, prefix) = (stream.messages().await?, store.prefix.clone());
    Ok(Changes { messages, prefix, consumer: name, seen: 0, waiting })
}

impl Changes {
    /// The next of the initial values; `None` at their end.
    pub(super) async fn next_held<T: DeserializeOwned>(
        &mut self,
        store: &Store,
    ) -> Result<Option<Change<T>>, Failure> {
        let mut quiet = 0;
        while self.waiting > 0 {
            if let Ok(change) = tokio::time::timeout(QUIET, self.next()).await {
                return change.map(Some);
            }
            quiet += 1;
            if quiet >= MAX_QUIET && !self.has_more(store).await? {
                self.waiting = 0;
            }
        }
        Ok(None)
    }

    /// Whether the broker has sent something that did not come yet, when nothing came for a while. It counts values that it
    /// finds damaged when it reads them, and passes them over.
    async fn has_more(&self, store: &Store) -> Result<bool, Failure> {
        let info = store.stream.consumer_info(&self.consumer).await?;
        Ok(info.delivered.consumer_sequence > self.seen)
    }

    /// Has the broker forget the consumer now and not half a minute later: it allows few of them.
    pub(super) async fn end(self, store: &Store) {
        drop(self.messages);
        if let Err(error) = store.stream.delete_consumer(&self.consumer).await {
            tracing::debug!(bucket = store.name, %error, "a consumer is left to the broker");
        }
    }

    /// The next change; an error when changes may have been missed.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Result<Change<T>, Failure> {
        let message = self.messages.next().await.ok_or("the consumer ended")??;
        let info = message.info()?;
        let (revision, consumer_sequence) = (info.stream_sequence, info.consumer_sequence);
        let at_us = i64::try_from(info.published.unix_timestamp_nanos() / 1000).unwrap_or_default();
        if consumer_sequence != self.seen + 1 {
            return Err("the consumer skipped a change".into());
        }
        (self.seen, self.waiting) = (consumer_sequence, self.waiting.min(info.pending));
        let key = message.subject.strip_prefix(&self.prefix).unwrap_or_default().to_owned();
        let is_removed = says_removed(&message);
        let value = if is_removed { None } else { value(&message, &key) };
        Ok(Change { key, entry: value.map(|value| Entry { value, revision }), is_removed, at_us })
    }
}

/// Whether a message says that its key was removed.
fn says_removed(message: &Message) -> bool {
    let is_gone = |headers: &async_nats::HeaderMap| {
        GONE_HEADERS.into_iter().any(|name| headers.get(name).is_some_and(|value| value.as_str() != "PUT"))
    };
    message.headers.as_ref().is_some_and(is_gone)
}

/// The value of a message. A value that cannot be parsed does not count: a broken record admits nobody.
fn value<T: DeserializeOwned>(message: &Message, key: &str) -> Option<T> {
    serde_json::from_slice(&message.payload)
        .inspect_err(|error| {
            tracing::error!(key, error = %error, "a value in the broker's bucket cannot be understood and does not count");
        })
        .ok()
}
