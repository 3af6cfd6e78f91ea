//! `--recover`: writes saved records back where they are gone or cannot be read. What can be read stays as it is.

use std::collections::BTreeSet;

use async_nats::Client;
use fleetps_ingestor::backup::SavedState;
use fleetps_nats::{
    HostName,
    audit::{Audit, AuditEntry, Outcome},
    bucket::{Bucket, BucketError},
    hosts::HOSTS,
    now_us,
};
use serde_json::{Value, json};

use super::{Loss, Losses, losses::list};
use crate::{auth::By, display::time};

/// Restores the lost records; returns what it did, in words.
///
/// # Errors
/// When the broker refuses it, or it cannot be audited.
pub(super) async fn recover(
    client: &Client,
    audit: &Audit,
    saved: Option<&SavedState>,
    losses: &Losses,
    this_host: Option<&HostName>,
) -> anyhow::Result<String> {
    let texts: Vec<_> = losses.iter().map(|(name, loss)| told(name, loss, saved)).collect();
    let from =
        saved.map_or_else(String::new, |saved| format!(" from what was saved at {}", time(saved.made_at_us)));
    let what = format!("{}{from}", texts.join("; "));
    // The audit first: an interrupted recovery is tried again, and finds less then. Nothing is restored without an
    // entry.
    audit.record(entry(what.clone())).await?;
    for (name, loss) in losses.iter() {
        mend(client, name, loss, saved, this_host).await?;
    }
    Ok(format!("recovered: {what}"))
}

/// Restores the lost records of one bucket.
fn told(name: &str, loss: &Loss, saved: Option<&SavedState>) -> String {
    let saved = saved.and_then(|saved| saved.buckets.get(name));
    let keys = loss.missing.iter().chain(&loss.unreadable).cloned();
    let (back, removed): (BTreeSet<_>, BTreeSet<_>) =
        keys.partition(|key| saved.is_some_and(|saved| saved.contains_key(key)));
    let lists = [(back, "back"), (removed, "removed because it cannot be read and was never saved")];
    let texts = lists.iter().filter(|(keys, _)| !keys.is_empty());
    let texts: Vec<_> = texts.map(|(keys, what)| format!("{} {what}", list(keys))).collect();
    format!("{name}: {}", texts.join(", "))
}

fn entry(what: String) -> AuditEntry {
    AuditEntry {
        at_us: now_us(),
        who: By::command().name,
        from: None,
        action: "state.recover".to_owned(),
        host: None,
        what,
        outcome: Outcome::Done,
    }
}

async fn mend(
    client: &Client,
    name: &str,
    loss: &Loss,
    saved: Option<&SavedState>,
    this_host: Option<&HostName>,
) -> Result<(), BucketError> {
    let saved = saved.and_then(|saved| saved.buckets.get(name));
    let bucket = Bucket::<Value>::open(client, name).await?;
    for key in loss.missing.iter().chain(&loss.unreadable) {
        match saved.and_then(|saved| saved.get(key)) {
            Some(value) if name == HOSTS && this_host.is_some_and(|host| host.as_str() == key) => {
                bucket.put(key, &without_keys(value)).await?
            }
            Some(value) => bucket.put(key, value).await?,
            None => bucket.delete(key).await?,
        };
    }
    Ok(())
}

/// The record of a host that has to show its key anew: this machine's own key may have been lost with the broker's files.
pub(crate) fn without_keys(record: &Value) -> Value {
    let mut record = record.clone();
    if let Some(fields) = record.as_object_mut() {
        fields.insert("keys".to_owned(), json!([]));
    }
    record
}
