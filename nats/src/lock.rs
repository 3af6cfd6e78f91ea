//! Keeps two processes out of one folder.
//!
//! An advisory lock on a file in the folder: the system releases it when the process ends, in any way. The file holds
//! the process id, so that the second process can name the first.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

/// The lock on a folder; held until it is dropped.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
}

/// The folder cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{folder} is in use by process {holder}; stop that one first, or give this one another folder")]
    Held {
        /// The folder.
        folder: PathBuf,
        /// The process id the holder wrote, or "unknown".
        holder: String,
    },
    /// The lock file cannot be made.
    #[error("cannot lock {folder}; is it a folder that this user may write?")]
    Io {
        /// The folder.
        folder: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl FolderLock {
    /// Locks `folder`, and creates it if it is missing, for its owner alone: files have no rules about who may see
    /// what.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { folder: folder.to_owned(), source };
        let mut maker = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut maker, 0o700);
        maker.recursive(true).create(folder).map_err(failed)?;
        let path = folder.join("lock");
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(failed(io::Error::other("`lock` in it is no file; move it away")));
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // On Windows a locked file cannot be read; then the holder stays unknown.
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let holder = if holder.is_empty() { "unknown" } else { holder };
                return Err(LockError::Held { folder: folder.to_owned(), holder: holder.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // The lock is held. The process id is only for people, and a full disk cannot take it.
        let told = file.set_len(0).and_then(|()| file.rewind());
        if let Err(error) = told.and_then(|()| writeln!(file, "{}", std::process::id())) {
            tracing::warn!(folder = %folder.display(), %error, "the process id could not be written into the lock");
        }
        Ok(Self { file })
    }
}

impl Drop for FolderLock {
    /// Explicitly, because a child that another thread is just starting has a copy of the file until it runs its program.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_to_come_is_told_who_was_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::take(folder.path()).unwrap();
        let refusal = FolderLock::take(folder.path()).unwrap_err().to_string();
        assert!(refusal.contains(&format!("process {}", std::process::id())), "{refusal}");
        drop(first);
        FolderLock::take(folder.path()).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_is_made_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        let _lock = FolderLock::take(&folder).unwrap();
        assert_eq!(std::fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
