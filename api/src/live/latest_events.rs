//! The events that are in no segment yet, as the ingestor decides them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_nats::{
    Client,
    jetstream::{self, consumer::pull},
};
use fleetps_ingestor::events::{Event, EventPlace, from_message};
use fleetps_nats::{connection::reconnect_delay, error_chain, stream};
use futures_util::StreamExt;
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use super::EventLog;
use crate::metrics::Bounded;

/// Memory of the events that are kept: some 100,000 usual ones, ten minutes of 2,000 hosts. Beyond that the oldest go; they
/// are in a segment within a minute.
const MAX_BYTES: usize = 64 << 20;

/// How often to look whether the stream is still the same one: a broker that was restarted has made it anew.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The latest events, by their places in the stream of snapshots.
#[derive(Debug, Default)]
pub struct LatestEvents {
    latest: RwLock<Latest>,
    /// The same in the order in which they were decided, sealed or not.
    pub log: EventLog,
}

#[derive(Debug, Default)]
struct Latest {
    events: BTreeMap<EventPlace, Arc<Event>>,
    bytes: usize,
    /// Events that made room for newer ones.
    dropped: u64,
}

impl Latest {
    fn insert(&mut self, event: Arc<Event>) {
        self.bytes += event.bytes();
        let before = self.events.insert(event.place, event);
        self.bytes -= before.map_or(0, |before| before.bytes());
        while self.bytes > MAX_BYTES {
            let Some((_, oldest)) = self.events.pop_first() else { return };
            self.bytes -= oldest.bytes();
            self.dropped += 1;
        }
    }

    fn retain(&mut self, is_kept: impl Fn(&EventPlace) -> bool) {
        let Self { events, bytes, .. } = self;
        events.retain(|place, event| {
            let is_kept = is_kept(place);
            *bytes -= if is_kept { 0 } else { event.bytes() };
            is_kept
        });
    }
}

impl LatestEvents {
    /// How full their memory is.
    pub fn bounded(&self) -> Bounded {
        let latest = self.latest.read();
        let (in_use, limit) = (latest.bytes as u64, MAX_BYTES as u64);
        Bounded { of: "latest-events-bytes", in_use, limit, refused: latest.dropped }
    }

    /// Takes events that were decided. Those that came before count once.
    pub fn take(&self, events: impl IntoIterator<Item = Arc<Event>>) {
        let mut latest = self.latest.write();
        events.into_iter().for_each(|event| latest.insert(event));
    }

    /// The events for which `wants` is true, behind the last message of each partition that is in a segment, by numbering and
    /// sequence. Forgets those that are in one. May take some ms, so it is for a thread that may wait.
    pub fn after(&self, sealed: &BTreeMap<u32, (i64, u64)>, wants: impl Fn(&Event) -> bool) -> Vec<Event> {
        let is_later = |place: &EventPlace| {
            sealed.get(&place.partition).is_none_or(|sealed| (place.epoch_s, place.sequence) > *sealed)
        };
        let latest = self.latest.read();
        let later = latest.events.iter().filter(|(place, _)| is_later(place)).map(|(_, event)| event);
        let found = later.filter(|event| wants(event)).map(|event| Event::clone(event)).collect();
        let has_old = latest.events.keys().any(|place| !is_later(place));
        drop(latest);
        if has_old {
            self.latest.write().retain(is_later);
        }
        found
    }

    /// Keeps up with what the ingestor decides, until `shutdown`.
    pub async fn follow(&self, client: &Client, shutdown: CancellationToken) {
        let following = async {
            let mut failures = 0;
            loop {
                match self.read(client).await {
                    Ok(()) => failures = 0,
                    // Readiness tells of a broker that is away. The stream is made when the ingestor starts.
                    Err(error) => tracing::debug!("the latest events: {}", error_chain(&*error)),
                }
                tokio::time::sleep(reconnect_delay(failures)).await;
                failures += 1;
            }
        };
        shutdown.run_until_cancelled(following).await;
    }

    /// Reads the stream of events from what it still has, until that breaks off or the stream is made anew: the client library
    /// goes on at the old sequence then, and delivers nothing.
    async fn read(&self, client: &Client) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let jetstream = jetstream::new(client.clone());
        let events = jetstream.get_stream(stream::EVENTS).await?;
        let created_s = events.cached_info().created.unix_timestamp();
        let state = &events.cached_info().state;
        self.log.open(created_s, state.first_sequence, state.last_sequence);
        let consumer = events.create_consumer(pull::OrderedConfig::default()).await?;
        let mut messages = consumer.messages().await?;
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                _ = look.tick() => {
                    let now = jetstream.get_stream(stream::EVENTS).await?;
                    if now.cached_info().created.unix_timestamp() != created_s {
                        return Ok(());
                    }
                    continue;
                }
            };
            let Some(message) = message.transpose()? else { return Ok(()) };
            let decided: Vec<_> = from_message(&message.payload).into_iter().map(Arc::new).collect();
            self.log.take(message.info()?.stream_sequence, &decided);
            self.take(decided);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sequence: u64) -> Event {
        let text = r#"{"place":{"epoch_s":7,"sequence":0,"number":0},"at_us":5,"decided_at_us":5,"kind":"silent","host":"web-01"}"#;
        let mut event: Event = serde_json::from_str(text).unwrap();
        event.place.sequence = sequence;
        event
    }

    fn sequences(events: &[Event]) -> Vec<u64> {
        events.iter().map(|event| event.place.sequence).collect()
    }

    #[test]
    fn events_that_are_in_a_segment_are_forgotten_and_repeats_count_once() {
        let latest = LatestEvents::default();
        latest.take([event(1), event(2), event(2), event(3)].map(Arc::new));
        assert_eq!(sequences(&latest.after(&BTreeMap::new(), |_| true)), [1, 2, 3]);
        assert_eq!(sequences(&latest.after(&[(0, (7, 2))].into(), |_| true)), [3]);
        assert_eq!(sequences(&latest.after(&BTreeMap::new(), |_| true)), [3]);
        assert_eq!(sequences(&latest.after(&[(0, (8, 1))].into(), |_| true)), [0; 0]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let latest = LatestEvents::default();
        let long = |sequence| Event { change: Some("x".repeat(1 << 20)), ..event(sequence) };
        latest.take((0..100).map(long).map(Arc::new));
        let kept = latest.after(&BTreeMap::new(), |_| true);
        assert_eq!((kept.len(), kept[0].place.sequence), (63, 37));
        // What is sealed makes room.
        latest.after(&[(0, (7, 98))].into(), |_| true);
        assert_eq!(latest.latest.read().bytes, long(99).bytes());
    }
}
