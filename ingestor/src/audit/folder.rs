//! Which audit segments there are.

use std::{fs, path::Path};

use super::{AuditName, name::current_and_covered};
use crate::segment::{Fault, FolderError, file_bytes};

/// The audit segments in a folder.
#[derive(Debug, Default)]
pub struct AuditFolder {
    /// The current segments: together they hold every entry once, in the order of the chain.
    pub current: Vec<AuditName>,
    /// Covered segments: each lies inside another, which replaced it.
    pub covered: Vec<AuditName>,
    /// Quarantined segments whose entries no other segment holds.
    pub damaged: Vec<AuditName>,
    /// Segments of a newer version, and anything with an audit segment's name that is not a regular file.
    pub skipped: Vec<SkippedAuditFile>,
}

/// A file with the name of an audit segment that is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedAuditFile {
    /// The file name.
    pub file_name: String,
    /// The entries that its name says.
    pub name: AuditName,
    /// Why it is not read.
    pub fault: Fault,
}

impl AuditFolder {
    /// Lists `folder`.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn scan(folder: &Path) -> Result<Self, FolderError> {
        let failed = FolderError::at(folder);
        let (mut names, mut damaged, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for entry in fs::read_dir(folder).map_err(failed)? {
            let file_name = entry.map_err(failed)?.file_name();
            let Some(file_name) = file_name.to_str() else { continue };
            damaged.extend(AuditName::parse_damaged(file_name));
            let found = match (AuditName::parse(file_name), AuditName::parse_newer(file_name)) {
                (Some(name), _) => match file_bytes(&folder.join(file_name)) {
                    Ok(_) => Ok(name),
                    Err(fault) => Err((name, fault)),
                },
                (None, Some(name)) => Err((name, Fault::OtherVersion("a newer fleetps wrote it".to_owned()))),
                (None, None) => continue,
            };
            match found {
                Ok(name) => names.push(name),
                Err((_, Fault::Gone)) => {}
                Err((name, fault)) => {
                    skipped.push(SkippedAuditFile { file_name: file_name.to_owned(), name, fault });
                }
            }
        }
        let (current, covered) = current_and_covered(names);
        damaged.retain(|name| !name.is_replaced_by(&current));
        damaged.sort_unstable_by_key(|name| (name.epoch_s, name.first_sequence));
        skipped.sort_unstable_by(|left, right| left.file_name.cmp(&right.file_name));
        Ok(Self { current, covered, damaged, skipped })
    }
}
