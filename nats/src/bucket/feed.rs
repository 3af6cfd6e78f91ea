//! Every change of a bucket with its time, for those who keep something of their own about it.

use async_nats::jetstream::kv::Store;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::current::{self, Failure};
use crate::connection::reconnect_delay;

/// Changes that wait to be taken; when it is full, reading the bucket waits.
const WAITING: usize = 256;

/// A change of a bucket, or the state of reading it.
#[derive(Debug)]
pub(crate) enum Told<T> {
    /// All keys follow again: at first, and when changes may have been missed.
    Anew,
    /// A key has this value, or none any more, since `at_us` (µs since 1970 UTC, by the broker's clock).
    Change {
        /// The key.
        key: String,
        /// `None`: it is gone.
        value: Option<T>,
        /// When the broker took the change.
        at_us: i64,
    },
    /// All that there is was told.
    UpToDate,
}

/// Sends what the bucket holds and then every change, through restarts of the broker, until the receiver is dropped.
pub(super) fn start<T: DeserializeOwned + Send + Sync + 'static>(store: Store) -> mpsc::Receiver<Told<T>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut failures = 0;
        while !sender.is_closed() {
            tokio::select! {
                () = sender.closed() => return,
                ended = tell(&store, &sender, &mut failures) => if let Err(error) = ended {
                    tracing::info!(bucket = store.name, %error, "reading the broker's bucket anew");
                }
            }
            tokio::time::sleep(reconnect_delay(failures)).await;
            failures += 1;
        }
    });
    receiver
}

async fn tell<T: DeserializeOwned>(
    store: &Store,
    sender: &mpsc::Sender<Told<T>>,
    failures: &mut usize,
) -> Result<(), Failure> {
    let mut changes = current::open(store).await?;
    sender.send(Told::Anew).await.map_err(|_| "nobody listens")?;
    while let Some(change) = changes.next_held(store).await? {
        sender.send(told(change)).await.map_err(|_| "nobody listens")?;
    }
    *failures = 0;
    sender.send(Told::UpToDate).await.map_err(|_| "nobody listens")?;
    loop {
        let change = changes.next().await?;
        sender.send(told(change)).await.map_err(|_| "nobody listens")?;
    }
}

fn told<T>(current::Change { key, entry, at_us, .. }: current::Change<T>) -> Told<T> {
    Told::Change { key, value: entry.map(|entry| entry.value), at_us }
}
