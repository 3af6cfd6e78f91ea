//! Collects the rows of snapshots, and hands them over to be sealed as segments.

use std::{
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use fleetps_nats::{HostName, Snapshot};

use super::{
    DecidedEvents,
    consumer::{Ended, Skipped, SnapshotConsumer, StreamPosition},
};
use crate::segment::SegmentRows;

/// This many ticks alone make a segment: an hour of them, so that neither a start nor memory has more.
const TICKS_OF_A_SEGMENT: u64 = 3600;

/// Rows that waited in the stream for longer than a large fleet's segment stays open are sealed when there are this many: some 100 MB, which every machine
/// has.
const WAITED_ROWS: usize = 500_000;

/// The consumer that fills segments.
pub(crate) struct SegmentWriter {
    partition: u32,
    epoch_s: i64,
    /// The rows are handed over when there are this many.
    seal_rows: usize,
    /// Or after this time.
    seal_interval: Duration,
    /// The seal intervals that have passed since the rows began.
    intervals: u32,
    decided: DecidedEvents,
    segments: SyncSender<SegmentRows>,
    rows: Option<SegmentRows>,
    /// The first sequence that is in no segment, once that is known.
    next_sequence: Option<u64>,
    /// The last tick behind the rows. A few ticks alone make no segment, or an idle fleet would fill the folder.
    ticked: Option<StreamPosition>,
}

impl SegmentWriter {
    /// Fills segments of `partition`, and sends each to `segments` when `seal_interval` has passed (where they are large,
    /// several), it has `seal_rows` rows or takes too much memory; or is of rows that waited in the stream, and has enough of
    /// them.
    pub(crate) fn new(
        (partition, epoch_s): (u32, i64),
        (seal_rows, seal_interval): (usize, Duration),
        decided: DecidedEvents,
        segments: SyncSender<SegmentRows>,
    ) -> Self {
        let (rows, next_sequence, ticked) = (None, None, None);
        let intervals = 0;
        Self {
            partition,
            epoch_s,
            seal_rows,
            seal_interval,
            intervals,
            decided,
            segments,
            rows,
            next_sequence,
            ticked,
        }
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
        let waited = self.seal_interval.saturating_mul(SegmentRows::LARGE_INTERVALS);
        let is_full = self.rows.as_ref().is_some_and(|rows| {
            rows.is_full(self.seal_rows) || (rows.len() >= WAITED_ROWS && rows.spans() >= waited)
        });
        if is_full { self.flush() } else { Ok(()) }
    }

    fn flush_if_due(&mut self) -> Result<(), Ended> {
        self.intervals += 1;
        let waits = self.rows.as_ref().is_some_and(SegmentRows::are_of_a_large_fleet);
        if waits && self.intervals < SegmentRows::LARGE_INTERVALS { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Ended> {
        self.intervals = 0;
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use fleetps_nats::snapshot::Process;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn writer() -> (SegmentWriter, Receiver<SegmentRows>) {
        let (segments_in, segments) = sync_channel(8);
        let sealing = (usize::MAX, INTERVAL);
        (SegmentWriter::new((0, 1_000), sealing, DecidedEvents::default(), segments_in), segments)
    }

    /// Takes a snapshot with this many processes, which the broker stored at `stored_s`.
    fn take(writer: &mut SegmentWriter, sequence: u64, stored_s: i64, processes: usize) {
        let process = |pid| Process { pid, state: 'S', ..Process::default() };
        let processes = (0..u32::try_from(processes).unwrap()).map(process).collect();
        let captured_at_us = stored_s * 1_000_000;
        let snapshot = Snapshot { captured_at_us, processes, ..Snapshot::default() };
        let at = StreamPosition { partition: 0, sequence, stored_at_us: captured_at_us };
        writer.take(at, &"host".parse().unwrap(), Arc::new(snapshot));
        writer.flush_if_full().unwrap();
    }

    #[test]
    fn a_large_segment_is_sealed_at_every_third_interval_and_a_small_one_at_each() {
        let (mut writer, segments) = writer();
        let mut sealed_after = |snapshots: u32, processes| {
            for second in 1..=snapshots {
                take(&mut writer, u64::from(second), i64::from(second), processes);
            }
            (1..9).find(|_| {
                writer.flush_if_due().unwrap();
                segments.try_recv().is_ok()
            })
        };
        assert_eq!(sealed_after(1, 99_999), Some(1));
        assert_eq!(sealed_after(1, 100_000), Some(3));
        assert_eq!(sealed_after(1, 100_000), Some(3), "the intervals are counted anew");
        assert_eq!(sealed_after(8, 12_500), Some(3));
        assert_eq!(sealed_after(9, 12_500), Some(1), "there are enough samples of each process");
    }

    #[test]
    fn what_waited_in_the_stream_is_sealed_in_parts_and_what_comes_at_once_is_not() {
        let (mut writer, segments) = writer();
        take(&mut writer, 1, 0, WAITED_ROWS / 2);
        take(&mut writer, 2, 89, WAITED_ROWS / 2);
        assert!(segments.try_recv().is_err());
        take(&mut writer, 3, 90, 1);
        assert_eq!(segments.try_recv().unwrap().len(), WAITED_ROWS + 1);
    }
}
