//! Keys in files: one nkey seed each, readable by its owner only.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use nkeys::KeyPair;

use crate::file;

/// A key cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the broker key {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file cannot be written; an existing one is never written over.
    #[error("cannot write the broker key {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file holds no key.
    #[error(
        "{path} holds no nkey seed: expected one line that starts with S. Put the file back from a backup; without one, \
         remove it, and a new key is made"
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key has no private half.
    #[error("a key without its private half cannot be used")]
    PublicOnly(#[from] nkeys::error::Error),
}

/// Reads the key in `path`.
///
/// # Errors
/// When the file cannot be read or holds none.
pub fn read(path: &Path) -> Result<KeyPair, KeyError> {
    let text = file::read_text(path).map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
    KeyPair::from_seed(text.trim()).map_err(|_| KeyError::NoKey { path: path.to_owned() })
}

/// Makes a user's key in `path`, which must not exist, and returns its public half.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn make(path: &Path) -> Result<String, KeyError> {
    write(&KeyPair::new_user(), path)
}

/// Writes a key to `path`, which must not exist, and returns its public half.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn write(key: &KeyPair, path: &Path) -> Result<String, KeyError> {
    let seed = seed(key)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let temporary = path.with_added_extension("tmp");
    // As a whole or not at all: an empty file would be no key for ever.
    let write = || -> io::Result<()> {
        if path.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let _ = fs::remove_file(&temporary);
        let mut file = options.open(&temporary)?;
        writeln!(file, "{seed}")?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        // Windows cannot open a folder, and makes renames durable by itself.
        let folder = path.parent().filter(|folder| cfg!(unix) && !folder.as_os_str().is_empty());
        folder.map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(|source| KeyError::Write { path: path.to_owned(), source })?;
    Ok(key.public_key())
}

/// The private half.
pub(crate) fn seed(key: &KeyPair) -> Result<String, KeyError> {
    Ok(key.seed()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_once_and_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part.nk");
        // Left by a crash.
        fs::write(path.with_added_extension("tmp"), "").unwrap();
        let public = make(&path).unwrap();
        assert_eq!(read(&path).unwrap().public_key(), public);
        assert!(matches!(make(&path), Err(KeyError::Write { .. })));
        assert_eq!(read(&path).unwrap().public_key(), public);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_empty_or_broken_key_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part.nk");
        for broken in ["", "\n", "SUAB", "no key"] {
            fs::write(&path, broken).unwrap();
            let said = read(&path).unwrap_err().to_string();
            assert!(said.contains("part.nk") && said.contains("backup"), "{said}");
        }
    }
}
