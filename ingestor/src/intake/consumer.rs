//! Consumers of the stream's decoded snapshots.

use std::sync::Arc;

use fleetps_nats::{HostName, Snapshot};

/// Where a message stands in the stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamPosition {
    /// The partition of the stream.
    pub(crate) partition: u32,
    /// Its sequence.
    pub(crate) sequence: u64,
    /// When the broker stored it, in µs since 1970 UTC.
    pub(crate) stored_at_us: i64,
}

/// Why a message brings no snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skipped {
    /// It repeats a stored snapshot, or it is none. Nothing is missing without it.
    Nothing,
    /// Its host sent more than its rate limit allows. The history lacks this snapshot.
    RateLimited,
}

/// The receiver of a consumer's results has ended, so that collecting ends too.
#[derive(Debug)]
pub(crate) struct Ended;

/// One use of the stream: the segment writer is one, the event writer another. Each is called in the order of the stream,
/// once for each sequence of an epoch, on a thread of its own (`Queued`): one that is slow holds up no other until its queue
/// is full.
pub(crate) trait SnapshotConsumer: Send {
    /// Takes a snapshot that did not come before.
    fn take(&mut self, at: StreamPosition, host: &HostName, snapshot: Arc<Snapshot>);

    /// Takes note of a message without a new snapshot.
    fn skip(&mut self, _at: StreamPosition, _skipped: Skipped) {}

    /// Takes note of a tick of the stream: time has passed, and nothing else came.
    fn tick(&mut self, _at: StreamPosition) {}

    /// Takes note that the broker no longer had the sequences `first` to `last`.
    fn lose(&mut self, _first: u64, _last: u64) {}

    /// Flushes if enough is collected. Called after every message.
    fn flush_if_full(&mut self) -> Result<(), Ended> {
        Ok(())
    }

    /// Takes note that the seal interval has passed, and flushes if what is collected should not wait for longer.
    fn flush_if_due(&mut self) -> Result<(), Ended> {
        self.flush()
    }

    /// Hands over the collected rows: the stream is no longer read.
    fn flush(&mut self) -> Result<(), Ended> {
        Ok(())
    }

    /// Begins an epoch, in which sequences begin anew. `epoch_s` is when it began, in s since 1970 UTC.
    fn begin_epoch(&mut self, _epoch_s: i64) -> Result<(), Ended> {
        Ok(())
    }
}
