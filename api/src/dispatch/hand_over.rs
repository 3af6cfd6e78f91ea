//! Puts into the outbox what is decided, and says what it did not take.

use std::collections::BTreeSet;

use fleetps_nats::bucket::WatchedBucket;

use super::ledger::Outgoing;
use crate::notify::{Channel, Outbox, OutboxError};

/// Messages without room in the outbox that stay in the ledger, without their charts: some 3 KB each as JSON, a tenth of what the
/// ledger holds. Beyond that the oldest go: their channels have many that wait already.
const MAX_REFUSED: usize = 500;

/// What the outbox did not take.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// The messages, in their order.
    pub(super) messages: Vec<Outgoing>,
    /// The channels for which it has no room.
    pub(super) full: BTreeSet<String>,
    /// Why it took nothing more, where it does not work.
    pub(super) error: Option<OutboxError>,
}

/// Puts `outgoing` into the outbox, in its order. A channel without room keeps its messages and holds up no other one.
pub(super) async fn put(outbox: &Outbox, channels: &WatchedBucket<Channel>, outgoing: &[Outgoing]) -> Left {
    let mut left = Left::default();
    for message in outgoing {
        let Outgoing { channel, notification, not_before_us } = message;
        // One that was removed meanwhile is told nothing more.
        if channels.get(channel).is_none() {
            continue;
        }
        // What follows on a message stays behind it.
        if left.error.is_some() || left.full.contains(channel) {
            left.messages.push(message.clone());
            continue;
        }
        if let Err(error) = outbox.put(channel, notification, *not_before_us).await {
            left.messages.push(message.clone());
            match error.is_full() {
                true => _ = left.full.insert(channel.clone()),
                false => left.error = Some(error),
            }
        }
    }
    left
}

/// What messages take in the ledger, to be compared: how many they are, and how many have charts.
pub(super) fn size(messages: &[Outgoing]) -> (usize, usize) {
    let charts = messages.iter().filter(|message| message.notification.chart.is_some());
    (messages.len(), charts.count())
}

impl Left {
    /// Makes what waits for room small; how many messages are given up for that.
    pub(super) fn bound(&mut self) -> u64 {
        if self.full.is_empty() || self.error.is_some() {
            return 0;
        }
        self.messages.iter_mut().for_each(|message| message.notification.chart = None);
        let surplus = self.messages.len().saturating_sub(MAX_REFUSED);
        self.messages.drain(..surplus);
        surplus as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::{Chart, Notification};

    fn outgoing(number: usize) -> Outgoing {
        let test = Notification::test(format!("n{number}"), "anna", String::new(), 5);
        let notification = Notification { chart: Some(Chart::default()), ..test };
        Outgoing { channel: "mail".to_owned(), notification, not_before_us: None }
    }

    #[test]
    fn what_waits_for_room_is_bounded_and_the_oldest_go() {
        let messages = || (0..MAX_REFUSED + 2).map(outgoing).collect::<Vec<_>>();
        let mut left = Left { messages: messages(), ..Left::default() };
        assert_eq!((left.bound(), left.messages.len()), (0, MAX_REFUSED + 2), "the broker is away");
        let mut left = Left { messages: messages(), full: ["mail".to_owned()].into(), error: None };
        assert_eq!((left.bound(), size(&left.messages)), (2, (MAX_REFUSED, 0)));
        assert_eq!(left.messages[0].notification.id, "n2");
    }
}
