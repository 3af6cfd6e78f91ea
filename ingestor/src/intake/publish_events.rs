//! Publishes events as they are decided.

use async_nats::Client;
use fleetps_nats::subject;
use tokio::sync::mpsc;

use crate::events::{Event, to_messages};

/// Decided events that wait to be published, message by message; when it is full, further ones are counted, and seen when
/// their segment is sealed.
pub(crate) const WAITING_EVENTS: usize = 1024;

/// Publishes to the stream `EVENTS` until the channel closes. Events that wait go together.
pub(crate) async fn publish_events(client: Client, mut decided: mpsc::Receiver<Vec<Event>>) {
    let mut waiting = Vec::new();
    while decided.recv_many(&mut waiting, WAITING_EVENTS).await > 0 {
        let events: Vec<Event> = waiting.drain(..).flatten().collect();
        for message in to_messages(&events) {
            if let Err(error) = client.publish(subject::EVENTS, message.into()).await {
                tracing::warn!(%error, "events could not be published; they are in the next segment");
            }
        }
    }
}
