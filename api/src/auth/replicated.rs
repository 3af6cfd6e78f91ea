//! Records in a bucket of the broker, with a copy in this process that follows it.

use std::{sync::Arc, time::Duration};

use async_nats::Client;
use fleetps_nats::bucket::{Bucket, BucketError, WatchedBucket};
use serde::{Serialize, de::DeserializeOwned};

use super::error::AuthError;
use crate::broker;

/// How long a change may take to come back from the broker; usually that is a millisecond.
const SEEN_TIMEOUT: Duration = Duration::from_secs(2);

/// Records by key. Reading is from memory; a change has been seen there when it is done, so that the next page shows
/// it.
#[derive(Debug)]
pub struct ReplicatedBucket<T> {
    client: Client,
    bucket: Bucket<T>,
    now: WatchedBucket<T>,
}

impl<T> Clone for ReplicatedBucket<T> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), bucket: self.bucket.clone(), now: self.now.clone() }
    }
}

impl<T> ReplicatedBucket<T>
where
    T: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static,
{
    /// Opens the bucket `name`, and follows it.
    pub async fn open(client: &Client, name: &str) -> Result<Self, BucketError> {
        let bucket = Bucket::open(client, name).await?;
        let now = bucket.follow().await?;
        Ok(Self { client: client.clone(), bucket, now })
    }

    /// A copy that tells of changes.
    pub fn follow(&self) -> WatchedBucket<T> {
        self.now.clone()
    }

    /// The record of `key`.
    pub fn get(&self, key: &str) -> Option<Arc<T>> {
        self.now.get(key)
    }

    /// All, ordered by key.
    pub fn all(&self) -> Vec<(String, Arc<T>)> {
        self.now.all()
    }

    /// Adds a record; `false` when there is one with this key.
    pub async fn add(&self, key: &str, record: &T) -> Result<bool, AuthError> {
        let is_new = self.ask(self.bucket.create(key, record)).await?;
        if is_new {
            self.seen(key, Some(record)).await;
        }
        Ok(is_new)
    }

    /// Changes a record, and starts over where it was changed meanwhile. `change` says whether it did anything. Returns
    /// `false` when it did not, or when there is no such record.
    pub async fn change(&self, key: &str, mut change: impl FnMut(&mut T) -> bool) -> Result<bool, AuthError> {
        loop {
            let Some(mut entry) = self.ask(self.bucket.get(key)).await? else { return Ok(false) };
            if !change(&mut entry.value) {
                return Ok(false);
            }
            if self.ask(self.bucket.update(key, &entry.value, entry.revision)).await? {
                self.seen(key, Some(&entry.value)).await;
                return Ok(true);
            }
        }
    }

    /// Removes a record; it need not exist.
    pub async fn remove(&self, key: &str) -> Result<(), AuthError> {
        self.ask(self.bucket.delete(key)).await?;
        self.seen(key, None).await;
        Ok(())
    }

    /// Asks the broker; says at once that it is away.
    async fn ask<A>(&self, question: impl Future<Output = Result<A, BucketError>>) -> Result<A, AuthError> {
        Ok(broker::ask(&self.client, question).await??)
    }

    async fn seen(&self, key: &str, record: Option<&T>) {
        let mut now = self.now.clone();
        let waiting = async {
            while now.get(key).as_deref() != record {
                now.changed().await;
            }
        };
        // A longer wait means that the record was changed again, or that the broker went away; both are no reason to
        // fail.
        let _ = tokio::time::timeout(SEEN_TIMEOUT, waiting).await;
    }
}
