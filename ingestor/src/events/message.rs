//! Events as messages of the stream `EVENTS`.

use super::Event;

/// Events of one message together take no more than this; one alone may. Half of what the broker takes.
const MAX_BYTES: usize = 512 << 10;

/// The messages that carry `events`, MessagePack with named fields.
pub fn to_messages(events: &[Event]) -> Vec<Vec<u8>> {
    // Writing into memory does not fail.
    let whole = rmp_serde::to_vec_named(events).unwrap_or_default();
    if whole.len() <= MAX_BYTES || events.len() <= 1 {
        return if events.is_empty() { Vec::new() } else { vec![whole] };
    }
    let (first, rest) = events.split_at(events.len() / 2);
    [to_messages(first), to_messages(rest)].concat()
}

/// The events of a message; none where it is not one, or one of a later version.
pub fn from_message(message: &[u8]) -> Vec<Event> {
    rmp_serde::from_slice(message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EventKind;

    #[test]
    fn messages_hold_all_events_and_none_is_too_long() {
        let change = Some("x".repeat(4000));
        let event = |number: i64| Event {
            change: change.clone(),
            ..Event::of_host(EventKind::HostChanged, &"web-01".parse().unwrap(), number)
        };
        for count in [0, 1, 2, 1000] {
            let events: Vec<_> = (0..count).map(event).collect();
            let messages = to_messages(&events);
            assert!(messages.iter().all(|message| message.len() <= MAX_BYTES));
            let read: Vec<_> = messages.iter().flat_map(|message| from_message(message)).collect();
            assert_eq!(read, events);
        }
        assert_eq!(from_message(b"no event"), []);
    }
}
