//! The way to the broker.
//!
//! It publishes only while the connection is up: the client would otherwise keep copies and send them much later.

use std::time::Duration;

use async_nats::{
    Client,
    connection::State,
    jetstream::{self, Context, context::PublishErrorKind, message::PublishMessage, publish::PublishAck},
};
use fleetps_nats::{HostName, stream, subject};

use super::{Attempt, Packed};
use crate::sample::since_boot;

/// How long a broker may take to acknowledge; a leader election in a cluster takes 8 s, and a repeat is harmless.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the state of the connection is checked while something waits for it; there is no event to wait for.
const CONNECTION_POLL: Duration = Duration::from_millis(100);

/// Publishes to the broker what one host leaves in its outbox.
pub(super) struct BrokerWay {
    jetstream: Context,
    client: Client,
    subject: String,
}

impl BrokerWay {
    pub(super) fn new(client: Client, host: &HostName) -> Self {
        let jetstream = jetstream::ContextBuilder::new().timeout(ACK_TIMEOUT).build(client.clone());
        Self { jetstream, client, subject: subject::snapshot(host) }
    }

    pub(super) async fn connected(&self) {
        while self.client.connection_state() != State::Connected {
            tokio::time::sleep(CONNECTION_POLL).await;
        }
    }

    async fn disconnected(&self) {
        while self.client.connection_state() == State::Connected {
            tokio::time::sleep(CONNECTION_POLL).await;
        }
    }

    pub(super) async fn attempt(&self, packed: Packed) -> Attempt {
        let sequence = packed.sequence;
        tokio::select! {
            result = self.publish(packed) => match result {
                Ok(acknowledgement) if is_of_this_message(&acknowledgement) => Attempt::Stored,
                Ok(_) => {
                    tracing::warn!(
                        subject = self.subject, sequence,
                        "the broker did not store a snapshot but takes it for another one; publishing again"
                    );
                    Attempt::TryAgain(Duration::ZERO)
                }
                Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                    tracing::error!(
                        subject = self.subject, sequence, error = %error,
                        "dropping a snapshot that the broker never takes; raise its max_payload to 1 MiB or more"
                    );
                    Attempt::NeverFits
                }
                Err(error) => {
                    // Right after a broker's start "no stream" only means "not yet".
                    tracing::debug!(subject = self.subject, sequence, error = %error, "publishing again");
                    Attempt::TryAgain(Duration::ZERO)
                }
            },
            // The acknowledgement was lost with the connection: no use waiting for the timeout.
            () = self.disconnected() => Attempt::TryAgain(Duration::ZERO),
        }
    }

    async fn publish(&self, packed: Packed) -> Result<PublishAck, jetstream::context::PublishError> {
        let mut message = PublishMessage::build()
            .payload(packed.message)
            .header(stream::SEQUENCE_HEADER, packed.sequence.to_string().as_str());
        if let Some(sampled_at) = packed.sampled_at {
            let age = since_boot().saturating_sub(sampled_at);
            message = message.header(stream::AGE_HEADER, age.as_micros().to_string().as_str());
        }
        let acknowledgement = self.jetstream.send_publish(self.subject.clone(), message).await?;
        acknowledgement.await
    }
}

/// Whether it says that the message is in the stream now. A message without an id is never a duplicate.
fn is_of_this_message(acknowledgement: &PublishAck) -> bool {
    acknowledgement.stream == stream::SNAPSHOTS && !acknowledgement.duplicate
}
