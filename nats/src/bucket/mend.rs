//! Makes buckets anew that the broker cannot keep any longer because their files are damaged.
//!
//! nats-server starts with a damaged file, but may then skip values, or accept new ones and not find them again.
//! Reading every value, and writing one and reading it back, shows that. The bucket is then recreated with the readable
//! values.

use async_nats::{Client, jetstream};
use serde_json::Value;

use super::{Bucket, BucketError, census, current, failed, names};
use crate::patience::patiently;

/// The key of the value that is written to be read back, and removed.
const PROBE: &str = "_probe";
/// Room that it takes, with its headers and the mark of its removal.
const PROBE_ROOM_BYTES: u64 = 1 << 10;

/// Recreates damaged buckets, and reports each. Nothing else may use them meanwhile.
///
/// # Errors
/// When the broker does not answer before a bucket is recreated; from then on this waits for the broker.
pub async fn mend(client: &Client) -> Result<Vec<String>, BucketError> {
    let mut said = Vec::new();
    for name in names(client).await? {
        said.extend(mend_one(client, &name).await?);
    }
    Ok(said)
}

async fn mend_one(client: &Client, name: &str) -> Result<Option<String>, BucketError> {
    let bucket = Bucket::<Value>::open(client, name).await?;
    let read = current::read_all::<Value>(&bucket.store).await.map_err(failed("read", name))?;
    let mut values = read.entries;
    values.remove(PROBE);
    // Each key has one message. Where one was lost, only one of the two counts may know.
    let info = bucket.store.stream.get_info().await.map_err(failed("read", name))?;
    let (max_bytes, state) = (u64::try_from(info.config.max_bytes).unwrap_or(u64::MAX), info.state);
    // A full bucket takes nothing new; that is no damage.
    let is_full = state.bytes.saturating_add(PROBE_ROOM_BYTES) > max_bytes;
    let held = state.messages.max(state.subjects_count);
    let unread = held.saturating_sub(read.delivered).max(read.unread);
    if unread == 0 && (is_full || keeps_values(&bucket).await?) {
        return Ok(None);
    }
    let jetstream = jetstream::new(client.clone());
    // From here on the values are in memory only, so nothing but the end of the program may end this.
    patiently("mending a bucket", || async {
        if census::existing(&jetstream, name).await?.is_some() {
            jetstream.delete_key_value(name).await.map_err(failed("make anew", name))?;
        }
        Ok::<_, BucketError>(())
    })
    .await?;
    let bucket = patiently("mending a bucket", || Bucket::<Value>::open(client, name)).await?;
    for (key, entry) in &values {
        patiently("mending a bucket", || bucket.put(key, &entry.value)).await?;
    }
    Ok(Some(format!(
        "the broker's bucket {name} was damaged; it was made anew with the {} values that could be read, and at least {} \
         are lost (`fleetps restore` has those of a backup)",
        values.len(),
        unread
    )))
}

/// Whether a value that the broker has acknowledged is there afterwards.
async fn keeps_values(bucket: &Bucket<Value>) -> Result<bool, BucketError> {
    let name = bucket.store.name.clone();
    let revision = bucket.store.put(PROBE, "0".into()).await.map_err(failed("write", &name))?;
    let entry = bucket.store.entry(PROBE).await.map_err(failed("read", &name))?;
    let is_kept = entry.is_some_and(|entry| entry.revision == revision);
    if is_kept {
        bucket.delete(PROBE).await?;
    }
    Ok(is_kept)
}
