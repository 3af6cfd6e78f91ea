//! Checks the files of a history, for `fleetps history check`. Works beside a running ingestor: it only reads, and
//! renames only quarantined files that can be read after all.

use std::{fs, path::Path};

use crate::{
    audit::{AuditFolder, AuditName},
    catalog::SegmentFolder,
    segment::{Fault, FolderError, RowCounts, SegmentName, verify_file, verify_segment},
};

/// A file whose content is missing from answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file name.
    pub file: String,
    /// Why, and what to do about it.
    pub reason: String,
}

/// The files of a history folder.
#[derive(Debug, Default)]
pub struct Checked {
    /// How many files can be read.
    pub readable: usize,
    /// The files that cannot be read.
    pub problems: Vec<Problem>,
}

impl Checked {
    fn take(&mut self, file: String, read: Result<(), Fault>) {
        match read {
            Ok(()) => self.readable += 1,
            // Merged with others, or too old, since the folder was listed.
            Err(Fault::Gone) => {}
            Err(fault) => self.problems.push(Problem { file, reason: fault.to_string() }),
        }
    }
}

/// Looks at the files of the history in `folder`. Reads every value of each segment where `is_thorough`, else only what it
/// says of itself; audit segments, which are small, are read whole always.
///
/// # Errors
/// When the folder cannot be listed.
pub fn check(folder: &Path, is_thorough: bool) -> Result<Checked, FolderError> {
    let (listed, audit) = (SegmentFolder::scan(folder)?, AuditFolder::scan(folder)?);
    let (mut checked, mut counts) = (Checked::default(), RowCounts::of(folder));
    for segment in &listed.current {
        let file = segment.name.to_string();
        let said = counts.read(&segment.name).map(drop);
        let read = match is_thorough {
            true => said.and_then(|()| verify_segment(folder, &segment.name)),
            false => said,
        };
        checked.take(file, read);
    }
    for name in &audit.current {
        let file = name.to_string();
        checked.take(file.clone(), verify_file(&folder.join(file), &name.alias()));
    }
    let skipped = listed.skipped.into_iter().map(|file| (file.file_name, file.fault));
    for (file, fault) in skipped.chain(audit.skipped.into_iter().map(|file| (file.file_name, file.fault))) {
        checked.take(file, Err(fault));
    }
    for quarantined in quarantined(folder)? {
        let reason = match is_thorough.then(|| quarantined.read(folder)) {
            None => "it was found damaged twice and set aside; --verify reads it again".to_owned(),
            Some(Ok(())) => "it was set aside and can be read; --restore puts it back".to_owned(),
            Some(Err(fault)) => format!("it was set aside: {fault}; a backup may have it whole"),
        };
        checked.problems.push(Problem { file: quarantined.damaged_file_name, reason });
    }
    Ok(checked)
}

/// Puts back each quarantined file in `folder` that can be read after all. Returns which were put back, and why the
/// others were not.
///
/// # Errors
/// When the folder cannot be listed.
pub fn restore(folder: &Path) -> Result<(Vec<String>, Vec<Problem>), FolderError> {
    let (mut restored, mut problems) = (Vec::new(), Vec::new());
    for quarantined in quarantined(folder)? {
        match quarantined.restore(folder)? {
            Ok(()) => restored.push(quarantined.file_name),
            Err(reason) => problems.push(Problem { file: quarantined.damaged_file_name, reason }),
        }
    }
    Ok((restored, problems))
}

/// A quarantined file.
struct QuarantinedFile {
    file_name: String,
    damaged_file_name: String,
    alias: String,
    name: Name,
}

enum Name {
    Segment(SegmentName),
    Audit(AuditName),
}

fn quarantined(folder: &Path) -> Result<Vec<QuarantinedFile>, FolderError> {
    let failed = FolderError::at(folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let file_name = entry.map_err(failed)?.file_name();
        let file_name = file_name.to_str().unwrap_or_default();
        let segment = SegmentName::parse_damaged(file_name)
            .map(|name| (name.to_string(), name.alias(), Name::Segment(name)));
        let audit = || {
            let name = AuditName::parse_damaged(file_name)?;
            Some((name.to_string(), name.alias(), Name::Audit(name)))
        };
        if let Some((whole_name, alias, name)) = segment.or_else(audit) {
            let damaged_file_name = file_name.to_owned();
            found.push(QuarantinedFile { file_name: whole_name, damaged_file_name, alias, name });
        }
    }
    found.sort_unstable_by(|left, right| left.file_name.cmp(&right.file_name));
    Ok(found)
}

impl QuarantinedFile {
    fn read(&self, folder: &Path) -> Result<(), Fault> {
        verify_file(&folder.join(&self.damaged_file_name), &self.alias)
    }

    /// Gives it its name again, or says why not.
    fn restore(&self, folder: &Path) -> Result<Result<(), String>, FolderError> {
        if let Some(reason) = self.replaced(folder)? {
            return Ok(Err(reason));
        }
        if let Err(fault) = self.read(folder) {
            return Ok(Err(format!("{fault}; a backup may have it whole")));
        }
        let renamed = fs::rename(folder.join(&self.damaged_file_name), folder.join(&self.file_name));
        Ok(renamed.map_err(|error| format!("it cannot be renamed: {error}")))
    }

    /// A segment that holds its rows, or some of them, by now: with both, these would be there twice.
    fn replaced(&self, folder: &Path) -> Result<Option<String>, FolderError> {
        let is_there = folder.join(&self.file_name).symlink_metadata().is_ok();
        let replaced = match &self.name {
            Name::Segment(name) => {
                let lies_inside = |other: &SegmentName| {
                    name.first_sequence <= other.first_sequence && other.last_sequence <= name.last_sequence
                };
                let mut others = SegmentFolder::scan(folder)?.current.into_iter().map(|segment| segment.name);
                others
                    .find(|other| other.overlaps(name) && !lies_inside(other))
                    .map(|other| other.to_string())
            }
            Name::Audit(name) => {
                let current = AuditFolder::scan(folder)?.current;
                name.is_replaced_by(&current).then(|| "other audit segments".to_owned())
            }
        };
        let taken = is_there.then(|| self.file_name.clone()).or(replaced);
        Ok(taken.map(|other| format!("{other} holds its rows by now; this file can be removed")))
    }
}
