//! Checking a backup, and making a data folder from it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{BackupError, Entry, Manifest, files};

/// Whether everything in `backup` is as its manifest says.
///
/// # Errors
/// When it is not; the error names the first file.
pub fn verify(backup: &Path) -> Result<Manifest, BackupError> {
    let manifest = Manifest::read(backup)?;
    for entry in &manifest.files {
        check(backup, entry, files::measure(backup, &entry.path))?;
    }
    Ok(manifest)
}

fn check(backup: &Path, entry: &Entry, found: Result<Entry, BackupError>) -> Result<(), BackupError> {
    let problem = match found {
        Ok(found) if found == *entry => return Ok(()),
        Ok(found) if found.bytes != entry.bytes => {
            format!("has {} bytes, and had {} when it was copied", found.bytes, entry.bytes)
        }
        Ok(_) => "has other contents than when it was copied".to_owned(),
        Err(BackupError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            "is missing".to_owned()
        }
        Err(BackupError::Io { source, .. }) => format!("cannot be read ({source})"),
        Err(error) => return Err(error),
    };
    Err(BackupError::Damaged { path: backup.join(&entry.path), problem })
}

/// Makes the folder `data`, which must be empty or missing, from `backup`.
///
/// # Errors
/// When the backup is damaged or `data` cannot be made; it is then as it was.
pub fn restore(backup: &Path, data: &Path) -> Result<Manifest, BackupError> {
    let data = std::path::absolute(data).map_err(BackupError::at(data))?;
    let is_empty = match fs::read_dir(&data) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if !is_empty {
        return Err(BackupError::NotEmpty(data));
    }
    let manifest = verify(backup)?;
    let unfinished = unfinished(&data);
    let restored = fill(backup, &manifest, &unfinished).and_then(|()| finish(&unfinished, &data));
    if restored.is_err() {
        let _ = fs::remove_dir_all(&unfinished);
    }
    restored.map(|()| manifest)
}

/// Where a data folder is made before it gets its name.
fn unfinished(data: &Path) -> PathBuf {
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    data.with_file_name(name)
}

fn fill(backup: &Path, manifest: &Manifest, folder: &Path) -> Result<(), BackupError> {
    // Left by a restoring that did not end.
    let _ = fs::remove_dir_all(folder);
    files::make_private_folder(folder)?;
    for entry in &manifest.files {
        check(backup, entry, files::copy(backup, folder, &entry.path).map(|(copied, _)| copied))?;
    }
    for inner in manifest.folders() {
        files::sync_folder(&folder.join(inner))?;
    }
    Ok(())
}

fn finish(unfinished: &Path, data: &Path) -> Result<(), BackupError> {
    match fs::remove_dir(data) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(BackupError::at(data)(error)),
        _ => {}
    }
    fs::rename(unfinished, data).map_err(BackupError::at(data))?;
    data.parent().map_or(Ok(()), files::sync_folder)
}
