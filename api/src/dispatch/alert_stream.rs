//! Reads the stream of alerts, from a position that the reader keeps.

use std::time::Duration;

use async_nats::{
    Client,
    jetstream::{self, Context},
};
use fleetps_ingestor::alerts::Transition;
use fleetps_nats::{direct::Batch, stream, subject};
use tokio::time::Instant;

use super::{
    Failure,
    burst::{Pending, Read},
    ledger::Ledger,
};

/// How often it is asked whether the stream is there: the ingestor makes it when it starts.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// Transitions that are asked for at once, of some 800 bytes.
const BATCH: usize = 200;

/// The stream as it is now.
pub(super) struct AlertStream {
    /// When it was made.
    pub(super) made: String,
    pub(super) last_sequence: u64,
}

/// Reads it. Without a consumer of the broker: positions are in the ledger, and nothing has to be made anew after a restart.
pub(super) struct AlertReader {
    client: Client,
    jetstream: Context,
}

impl AlertReader {
    pub(super) fn new(client: Client) -> Self {
        Self { jetstream: jetstream::new(client.clone()), client }
    }

    /// The stream, once it is there, and whether it was not there at first.
    pub(super) async fn once_there(&self) -> Result<(AlertStream, bool), Failure> {
        let mut is_new = false;
        loop {
            match self.look().await {
                Ok(found) => return Ok((found, is_new)),
                Err(error) if error.is_missing() => is_new = true,
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn look(&self) -> Result<AlertStream, stream::StreamError> {
        let stream = stream::open_alerts(&self.jetstream).await?;
        let info = stream.cached_info();
        Ok(AlertStream { made: info.created.to_string(), last_sequence: info.state.last_sequence })
    }

    /// Reads what it has behind `read_until`, as far as there is room; an error where it is another one than the ledger is of.
    pub(super) async fn read(
        &self,
        ledger: &Ledger,
        read_until: &mut u64,
        pending: &mut Pending,
    ) -> Result<(), Failure> {
        let AlertStream { made, last_sequence } = self.look().await?;
        if made != ledger.made || last_sequence < *read_until {
            return Err("the stream of alerts is another one".into());
        }
        while *read_until < last_sequence && pending.room() > 0 {
            let messages = self.batch(*read_until + 1, BATCH.min(pending.room())).await?;
            let Some((last, _)) = messages.last() else { break };
            *read_until = *last;
            let read_at = Instant::now();
            for (sequence, transition) in messages {
                // One that is none is of a later version.
                if let Some(transition) = transition {
                    pending.push(Read { sequence, transition, read_at });
                }
            }
        }
        Ok(())
    }

    /// The transition at a place of the stream; `None` where the stream no longer has it.
    pub(super) async fn at(&self, sequence: u64) -> Result<Option<Transition>, Failure> {
        let found = self.batch(sequence, 1).await?.pop();
        Ok(found.filter(|(at, _)| *at == sequence).and_then(|(_, transition)| transition))
    }

    async fn batch(&self, from: u64, count: usize) -> Result<Vec<(u64, Option<Transition>)>, Failure> {
        let batch = Batch { count, subject: subject::ALL_ALERTS, from_sequence: Some(from), from_time: None };
        let messages = batch.get(&self.client, stream::ALERTS).await?;
        let read = messages.iter().map(|it| (it.sequence, Transition::from_message(&it.payload)));
        Ok(read.collect())
    }
}
