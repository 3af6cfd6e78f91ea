//! A consumer on a thread of its own, behind a queue.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use fleetps_nats::{HostName, Snapshot};

use super::consumer::{Ended, Skipped, SnapshotConsumer, StreamPosition};
use crate::status::Progress;

/// Calls that wait for a consumer. A snapshot takes some 100 KB unpacked, and 20 MB at most. When it is full, reading waits,
/// which is counted; the stream is the buffer.
const WAITING_CALLS: usize = 16;

enum Call {
    Take(StreamPosition, HostName, Arc<Snapshot>),
    Skip(StreamPosition, Skipped),
    Tick(StreamPosition),
    Lose(u64, u64),
    FlushIfDue,
    Flush,
    BeginEpoch(i64),
}

/// Calls a consumer from a thread of its own: it holds up no other one until its queue is full.
pub(crate) struct Queued {
    name: &'static str,
    calls: SyncSender<Call>,
    /// The calls in the queue, and one that waits for room.
    queued: Arc<AtomicUsize>,
    progress: Arc<Progress>,
}

impl Queued {
    /// Starts the thread, which is called `name`. It ends when this is dropped, after the calls that wait.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(
        name: &'static str,
        consumer: impl SnapshotConsumer + 'static,
        progress: Arc<Progress>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (calls, waiting) = sync_channel(WAITING_CALLS);
        let queued = Arc::new(AtomicUsize::new(0));
        let watched = Arc::clone(&queued);
        progress.watch_queue(name, WAITING_CALLS, move || watched.load(Relaxed).min(WAITING_CALLS));
        let (thread, taken) = (std::thread::Builder::new().name(name.to_owned()), Arc::clone(&queued));
        let thread = thread.spawn(move || consume(consumer, &waiting, &taken))?;
        Ok((Self { name, calls, queued, progress }, thread))
    }

    /// Queues a call. An error is told by the next call that can.
    fn call(&self, call: Call) -> Result<(), Ended> {
        self.queued.fetch_add(1, Relaxed);
        match self.calls.try_send(call) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(_)) => Err(Ended),
            Err(TrySendError::Full(call)) => {
                self.progress.count_wait_for(self.name);
                self.calls.send(call).map_err(|_| Ended)
            }
        }
    }
}

fn consume(mut consumer: impl SnapshotConsumer, calls: &Receiver<Call>, queued: &AtomicUsize) {
    while let Ok(call) = calls.recv() {
        queued.fetch_sub(1, Relaxed);
        let done = match call {
            Call::Take(at, host, snapshot) => {
                consumer.take(at, &host, snapshot);
                consumer.flush_if_full()
            }
            Call::Skip(at, skipped) => {
                consumer.skip(at, skipped);
                consumer.flush_if_full()
            }
            Call::Tick(at) => {
                consumer.tick(at);
                consumer.flush_if_full()
            }
            Call::Lose(first, last) => {
                consumer.lose(first, last);
                consumer.flush_if_full()
            }
            Call::FlushIfDue => consumer.flush_if_due(),
            Call::Flush => consumer.flush(),
            Call::BeginEpoch(epoch_s) => consumer.begin_epoch(epoch_s),
        };
        if done.is_err() {
            return;
        }
    }
}

impl SnapshotConsumer for Queued {
    fn take(&mut self, at: StreamPosition, host: &HostName, snapshot: Arc<Snapshot>) {
        let _ = self.call(Call::Take(at, host.clone(), snapshot));
    }

    fn skip(&mut self, at: StreamPosition, skipped: Skipped) {
        let _ = self.call(Call::Skip(at, skipped));
    }

    fn tick(&mut self, at: StreamPosition) {
        let _ = self.call(Call::Tick(at));
    }

    fn lose(&mut self, first: u64, last: u64) {
        let _ = self.call(Call::Lose(first, last));
    }

    fn flush_if_due(&mut self) -> Result<(), Ended> {
        self.call(Call::FlushIfDue)
    }

    fn flush(&mut self) -> Result<(), Ended> {
        self.call(Call::Flush)
    }

    fn begin_epoch(&mut self, epoch_s: i64) -> Result<(), Ended> {
        self.call(Call::BeginEpoch(epoch_s))
    }
}
