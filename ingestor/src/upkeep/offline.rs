//! Merging without an ingestor: for benchmarks, and for a folder that was copied somewhere.

use std::path::Path;

use super::{merge, plan};
use crate::{error::IngestError, shelf::Shelf};
use fleetps_nats::lock::FolderLock;

/// Merges everything in `folder` that is due, and removes what it was merged from at once. Returns the number of
/// merges. Holds the lock on the folder meanwhile.
///
/// # Errors
/// Where an ingestor uses the folder, or it cannot be read or written.
pub fn merge_folder(folder: &Path) -> Result<u32, IngestError> {
    let _lock = FolderLock::take(folder)?;
    let shelf = Shelf::open(folder)?;
    let mut merges = 0;
    // One fresh segment is enough: nothing comes to wait for.
    while let Some(plan) = plan::next_merge(&shelf.segments(), i64::MAX / 2, 1) {
        let (name, rows) = merge::merge(shelf.folder(), &plan, &merge::Interrupt::default())?;
        let sources: Vec<_> = plan.sources.iter().map(|source| source.name).collect();
        shelf.replace(&sources, name, rows)?;
        merges += 1;
    }
    shelf.unlink_retired(std::time::Duration::ZERO);
    Ok(merges)
}
