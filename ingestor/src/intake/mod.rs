//! From the stream to sealed segments.
//!
//! `reading` (a task) reads the stream and marks the time; `collect` (a thread) decodes, drops repeats (`duplicates`)
//! and refused messages (`refusals`), and gives the rest to the consumers (`consumer`), each on a thread of its own
//! (`queued`). `segment_writer` collects rows; `event_writer` decides what happened, which `publish_events` tells and
//! `decided` keeps for the segment; `sealing` (a thread) makes segments of both. The queues between them are short: where
//! sealing cannot go on, reading stops, and the stream is the buffer.

mod collect;
mod consumer;
mod consuming;
mod decided;
mod duplicates;
mod event_writer;
mod publish_events;
mod queued;
mod reading;
mod refusals;
mod restore;
mod sealing;
mod segment_writer;
mod stored_runs;

pub(crate) use collect::Collector;
pub(crate) use consuming::{Consuming, consume};
pub(crate) use decided::DecidedEvents;
pub(crate) use duplicates::Duplicates;
pub(crate) use event_writer::Awaited;
pub(crate) use publish_events::{WAITING_EVENTS, publish_events};
pub(crate) use reading::{StartPosition, StreamState, Ticker, read_stream};
pub(crate) use refusals::publish_dead_letters;
pub use restore::restore_detector;
pub(crate) use sealing::seal_all;
pub(crate) use segment_writer::SegmentWriter;
pub(crate) use stored_runs::{KnownRun, known_runs};

use fleetps_nats::reader::Delivered;

/// Deliveries that wait to be unpacked, of up to 1 MiB each; when it is full, reading waits.
pub(crate) const WAITING_DELIVERIES: usize = 64;
/// Segments that wait to be sealed; when it is full, collecting waits.
pub(crate) const WAITING_SEGMENTS: usize = 1;
/// Refused messages that wait to be published, of up to 64 KiB each; when it is full, further ones are only counted.
pub(crate) const WAITING_DEAD_LETTERS: usize = 256;

/// What reading hands to collecting.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A message came.
    Message(Delivered),
    /// The broker no longer had these sequences.
    Lost {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// It is time to seal what there is.
    Seal,
    /// The stream numbers anew; collected rows belong to the numbering before.
    NewEpoch {
        /// When the new numbering began, in seconds since 1970 UTC.
        epoch_s: i64,
    },
}
