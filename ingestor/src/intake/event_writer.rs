//! Decides events, and hands them to the segment of their messages and to whoever waits for them.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Relaxed},
};

use fleetps_nats::{HostName, Snapshot};
use tokio::sync::mpsc;

use super::{
    DecidedEvents,
    consumer::{Ended, Skipped, SnapshotConsumer, StreamPosition},
};
use crate::{
    events::{Detector, Event, MessagePlace},
    status::Progress,
};

/// The consumer that decides what happened.
pub(crate) struct EventWriter {
    detector: Detector,
    epoch_s: i64,
    decided: DecidedEvents,
    published: mpsc::Sender<Event>,
    awaited: Arc<Awaited>,
    progress: Arc<Progress>,
}

/// From when on a tick may decide something.
#[derive(Debug)]
pub(crate) struct Awaited(AtomicI64);

impl Default for Awaited {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MAX))
    }
}

impl Awaited {
    /// A tick at `at_ms` of the broker's clock may decide something; none ever where it is absent.
    pub(crate) fn set(&self, at_ms: Option<i64>) {
        self.0.store(at_ms.unwrap_or(i64::MAX), Relaxed);
    }

    /// Whether that is at `now_ms` of the broker's clock, or ever where that is unknown.
    pub(crate) fn is_due(&self, now_ms: Option<i64>) -> bool {
        let at_ms = self.0.load(Relaxed);
        now_ms.map_or(at_ms != i64::MAX, |now_ms| at_ms < now_ms)
    }
}

impl EventWriter {
    /// Goes on with what `detector` knows, in the numbering that began at `epoch_s`. What it decides goes to `decided`, and
    /// to `published` as far as there is room: a segment has it in any case.
    pub(crate) fn new(
        (detector, epoch_s): (Detector, i64),
        decided: DecidedEvents,
        published: mpsc::Sender<Event>,
        (awaited, progress): (Arc<Awaited>, Arc<Progress>),
    ) -> Self {
        awaited.set(detector.awaited_ms());
        Self { detector, epoch_s, decided, published, awaited, progress }
    }

    fn place(&self, at: StreamPosition) -> MessagePlace {
        let StreamPosition { partition, sequence, stored_at_us } = at;
        MessagePlace { partition, epoch_s: self.epoch_s, sequence, stored_at_us }
    }

    fn decide(&mut self, sequence: u64, events: Vec<Event>) {
        let publish = |event: &&Event| self.published.try_send((*event).clone()).is_err();
        let unpublished = events.iter().filter(publish).count();
        self.progress.count_unpublished_events(unpublished as u64);
        self.awaited.set(self.detector.awaited_ms());
        self.decided.push((self.epoch_s, sequence), self.detector.clock(), events);
    }
}

impl SnapshotConsumer for EventWriter {
    fn take(&mut self, at: StreamPosition, host: &HostName, snapshot: Arc<Snapshot>) {
        let events = self.detector.snapshot(self.place(at), host, &snapshot);
        self.decide(at.sequence, events);
    }

    fn skip(&mut self, at: StreamPosition, _skipped: Skipped) {
        let events = self.detector.tick(self.place(at));
        self.decide(at.sequence, events);
    }

    fn tick(&mut self, at: StreamPosition) {
        self.skip(at, Skipped::Nothing);
    }

    fn lose(&mut self, _first: u64, last: u64) {
        self.decide(last, Vec::new());
    }

    fn begin_epoch(&mut self, epoch_s: i64) -> Result<(), Ended> {
        self.epoch_s = epoch_s;
        Ok(())
    }
}

impl Drop for EventWriter {
    fn drop(&mut self) {
        self.decided.close();
    }
}
