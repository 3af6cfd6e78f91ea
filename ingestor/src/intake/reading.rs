//! Reads the stream from where the history ends, through everything that can happen to a stream.

use std::{sync::Arc, time::Duration};

use async_nats::{Client, connection::State, jetstream};
use bytes::Bytes;
use fleetps_nats::{
    connection::reconnect_delay,
    error_chain,
    reader::{Delivered, Delivery, SnapshotReader, Start},
    service_manager::Pulse,
    stream::{self, StreamError},
    subject,
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{Awaited, Incoming};

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StartPosition {
    /// When the stream was made, in seconds since 1970 UTC.
    pub(crate) created_s: i64,
    /// When its numbering began: the same, unless it lost its end since.
    pub(crate) epoch_s: i64,
    /// The first sequence that is not stored.
    pub(crate) sequence: u64,
}

impl StartPosition {
    /// Where to begin in `stream`, when `sealed` is the latest numbering in the history with its highest sequence.
    pub(crate) fn find(stream: &StreamState, sealed: Option<(i64, u64)>, now_s: i64) -> Self {
        let created_s = stream.created_s;
        match sealed {
            Some((epoch_s, sealed_last)) if epoch_s >= created_s && stream.last >= sealed_last => {
                Self { created_s, epoch_s, sequence: sealed_last + 1 }
            }
            // The broker lost messages that are stored already, and assigns their numbers again. The first reassigned
            // number is unknown, so everything is read again; stored snapshots are recognised.
            Some((epoch_s, _)) if epoch_s >= created_s => {
                Self { created_s, epoch_s: now_s.max(epoch_s + 1), sequence: stream.first.max(1) }
            }
            _ => Self { created_s, epoch_s: created_s, sequence: 1 },
        }
    }
}

/// The stream's sequences, as the broker says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamState {
    /// When the stream was made, in seconds since 1970 UTC.
    pub(crate) created_s: i64,
    /// The first sequence that is there.
    pub(crate) first: u64,
    /// The last sequence that was given out.
    pub(crate) last: u64,
}

impl StreamState {
    /// Asks the broker.
    pub(crate) async fn ask(jetstream: &jetstream::Context) -> Result<Self, StreamError> {
        let stream = stream::open_snapshots(jetstream).await?;
        let info = stream.cached_info();
        let (first, last) = (info.state.first_sequence, info.state.last_sequence);
        Ok(Self { created_s: info.created.unix_timestamp(), first, last })
    }
}

/// How often it is looked whether a tick is due: silence is decided within a second.
const TICK_LOOK: Duration = Duration::from_secs(1);
/// The longest that reading may take to go round, which it does at every look.
const ROUND_WITHIN: Duration = Duration::from_secs(120);

/// Publishes ticks where nothing comes and time decides something.
pub(crate) struct Ticker {
    client: Client,
    awaited: Arc<Awaited>,
    /// When the broker took the last message, in ms since 1970 UTC, and when it came here.
    last: Option<(i64, Instant)>,
}

impl Ticker {
    /// Ticks when `awaited` says so.
    pub(crate) fn new(client: Client, awaited: Arc<Awaited>) -> Self {
        Self { client, awaited, last: None }
    }

    fn hear(&mut self, delivered: &Delivered) {
        // One that waited in the stream says nothing about now.
        let is_new = delivered.pending == 0;
        self.last = is_new.then(|| (delivered.stored_at_us.div_euclid(1000), Instant::now()));
    }

    async fn tick_if_due(&self) {
        let now_ms = self.last.map(|(stored_ms, came)| {
            stored_ms.saturating_add(i64::try_from(came.elapsed().as_millis()).unwrap_or(i64::MAX))
        });
        // Where the broker is away, a tick that waits would be of another time.
        if self.awaited.is_due(now_ms) && self.client.connection_state() == State::Connected {
            let _ = self.client.publish(subject::TICK, Bytes::new()).await;
        }
    }
}

/// Reads until it is cancelled, or until the collector has ended.
pub(crate) async fn read_stream(
    (jetstream, mut ticker): (jetstream::Context, Ticker),
    mut start: StartPosition,
    seal_interval: Duration,
    incoming: mpsc::Sender<Incoming>,
    cancel: CancellationToken,
) {
    let mut reader = reader_at(&jetstream, start);
    // Not at once, when the first that waits in the stream may be in.
    let mut seal = tokio::time::interval_at(Instant::now() + seal_interval, seal_interval);
    seal.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look_at = Instant::now() + TICK_LOOK;
    let pulse = Pulse::of("reading the stream");
    loop {
        pulse.beat(ROUND_WITHIN);
        let next = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            _ = seal.tick() => Incoming::Seal,
            () = tokio::time::sleep_until(look_at) => {
                look_at = Instant::now() + TICK_LOOK;
                ticker.tick_if_due().await;
                continue;
            }
            delivery = reader.next() => match delivery {
                Delivery::Message(delivered) => {
                    start.sequence = delivered.sequence + 1;
                    look_at = Instant::now() + TICK_LOOK;
                    ticker.hear(&delivered);
                    Incoming::Message(delivered)
                }
                Delivery::Lost { first, last } => Incoming::Lost { first, last },
                Delivery::Replaced { .. } => {
                    pulse.rest();
                    let Some(found) = begin_again(&jetstream, start, &cancel).await else { return };
                    start = found;
                    reader = reader_at(&jetstream, start);
                    Incoming::NewEpoch { epoch_s: start.epoch_s }
                }
            },
        };
        // Where sealing waits for room on the disk, reading waits as well.
        pulse.rest();
        let sent = tokio::select! {
            () = cancel.cancelled() => return,
            sent = incoming.send(next) => sent,
        };
        if sent.is_err() {
            return;
        }
    }
}

fn reader_at(jetstream: &jetstream::Context, start: StartPosition) -> SnapshotReader {
    SnapshotReader::new(jetstream.clone(), Start::Sequence(start.sequence), Some(start.created_s))
}

/// Where to go on in a stream that numbers anew; `None` when it is cancelled.
async fn begin_again(
    jetstream: &jetstream::Context,
    read: StartPosition,
    cancel: &CancellationToken,
) -> Option<StartPosition> {
    let mut failures = 0;
    loop {
        match StreamState::ask(jetstream).await {
            Ok(mut stream) => {
                tracing::warn!("the stream numbers anew: it was recreated, or lost its end");
                // Meanwhile it may have given out more numbers than were read; it lost its end all the same.
                stream.last = 0;
                let now_s = jiff::Timestamp::now().as_second();
                return Some(StartPosition::find(&stream, Some((read.epoch_s, read.sequence - 1)), now_s));
            }
            Err(error) => tracing::warn!("{}", error_chain(&error)),
        }
        tokio::select! {
            () = cancel.cancelled() => return None,
            () = tokio::time::sleep(reconnect_delay(failures)) => failures += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(last: u64) -> StreamState {
        StreamState { created_s: 1000, first: 7, last }
    }

    #[test]
    fn reading_goes_on_after_what_is_sealed() {
        let start = StartPosition::find(&stream(90), Some((1000, 50)), 5000);
        assert_eq!(start, StartPosition { created_s: 1000, epoch_s: 1000, sequence: 51 });
    }

    #[test]
    fn another_stream_is_read_from_its_beginning() {
        for sealed in [None, Some((900, 50))] {
            let start = StartPosition::find(&stream(90), sealed, 5000);
            assert_eq!(start, StartPosition { created_s: 1000, epoch_s: 1000, sequence: 1 });
        }
    }

    #[test]
    fn a_stream_that_lost_its_end_is_read_again_as_a_new_numbering() {
        let start = StartPosition::find(&stream(40), Some((1000, 50)), 5000);
        assert_eq!(start, StartPosition { created_s: 1000, epoch_s: 5000, sequence: 7 });
        // And that numbering is found again after a restart.
        let start = StartPosition::find(&stream(60), Some((5000, 55)), 6000);
        assert_eq!(start, StartPosition { created_s: 1000, epoch_s: 5000, sequence: 56 });
    }
}
