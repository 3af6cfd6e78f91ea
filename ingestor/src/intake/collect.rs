//! Unpacks messages and collects their rows. Its own thread, because that is work and not waiting.

use std::{
    sync::{Arc, mpsc::SyncSender},
    time::Instant,
};

use fleetps_nats::{HostName, Snapshot, reader::Delivered, snapshot::Refusal, unpack::Unpacker};
use tokio::sync::mpsc;

use super::{DeadLetter, Duplicates, Event, refusals::Refusals};
use crate::{
    retention_clock::{Heard, RetentionClock},
    segment::SegmentRows,
    status::Progress,
};

/// Unpacks messages and collects their rows.
pub(crate) struct Collector {
    partition: u32,
    epoch_s: i64,
    seal_rows: usize,
    unpacker: Unpacker,
    duplicates: Duplicates,
    refusals: Refusals,
    progress: Arc<Progress>,
    clock: Arc<RetentionClock>,
    segments: SyncSender<SegmentRows>,
    rows: Option<SegmentRows>,
}

/// The sealing thread has ended; there is nobody to collect for.
struct Ended;

impl Collector {
    pub(crate) fn new(
        (partition, epoch_s): (u32, i64),
        seal_rows: usize,
        unpacker: Unpacker,
        duplicates: Duplicates,
        letters: mpsc::Sender<DeadLetter>,
        (progress, clock): (Arc<Progress>, Arc<RetentionClock>),
        segments: SyncSender<SegmentRows>,
    ) -> Self {
        Self {
            partition,
            epoch_s,
            seal_rows,
            unpacker,
            duplicates,
            refusals: Refusals::new(letters),
            progress,
            clock,
            segments,
            rows: None,
        }
    }

    /// Collects until reading ends, and hands over what there is then.
    pub(crate) fn run(mut self, mut events: mpsc::Receiver<Event>) {
        while let Some(event) = events.blocking_recv() {
            if self.handle(event).is_err() {
                return;
            }
        }
        let _ = self.hand_over();
    }

    fn handle(&mut self, event: Event) -> Result<(), Ended> {
        match event {
            Event::Message(delivered) => {
                self.message(&delivered);
                self.progress.set_read(delivered.sequence, delivered.pending);
            }
            Event::Lost { first, last } => {
                let noticed_at_us = jiff::Timestamp::now().as_microsecond();
                self.rows_from(first, noticed_at_us).push_gap(first, last, noticed_at_us);
            }
            Event::Seal => self.hand_over()?,
            Event::NewEpoch { epoch_s } => {
                self.hand_over()?;
                self.duplicates.read_again();
                self.epoch_s = epoch_s;
            }
        }
        let is_full = self.rows.as_ref().is_some_and(|rows| rows.is_full(self.seal_rows));
        if is_full { self.hand_over() } else { Ok(()) }
    }

    fn message(&mut self, delivered: &Delivered) {
        let (sequence, stored_at_us) = (delivered.sequence, delivered.stored_at_us);
        match self.unpacker.unpack(delivered) {
            Ok((host, snapshot)) if self.is_new(&host, &snapshot, stored_at_us) => {
                self.hear(&host, stored_at_us, snapshot.captured_at_us);
                self.rows_from(sequence, stored_at_us).push(sequence, stored_at_us, &host, snapshot);
            }
            Ok(_) => {
                self.progress.count_duplicate();
                self.rows_from(sequence, stored_at_us).cover(sequence);
            }
            Err(refusal) => {
                self.refusals.refuse(delivered, &refusal, &self.progress);
                let rows = self.rows_from(sequence, stored_at_us);
                match refusal {
                    // It was a snapshot, and the history lacks it.
                    Refusal::Flood => rows.push_left_out(sequence, jiff::Timestamp::now().as_microsecond()),
                    _ => rows.cover(sequence),
                }
            }
        }
    }

    fn is_new(&mut self, host: &HostName, snapshot: &Snapshot, stored_at_us: i64) -> bool {
        self.duplicates.take(host, &snapshot.run_id, snapshot.sequence, stored_at_us)
    }

    fn hear(&self, host: &HostName, stored_at_us: i64, captured_at_us: i64) {
        let (stored_s, captured_s) =
            (stored_at_us.div_euclid(1_000_000), captured_at_us.div_euclid(1_000_000));
        let wall_s = fleetps_nats::now_us().div_euclid(1_000_000);
        self.clock.hear(Heard { host, stored_s, captured_s }, wall_s, Instant::now());
    }

    /// The rows being collected; new ones begin with `sequence`.
    fn rows_from(&mut self, sequence: u64, stored_at_us: i64) -> &mut SegmentRows {
        let (partition, epoch_s) = (self.partition, self.epoch_s);
        self.rows.get_or_insert_with(|| SegmentRows::new(partition, epoch_s, sequence, stored_at_us))
    }

    fn hand_over(&mut self) -> Result<(), Ended> {
        match self.rows.take() {
            Some(rows) => self.segments.send(rows).map_err(|_| Ended),
            None => Ok(()),
        }
    }
}
