//! Why a step of compaction failed.

use fleetps_nats::lock::LockError;

use super::MergeError;
use crate::{
    catalog::CatalogError,
    segment::{FileError, FolderError},
};

/// The folder cannot be compacted now. Segments are as they were.
#[derive(Debug, thiserror::Error)]
pub enum CompactionError {
    /// The folder cannot be locked, or an ingestor uses it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The folder cannot be listed.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Which segments there are cannot be found out or published.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// `attach.sql` cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Segments cannot be merged.
    #[error(transparent)]
    Merge(#[from] MergeError),
}
