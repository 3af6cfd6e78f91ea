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
    /// Those that were found damaged and set aside, where nothing else holds their entries.
    pub damaged: Vec<AuditName>,
}

impl AuditFolder {
    /// Lists `folder`.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn scan(folder: &Path) -> Result<Self, HistoryError> {
        let failed = |source| HistoryError::list(folder, source);
        let (mut names, mut damaged) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(folder).map_err(failed)? {
            let file_name = entry.map_err(failed)?.file_name();
            let Some(file_name) = file_name.to_str() else { continue };
            names.extend(AuditName::parse(file_name));
            damaged.extend(AuditName::parse_damaged(file_name));
        }
        let (current, covered) = current_and_covered(names);
        damaged.retain(|name| !name.is_replaced_by(&current));
        damaged.sort_unstable_by_key(|name| (name.epoch_s, name.first_sequence));
        Ok(Self { current, covered, damaged })
    }
}
