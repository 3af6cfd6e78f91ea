//! Starts the consumers of the stream.

use std::{
    io,
    sync::{Arc, mpsc::SyncSender},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::mpsc;

use super::{
    DecidedEvents, SegmentWriter,
    consumer::SnapshotConsumer,
    event_writer::{Awaited, EventWriter},
    queued::Queued,
};
use crate::{
    events::{Detector, Event},
    segment::SegmentRows,
    status::Progress,
};

/// The consumers of the stream, each with its thread, and what they share.
pub(crate) struct Consuming {
    pub(crate) consumers: Vec<Box<dyn SnapshotConsumer>>,
    pub(crate) threads: [(&'static str, JoinHandle<()>); 2],
    pub(crate) decided: DecidedEvents,
    pub(crate) awaited: Arc<Awaited>,
}

/// Starts the consumers: rows go to `segments`, events to `published`. `numbering` is the partition, and when its numbering
/// began (s since 1970 UTC). `sealing` is how many rows, or how long a time, make a segment.
///
/// # Errors
/// When a thread cannot be started.
pub(crate) fn consume(
    (numbering, sealing): ((u32, i64), (usize, Duration)),
    detector: Detector,
    segments: SyncSender<SegmentRows>,
    published: mpsc::Sender<Event>,
    progress: &Arc<Progress>,
) -> io::Result<Consuming> {
    let (decided, awaited) = (DecidedEvents::default(), Arc::new(Awaited::default()));
    let rows = SegmentWriter::new(numbering, sealing, decided.clone(), segments);
    let shared = (Arc::clone(&awaited), Arc::clone(progress));
    let events = EventWriter::new((detector, numbering.1), decided.clone(), published, shared);
    let (rows, writing) = Queued::start("rows", rows, Arc::clone(progress))?;
    let (events, deciding) = Queued::start("events", events, Arc::clone(progress))?;
    let threads = [("rows", writing), ("events", deciding)];
    Ok(Consuming { consumers: vec![Box::new(rows), Box::new(events)], threads, decided, awaited })
}
