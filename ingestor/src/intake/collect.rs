//! Decodes the messages of the stream and gives the snapshots to the consumers. It has a thread of its own, because that is
//! work and not waiting.

use std::{sync::Arc, time::Instant};

use fleetps_nats::{
    HostName, Snapshot, dead_letter::DeadLetter, decode::MessageDecoder, reader::Delivered,
    snapshot::BadSnapshot, subject,
};
use tokio::sync::mpsc;

use super::{
    Duplicates, Incoming,
    consumer::{Ended, Skipped, SnapshotConsumer, StreamPosition},
    refusals::Refusals,
};
use crate::{
    retention_clock::{Heard, RetentionClock},
    status::Progress,
};

/// Decodes messages, and leaves out what cannot be taken or came before.
pub(crate) struct Collector {
    partition: u32,
    message_decoder: MessageDecoder,
    duplicates: Duplicates,
    refusals: Refusals,
    progress: Arc<Progress>,
    clock: Arc<RetentionClock>,
    consumers: Vec<Box<dyn SnapshotConsumer>>,
}

impl Collector {
    /// Reads `partition` of the stream. Refused messages go to `letters`, all others to each of `consumers`.
    pub(crate) fn new(
        (partition, message_decoder): (u32, MessageDecoder),
        duplicates: Duplicates,
        letters: mpsc::Sender<DeadLetter>,
        (progress, clock): (Arc<Progress>, Arc<RetentionClock>),
        consumers: Vec<Box<dyn SnapshotConsumer>>,
    ) -> Self {
        Self {
            partition,
            message_decoder,
            duplicates,
            refusals: Refusals::new(letters),
            progress,
            clock,
            consumers,
        }
    }

    /// Collects until reading ends, and has the consumers hand over what there is then.
    pub(crate) fn run(mut self, mut incoming: mpsc::Receiver<Incoming>) {
        while let Some(next) = incoming.blocking_recv() {
            if self.handle(next).is_err() {
                return;
            }
        }
        let _ = self.flush();
    }

    fn handle(&mut self, incoming: Incoming) -> Result<(), Ended> {
        match incoming {
            Incoming::Message(delivered) => {
                self.message(&delivered);
                self.progress.set_read((delivered.sequence, delivered.stored_at_us), delivered.pending);
            }
            Incoming::Lost { first, last } => {
                self.consumers.iter_mut().for_each(|consumer| consumer.lose(first, last));
            }
            Incoming::Seal => self.consumers.iter_mut().try_for_each(|consumer| consumer.flush_if_due())?,
            Incoming::NewEpoch { epoch_s } => {
                self.consumers.iter_mut().try_for_each(|consumer| consumer.begin_epoch(epoch_s))?;
                self.duplicates.read_again();
            }
        }
        self.consumers.iter_mut().try_for_each(|consumer| consumer.flush_if_full())
    }

    fn message(&mut self, delivered: &Delivered) {
        let (sequence, stored_at_us) = (delivered.sequence, delivered.stored_at_us);
        let at = StreamPosition { partition: self.partition, sequence, stored_at_us };
        if delivered.subject == subject::TICK {
            self.consumers.iter_mut().for_each(|consumer| consumer.tick(at));
            return;
        }
        match self.message_decoder.decode(delivered) {
            Ok((host, snapshot)) if self.is_new(&host, &snapshot, stored_at_us) => {
                self.hear(&host, stored_at_us, snapshot.captured_at_us);
                self.progress.count_taken(stored_at_us);
                self.give(at, &host, snapshot);
            }
            Ok(_) => {
                self.progress.count_duplicate();
                self.skip(at, Skipped::Nothing);
            }
            Err(refusal) => {
                self.refusals.refuse(delivered, &refusal, &self.progress);
                match refusal {
                    BadSnapshot::Flood => self.skip(at, Skipped::RateLimited),
                    _ => self.skip(at, Skipped::Nothing),
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

    fn give(&mut self, at: StreamPosition, host: &HostName, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        self.consumers.iter_mut().for_each(|consumer| consumer.take(at, host, Arc::clone(&snapshot)));
    }

    fn skip(&mut self, at: StreamPosition, skipped: Skipped) {
        self.consumers.iter_mut().for_each(|consumer| consumer.skip(at, skipped));
    }

    fn flush(&mut self) -> Result<(), Ended> {
        self.consumers.iter_mut().try_for_each(|consumer| consumer.flush())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{Receiver, sync_channel},
        time::Duration,
    };

    use fleetps_nats::snapshot::Encoder;

    use super::{
        super::{DecidedEvents, SegmentWriter},
        *,
    };
    use crate::segment::SegmentRows;

    const NOW_US: i64 = 1_764_000_000_000_000;

    type Seen = Vec<(u64, Arc<Snapshot>)>;

    /// Keeps what it is given.
    #[derive(Default)]
    struct Kept(Arc<parking_lot::Mutex<Seen>>);

    impl SnapshotConsumer for Kept {
        fn take(&mut self, at: StreamPosition, host: &HostName, snapshot: Arc<Snapshot>) {
            assert_eq!(host.as_str(), "web-01");
            self.0.lock().push((at.sequence, snapshot));
        }
    }

    fn collector(others: Vec<Box<dyn SnapshotConsumer>>) -> (Collector, Receiver<SegmentRows>) {
        let (segments_in, segments) = sync_channel(4);
        let mut consumers = others;
        consumers.push(Box::new(SegmentWriter::new(
            (0, 1_000),
            (1_000_000, Duration::ZERO),
            DecidedEvents::default(),
            segments_in,
        )));
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(RetentionClock::open(folder.path(), None, 0));
        let message_decoder = MessageDecoder::new(1 << 20).unwrap();
        let letters = mpsc::channel(1).0;
        let parts = (Arc::default(), clock);
        (Collector::new((0, message_decoder), Duplicates::default(), letters, parts, consumers), segments)
    }

    fn message(sequence: u64, of_run: u64) -> Incoming {
        let snapshot = Snapshot {
            format: fleetps_nats::snapshot::FORMAT,
            boot_id: "boot".to_owned(),
            run_id: "run".to_owned(),
            interval_ms: 1000,
            sequence: of_run,
            captured_at_us: NOW_US,
            ..Snapshot::default()
        };
        Incoming::Message(Delivered {
            sequence,
            subject: subject::snapshot(&"web-01".parse().unwrap()),
            payload: Encoder::new().unwrap().encode(&snapshot).unwrap().into(),
            header_bytes: 0,
            stored_at_us: NOW_US,
            age_us: None,
            pending: 0,
        })
    }

    #[test]
    fn every_consumer_gets_each_new_snapshot_once_and_the_segment_is_the_same_with_others_beside() {
        let kept = Kept::default();
        let seen = Arc::clone(&kept.0);
        let names = [vec![], vec![Box::new(kept) as Box<dyn SnapshotConsumer>]].map(|others| {
            let (collector, segments) = collector(others);
            let (incoming_in, incoming) = mpsc::channel(8);
            for next in [message(1, 1), message(2, 1), message(3, 2)] {
                incoming_in.try_send(next).unwrap();
            }
            drop(incoming_in);
            collector.run(incoming);
            let rows = segments.recv().unwrap();
            (rows.name(), rows.snapshot_count())
        });
        assert_eq!(names[0], names[1]);
        assert_eq!((names[0].0.last_sequence, names[0].1), (3, 2));
        let seen: Vec<_> = seen.lock().iter().map(|(at, snapshot)| (*at, snapshot.sequence)).collect();
        assert_eq!(seen, [(1, 1), (3, 2)]);
    }
}
