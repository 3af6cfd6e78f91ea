//! What the broker keeps in its buckets (hosts, users, tokens), as files of JSON in a backup, and back.
//!
//! A restored data folder holds the files until the next start, which puts them into the new broker and removes them. A key
//! that is there already stays as it is, so that it is safe to be interrupted.

use std::{fs, io::ErrorKind, path::Path};

use async_nats::Client;
use fleetps_nats::bucket::{self, Bucket, BucketError};
use serde_json::{Map, Value};

use super::BackupError;

/// The folder of the files, in a backup and in a data folder made from it.
pub(super) const FOLDER: &str = "state";
/// Who is signed in is not kept: after a restore everybody signs in anew.
const SESSIONS: &str = "sessions";

/// What one file of a backup is to hold.
#[derive(Debug)]
pub struct StateFile {
    /// Its path in the backup.
    pub(super) path: String,
    pub(super) json: Vec<u8>,
}

/// Reads every bucket but that of the sessions.
///
/// # Errors
/// When the broker does not answer.
pub async fn read_state(client: &Client) -> Result<Vec<StateFile>, BackupError> {
    let mut files = Vec::new();
    for name in bucket::names(client).await?.iter().filter(|name| *name != SESSIONS) {
        let all = Bucket::<Value>::open(client, name).await?.all().await?;
        let values: Map<String, Value> = all.into_iter().map(|(key, entry)| (key, entry.value)).collect();
        let json = serde_json::to_vec_pretty(&values).unwrap_or_default();
        files.push(StateFile { path: format!("{FOLDER}/{name}.json"), json });
    }
    Ok(files)
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
        let values: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|error| {
            BackupError::Damaged { path: path.clone(), problem: format!("is no bucket ({error})") }
        })?;
        put(client, name, &values).await?;
        fs::remove_file(&path).map_err(BackupError::at(&path))?;
        tracing::info!(bucket = name, values = values.len(), "brought back from the backup");
    }
    fs::remove_dir(&folder).map_err(BackupError::at(&folder))
}

async fn put(client: &Client, name: &str, values: &Map<String, Value>) -> Result<(), BucketError> {
    let bucket = Bucket::<Value>::open(client, name).await?;
    for (key, value) in values {
        bucket.create(key, value).await?;
    }
    Ok(())
}
