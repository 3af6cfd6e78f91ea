//! Backups by themselves: `[backup] to, every, keep`.
//!
//! Each is a folder of its own, named for its moment. What did not change since the one before is linked and not copied, so
//! that several take little more room than one; each file is compared all the same, so damage does not go from one to the
//! next.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use super::{BackupError, Manifest, StateFile, Taken, files, take::take_over};

/// The suffix of an unfinished backup's folder, after its time.
const UNFINISHED: &str = ".unfinished";

/// A folder with backups, one for each moment.
#[derive(Debug, Clone)]
pub struct BackupFolder {
    folder: PathBuf,
}

impl BackupFolder {
    /// The backups in `folder`, which need not be there yet.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The newest complete backup, and its list of files. The files' checksums are not checked.
    pub fn newest(&self) -> Option<(PathBuf, Manifest)> {
        self.complete().into_iter().next_back()
    }

    /// Takes a backup, and removes the oldest when there are more than `keep`. The other parameters are [`super::take()`]'s.
    ///
    /// # Errors
    /// When something cannot be read or written; the backups that were there stay.
    pub fn take(
        &self,
        data: &Path,
        settings: Option<&Path>,
        state: Option<&[StateFile]>,
        keep: usize,
    ) -> Result<Taken, BackupError> {
        files::make_private_folder(&self.folder)?;
        self.remove_unfinished()?;
        let moment = moment_name(jiff::Timestamp::now());
        let unfinished = self.folder.join(format!("{moment}{UNFINISHED}"));
        let before = self.newest();
        if let Some((before, manifest)) = &before {
            link_all(before, manifest, &unfinished);
        }
        let earlier = before.map(|(_, manifest)| manifest.files).unwrap_or_default();
        let taken = take_over(&earlier, data, settings, state, &unfinished)?;
        let finished = self.folder.join(moment);
        fs::rename(&unfinished, &finished).map_err(BackupError::at(&finished))?;
        files::sync_folder(&self.folder)?;
        let complete = self.complete();
        for (old, _) in complete.iter().take(complete.len().saturating_sub(keep.max(1))) {
            fs::remove_dir_all(old).map_err(BackupError::at(old))?;
        }
        Ok(taken)
    }

    /// Every complete backup, the oldest first. One from a time to come was made while the clock was wrong: it counts as the
    /// oldest, so that it is not the newest for ever and goes first.
    fn complete(&self) -> Vec<(PathBuf, Manifest)> {
        let now = moment_name(jiff::Timestamp::now());
        let is_past = |path: &Path| path.file_name().is_some_and(|name| name <= OsStr::new(&now));
        let mut paths = self.moments().unwrap_or_default();
        // The sort is stable: within both parts the order of time stays.
        paths.sort_by_key(|path| is_past(path));
        paths.into_iter().filter_map(|path| Some((path.clone(), Manifest::read(&path).ok()?))).collect()
    }

    /// The folders that are named for a moment, the oldest first; what else lies there is not ours.
    fn moments(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths =
            fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_moment));
        paths.sort_unstable();
        Ok(paths)
    }

    /// Removes what a backup left that did not end.
    fn remove_unfinished(&self) -> Result<(), BackupError> {
        for entry in fs::read_dir(&self.folder).map_err(BackupError::at(&self.folder))? {
            let path = entry.map_err(BackupError::at(&self.folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.strip_suffix(UNFINISHED).is_some_and(is_moment) {
                fs::remove_dir_all(&path).map_err(BackupError::at(&path))?;
            }
        }
        Ok(())
    }
}

/// The name of the folder of a backup from this moment.
fn moment_name(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H-%M-%S%.3fZ").to_string()
}

/// Whether a name is a time as in 2026-11-27T21-00-00.000Z.
fn is_moment(name: &str) -> bool {
    let pattern = "0000-00-00T00-00-00.000Z";
    name.len() == pattern.len()
        && name.bytes().zip(pattern.bytes()).all(|(byte, expected)| match expected {
            b'0' => byte.is_ascii_digit(),
            _ => byte == expected,
        })
}

/// Gives the files of one backup names in another. Where the disk knows no links, they are copied later.
fn link_all(from: &Path, manifest: &Manifest, to: &Path) {
    for entry in &manifest.files {
        let target = to.join(&entry.path);
        let made = target.parent().is_some_and(|folder| files::make_private_folder(folder).is_ok());
        if !made || fs::hard_link(from.join(&entry.path), &target).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_moments_are_ours() {
        assert!(is_moment("2026-11-27T21-00-00.000Z"));
        for other in
            ["", "2026", "lost+found", "2026-11-27T21-00-00.000Z.unfinished", "2026-11-27T21:00:00.000Z"]
        {
            assert!(!is_moment(other), "{other}");
        }
    }
}
