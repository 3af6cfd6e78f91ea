//! Messages of the stream, as the pages of older systems ask for them: one by its number, a host's last, and its recent ones.

use std::collections::VecDeque;

use async_nats::jetstream::{self, message::StreamMessage, stream::DirectGetErrorKind};
use fleetps_nats::{
    HostName, Snapshot,
    direct::Batch,
    now_us,
    snapshot::{Decoder, Sent},
    stream,
    subject::{self, host_of_snapshot},
};

use super::{Fault, Legacy};
use crate::{broker, display::time_exact};

/// Messages asked for at once: up to 1 MiB each.
const BATCH: usize = 20;
/// The most processes of the snapshots of one answer: some 64 MB, at 320 bytes of one without a command line.
const MAX_PROCESSES_UNPACKED: usize = 200_000;

/// A snapshot of the stream.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Whose it is.
    pub host: HostName,
    /// What it says.
    pub snapshot: Snapshot,
}

impl Legacy {
    /// The last snapshot of `host`; `None` where the stream has none any longer.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(crate) async fn last_snapshot(&self, host: &HostName) -> Result<Option<Stored>, Fault> {
        let Some(message) = self.last_message(host).await? else { return Ok(None) };
        unpacked(vec![message]).await.map(|mut snapshots| snapshots.pop())
    }

    /// The same without looking into it.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(crate) async fn last_message(&self, host: &HostName) -> Result<Option<StreamMessage>, Fault> {
        let subject = subject::snapshot(host);
        self.get(async |stream: jetstream::stream::Stream<()>| {
            stream.direct_get_last_for_subject(subject).await
        })
        .await
    }

    /// The snapshot with this sequence; `None` where the stream has none.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(crate) async fn by_sequence(&self, sequence: u64) -> Result<Option<Stored>, Fault> {
        // The broker takes it for no number at all.
        if sequence == 0 {
            return Ok(None);
        }
        let message =
            self.get(async |stream: jetstream::stream::Stream<()>| stream.direct_get(sequence).await).await?;
        let Some(message) = message.filter(|message| message.sequence == sequence) else { return Ok(None) };
        unpacked(vec![message]).await.map(|mut snapshots| snapshots.pop())
    }

    async fn get(
        &self,
        question: impl AsyncFnOnce(
            jetstream::stream::Stream<()>,
        ) -> Result<StreamMessage, jetstream::stream::DirectGetError>,
    ) -> Result<Option<StreamMessage>, Fault> {
        let asking = async {
            let jetstream = jetstream::new(self.client.clone());
            let stream =
                jetstream.get_stream_no_info(stream::SNAPSHOTS).await.map_err(|_| Fault::unavailable())?;
            match question(stream).await {
                Ok(message) => Ok(Some(message)),
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
                Err(_) => Err(Fault::unavailable()),
            }
        };
        broker::ask(&self.client, asking).await.map_err(|_| Fault::unavailable())?
    }

    /// The snapshots of `host` that the stream took since `from_us`, oldest first; at most `most`, those that came last. Every
    /// message since then is looked at, so `from_us` is to be not far back.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(crate) async fn since(
        &self,
        host: &HostName,
        from_us: i64,
        most: usize,
    ) -> Result<Vec<Stored>, Fault> {
        let (subject, mut found) = (subject::snapshot(host), VecDeque::new());
        let mut processes = 0;
        let from_time = Some(time_exact(from_us.clamp(0, now_us())));
        let mut batch = Batch { count: BATCH, subject: &subject, from_sequence: None, from_time };
        loop {
            let answer = broker::ask(&self.client, batch.get(&self.client, stream::SNAPSHOTS)).await;
            let messages = answer.map_err(|_| Fault::unavailable())?.map_err(|_| Fault::unavailable())?;
            let is_last = messages.len() < BATCH;
            batch.from_time = None;
            batch.from_sequence = messages.last().map(|message| message.sequence + 1);
            let snapshots = unpacked(messages).await?;
            for stored in snapshots {
                processes += stored.snapshot.processes.len();
                found.push_back(stored);
                while found.len() > most || (processes > MAX_PROCESSES_UNPACKED && found.len() > 1) {
                    processes -=
                        found.pop_front().map_or(0, |oldest: Stored| oldest.snapshot.processes.len());
                }
            }
            if is_last {
                return Ok(found.into());
            }
        }
    }
}

/// Unpacks on a thread that serves no requests; what is no snapshot is left out.
async fn unpacked(messages: Vec<StreamMessage>) -> Result<Vec<Stored>, Fault> {
    let unpacking = tokio::task::spawn_blocking(move || {
        let Ok(mut decoder) = Decoder::new() else { return Vec::new() };
        messages.iter().filter_map(|message| unpack(&mut decoder, message)).collect()
    });
    unpacking.await.map_err(|_| Fault::unavailable())
}

fn unpack(decoder: &mut Decoder, message: &StreamMessage) -> Option<Stored> {
    let host = host_of_snapshot(&message.subject)?;
    let stored_at_us = i64::try_from(message.time.unix_timestamp_nanos() / 1000).ok()?;
    let age = message.headers.get(stream::AGE_HEADER).map(|age| age.as_str());
    // Its times were judged when it came.
    let snapshot = decoder.decode_sent(&message.payload, Sent::new(stored_at_us, age), i64::MAX).ok()?;
    Some(Stored { sequence: message.sequence, host, snapshot })
}
