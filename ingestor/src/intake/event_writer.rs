//! Decides events, and hands them to the segment of their messages and to whoever waits for them.

use std::sync::Arc;

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
    published: mpsc::Sender<Vec<Event>>,
    progress: Arc<Progress>,
}

impl EventWriter {
    /// Goes on with what `detector` knows, in the numbering that began at `epoch_s`. What it decides goes to `decided`, and
    /// to `published` as far as there is room: a segment has it in any case.
    pub(crate) fn new(
        (detector, epoch_s): (Detector, i64),
        decided: DecidedEvents,
        published: mpsc::Sender<Vec<Event>>,
        progress: Arc<Progress>,
    ) -> Self {
        Self { detector, epoch_s, decided, published, progress }
    }

    fn place(&self, at: StreamPosition) -> MessagePlace {
        MessagePlace { epoch_s: self.epoch_s, sequence: at.sequence, stored_at_us: at.stored_at_us }
    }

    fn decide(&mut self, sequence: u64, events: Vec<Event>) {
        if !events.is_empty() && self.published.try_send(events.clone()).is_err() {
            self.progress.count_unpublished_events(events.len() as u64);
        }
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
