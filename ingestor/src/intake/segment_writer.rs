//! Collects the rows of snapshots, and hands them over to be sealed as segments.

use std::sync::{Arc, mpsc::SyncSender};

use fleetps_nats::{HostName, Snapshot};

use super::consumer::{Ended, Skipped, SnapshotConsumer, StreamPosition};
use crate::segment::SegmentRows;

/// The consumer that fills segments.
pub(crate) struct SegmentWriter {
    partition: u32,
    epoch_s: i64,
    /// The rows are handed over when there are this many.
    seal_rows: usize,
    segments: SyncSender<SegmentRows>,
    rows: Option<SegmentRows>,
}

impl SegmentWriter {
    /// Fills segments of `partition`, and sends each to `segments` when it has `seal_rows` rows or is flushed.
    pub(crate) fn new(
        (partition, epoch_s): (u32, i64),
        seal_rows: usize,
        segments: SyncSender<SegmentRows>,
    ) -> Self {
        Self { partition, epoch_s, seal_rows, segments, rows: None }
    }

    /// The rows being collected; new ones begin with `sequence`.
    fn rows_from(&mut self, sequence: u64, stored_at_us: i64) -> &mut SegmentRows {
        let (partition, epoch_s) = (self.partition, self.epoch_s);
        self.rows.get_or_insert_with(|| SegmentRows::new(partition, epoch_s, sequence, stored_at_us))
    }
}

impl SnapshotConsumer for SegmentWriter {
    fn take(&mut self, at: StreamPosition, host: &HostName, snapshot: Arc<Snapshot>) {
        let StreamPosition { sequence, stored_at_us } = at;
        // Copied only where another consumer keeps it.
        let snapshot = Arc::unwrap_or_clone(snapshot);
        self.rows_from(sequence, stored_at_us).push(sequence, stored_at_us, host, snapshot);
    }

    fn skip(&mut self, at: StreamPosition, skipped: Skipped) {
        let rows = self.rows_from(at.sequence, at.stored_at_us);
        match skipped {
            Skipped::Nothing => rows.cover(at.sequence),
            Skipped::RateLimited => rows.push_left_out(at.sequence, fleetps_nats::now_us()),
        }
    }

    fn lose(&mut self, first: u64, last: u64) {
        let noticed_at_us = fleetps_nats::now_us();
        self.rows_from(first, noticed_at_us).push_gap(first, last, noticed_at_us);
    }

    fn flush_if_full(&mut self) -> Result<(), Ended> {
        let is_full = self.rows.as_ref().is_some_and(|rows| rows.is_full(self.seal_rows));
        if is_full { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Ended> {
        match self.rows.take() {
            Some(rows) => self.segments.send(rows).map_err(|_| Ended),
            None => Ok(()),
        }
    }

    fn begin_epoch(&mut self, epoch_s: i64) -> Result<(), Ended> {
        self.flush()?;
        self.epoch_s = epoch_s;
        Ok(())
    }
}
