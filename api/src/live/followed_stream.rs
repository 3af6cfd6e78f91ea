//! Streams that this server reads from what they still have and follows: of events and of alerts.

use std::time::Duration;

use async_nats::{
    Client,
    jetstream::{
        self, Context, Message,
        consumer::pull::{Ordered, OrderedConfig},
        stream::Info,
    },
};
use fleetps_nats::{connection::reconnect_delay, error_chain};
use futures_util::StreamExt;
use tokio::time::Interval;
use tokio_util::sync::CancellationToken;

/// Why reading broke off.
pub(super) type BrokenOff = Box<dyn std::error::Error + Send + Sync>;

/// How often to look whether the stream is still the same one: a broker that was restarted has made it anew, and the client
/// library goes on at the old sequence then, and delivers nothing.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A stream, read from what it still has.
pub(super) struct FollowedStream {
    jetstream: Context,
    /// As it was when reading began.
    pub(super) info: Info,
    messages: Ordered,
    look: Interval,
}

impl FollowedStream {
    /// Begins to read the stream of this name.
    pub(super) async fn open(client: &Client, name: &str) -> Result<Self, BrokenOff> {
        let jetstream = jetstream::new(client.clone());
        let stream = jetstream.get_stream(name).await?;
        let info = stream.cached_info().clone();
        let messages = stream.create_consumer(OrderedConfig::default()).await?.messages().await?;
        Ok(Self { jetstream, info, messages, look: tokio::time::interval(LOOK_EVERY) })
    }

    /// The next message; `None` once reading broke off or the stream was made anew.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, BrokenOff> {
        loop {
            tokio::select! {
                message = self.messages.next() => return Ok(message.transpose()?),
                _ = self.look.tick() => {
                    let now = self.jetstream.get_stream(&self.info.config.name).await?;
                    if now.cached_info().created != self.info.created {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

/// Calls `read` again whenever it breaks off, until `shutdown`. `what` says in the log what is read.
pub(super) async fn keep_reading<F>(what: &str, shutdown: CancellationToken, read: impl Fn() -> F)
where
    F: Future<Output = Result<(), BrokenOff>>,
{
    let following = async {
        let mut failures = 0;
        loop {
            match read().await {
                Ok(()) => failures = 0,
                // Readiness tells of a broker that is away. The stream is made when the ingestor starts.
                Err(error) => tracing::debug!("{what}: {}", error_chain(&*error)),
            }
            tokio::time::sleep(reconnect_delay(failures)).await;
            failures += 1;
        }
    };
    shutdown.run_until_cancelled(following).await;
}
