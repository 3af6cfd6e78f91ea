//! The list of the files in a backup.

use std::{collections::BTreeSet, fs, path::Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    BackupError,
    files::{self, Entry},
};

/// The name of the file with the list.
pub const MANIFEST: &str = "manifest.json";
/// Grows when an older program could not read the list any more.
const FORMAT: u32 = 1;

/// The manifest of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// The program that made it.
    pub writer: String,
    /// When it was made: RFC 3339 in UTC.
    pub made_at: String,
    /// Until when the history reaches, in µs since 1970 UTC.
    pub history_to_us: Option<i64>,
    /// Every file, in the order of their paths.
    pub files: Vec<Entry>,
    /// The checksum of all of the above.
    sha256: String,
}

impl Manifest {
    pub(super) fn new(files: Vec<Entry>, history_to_us: Option<i64>) -> Self {
        let mut manifest = Self {
            format: FORMAT,
            writer: crate::segment::writer(),
            made_at: jiff::Timestamp::now().to_string(),
            history_to_us,
            files,
            sha256: String::new(),
        };
        manifest.sha256 = manifest.own_sha256();
        manifest
    }

    /// The folders that its files are in, the outermost included.
    pub(super) fn folders(&self) -> BTreeSet<&str> {
        let above = |entry| Path::new(entry).ancestors().skip(1).filter_map(Path::to_str);
        self.files.iter().flat_map(|entry| above(entry.path.as_str())).collect()
    }

    /// Reads the list of a backup.
    ///
    /// # Errors
    /// When there is none, it was changed, or a newer program made it.
    pub fn read(backup: &Path) -> Result<Self, BackupError> {
        let path = backup.join(MANIFEST);
        let broken = |problem: String| BackupError::NoManifest { path: path.clone(), problem };
        let bytes =
            fs::read(&path).map_err(|error| broken(format!("its {MANIFEST} cannot be read ({error})")))?;
        let manifest: Self = serde_json::from_slice(&bytes)
            .map_err(|error| broken(format!("it is no list of files ({error})")))?;
        if manifest.format != FORMAT {
            let (found, known) = (manifest.format, FORMAT);
            return Err(broken(format!(
                "it has format {found}, and this program reads {known}; use a newer fleetps"
            )));
        }
        if manifest.sha256 != manifest.own_sha256() {
            return Err(broken("it was changed or damaged since it was made".to_owned()));
        }
        match manifest.files.iter().find(|entry| !files::is_plain(&entry.path)) {
            Some(entry) => Err(broken(format!("it names a file outside of the backup: {:?}", entry.path))),
            None => Ok(manifest),
        }
    }

    /// Writes the list; from then on the backup is complete.
    pub(super) fn write(&self, backup: &Path) -> Result<(), BackupError> {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        files::write(&backup.join(MANIFEST), &mut text.as_slice(), None)?;
        files::sync_folder(backup)
    }

    /// The sum of the file sizes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|entry| entry.bytes).sum()
    }

    fn own_sha256(&self) -> String {
        let bare = Self { sha256: String::new(), ..self.clone() };
        files::hex(&Sha256::digest(serde_json::to_vec(&bare).unwrap_or_default()))
    }
}
