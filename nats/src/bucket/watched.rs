//! A copy of a bucket in memory that a task keeps current, through restarts of the broker.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_nats::jetstream::kv::Store;
use serde::de::DeserializeOwned;
use tokio::{sync::watch, time::Instant};

use super::current::{self, Change, Changes, Entries, Failure};
use crate::connection::reconnect_delay;

/// The shortest time between two notifications. A receiver reads everything, so a rollout of 10,000 hosts would be
/// 10,000 reads of 10,000 records. The first change after a quiet time is notified at once.
const GATHERED: Duration = Duration::from_millis(100);

type Values<T> = BTreeMap<String, Arc<T>>;

/// A copy of a bucket, as of a moment ago; cheap to clone. While the broker is away it stays as it was.
#[derive(Debug)]
pub struct WatchedBucket<T> {
    values: watch::Receiver<Values<T>>,
    told: Option<Instant>,
}

impl<T> Clone for WatchedBucket<T> {
    fn clone(&self) -> Self {
        Self { values: self.values.clone(), told: self.told }
    }
}

impl<T> WatchedBucket<T> {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<Arc<T>> {
        self.values.borrow().get(key).cloned()
    }

    /// Everything, ordered by key.
    pub fn all(&self) -> Vec<(String, Arc<T>)> {
        self.values.borrow().iter().map(|(key, value)| (key.clone(), Arc::clone(value))).collect()
    }

    /// Returns when something may have changed since this was called last (or, the first time, since following began); ten
    /// times a second at most. Safe to cancel.
    pub async fn changed(&mut self) {
        if let Some(told) = self.told {
            tokio::time::sleep_until(told + GATHERED).await;
        }
        if self.values.changed().await.is_err() {
            // Only at the end of the program: the task that follows outlives every copy.
            std::future::pending::<()>().await;
        }
        self.told = Some(Instant::now());
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> WatchedBucket<T> {
    pub(super) async fn start(store: Store) -> Result<Self, Failure> {
        let (entries, changes) = current::read(&store).await?;
        let (sender, values) = watch::channel(values_of(entries));
        tokio::spawn(async move {
            let end = sender.clone();
            tokio::select! {
                () = end.closed() => {}
                () = follow(&store, changes, &sender) => {}
            }
        });
        Ok(Self { values, told: None })
    }
}

/// Applies every change, and reads everything anew when some may have been missed.
async fn follow<T: DeserializeOwned>(store: &Store, mut changes: Changes, sender: &watch::Sender<Values<T>>) {
    loop {
        match changes.next().await {
            Ok(change) => sender.send_modify(|values| apply(values, change)),
            Err(error) => {
                tracing::info!(bucket = store.name, error = %error, "reading the broker's bucket anew");
                changes = read_again(store, sender).await;
            }
        }
    }
}

async fn read_again<T: DeserializeOwned>(store: &Store, sender: &watch::Sender<Values<T>>) -> Changes {
    let mut failures = 0;
    loop {
        match current::read(store).await {
            Ok((entries, changes)) => {
                sender.send_replace(values_of(entries));
                return changes;
            }
            Err(error) => {
                tracing::warn!(bucket = store.name, error = %error, "the broker's bucket cannot be read; trying again");
                tokio::time::sleep(reconnect_delay(failures)).await;
                failures += 1;
            }
        }
    }
}

fn apply<T>(values: &mut Values<T>, change: Change<T>) {
    match change.entry {
        Some(entry) => values.insert(change.key, Arc::new(entry.value)),
        None => values.remove(&change.key),
    };
}

fn values_of<T>(entries: Entries<T>) -> Values<T> {
    entries.into_iter().map(|(key, entry)| (key, Arc::new(entry.value))).collect()
}
