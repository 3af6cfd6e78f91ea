//! A copy of everything that a data folder keeps, made while it is in use, and a data folder made from such a copy.
//!
//! A backup has the current segments and everything else (keys, the agent's state, the settings file), except files
//! that every start makes anew: the broker's store, its configuration and ports, logs, locks, `attach.sql`. So the half
//! minute of snapshots that only the broker has is not in a backup; the backup says how far its history reaches. The
//! broker's buckets are in it as files of JSON (`state`).
//!
//! **It is of one moment, without stopping anything.** Segments are never written, a merge leaves those that it replaces
//! for another minute, and one listing names either them or their replacement, which hold the same. When one of them is
//! gone before it was copied, the folder is listed again.
//!
//! **A backup is what its manifest says.** The manifest is written last; it has the size and SHA-256 of each file, and
//! its own. Nothing is restored unless all of it is as the manifest says, and then under another name first, so that
//! there is never half a data folder. What a backup into the same folder finds unchanged is not copied again.

mod check;
mod files;
mod manifest;
mod restore;
mod saved;
mod schedule;
mod state;
mod take;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use check::check;
pub use files::Entry;
pub use manifest::{MANIFEST, Manifest};
pub use restore::{restore, verify};
pub use saved::{SavedState, SavedStates};
pub use schedule::BackupFolder;
pub use state::{Buckets, StateFile, bring_back_state, bucket_names, read_buckets, state_files};
pub use take::{Taken, take};

use fleetps_nats::{bucket::BucketError, lock::LockError, patience::Passing};

use crate::{history::HistoryError, segment::FolderError};

/// A backup or restoring failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file or folder cannot be read or written.
    #[error("cannot use {path}")]
    Io {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A folder of the history cannot be listed.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The history cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A bucket of the broker cannot be read or written.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// Another backup goes into the same folder.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// There is nothing to copy.
    #[error("{0} is no data folder: there is no history in it; name the right one with --data DIR")]
    NoData(PathBuf),
    /// Segments came and went all the time.
    #[error(
        "the segments changed faster than they could be copied, {0} times; try again, or copy to a faster disk"
    )]
    Unsteady(usize),
    /// The backup would be inside what it copies, or the other way round.
    #[error("the backup {backup} and the data folder {data} must not lie in each other")]
    Nested {
        /// The backup.
        backup: PathBuf,
        /// The data folder.
        data: PathBuf,
    },
    /// The folder holds something else.
    #[error("{0} is not empty; name a folder that is empty or not there yet")]
    NotEmpty(PathBuf),
    /// There is no manifest, or it is not one.
    #[error("{path} is no complete backup: {problem}")]
    NoManifest {
        /// The manifest.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// A file is not as it was copied.
    #[error("the backup is damaged: {path} {problem}; nothing was restored. Use another backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
}

impl Passing for BackupError {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Bucket(_))
    }
}

impl BackupError {
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
