//! The events that are in no segment yet, as the ingestor decides them.

use std::{collections::BTreeMap, sync::Arc};

use async_nats::Client;
use fleetps_ingestor::events::{Event, EventPlace, from_message};
use fleetps_nats::stream;
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use super::{
    EventLog,
    followed_stream::{BrokenOff, FollowedStream, keep_reading},
};
use crate::metrics::Bounded;

/// Memory of the events that are kept: some 100,000 usual ones, ten minutes of 2,000 hosts. Beyond that the oldest go; they
/// are in a segment within a minute.
const MAX_BYTES: usize = 64 << 20;

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
        keep_reading("the latest events", shutdown, || self.read(client)).await;
    }

    async fn read(&self, client: &Client) -> Result<(), BrokenOff> {
        let mut events = FollowedStream::open(client, stream::EVENTS).await?;
        let state = &events.info.state;
        self.log.open(events.info.created.unix_timestamp(), state.first_sequence, state.last_sequence);
        while let Some(message) = events.next().await? {
            let decided: Vec<_> = from_message(&message.payload).into_iter().map(Arc::new).collect();
            self.log.take(message.info()?.stream_sequence, &decided);
            self.take(decided);
        }
        Ok(())
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
