//! Keys in files: one nkey seed each, readable by its owner only.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use nkeys::KeyPair;

/// A key cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the broker key {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written; an existing one is never written over.
    #[error("cannot write the broker key {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds no key.
    #[error("{path} holds no nkey seed: expected one line that starts with S")]
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
    let text = fs::read_to_string(path).map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
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
    let write = || -> io::Result<()> {
        let mut file = options.open(path)?;
        writeln!(file, "{seed}")?;
        file.sync_all()
    };
    write().map_err(|source| KeyError::Write { path: path.to_owned(), source })?;
    Ok(key.public_key())
}

/// The private half.
pub(crate) fn seed(key: &KeyPair) -> Result<String, KeyError> {
    Ok(key.seed()?)
}
