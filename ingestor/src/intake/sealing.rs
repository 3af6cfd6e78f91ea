//! Seals the collected rows with what their messages decided, however long that takes: a batch is kept until it is on disk.

use std::{
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use fleetps_nats::{disk::Disk, error_chain, units::format_bytes};
use tokio_util::sync::CancellationToken;

use super::DecidedEvents;
use crate::{
    catalog::SegmentCatalog,
    segment::{SegmentRows, seal},
    status::Progress,
};

/// The first wait after a failure; it doubles.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(500);
/// The longest wait: when there is space again, it is used within this.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);
/// How often waiting looks whether to stop.
const STEP: Duration = Duration::from_millis(100);

/// Seals until the channel closes. Once it is cancelled, a batch that cannot be sealed is dropped: it is in the stream,
/// and the next start reads it again.
pub(crate) fn seal_all(
    (segments, decided): (&Receiver<SegmentRows>, &DecidedEvents),
    catalog: &SegmentCatalog,
    progress: &Progress,
    cancel: &CancellationToken,
) {
    while let Ok(mut rows) = segments.recv() {
        let name = rows.name();
        // Without its events the history would lack them for ever; the next start reads the stream again.
        let Some((events, clock)) = decided.take((name.epoch_s, name.last_sequence)) else { return };
        rows.set_events(events, clock);
        let mut delay = FIRST_RETRY_DELAY;
        while let Err(text) = try_to_seal(&mut rows, catalog, progress) {
            tracing::error!("{text}; trying again in {delay:?}");
            progress.set_write_error(Some(text));
            if !wait(delay, cancel) {
                return;
            }
            delay = (delay * 2).min(MAX_RETRY_DELAY);
        }
        progress.set_write_error(None);
    }
}

/// Seals, unless the rest of the disk is the broker's: a full disk harms the broker more, and it keeps what is not
/// sealed.
fn try_to_seal(rows: &mut SegmentRows, catalog: &SegmentCatalog, progress: &Progress) -> Result<(), String> {
    if let Some(disk) = Disk::of(catalog.folder()).filter(Disk::is_at_its_reserve) {
        return Err(format!(
            "the history cannot be written: the disk of {} has only {} left, which is kept for the broker; is there space \
             to be freed? If not, lower max_history_bytes",
            catalog.folder().display(),
            format_bytes(disk.free_bytes)
        ));
    }
    seal_one(rows, catalog, progress).map_err(|error| error_chain(&error))
}

fn seal_one(
    rows: &mut SegmentRows,
    catalog: &SegmentCatalog,
    progress: &Progress,
) -> Result<(), crate::segment::SealError> {
    let began = Instant::now();
    let name = seal(catalog.folder(), rows)?;
    progress.count_seal(began.elapsed(), rows.last_stored_us());
    progress.set_sealed(name.last_sequence, rows.snapshot_count() as u64);
    tracing::debug!(segment = %name, rows = rows.len(), "sealed a segment");
    // The segment is safe; when this fails, the compactor does it again.
    if let Err(error) = catalog.add(name, rows.len() as u64) {
        tracing::warn!("{}", error_chain(&error));
    }
    Ok(())
}

/// Waits; false when it is time to stop.
fn wait(delay: Duration, cancel: &CancellationToken) -> bool {
    let mut waited = Duration::ZERO;
    while waited < delay {
        if cancel.is_cancelled() {
            return false;
        }
        std::thread::sleep(STEP);
        waited += STEP;
    }
    !cancel.is_cancelled()
}
