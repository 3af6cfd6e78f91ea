//! A bucket: JSON values under keys, kept by the broker. The present control plane (hosts, users, sessions,
//! tokens) lives in buckets, never in a file.
//!
//! A value is changed by reading it with its revision and writing it back with that revision; the later of two writers
//! learns of the conflict. `current` reads the present values, `watched` keeps a copy in memory, `feed` sends every
//! change, `mend` recreates damaged buckets.

mod census;
mod current;
mod feed;
mod mend;
mod watched;

use std::{fmt, marker::PhantomData, time::Duration};

use async_nats::{
    Client,
    jetstream::{
        self,
        kv::{self, CreateErrorKind, Store, UpdateErrorKind},
        stream::StorageType,
    },
};
use futures_util::TryStreamExt;
use serde::{Serialize, de::DeserializeOwned};

use crate::patience::Passing;

pub use census::{Census, census, revisions};
pub(crate) use feed::Told;
pub use mend::mend;
pub use watched::WatchedBucket;

/// The size limit of a bucket, reserved by the broker from the start: 25,000 hosts of 600 bytes. A full bucket refuses
/// new values and loses nothing.
const MAX_BYTES: i64 = 16 << 20;
/// The most that one value takes: a hundred times the largest there is.
const MAX_VALUE_BYTES: i32 = 64 << 10;

/// How long the broker remembers a removed key, for followers. A follower that was away for longer reads everything
/// anew.
const GONE_AFTER: Duration = Duration::from_secs(3600);

/// JSON values under keys; cheap to clone. Keys are of letters, digits and `-/_=.`
pub struct Bucket<T> {
    store: Store,
    values: PhantomData<fn() -> T>,
}

/// A value, and the revision to name when it is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    /// The value.
    pub value: T,
    /// Which change of the bucket wrote it.
    pub revision: u64,
}

/// A bucket could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the broker's bucket {bucket}")]
pub struct BucketError {
    action: &'static str,
    bucket: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl BucketError {
    /// Whether the value is there and cannot be understood.
    pub fn is_unreadable(&self) -> bool {
        self.action == "understand"
    }
}

impl Passing for BucketError {
    fn is_passing(&self) -> bool {
        true
    }
}

/// The names of all buckets of the client's account.
///
/// # Errors
/// When the broker does not answer.
pub async fn names(client: &Client) -> Result<Vec<String>, BucketError> {
    let streams = jetstream::new(client.clone()).stream_names().try_collect::<Vec<String>>().await;
    let streams = streams.map_err(failed("list", "of every name"))?;
    Ok(streams.iter().filter_map(|name| name.strip_prefix("KV_")).map(str::to_owned).collect())
}

impl<T> Clone for Bucket<T> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), values: PhantomData }
    }
}

impl<T> fmt::Debug for Bucket<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Bucket").field(&self.store.name).finish()
    }
}

impl<T: Serialize + DeserializeOwned> Bucket<T> {
    /// The bucket `name` of the client's account; makes it when it is missing.
    ///
    /// # Errors
    /// When the broker does not answer or cannot make it.
    pub async fn open(client: &Client, name: &str) -> Result<Self, BucketError> {
        let jetstream = jetstream::new(client.clone());
        let store = match census::existing(&jetstream, name).await? {
            Some(store) => store,
            None => jetstream.create_key_value(config(name)).await.map_err(failed("make", name))?,
        };
        Ok(Self { store, values: PhantomData })
    }

    /// The bucket `name` of the client's account; `None` where it is missing. Makes none.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn find(client: &Client, name: &str) -> Result<Option<Self>, BucketError> {
        let store = census::existing(&jetstream::new(client.clone()), name).await?;
        Ok(store.map(|store| Self { store, values: PhantomData }))
    }

    /// The value of `key`, if there is one.
    ///
    /// # Errors
    /// When the broker does not answer, `key` is not a valid key, or the value cannot be parsed.
    pub async fn get(&self, key: &str) -> Result<Option<Entry<T>>, BucketError> {
        let entry = self.store.entry(key).await.map_err(failed("read", &self.store.name))?;
        match entry.filter(|entry| entry.operation == kv::Operation::Put) {
            Some(entry) => {
                let value =
                    serde_json::from_slice(&entry.value).map_err(failed("understand", &self.store.name))?;
                Ok(Some(Entry { value, revision: entry.revision }))
            }
            None => Ok(None),
        }
    }

    /// Writes the value of a new `key`; `false` when the key exists already.
    ///
    /// # Errors
    /// When the broker does not answer, the bucket is full, or `key` is none.
    pub async fn create(&self, key: &str, value: &T) -> Result<bool, BucketError> {
        match self.store.create(key, self.json(value)?.into()).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed("write", &self.store.name)(error)),
        }
    }

    /// Writes `key` if it still has that `revision`; returns `false` when it was changed meanwhile.
    ///
    /// # Errors
    /// When the broker does not answer, the bucket is full, or `key` is none.
    pub async fn update(&self, key: &str, value: &T, revision: u64) -> Result<bool, BucketError> {
        match self.store.update(key, self.json(value)?.into(), revision).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(false),
            Err(error) => Err(failed("write", &self.store.name)(error)),
        }
    }

    /// Writes `key` over any value.
    ///
    /// # Errors
    /// When the broker does not answer, the bucket is full, or `key` is none.
    pub async fn put(&self, key: &str, value: &T) -> Result<(), BucketError> {
        let written = self.store.put(key, self.json(value)?.into()).await;
        written.map(|_| ()).map_err(failed("write", &self.store.name))
    }

    /// Removes `key` and its history; it need not exist.
    ///
    /// # Errors
    /// When the broker does not answer or `key` is none.
    pub async fn delete(&self, key: &str) -> Result<(), BucketError> {
        let purged = self.store.purge_with_ttl(key, GONE_AFTER).await;
        purged.map_err(failed("write", &self.store.name))
    }

    /// Removes `key` as [`Bucket::delete`] does; the broker remembers for `remembered` that it is gone.
    ///
    /// # Errors
    /// When the broker does not answer or `key` is none.
    pub async fn delete_for(&self, key: &str, remembered: Duration) -> Result<(), BucketError> {
        let purged = self.store.purge_with_ttl(key, remembered).await;
        purged.map_err(failed("write", &self.store.name))
    }

    /// Removes `key` if it still has that `revision`; the broker remembers for `remembered` that it was removed.
    /// Returns `false` when it was changed meanwhile.
    ///
    /// # Errors
    /// When the broker does not answer or `key` is none.
    pub async fn delete_if(
        &self,
        key: &str,
        revision: u64,
        remembered: Duration,
    ) -> Result<bool, BucketError> {
        match self.store.purge_expect_revision_with_ttl(key, revision, remembered).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(false),
            Err(error) => Err(failed("write", &self.store.name)(error)),
        }
    }

    /// Everything in the bucket, ordered by key. What cannot be understood is left out and logged.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn all(&self) -> Result<Vec<(String, Entry<T>)>, BucketError> {
        let read = current::read(&self.store).await;
        let (entries, changes) = read.map_err(failed("read", &self.store.name))?;
        changes.end(&self.store).await;
        Ok(entries.into_iter().collect())
    }

    fn json(&self, value: &T) -> Result<Vec<u8>, BucketError> {
        serde_json::to_vec(value).map_err(failed("write", &self.store.name))
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Bucket<T> {
    /// A copy of the bucket in memory, which follows it from now on.
    ///
    /// # Errors
    /// When the broker does not answer now; later the copy stays as it is until the broker answers again.
    pub async fn follow(&self) -> Result<WatchedBucket<T>, BucketError> {
        WatchedBucket::start(self.store.clone()).await.map_err(failed("follow", &self.store.name))
    }

    /// Sends what the bucket holds and then every change, until the receiver is dropped.
    pub(crate) fn feed(&self) -> tokio::sync::mpsc::Receiver<Told<T>> {
        feed::start(self.store.clone())
    }
}

fn config(name: &str) -> kv::Config {
    kv::Config {
        bucket: name.to_owned(),
        history: 1,
        max_bytes: MAX_BYTES,
        max_value_size: MAX_VALUE_BYTES,
        storage: StorageType::File,
        limit_markers: Some(GONE_AFTER),
        ..kv::Config::default()
    }
}

fn failed<E>(action: &'static str, bucket: &str) -> impl FnOnce(E) -> BucketError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let bucket = bucket.to_owned();
    move |error| BucketError { action, bucket, source: error.into() }
}
