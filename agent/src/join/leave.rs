//! `fleetps-agent leave`: undoes `join`. The service ends, and its settings and the host's key are removed. What belongs to a
//! package stays, and what the fleet knows of this host, too.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use fleetps_nats::key;

use super::{JoinError, ROOT_STATE_FOLDER, SETTINGS, folders, service};
use crate::settings::AgentFile;

/// What is to be undone.
#[derive(Debug, Args)]
pub struct LeaveArguments {
    /// Where settings and key are, as was said to `join`
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

impl LeaveArguments {
    /// The settings file of the host.
    pub(crate) fn settings(&self) -> Option<PathBuf> {
        let file = folders(self.folder.as_deref()).0.join(SETTINGS);
        file.exists().then_some(file)
    }
}

/// Leaves the fleet that the settings in `file` name, and prints what was done.
///
/// # Errors
/// When something cannot be removed, or the service still runs after it was told to stop.
pub fn leave(arguments: &LeaveArguments, file: &AgentFile) -> Result<(), JoinError> {
    let (config_folder, state_folder) = folders(arguments.folder.as_deref());
    let key = file.broker.nkey.clone().unwrap_or_else(|| state_folder.join("host.nk"));
    let public_key = key::read(&key).ok().map(|key| key.public_key());
    // Copied there by `join`.
    let authority = file.wire.ca.clone().filter(|ca| ca.parent() == Some(config_folder.as_path()));
    let config = config_folder.join(SETTINGS);
    let is_service = service::reads(&config) && service::can_be_told();
    // Left by a change of the key that did not end.
    let next_key = key.with_extension("next");
    let mut paths = vec![config, key, next_key];
    paths.extend(authority);
    // Folders that are the agent's alone; the others may have been named to `join` for other reasons, too.
    if state_folder == Path::new(ROOT_STATE_FOLDER) {
        paths.extend([state_folder, service::control_state()]);
    }
    paths.retain(|path| path.exists());
    if arguments.dry_run {
        let (intro, units) = if is_service {
            ("the service would be stopped, and these files removed:", service::installed())
        } else {
            ("these files would be removed:", Vec::new())
        };
        fleetps_nats::outln!("{intro}");
        units.iter().chain(&paths).for_each(|path| fleetps_nats::outln!("  {}", path.display()));
        return Ok(());
    }
    let mut removed = if is_service { service::uninstall()? } else { Vec::new() };
    for path in paths {
        remove(&path).map_err(|source| JoinError::Remove { path: path.clone(), source })?;
        removed.push(path);
    }
    // Others may have something there.
    let _ = fs::remove_dir(config_folder);
    removed.iter().for_each(|path| fleetps_nats::outln!("removed {}", path.display()));
    match (public_key, &file.host) {
        (Some(public_key), Some(host)) => fleetps_nats::outln!(
            "{host} has left: its key {public_key} is gone. Where fleetps runs, its name is freed with:\n\n  \
             fleetps host forget {host}"
        ),
        _ => fleetps_nats::outln!("This host had not joined a fleet."),
    }
    Ok(())
}

/// Removes a file, or a folder with all in it; one that is gone already is fine.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
