//! Which audit segments there are.

use std::{fs, path::Path};

use super::{AuditName, name::current_and_covered};
use crate::history::HistoryError;

/// The audit segments in a folder.
#[derive(Debug, Default)]
pub struct AuditFolder {
    /// Those that hold every entry once, in the order of the chain.
    pub current: Vec<AuditName>,
    /// Those that lie inside another, which replaced them.
    pub covered: Vec<AuditName>,
}

impl AuditFolder {
    /// Lists `folder`.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn scan(folder: &Path) -> Result<Self, HistoryError> {
        let failed = |source| HistoryError::list(folder, source);
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            names.extend(entry.map_err(failed)?.file_name().to_str().and_then(AuditName::parse));
        }
        let (current, covered) = current_and_covered(names);
        Ok(Self { current, covered })
    }
}
