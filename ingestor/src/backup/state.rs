//! The broker's buckets (hosts, users, tokens) as files of JSON in a backup, and back.
//!
//! A restored data folder holds the files until the next start, which puts them into the new broker and removes them. A key
//! that is there already stays as it is, so that it is safe to be interrupted.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path};

use async_nats::Client;
use fleetps_nats::bucket::{self, Bucket, BucketError};
use serde_json::Value;

use super::BackupError;

/// The folder of the files, in a backup and in a data folder made from it.
pub(super) const FOLDER: &str = "state";
/// Buckets that no backup has. After a restore everybody signs in anew, and a link that was used in the meantime does not
/// work a second time. What became of commands is in the audit, and none goes on after a restore.
const NOT_KEPT: [&str; 4] = ["sessions", "sign_in_links", "known_browsers", "commands"];

/// The values of buckets: by the bucket's name, by key.
pub type Buckets = BTreeMap<String, BTreeMap<String, Value>>;

/// The content of one file of a backup.
#[derive(Debug)]
pub struct StateFile {
    /// Its path in the backup.
    pub(super) path: String,
    pub(super) json: Vec<u8>,
}

/// Reads every bucket that a backup has.
///
/// # Errors
/// When the broker does not answer.
pub async fn read_buckets(client: &Client) -> Result<Buckets, BackupError> {
    let mut buckets = Buckets::new();
    for name in bucket_names(client).await? {
        if let Some(census) = bucket::census(client, &name).await? {
            buckets.insert(name, census.values);
        }
    }
    Ok(buckets)
}

/// The names of the buckets that a backup has.
///
/// # Errors
/// When the broker does not answer.
pub async fn bucket_names(client: &Client) -> Result<Vec<String>, BucketError> {
    let mut names = bucket::names(client).await?;
    names.retain(|name| !NOT_KEPT.contains(&name.as_str()));
    Ok(names)
}

/// The files of a backup that hold these buckets.
pub fn state_files(buckets: &Buckets) -> Vec<StateFile> {
    let file = |(name, values)| StateFile {
        path: format!("{FOLDER}/{name}.json"),
        json: serde_json::to_vec_pretty(values).unwrap_or_default(),
    };
    buckets.iter().map(file).collect()
}

/// Puts what a restored data folder brought into the broker, once.
///
/// # Errors
/// When a file is not what it was, or the broker does not take it; it is tried again at the next start.
pub async fn bring_back_state(client: &Client, data: &Path) -> Result<(), BackupError> {
    let folder = data.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BackupError::at(&folder)(error)),
    };
    for entry in entries {
        let path = entry.map_err(BackupError::at(&folder))?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let bytes = fs::read(&path).map_err(BackupError::at(&path))?;
        let values: BTreeMap<String, Value> = serde_json::from_slice(&bytes).map_err(|error| {
            BackupError::Damaged { path: path.clone(), problem: format!("is no bucket ({error})") }
        })?;
        // An earlier version kept links: they may have been used since.
        if !NOT_KEPT.contains(&name) {
            put(client, name, &values).await?;
        }
        fs::remove_file(&path).map_err(BackupError::at(&path))?;
        tracing::info!(bucket = name, values = values.len(), "brought back from the backup");
    }
    fs::remove_dir(&folder).map_err(BackupError::at(&folder))
}

async fn put(client: &Client, name: &str, values: &BTreeMap<String, Value>) -> Result<(), BucketError> {
    let bucket = Bucket::<Value>::open(client, name).await?;
    for (key, value) in values {
        bucket.create(key, value).await?;
    }
    Ok(())
}
