//! Prepares a folder of segments for use: removes what a crash left, and makes segments read-only.

use std::{fs, path::Path};

use fleetps_nats::lock::{FolderLock, LockError};

use crate::{
    audit::AuditName,
    segment::{FolderError, SegmentName, make_read_only},
};

/// Makes every segment a file that is only read, as new ones are: a program that opens one to write would lock it.
pub(super) fn protect(folder: &Path) -> Result<(), FolderError> {
    for entry in fs::read_dir(folder).map_err(FolderError::at(folder))?.flatten() {
        let file_name = entry.file_name();
        let file_name = file_name.to_str().unwrap_or_default();
        let is_segment = SegmentName::parse(file_name).is_some() || AuditName::parse(file_name).is_some();
        if is_segment && let Err(error) = make_read_only(&entry.path()) {
            tracing::debug!(segment = file_name, %error, "cannot be made read-only");
        }
    }
    Ok(())
}

/// Removes files that a crash left incomplete. One that cannot be removed is left: nothing reads it.
pub(super) fn remove_temporary(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let file_name = file_name.to_string_lossy();
        if !(file_name.ends_with(".tmp") || file_name.ends_with(".tmp.wal")) {
            continue;
        }
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        // An import that runs holds its folder, until this one may have it.
        if is_folder && matches!(FolderLock::take(&entry.path()), Err(LockError::Held { .. })) {
            continue;
        }
        tracing::info!(file = %file_name, "removing what was not complete");
        let removed =
            if is_folder { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        if let Err(error) = removed {
            tracing::warn!(file = %file_name, %error, "cannot be removed");
        }
    }
    Ok(())
}
