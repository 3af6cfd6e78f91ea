//! Why the catalog cannot be brought up to date.

use crate::segment::{FileError, FolderError};

/// The catalog cannot be read from its folder, or not be published there.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The folder cannot be listed.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// `attach.sql` cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}
