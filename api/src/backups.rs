//! Backups that fleetps takes by itself, as `[backup]` says, and what readiness says of them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use async_nats::Client;
use fleetps_ingestor::backup::{self, BackupError, BackupFolder, Buckets, StateFile};
use fleetps_nats::{
    error_chain,
    hosts::HOSTS,
    now_us,
    server::{Part, public_key_in},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    config::BackupSettings,
    display::time,
    live::Check,
    recovery::{StateHealth, without_keys},
};

/// How often to check whether a backup is due, and how long to wait after a failure: a disk that was unmounted is found
/// soon.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The broker's records as a backup has them.
///
/// # Errors
/// When the broker does not answer.
pub(crate) async fn state_of(client: &Client, data: &Path) -> Result<Vec<StateFile>, BackupError> {
    Ok(state_files(backup::read_buckets(client).await?, data))
}

/// These buckets as a backup has them: this machine's own agent has no key in it. The broker's keys are not in a backup, so
/// a restored machine makes new ones, and its agent must get its name back.
pub(crate) fn state_files(mut buckets: Buckets, data: &Path) -> Vec<StateFile> {
    let own = public_key_in(data, Part::Agent).ok();
    let is_own = |record: &Value| {
        let keys = record["keys"].as_array().into_iter().flatten();
        own.as_ref().is_some_and(|own| keys.into_iter().any(|key| key == own))
    };
    for record in buckets.get_mut(HOSTS).into_iter().flat_map(|hosts| hosts.values_mut()) {
        if is_own(record) {
            *record = without_keys(record);
        }
    }
    backup::state_files(&buckets)
}

/// The data to back up, when, and where to.
#[derive(Debug, Clone)]
pub(crate) struct Backups {
    /// When, where to, and how many are kept.
    pub settings: BackupSettings,
    /// The data folder.
    pub data: PathBuf,
    /// The settings file that a backup keeps too; none where there is none.
    pub settings_file: Option<PathBuf>,
}

/// Takes backups until `shutdown`; returns at once where none are configured.
pub(crate) async fn keep_backing_up(
    client: Client,
    backups: Backups,
    health: StateHealth,
    shutdown: CancellationToken,
) {
    let settings = &backups.settings;
    let Some(to) = &settings.to else { return };
    let folder = BackupFolder::new(to);
    loop {
        let made_at_us = newest(&folder).await;
        health.set_backup(check(settings, made_at_us, None), made_at_us);
        if is_due(settings, made_at_us) {
            // One that is cut off here is removed by the next.
            let taking = shutdown.run_until_cancelled(take(&client, &backups, &folder));
            let Some(taken) = taking.await else { return };
            let failure = taken.err();
            if let Some(error) = &failure {
                tracing::error!(error, to = %to.display(), "no backup was taken; trying again");
            }
            let made_at_us = newest(&folder).await;
            health.set_backup(check(settings, made_at_us, failure.as_deref()), made_at_us);
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return;
        }
    }
}

/// When the newest backup was made, in µs since 1970 UTC.
async fn newest(folder: &BackupFolder) -> Option<i64> {
    let folder = folder.clone();
    let found = tokio::task::spawn_blocking(move || folder.newest()).await.ok().flatten();
    let made_at: jiff::Timestamp = found?.1.made_at.parse().ok()?;
    Some(made_at.as_microsecond())
}

/// Whether one is to be taken; also where the newest is from a time that is still to come.
fn is_due(settings: &BackupSettings, made_at_us: Option<i64>) -> bool {
    let age_us = made_at_us.map(|made_at_us| now_us().saturating_sub(made_at_us));
    let every_us = i64::try_from(settings.every.as_micros()).unwrap_or(i64::MAX);
    age_us.is_none_or(|age_us| !(0..every_us).contains(&age_us))
}

async fn take(client: &Client, backups: &Backups, folder: &BackupFolder) -> Result<(), String> {
    let state = state_of(client, &backups.data).await.map_err(|error| error_chain(&error))?;
    let (folder, backups) = (folder.clone(), backups.clone());
    let taking = tokio::task::spawn_blocking(move || {
        folder.take(&backups.data, backups.settings_file.as_deref(), Some(&state), backups.settings.keep)
    });
    let taken = taking.await.map_err(|error| error.to_string())?.map_err(|error| error_chain(&error))?;
    tracing::info!(files = taken.manifest.files.len(), copied = taken.copied, "a backup was taken");
    Ok(())
}

/// The message for readiness where no backup is new enough: when the last good one was made, and why there is no newer
/// one.
fn check(settings: &BackupSettings, made_at_us: Option<i64>, failure: Option<&str>) -> Check {
    let last = match made_at_us {
        Some(made_at_us) => format!("the last good backup was made at {}", time(made_at_us)),
        None => "no good backup was made yet".to_owned(),
    };
    let to = settings.to.as_deref().unwrap_or(Path::new("")).display();
    match failure {
        Some(failure) => Err(format!("{last}; another one to {to} failed, and is tried again: {failure}")),
        None if is_due(settings, made_at_us) => Err(format!("{last}; one to {to} is due")),
        None => Ok(()),
    }
}
