//! Looks for damage before a question needs the damaged part: reads every value of each merged segment, one at a time.
//!
//! DuckDB checks a block against its checksum when it reads it, so a flipped bit or a missing end shows here.

use std::path::Path;

use crate::{
    catalog::{CatalogError, SegmentCatalog, SegmentMeta},
    segment::{Level, SegmentName, VerifyLog, verify_segment},
};

/// The file beside the segments that says which were read when.
const VERIFIED: &str = "verified.json";

/// Reads merged segments, one at a time, each once and then every week.
#[derive(Debug)]
pub(super) struct Verifier(VerifyLog);

impl Verifier {
    pub(super) fn of(folder: &Path) -> Self {
        Self(VerifyLog::load(folder.join(VERIFIED)))
    }

    /// Reads the next due segment, if any. Fresh ones are skipped, because merging reads them soon.
    pub(super) fn step(&mut self, catalog: &SegmentCatalog, now_s: i64) -> Result<(), CatalogError> {
        let is_merged = |segment: &SegmentMeta| segment.name.level != Level::Fresh;
        let names: Vec<SegmentName> =
            catalog.segments().into_iter().filter(is_merged).map(|segment| segment.name).collect();
        let file_names: Vec<String> = names.iter().map(SegmentName::to_string).collect();
        let next = self.0.next(&file_names, now_s);
        let name = next.and_then(|next| names.iter().find(|name| name.to_string() == next));
        if let Some(name) = name
            && is_whole(catalog, name)?
        {
            self.0.remember(name.to_string(), &file_names, now_s);
        }
        Ok(())
    }
}

/// Reads a segment whole, and takes it out of use where that fails; whether it could be read.
pub(super) fn is_whole(catalog: &SegmentCatalog, name: &SegmentName) -> Result<bool, CatalogError> {
    match verify_segment(catalog.folder(), name) {
        Err(fault) => catalog.doubt(*name, fault).map(|()| false),
        Ok(()) => Ok(true),
    }
}
