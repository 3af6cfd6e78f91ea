//! The latest events in the order of the stream `EVENTS`, for readers that want each of them once.
//!
//! It holds what the stream holds, within a bound of memory. A reader keeps its position and asks for what comes after
//! it; nothing is queued for anybody. A reader that is behind the oldest event, or comes from an earlier numbering of the
//! stream, is told from where to where it missed something.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use fleetps_ingestor::events::{Event, EventPlace};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::Position;
use crate::metrics::Bounded;

/// Memory of the events that are kept, most of which [`LatestEvents`](super::LatestEvents) shares: some 100,000 usual
/// ones, as many as the broker keeps. Beyond that the oldest go.
const MAX_BYTES: usize = 64 << 20;
/// Events that are looked at for one answer: a reader that wants few of them must not hold the others up.
const MAX_LOOKED_AT: usize = 2_000;

/// The latest events, by their places in the stream `EVENTS`.
#[derive(Debug, Default)]
pub struct EventLog {
    log: RwLock<Log>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Log {
    /// When the stream was made, in s since 1970 UTC; 0 while nothing is known of it.
    epoch_s: i64,
    /// The first message from which on every event is here.
    first: u64,
    /// The message after the last that was read.
    next: u64,
    /// The last message that the stream had when it was opened: what came before is no news.
    last_at_start: u64,
    events: VecDeque<Entry>,
    /// Those of `events`: the ingestor decides what it has not sealed anew when it is restarted.
    places: HashSet<EventPlace>,
    bytes: usize,
    /// Events that made room for newer ones.
    dropped: u64,
}

#[derive(Debug)]
struct Entry {
    sequence: u64,
    /// Its number in the message.
    number: u32,
    event: Arc<Event>,
}

/// An answer to a reader.
#[derive(Debug, Default)]
pub struct Told {
    /// From where to where events are missing, where some may be.
    pub gap: Option<(Position, Position)>,
    /// The events that are wanted, each with the position behind it.
    pub events: Vec<(Position, Arc<Event>)>,
    /// Until where was looked: the position to go on at.
    pub position: Position,
}

impl EventLog {
    /// How full its memory is.
    pub fn bounded(&self) -> Bounded {
        let log = self.log.read();
        let (in_use, limit) = (log.bytes as u64, MAX_BYTES as u64);
        Bounded { of: "event-log-bytes", in_use, limit, refused: log.dropped }
    }

    /// Begins to read a stream that was made at `epoch_s` and has the messages `first` to `last`.
    pub fn open(&self, epoch_s: i64, first: u64, last: u64) {
        let mut log = self.log.write();
        if log.epoch_s != epoch_s {
            *log = Log { epoch_s, first, next: first, dropped: log.dropped, ..Log::default() };
        } else if first > log.next {
            log.begin_at(first);
        }
        log.last_at_start = last;
        drop(log);
        self.changed.send_replace(());
    }

    /// Takes the events of a message. Those that came before count once.
    pub fn take(&self, sequence: u64, events: &[Arc<Event>]) {
        let mut log = self.log.write();
        if sequence < log.next {
            return;
        }
        if sequence > log.next {
            log.begin_at(sequence);
        }
        log.next = sequence + 1;
        for (number, event) in (0_u32..).zip(events) {
            if log.places.insert(event.place) {
                log.bytes += event.bytes();
                log.events.push_back(Entry { sequence, number, event: Arc::clone(event) });
            }
        }
        log.keep_within(MAX_BYTES);
        drop(log);
        self.changed.send_replace(());
    }

    /// Tells of every change.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The position behind everything that the stream has; `None` while nothing is known of the stream.
    pub fn end(&self) -> Option<Position> {
        let log = self.log.read();
        (log.epoch_s != 0).then(|| log.end())
    }

    /// At most `most` of the events after `position` for which `wants` says so.
    pub fn after(&self, position: Position, most: usize, wants: impl Fn(&Event) -> bool) -> Told {
        let log = self.log.read();
        let mut told = Told { position, ..Told::default() };
        if let Some(begin) = log.gap_after(position) {
            told.gap = Some((position, begin));
            told.position = begin;
        }
        let from = told.position;
        // A position behind all of a message has no number.
        let is_before = |entry: &Entry| {
            let number = from.parts.unwrap_or(u32::MAX);
            entry.sequence < from.sequence || entry.sequence == from.sequence && entry.number < number
        };
        let start = log.events.partition_point(is_before);
        for (looked_at, entry) in log.events.range(start..).enumerate() {
            if looked_at == MAX_LOOKED_AT || told.events.len() == most {
                return told;
            }
            told.position =
                Position { epoch_s: log.epoch_s, sequence: entry.sequence, parts: Some(entry.number + 1) };
            if wants(&entry.event) {
                told.events.push((told.position, Arc::clone(&entry.event)));
            }
        }
        let end = log.end_read();
        if end.sequence >= told.position.sequence {
            told.position = end;
        }
        told
    }
}

impl Log {
    /// Forgets everything, and goes on with a message behind some that were missed.
    fn begin_at(&mut self, sequence: u64) {
        self.events.clear();
        self.places.clear();
        self.bytes = 0;
        (self.first, self.next) = (sequence, sequence);
    }

    fn keep_within(&mut self, max_bytes: usize) {
        while self.bytes > max_bytes {
            let Some(Entry { sequence, event, .. }) = self.events.pop_front() else { return };
            self.bytes -= event.bytes();
            self.places.remove(&event.place);
            self.dropped += 1;
            self.first = sequence + 1;
        }
    }

    /// Behind all that was read.
    fn end_read(&self) -> Position {
        Position::new(self.epoch_s, self.next.saturating_sub(1))
    }

    fn end(&self) -> Position {
        Position::new(self.epoch_s, self.next.saturating_sub(1).max(self.last_at_start))
    }

    /// Where events begin again for a reader at `position`; `None` where it has missed nothing.
    fn gap_after(&self, position: Position) -> Option<Position> {
        let is_of_this = position.epoch_s == self.epoch_s && position.sequence <= self.end().sequence;
        // The position may be within a message that is gone in part.
        let has_rest = position.sequence.saturating_add(1) >= self.first && position.parts.is_none()
            || position.sequence >= self.first;
        let begin = Position::new(self.epoch_s, self.first.saturating_sub(1));
        (!(is_of_this && has_rest)).then_some(begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sequence: u64, number: u32) -> Arc<Event> {
        let text = r#"{"place":{"epoch_s":7,"sequence":0,"number":0},"at_us":5,"decided_at_us":5,"kind":"silent","host":"web-01"}"#;
        let mut event: Event = serde_json::from_str(text).unwrap();
        (event.place.sequence, event.place.number) = (sequence, number);
        Arc::new(event)
    }

    fn told(log: &EventLog, position: &str, most: usize) -> (Option<String>, Vec<u64>, String) {
        let told = log.after(position.parse().unwrap(), most, |event| event.place.sequence != 66);
        let events = told.events.iter().map(|(_, event)| event.place.sequence).collect();
        (told.gap.map(|(from, to)| format!("{from} to {to}")), events, told.position.to_string())
    }

    #[test]
    fn a_reader_gets_each_event_once_and_goes_on_within_a_message() {
        let log = EventLog::default();
        log.open(9, 1, 0);
        log.take(1, &[event(11, 0), event(12, 0), event(66, 0)]);
        log.take(2, &[event(13, 0)]);
        assert_eq!(told(&log, "9-0", 10), (None, vec![11, 12, 13], "9-2".to_owned()));
        assert_eq!(told(&log, "9-0", 1), (None, vec![11], "9-1-1".to_owned()));
        assert_eq!(told(&log, "9-1-1", 10), (None, vec![12, 13], "9-2".to_owned()));
        assert_eq!(told(&log, "9-1-3", 10), (None, vec![13], "9-2".to_owned()));
        assert_eq!(told(&log, "9-2", 10), (None, vec![], "9-2".to_owned()));
        // Read again after the connection broke, and decided again after the ingestor was restarted.
        log.open(9, 1, 2);
        log.take(1, &[event(11, 0)]);
        log.take(2, &[event(13, 0)]);
        log.take(3, &[event(12, 0), event(13, 0), event(14, 0)]);
        assert_eq!(told(&log, "9-2", 10), (None, vec![14], "9-3".to_owned()));
        assert_eq!(log.end().unwrap().to_string(), "9-3");
    }

    #[test]
    fn a_reader_that_is_too_far_behind_or_of_another_stream_is_told_what_it_missed() {
        let log = EventLog::default();
        assert_eq!(log.end(), None);
        log.open(9, 5, 6);
        assert_eq!(log.end().unwrap().to_string(), "9-6", "what was there before is no news");
        log.take(5, &[event(11, 0)]);
        log.take(6, &[event(12, 0), event(13, 0)]);
        assert_eq!(told(&log, "9-4", 10), (None, vec![11, 12, 13], "9-6".to_owned()));
        let whole = vec![11, 12, 13];
        for missed in ["9-3", "9-4-1", "8-5", "8-4", "9-7", "0-0"] {
            let expected = (Some(format!("{missed} to 9-4")), whole.clone(), "9-6".to_owned());
            assert_eq!(told(&log, missed, 10), expected, "{missed}");
        }
        // Some expired while this server was not reading.
        log.open(9, 6, 8);
        log.take(8, &[event(15, 0)]);
        assert_eq!(told(&log, "9-6", 10), (Some("9-6 to 9-7".to_owned()), vec![15], "9-8".to_owned()));
        log.open(10, 1, 0);
        assert_eq!(told(&log, "9-8", 10), (Some("9-8 to 10-0".to_owned()), vec![], "10-0".to_owned()));
    }

    #[test]
    fn what_is_kept_is_bounded_and_a_message_that_is_gone_in_part_is_a_gap() {
        let log = EventLog::default();
        log.open(9, 1, 0);
        for sequence in 1..=40 {
            let long = |number| {
                let change = Some("x".repeat(1 << 20));
                Arc::new(Event { change, ..Event::clone(&event(sequence, number)) })
            };
            log.take(sequence, &[long(0), long(1)]);
        }
        let bounded = log.bounded();
        assert!(bounded.in_use <= bounded.limit);
        let kept = log.log.read().events.len() as u64;
        assert_eq!((kept, bounded.refused), (kept, 80 - kept), "what made room is counted");
        assert!(bounded.refused > 10);
        let told = log.after("9-1".parse().unwrap(), 1, |_| true);
        let (_, begin) = told.gap.unwrap();
        assert!(begin.sequence > 5 && told.events[0].1.place.sequence >= begin.sequence, "{begin}");
        let kept = log.after("9-30-1".parse().unwrap(), 2, |_| true);
        assert!(kept.gap.is_none() && kept.events.len() == 2);
    }
}
