//! The segments in a folder, by their names alone.

use std::{collections::HashMap, fs, path::Path};

use super::HistoryError;
use crate::segment::{SegmentName, current_and_covered};

/// A segment that should be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its name.
    pub name: SegmentName,
    /// Size of the file.
    pub bytes: u64,
}

/// The segments in a folder.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Those that hold every sequence once, in the order of the stream.
    pub current: Vec<Segment>,
    /// Those that lie inside another, which replaces them; they must not be read, and will be removed.
    pub covered: Vec<SegmentName>,
    /// Those that were found damaged and set aside, where nothing took their place.
    pub damaged: Vec<SegmentName>,
}

impl Catalog {
    /// Lists `folder`. Files that are no segments are not looked at.
    pub fn scan(folder: &Path) -> Result<Self, HistoryError> {
        let failed = |source| HistoryError::list(folder, source);
        let (mut sizes, mut damaged) = (HashMap::new(), Vec::new());
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let file_name = entry.file_name();
            let file_name = file_name.to_str().unwrap_or_default();
            damaged.extend(SegmentName::parse_damaged(file_name));
            let name = SegmentName::parse(file_name);
            // One that is gone since it was listed was replaced by another, which is there.
            if let (Some(name), Ok(metadata)) = (name, entry.metadata()) {
                sizes.insert(name, metadata.len());
            }
        }
        let (current, covered) = current_and_covered(sizes.keys().copied().collect());
        let current: Vec<_> = current.into_iter().map(|name| Segment { name, bytes: sizes[&name] }).collect();
        damaged.retain(|name| !current.iter().any(|segment| segment.name.overlaps(name)));
        damaged.sort_unstable_by_key(|name| (name.numbering(), name.first_sequence));
        Ok(Self { current, covered, damaged })
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
        let catalog = Catalog::scan(folder.path()).unwrap();
        let current: Vec<_> = catalog.current.iter().map(|segment| segment.name.to_string()).collect();
        let covered: Vec<_> = catalog.covered.iter().map(SegmentName::to_string).collect();
        assert_eq!((current, covered), (vec![hour.to_owned()], vec![fresh.to_owned()]));
        let found_damaged: Vec<_> = catalog.damaged.iter().map(SegmentName::damaged_file_name).collect();
        assert_eq!((catalog.current[0].bytes, found_damaged), (5, vec![damaged.to_owned()]));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let refusal = Catalog::scan(Path::new("/no/such/folder")).unwrap_err().to_string();
        assert!(refusal.contains("/no/such/folder"), "{refusal}");
    }
}
