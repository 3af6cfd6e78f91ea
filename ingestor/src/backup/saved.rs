//! The recent content of the broker's buckets, in small files of the data folder, from which lost records are restored.
//!
//! Each file is one moment of all buckets that a backup has, with its checksum, and is never written again. The latest few
//! are kept, and the last of each of the days before.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{BackupError, Buckets, files};

/// The folder of the files, in the data folder.
pub(super) const SAVED_STATES: &str = "state-backups";
/// Grows when an older program could not read a file any more.
const FORMAT: u32 = 1;
/// The latest files are all kept: one a minute at most, so a mistake of the last minutes can be taken back.
const LATEST: usize = 5;
/// Of each of this many days before, the last file is kept: a loss that is noticed after a week can still be repaired.
const DAYS: usize = 7;
const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// The buckets at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedState {
    format: u32,
    /// When, in µs since 1970 UTC.
    pub made_at_us: i64,
    /// The buckets' content.
    pub buckets: Buckets,
    /// SHA-256 of all of the above.
    sha256: String,
}

/// The folder with the files.
#[derive(Debug, Clone)]
pub struct SavedStates {
    folder: PathBuf,
}

impl SavedState {
    /// These buckets at this moment.
    pub fn new(buckets: Buckets, made_at_us: i64) -> Self {
        let mut state = Self { format: FORMAT, made_at_us, buckets, sha256: String::new() };
        state.sha256 = state.own_sha256();
        state
    }

    fn own_sha256(&self) -> String {
        let bare = Self { sha256: String::new(), ..self.clone() };
        files::hex(&Sha256::digest(serde_json::to_vec(&bare).unwrap_or_default()))
    }
}

impl SavedStates {
    /// The saved states of a data folder.
    pub fn of(data: &Path) -> Self {
        Self { folder: data.join(SAVED_STATES) }
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps a state, and removes the files that are not kept any longer.
    ///
    /// # Errors
    /// When the folder cannot be written; the files that were there stay.
    pub fn save(&self, state: &SavedState) -> Result<(), BackupError> {
        files::make_private_folder(&self.folder)?;
        let json = serde_json::to_vec(state).unwrap_or_default();
        // A clock that was set back must not put this file before older ones.
        let newest_us = self.paths()?.last().and_then(|path| made_at_us(path)).unwrap_or_default();
        let path =
            self.folder.join(format!("{:020}.json", state.made_at_us.max(newest_us.saturating_add(1))));
        files::write(&path, &mut json.as_slice(), None)?;
        files::sync_folder(&self.folder)?;
        for path in superfluous(&self.paths()?) {
            fs::remove_file(path).map_err(BackupError::at(path))?;
        }
        Ok(())
    }

    /// The newest state whose file is whole. Files that are not are logged, and stay where they are.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn newest(&self) -> Result<Option<SavedState>, BackupError> {
        Ok(self.paths()?.iter().rev().find_map(|path| {
            read(path)
                .inspect_err(|error| {
                    let error = fleetps_nats::error_chain(error);
                    tracing::error!(%error, "a saved state of the broker cannot be used; an older one is looked for");
                })
                .ok()
        }))
    }

    /// All files, the oldest first.
    fn paths(&self) -> Result<Vec<PathBuf>, BackupError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(BackupError::at(&self.folder)(error)),
        };
        let paths =
            entries.map(|entry| entry.map(|entry| entry.path()).map_err(BackupError::at(&self.folder)));
        let mut paths: Vec<_> = paths.collect::<Result<_, _>>()?;
        paths.retain(|path| made_at_us(path).is_some());
        paths.sort_unstable();
        Ok(paths)
    }
}

fn made_at_us(path: &Path) -> Option<i64> {
    path.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok()
}

fn read(path: &Path) -> Result<SavedState, BackupError> {
    let bytes = fs::read(path).map_err(BackupError::at(path))?;
    let damaged = |problem: &str| BackupError::Damaged { path: path.to_owned(), problem: problem.to_owned() };
    let state: SavedState =
        serde_json::from_slice(&bytes).map_err(|error| damaged(&format!("is no saved state ({error})")))?;
    match state.format == FORMAT && state.sha256 == state.own_sha256() {
        true => Ok(state),
        false => Err(damaged("has other contents than when it was written, or a newer program wrote it")),
    }
}

/// The files to remove, oldest first: neither among the latest nor the last of one of the days before.
fn superfluous(paths: &[PathBuf]) -> Vec<&Path> {
    let (mut kept, mut days) = (0, BTreeSet::new());
    let mut is_kept = |path: &Path| {
        kept += 1;
        let is_last_of_day = days.len() < DAYS && days.insert(made_at_us(path).unwrap_or_default() / DAY_US);
        kept <= LATEST || is_last_of_day
    };
    paths.iter().rev().map(PathBuf::as_path).filter(|path| !is_kept(path)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn state(made_at_us: i64) -> SavedState {
        let users = BTreeMap::from([("anna".to_owned(), serde_json::json!({"at": made_at_us}))]);
        SavedState::new(Buckets::from([("users".to_owned(), users)]), made_at_us)
    }

    #[test]
    fn the_latest_are_kept_and_the_last_of_each_day_before() {
        let folder = tempfile::tempdir().unwrap();
        let states = SavedStates::of(folder.path());
        assert_eq!(states.newest().unwrap(), None);
        for step in 0..12 * 12 {
            states.save(&state(1 + step * 2 * 3_600_000_000)).unwrap();
        }
        let kept: Vec<_> = states.paths().unwrap().iter().filter_map(|path| made_at_us(path)).collect();
        let hours: Vec<_> = kept.iter().map(|at_us| at_us / 3_600_000_000).collect();
        assert_eq!(hours, [142, 166, 190, 214, 238, 262, 278, 280, 282, 284, 286]);
        // The clock is set back by days.
        states.save(&state(5)).unwrap();
        assert_eq!(states.newest().unwrap(), Some(state(5)));
    }

    #[test]
    fn a_damaged_file_is_passed_over_for_an_older_one_at_every_byte() {
        let folder = tempfile::tempdir().unwrap();
        let states = SavedStates::of(folder.path());
        states.save(&state(1)).unwrap();
        states.save(&state(2)).unwrap();
        let newest = states.paths().unwrap().pop().unwrap();
        let whole = fs::read(&newest).unwrap();
        for byte in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[byte] ^= 1;
            fs::write(&newest, damaged).unwrap();
            assert_eq!(states.newest().unwrap(), Some(state(1)), "byte {byte}");
        }
        fs::write(&newest, &whole[..whole.len() / 2]).unwrap();
        assert_eq!(states.newest().unwrap(), Some(state(1)));
        fs::write(&newest, whole).unwrap();
        assert_eq!(states.newest().unwrap(), Some(state(2)));
    }
}
