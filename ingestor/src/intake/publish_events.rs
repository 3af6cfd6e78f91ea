//! Publishes events as they are decided.

use async_nats::Client;
use fleetps_nats::subject;
use tokio::sync::mpsc;

use crate::events::{Event, to_messages};

/// Decided events that wait to be published, of some 300 bytes; when it is full, further ones are counted, and seen when
/// their segment is sealed.
pub(crate) const WAITING_EVENTS: usize = 10_000;
/// Events that are published together.
const TOGETHER: usize = 1_000;

/// Publishes to the stream `EVENTS` until the channel closes. Events that wait go together.
pub(crate) async fn publish_events(client: Client, mut decided: mpsc::Receiver<Event>) {
    let mut waiting = Vec::new();
    while decided.recv_many(&mut waiting, TOGETHER).await > 0 {
        let events = std::mem::take(&mut waiting);
        for message in to_messages(&events) {
            if let Err(error) = client.publish(subject::EVENTS, message.into()).await {
                tracing::warn!(%error, "events could not be published; they are in the next segment");
            }
        }
    }
}
