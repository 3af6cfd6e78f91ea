//! Compaction without an ingestor: for benchmarks and tests, and for a folder that was copied somewhere.

use std::{path::Path, time::Duration};

use fleetps_nats::lock::FolderLock;

use super::{
    CompactionError, Times, failures::Failures, merge::Interrupt, next_task, perform, shares::Shares, verify,
};
use crate::{catalog::SegmentCatalog, settings::IngestorSettings};

/// Merges everything in `folder` that is due, as if all of it were long past, and removes nothing else. Returns the number
/// of merges. Holds the lock on the folder meanwhile.
///
/// # Errors
/// Where an ingestor uses the folder, or it cannot be read or written.
pub fn merge_folder(folder: &Path) -> Result<u32, CompactionError> {
    merge_folder_by(folder, IngestorSettings::default().merge_rows)
}

/// The same, with at most about `merge_rows` rows of processes in each merged segment.
///
/// # Errors
/// Where an ingestor uses the folder, or it cannot be read or written.
pub fn merge_folder_by(folder: &Path, merge_rows: u64) -> Result<u32, CompactionError> {
    let everything = IngestorSettings {
        // One fresh segment is enough: nothing comes to wait for.
        merge_fresh_count: 1,
        merge_rows,
        keep_samples: Duration::MAX,
        max_history_bytes: u64::MAX,
        ..IngestorSettings::default()
    };
    tidy_folder(folder, i64::MAX / 2, &everything)
}

/// Does all due compaction in `folder` at `now_s` (s since 1970 UTC): merges, downsamples, removes, and unlinks
/// replaced segments at once. Returns the number of steps. Holds the lock on the folder meanwhile.
///
/// # Errors
/// Where an ingestor uses the folder, or it cannot be read or written.
pub fn tidy_folder(folder: &Path, now_s: i64, settings: &IngestorSettings) -> Result<u32, CompactionError> {
    let _lock = FolderLock::take(folder)?;
    let catalog = SegmentCatalog::open(folder)?;
    let (mut steps, times) = (0, Times { clock_s: now_s, history_s: now_s });
    let (failures, mut shares) = (Failures::default(), Shares::default());
    while let Some(task) = next_task(&catalog, (&failures, &mut shares), times, settings) {
        perform(&catalog, &task, &Interrupt::default())?;
        steps += 1;
    }
    catalog.unlink_retired(Duration::ZERO);
    Ok(steps)
}

/// Reads every value of every segment in `folder`, twice, and sets those aside that are damaged both times. Returns the
/// segments whose content is missing. Holds the lock on the folder meanwhile.
///
/// # Errors
/// Where an ingestor uses the folder, or it cannot be read or written.
pub fn check_folder(folder: &Path) -> Result<Vec<String>, CompactionError> {
    let _lock = FolderLock::take(folder)?;
    let catalog = SegmentCatalog::open(folder)?;
    for segment in catalog.segments() {
        verify::is_whole(&catalog, &segment.name)?;
    }
    catalog.look_at_all_again(Duration::ZERO)?;
    catalog.publish()?;
    Ok(catalog.missing_files().into_iter().map(|(name, _)| name).collect())
}
