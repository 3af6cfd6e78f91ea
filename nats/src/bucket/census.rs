//! Reads a bucket without creating it: which keys can be read, which cannot, and which were removed. So a lost key
//! differs from one that never existed.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
};

use async_nats::{
    Client,
    jetstream::{
        self, Context, ErrorCode,
        context::{GetStreamError, GetStreamErrorKind, KeyValueError, KeyValueErrorKind},
        kv::Store,
    },
};
use serde::de::DeserializeOwned;

use super::{
    BucketError,
    current::{self, Change},
    failed,
};

/// Every key of a bucket, by what became of it.
#[derive(Debug)]
pub struct Census<T> {
    /// The values.
    pub values: BTreeMap<String, T>,
    /// Keys with an unexpected value.
    pub unreadable: BTreeSet<String>,
    /// Keys removed within the last hour.
    pub removed: BTreeSet<String>,
}

/// Every key of the bucket `name`; `None` when there is no such bucket.
///
/// # Errors
/// When the broker does not answer.
pub async fn census<T: DeserializeOwned>(
    client: &Client,
    name: &str,
) -> Result<Option<Census<T>>, BucketError> {
    let Some(store) = existing(&jetstream::new(client.clone()), name).await? else { return Ok(None) };
    let mut census =
        Census { values: BTreeMap::new(), unreadable: BTreeSet::new(), removed: BTreeSet::new() };
    let mut changes = current::open(&store).await.map_err(failed("read", name))?;
    while let Some(change) = changes.next_held(&store).await.map_err(failed("read", name))? {
        let Change { key, entry, is_removed, .. } = change;
        match entry {
            Some(entry) => _ = census.values.insert(key, entry.value),
            None if is_removed => _ = census.removed.insert(key),
            None => _ = census.unreadable.insert(key),
        }
    }
    changes.end(&store).await;
    Ok(Some(census))
}

/// The last revision of each bucket `names`, `None` for a bucket that does not exist: whether something changed, without
/// reading it.
///
/// # Errors
/// When the broker does not answer.
pub async fn revisions(
    client: &Client,
    names: impl IntoIterator<Item = &str>,
) -> Result<BTreeMap<String, Option<u64>>, BucketError> {
    let jetstream = jetstream::new(client.clone());
    let mut revisions = BTreeMap::new();
    for name in names {
        let revision = existing(&jetstream, name).await?;
        let revision = revision.map(|store| store.stream.cached_info().state.last_sequence);
        revisions.insert(name.to_owned(), revision);
    }
    Ok(revisions)
}

/// The bucket `name`, if it exists. Any other answer of the broker is an error: a bucket that cannot be read now is not
/// one to make anew.
pub(super) async fn existing(jetstream: &Context, name: &str) -> Result<Option<Store>, BucketError> {
    let is_missing = |error: &KeyValueError| {
        let source = error.source().and_then(|source| source.downcast_ref());
        let kind = source.map(GetStreamError::kind);
        error.kind() == KeyValueErrorKind::GetBucket
            && matches!(kind, Some(GetStreamErrorKind::JetStream(error))
                if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
    };
    match jetstream.get_key_value(name).await {
        Ok(store) => Ok(Some(store)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(failed("open", name)(error)),
    }
}
