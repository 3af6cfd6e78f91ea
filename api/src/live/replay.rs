//! All snapshots of one host from a position of the stream on, read as they are wanted.
//!
//! A few messages are read at a time and unpacked one by one, so a reader that takes its time costs little, and nothing is
//! read ahead of it.

use std::{collections::VecDeque, sync::Arc};

use async_nats::jetstream::{self, message::StreamMessage};
use fleetps_nats::{
    HostName, Snapshot,
    direct::Batch,
    model::SnapshotPair,
    snapshot::{Decoder, Sent},
    stream, subject,
};

use super::{
    Moment, Position, Summary,
    recent::{RecentError, Stream},
};
use crate::broker::ask;

/// Messages read at once: one round trip for several, of some 9 KB each and at most 1 MiB.
const BATCH: usize = 8;

/// What comes next.
#[derive(Debug)]
pub(crate) enum Replayed {
    /// A snapshot.
    Moment(Box<Moment>),
    /// The stream no longer has what stood between these positions.
    Gap(Position, Position),
    /// Everything that the stream had is told.
    End,
}

/// A reader of one host's snapshots behind a position.
#[derive(Debug)]
pub(crate) struct Replay {
    host: HostName,
    /// Until where the stream was read.
    position: Position,
    messages: VecDeque<StreamMessage>,
    /// The snapshot before the next one, for its rates.
    previous: Option<Arc<Snapshot>>,
    has_begun: bool,
}

/// The position at which the stream begins again, where something behind `position` is gone.
///
/// # Errors
/// When the broker is away or does not answer.
pub(crate) async fn gap_after(
    stream: Stream<'_>,
    position: Position,
) -> Result<Option<Position>, RecentError> {
    let jetstream = jetstream::new(stream.client.clone());
    let info = ask(stream.client, stream::open_snapshots(&jetstream)).await?;
    let info = info.map_err(RecentError::Stream)?;
    let (created_s, state) = (info.cached_info().created.unix_timestamp(), &info.cached_info().state);
    let is_of_this = position.epoch_s == created_s && position.sequence <= state.last_sequence;
    let has_rest = position.sequence.saturating_add(1) >= state.first_sequence;
    let begin = Position::new(created_s, state.first_sequence.saturating_sub(1));
    Ok((!(is_of_this && has_rest)).then_some(begin))
}

impl Replay {
    /// The snapshots of `host` behind `position`.
    pub(crate) fn new(host: HostName, position: Position) -> Self {
        Self { host, position, messages: VecDeque::new(), previous: None, has_begun: false }
    }

    /// Until where in the stream everything is told.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// The next snapshot, gap or end. After an end, later ones may come.
    ///
    /// # Errors
    /// When the broker is away or does not answer, or there is nothing to unpack with. Safe to cancel.
    pub(crate) async fn next(&mut self, stream: Stream<'_>) -> Result<Replayed, RecentError> {
        loop {
            if self.messages.is_empty() {
                if let Some(begin) = gap_after(stream, self.position).await? {
                    return Ok(Replayed::Gap(std::mem::replace(&mut self.position, begin), begin));
                }
                self.read(stream).await?;
                if self.messages.is_empty() {
                    return Ok(Replayed::End);
                }
            }
            // It stays until it is unpacked: this may be dropped meanwhile, and called again.
            let Some(message) = self.messages.front().cloned() else { continue };
            let is_told = message.sequence <= self.position.sequence;
            let moment = self.unpack(message).await?;
            self.messages.pop_front();
            if let Some(moment) = moment.filter(|_| !is_told) {
                return Ok(Replayed::Moment(Box::new(moment)));
            }
        }
    }

    async fn read(&mut self, stream: Stream<'_>) -> Result<(), RecentError> {
        let subject = subject::snapshot(&self.host);
        // The first time with the message at the position itself, which is usually the host's: rates need it.
        let from = self.position.sequence.saturating_add(u64::from(self.has_begun));
        let from_sequence = Some(from.max(1));
        let batch = Batch { count: BATCH, subject: &subject, from_sequence, from_time: None };
        self.messages = ask(stream.client, batch.get(stream.client, stream::SNAPSHOTS)).await??.into();
        self.has_begun = true;
        Ok(())
    }

    /// The snapshot of a message, with the one before it; `None` where it is none, or was sent again. Unpacked on a thread that
    /// serves no requests.
    async fn unpack(&mut self, message: StreamMessage) -> Result<Option<Moment>, RecentError> {
        let position = Position::new(self.position.epoch_s, message.sequence.max(self.position.sequence));
        let stored_at_us = i64::try_from(message.time.unix_timestamp_nanos() / 1000).unwrap_or_default();
        let age = message.headers.get(stream::AGE_HEADER).map(|age| age.as_str());
        let sent = Sent::new(stored_at_us, age);
        let unpacking = tokio::task::spawn_blocking(move || {
            let snapshot = Decoder::new()?.decode_sent(&message.payload, sent, i64::MAX);
            Ok::<_, std::io::Error>(snapshot.ok().map(Arc::new))
        });
        let unpacked = unpacking.await??;
        self.position = position;
        let Some(snapshot) = unpacked else { return Ok(None) };
        let previous = self.previous.replace(Arc::clone(&snapshot));
        if previous.as_ref().is_some_and(|before| before.is_repeat_of(&snapshot.run_id, snapshot.sequence)) {
            return Ok(None);
        }
        let summary = Summary::new(self.host.clone(), &snapshot, stored_at_us, stored_at_us);
        let summary = Arc::new(Summary { position, ..summary });
        Ok(Some(Moment { summary, pair: SnapshotPair::new(self.host.clone(), snapshot, previous) }))
    }
}
