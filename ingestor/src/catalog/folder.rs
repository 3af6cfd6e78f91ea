//! Lists the segments in a folder, by the names of the files alone.

use std::{collections::BTreeMap, fs, path::Path};

use crate::segment::{Fault, FolderError, Resolved, SegmentName, file_bytes};

/// Why a segment is not read of which others have some rows.
const CONTESTED: &str = "segments that were merged from it have some of its rows, and one of them is missing; restore that \
    one, or remove this file";

/// A segment that should be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentFile {
    /// Its name.
    pub name: SegmentName,
    /// Size of the file.
    pub bytes: u64,
}

/// A file with a segment's name that is not read, with any content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedFile {
    /// The file name.
    pub file_name: String,
    /// The sequences and times that its name says. The level may be one that this program does not know.
    pub name: SegmentName,
    /// Why it is not read.
    pub fault: Fault,
}

/// The content of a folder of segments.
#[derive(Debug, Default)]
pub struct SegmentFolder {
    /// The current segments: together they hold every sequence once, in the order of the stream.
    pub current: Vec<SegmentFile>,
    /// Covered segments: others have all their rows. They must not be read, and will be removed.
    pub covered: Vec<SegmentName>,
    /// Quarantined segments that nothing replaces.
    pub damaged: Vec<SegmentName>,
    /// Segments of a newer version, anything with a segment's name that is not a regular file, and segments of which others
    /// have some rows. They cover nothing.
    pub skipped: Vec<SkippedFile>,
}

impl SegmentFolder {
    /// Lists `folder`. Files that are no segments are ignored.
    pub fn scan(folder: &Path) -> Result<Self, FolderError> {
        Self::scan_without(folder, |_| false)
    }

    /// The same, as if the segments that `is_unread` were not there: what they were merged from takes their place.
    pub(crate) fn scan_without(
        folder: &Path,
        is_unread: impl Fn(&SegmentName) -> bool,
    ) -> Result<Self, FolderError> {
        let failed = FolderError::at(folder);
        let (mut sizes, mut listed) = (BTreeMap::new(), Self::default());
        for entry in fs::read_dir(folder).map_err(failed)? {
            let file_name = entry.map_err(failed)?.file_name();
            let file_name = file_name.to_str().unwrap_or_default();
            listed.damaged.extend(SegmentName::parse_damaged(file_name));
            if let Some(name) = SegmentName::parse_newer(file_name) {
                let version =
                    format!("it has version {} of the schema; a newer fleetps reads it", name.schema_version);
                listed.skip(file_name, name, Fault::OtherVersion(version));
            } else if let Some(name) = SegmentName::parse(file_name) {
                match file_bytes(&folder.join(file_name)) {
                    Ok(bytes) => drop(sizes.insert(file_name.to_owned(), SegmentFile { name, bytes })),
                    // It was replaced by another since it was listed, which is there.
                    Err(Fault::Gone) => {}
                    Err(fault) => listed.skip(file_name, name, fault),
                }
            }
        }
        listed.sort(&sizes, is_unread);
        Ok(listed)
    }

    fn skip(&mut self, file_name: &str, name: SegmentName, fault: Fault) {
        self.skipped.push(SkippedFile { file_name: file_name.to_owned(), name, fault });
    }

    fn sort(&mut self, sizes: &BTreeMap<String, SegmentFile>, is_unread: impl Fn(&SegmentName) -> bool) {
        let names = sizes.values().map(|segment| segment.name).filter(|name| !is_unread(name));
        let Resolved { current, covered, contested } = Resolved::of(names.collect());
        for name in contested {
            self.skip(&name.to_string(), name, Fault::Unavailable(CONTESTED.to_owned()));
        }
        self.current = current.iter().filter_map(|name| sizes.get(&name.to_string()).copied()).collect();
        self.covered = covered;
        let current = &self.current;
        self.damaged.retain(|name| !current.iter().any(|segment| segment.name.overlaps(name)));
        self.damaged.sort_unstable_by_key(|name| (name.numbering(), name.first_sequence));
        self.skipped.sort_unstable_by(|left, right| left.file_name.cmp(&right.file_name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_segments_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        let fresh = "fresh-p000-1763712000-000000000001-000000000050-20251121T083000Z.duckdb";
        let hour = "hour-p000-1763712000-000000000001-000000000090-20251121T083000Z.duckdb";
        let damaged = "fresh-p000-1763712000-000000000091-000000000099-20251121T084500Z.duckdb.damaged";
        let replaced = format!("{hour}.damaged");
        for file_name in
            [fresh, hour, damaged, &replaced, "attach.sql", "lock", "notes.duckdb", &format!("{hour}.tmp")]
        {
            fs::write(folder.path().join(file_name), "12345").unwrap();
        }
        let listed = SegmentFolder::scan(folder.path()).unwrap();
        let current: Vec<_> = listed.current.iter().map(|segment| segment.name.to_string()).collect();
        let covered: Vec<_> = listed.covered.iter().map(SegmentName::to_string).collect();
        assert_eq!((current, covered), (vec![hour.to_owned()], vec![fresh.to_owned()]));
        let found_damaged: Vec<_> = listed.damaged.iter().map(SegmentName::damaged_file_name).collect();
        assert_eq!((listed.current[0].bytes, found_damaged), (5, vec![damaged.to_owned()]));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let refusal = SegmentFolder::scan(Path::new("/no/such/folder")).unwrap_err().to_string();
        assert!(refusal.contains("/no/such/folder"), "{refusal}");
    }
}
