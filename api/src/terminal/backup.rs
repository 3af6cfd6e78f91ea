//! `fleetps backup` and `fleetps restore`.

use std::path::Path;

use fleetps_ingestor::backup;

use crate::{
    backups::state_files,
    config::Config,
    display::{count, size_long, time},
};

/// Copies what the data folder keeps into `folder`, while everything runs.
///
/// # Errors
/// When something cannot be read or written.
pub(crate) fn backup(config: &Config, folder: &Path) -> anyhow::Result<()> {
    let state = state(config)?;
    let taken = backup::take(&config.data, config.settings_file.as_deref(), state.as_deref(), folder)?;
    fleetps_nats::outln!(
        "A backup of {} is in {}: {} files, {}, of which {} were copied now.\n{}",
        config.data.display(),
        folder.display(),
        count(taken.manifest.files.len() as u64),
        size_long(Some(taken.manifest.bytes())),
        count(taken.copied as u64),
        reach(&taken.manifest),
    );
    Ok(())
}

/// The broker's records; `None` where it does not run.
fn state(config: &Config) -> anyhow::Result<Option<Vec<backup::StateFile>>> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let client = match config.broker() {
            Ok(broker) => broker.connect("fleetps backup").await.map_err(anyhow::Error::from),
            Err(error) => Err(error),
        };
        let buckets = match client {
            Ok(client) => Some(backup::read_buckets(&client).await?),
            Err(error) => saved(config, &error)?,
        };
        Ok(buckets.map(|buckets| state_files(buckets, &config.data)))
    })
}

/// The broker's records, as saved while it last ran.
fn saved(config: &Config, why: &anyhow::Error) -> anyhow::Result<Option<backup::Buckets>> {
    let saved = backup::SavedStates::of(&config.data).newest()?;
    match &saved {
        Some(saved) => fleetps_nats::errln!(
            "fleetps: hosts, users and tokens are as of {}, because the broker does not run ({why:#})",
            time(saved.made_at_us)
        ),
        None => fleetps_nats::errln!(
            "fleetps: hosts, users and tokens are as in the last backup, if at all, because only a running broker has them \
             ({why:#}). Start fleetps and take the backup again"
        ),
    }
    Ok(saved.map(|saved| saved.buckets))
}

/// Makes the data folder from the backup in `folder`.
///
/// # Errors
/// When the backup is damaged, or the data folder is not empty or cannot be written.
pub(crate) fn restore(config: &Config, folder: &Path, only_check: bool) -> anyhow::Result<()> {
    if only_check {
        return check(folder);
    }
    make_from(config, folder)
}

/// Reads the whole of a backup, and writes nothing.
fn check(folder: &Path) -> anyhow::Result<()> {
    let manifest = backup::check(folder)?;
    fleetps_nats::outln!(
        "The backup in {} can be restored: {} files, {}, each of them as it was copied and readable.\n{}",
        folder.display(),
        count(manifest.files.len() as u64),
        size_long(Some(manifest.bytes())),
        reach(&manifest),
    );
    Ok(())
}

fn make_from(config: &Config, folder: &Path) -> anyhow::Result<()> {
    let manifest = backup::restore(folder, &config.data)?;
    fleetps_nats::outln!(
        "{} is as the backup in {} ({} files, {}), each of them as it was copied.\n{}\nStart it with: fleetps --data {}",
        config.data.display(),
        folder.display(),
        count(manifest.files.len() as u64),
        size_long(Some(manifest.bytes())),
        reach(&manifest),
        config.data.display(),
    );
    Ok(())
}

fn reach(manifest: &backup::Manifest) -> String {
    match manifest.history_to_us {
        Some(until_us) => format!(
            "Its history reaches until {}; what came after had not been sealed yet, and is not in it.",
            time(until_us)
        ),
        None => "Its history is empty.".to_owned(),
    }
}
