//! Decided events, until the segment of their messages is sealed.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::events::{Event, StreamClock};

/// A message by its numbering and sequence.
type Place = (i64, u64);

/// What the messages decided that are in no segment yet, in the order of the stream. Bounded as the rows of unsealed
/// segments are: a process that starts or exits is in a row. A clone is the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct DecidedEvents(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Decided>,
    /// The last message that was decided.
    last: Option<Place>,
    /// Nothing more is decided.
    is_closed: bool,
}

#[derive(Debug)]
struct Decided {
    place: Place,
    clock: StreamClock,
    events: Vec<Event>,
}

impl DecidedEvents {
    /// Notes what the message at `place` decided, and the time of the stream after it.
    pub(crate) fn push(&self, place: Place, clock: StreamClock, events: Vec<Event>) {
        let mut state = self.state();
        state.last = Some(place);
        state.messages.push_back(Decided { place, clock, events });
        drop(state);
        self.0.changed.notify_all();
    }

    /// Whether a message decided anything that is in no segment.
    pub(crate) fn has_events(&self) -> bool {
        self.state().messages.iter().any(|decided| !decided.events.is_empty())
    }

    /// Nothing more comes.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.0.changed.notify_all();
    }

    /// Takes what the messages up to `place` decided, once the last of them is decided. `None` where that will not be.
    pub(crate) fn take(&self, place: Place) -> Option<(Vec<Event>, StreamClock)> {
        let mut state = self.state();
        while state.last < Some(place) {
            if state.is_closed {
                return None;
            }
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let (mut events, mut clock) = (Vec::new(), StreamClock::default());
        while let Some(decided) = state.messages.pop_front_if(|decided| decided.place <= place) {
            events.extend(decided.events);
            clock = decided.clock;
        }
        Some((events, clock))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EventKind;

    fn events(count: i64) -> Vec<Event> {
        let host = "web-01".parse().unwrap();
        (0..count).map(|at_us| Event::of_host(EventKind::Silent, &host, at_us)).collect()
    }

    fn clock(now_ms: i64) -> StreamClock {
        StreamClock { now_ms: Some(now_ms), counted_from_ms: None }
    }

    #[test]
    fn a_segment_gets_what_its_messages_decided_and_waits_for_the_last_of_them() {
        let decided = DecidedEvents::default();
        decided.push((7, 1), clock(1), events(2));
        let taking = std::thread::spawn({
            let decided = decided.clone();
            move || decided.take((7, 2))
        });
        decided.push((7, 2), clock(2), events(1));
        decided.push((8, 1), clock(3), events(4));
        assert_eq!(taking.join().unwrap(), Some(([events(2), events(1)].concat(), clock(2))));
        assert!(decided.has_events());
        decided.close();
        assert_eq!(decided.take((8, 1)), Some((events(4), clock(3))));
        assert_eq!(decided.take((8, 2)), None);
        assert!(!decided.has_events());
    }
}
