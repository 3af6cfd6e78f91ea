//! Collects the rows of snapshots, and hands them over to be sealed as segments.

use std::sync::{Arc, mpsc::SyncSender};

use fleetps_nats::{HostName, Snapshot};

use super::{
    DecidedEvents,
    consumer::{Ended, Skipped, SnapshotConsumer, StreamPosition},
};
use crate::segment::SegmentRows;

/// This many ticks alone make a segment: an hour of them, so that neither a start nor memory has more.
const TICKS_OF_A_SEGMENT: u64 = 3600;

/// The consumer that fills segments.
pub(crate) struct SegmentWriter {
    partition: u32,
    epoch_s: i64,
    /// The rows are handed over when there are this many.
    seal_rows: usize,
    decided: DecidedEvents,
    segments: SyncSender<SegmentRows>,
    rows: Option<SegmentRows>,
    /// The first sequence that is in no segment, once that is known.
    next_sequence: Option<u64>,
    /// The last tick behind the rows. A few ticks alone make no segment, or an idle fleet would fill the folder.
    ticked: Option<StreamPosition>,
}

impl SegmentWriter {
    /// Fills segments of `partition`, and sends each to `segments` when it has `seal_rows` rows or is flushed.
    pub(crate) fn new(
        (partition, epoch_s): (u32, i64),
        seal_rows: usize,
        decided: DecidedEvents,
        segments: SyncSender<SegmentRows>,
    ) -> Self {
        let (rows, next_sequence, ticked) = (None, None, None);
        Self { partition, epoch_s, seal_rows, decided, segments, rows, next_sequence, ticked }
    }

    /// The rows being collected; new ones begin behind those before, or with `sequence` where there are none.
    fn rows_from(&mut self, sequence: u64, stored_at_us: i64) -> &mut SegmentRows {
        let (partition, epoch_s) = (self.partition, self.epoch_s);
        let first_sequence = self.next_sequence.unwrap_or(sequence);
        self.ticked = None;
        self.rows.get_or_insert_with(|| SegmentRows::new(partition, epoch_s, first_sequence, stored_at_us))
    }
}

impl SnapshotConsumer for SegmentWriter {
    fn take(&mut self, at: StreamPosition, host: &HostName, snapshot: Arc<Snapshot>) {
        let StreamPosition { sequence, stored_at_us, .. } = at;
        self.rows_from(sequence, stored_at_us).push(sequence, stored_at_us, host, &snapshot);
    }

    fn skip(&mut self, at: StreamPosition, skipped: Skipped) {
        let rows = self.rows_from(at.sequence, at.stored_at_us);
        match skipped {
            Skipped::Nothing => rows.cover(at.sequence),
            Skipped::RateLimited => rows.push_left_out(at.sequence, fleetps_nats::now_us()),
        }
    }

    fn tick(&mut self, at: StreamPosition) {
        self.next_sequence.get_or_insert(at.sequence);
        match &mut self.rows {
            Some(rows) => rows.cover(at.sequence),
            None => self.ticked = Some(at),
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
        let is_long = |ticked: &StreamPosition| {
            self.next_sequence.is_some_and(|next| ticked.sequence.saturating_sub(next) >= TICKS_OF_A_SEGMENT)
        };
        if let Some(ticked) = self.ticked.filter(|ticked| is_long(ticked) || self.decided.has_events()) {
            self.rows_from(ticked.sequence, ticked.stored_at_us).cover(ticked.sequence);
        }
        let Some(rows) = self.rows.take() else { return Ok(()) };
        self.next_sequence = Some(rows.name().last_sequence + 1);
        self.segments.send(rows).map_err(|_| Ended)
    }

    fn begin_epoch(&mut self, epoch_s: i64) -> Result<(), Ended> {
        self.flush()?;
        (self.epoch_s, self.next_sequence, self.ticked) = (epoch_s, None, None);
        Ok(())
    }
}
