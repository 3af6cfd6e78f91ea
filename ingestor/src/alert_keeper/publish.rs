//! Appends changes of alerts to the stream `ALERT`, each once.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_nats::jetstream::{
    Context,
    context::PublishErrorKind,
    message::PublishMessage,
    stream::{DirectGetErrorKind, Stream},
};
use fleetps_nats::{connection::reconnect_delay, error_chain, stream, subject};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{AlertKeeper, Failure, checkpoint};
use crate::{alerts::Transition, status::Progress};

/// How long stopping waits for a broker that does not take a change; it is decided again at the next start.
const LAST_TIMEOUT: Duration = Duration::from_secs(2);

/// What evaluation hands over, in its order.
pub(super) enum Outgoing {
    /// A change.
    Change(Box<Transition>),
    /// All that is remembered after the changes before.
    Checkpoint(Vec<u8>),
}

/// Publishes changes, and writes checkpoints once all before them is published.
pub(super) struct Publisher {
    jetstream: Context,
    path: PathBuf,
    progress: Arc<Progress>,
    cancel: CancellationToken,
}

/// What became of a change.
enum Appended {
    Published,
    /// The stream has it, or nothing is to be told.
    Known,
    /// Another one was appended meanwhile.
    Raced,
}

impl Publisher {
    pub(super) fn new(keeper: &AlertKeeper, jetstream: Context, cancel: CancellationToken) -> Self {
        let path = checkpoint::path(&keeper.folder, keeper.partition);
        Self { jetstream, path, progress: Arc::clone(&keeper.progress), cancel }
    }

    /// Publishes until evaluation ends.
    pub(super) async fn run(self, mut outgoing: mpsc::Receiver<Outgoing>) {
        while let Some(next) = outgoing.recv().await {
            match next {
                Outgoing::Change(transition) => {
                    if !self.publish(*transition).await {
                        return;
                    }
                }
                Outgoing::Checkpoint(bytes) => self.write(bytes).await,
            }
        }
    }

    /// Appends a change, however long the broker is away; false when that was given up at the end.
    async fn publish(&self, transition: Transition) -> bool {
        let mut failures = 0;
        loop {
            let error = match self.append(transition.clone()).await {
                Ok(Appended::Raced) => continue,
                Ok(Appended::Published) => {
                    self.progress
                        .set_alerts(|status| (status.published, status.error) = (status.published + 1, None));
                    return true;
                }
                Ok(Appended::Known) => {
                    self.progress
                        .set_alerts(|status| (status.repeated, status.error) = (status.repeated + 1, None));
                    return true;
                }
                Err(error) => error_chain(&*error),
            };
            if failures == 0 {
                tracing::warn!("an alert cannot be published: {error}; trying again");
            }
            self.progress.set_alerts(|status| status.error = Some(error));
            let waiting = tokio::time::sleep(reconnect_delay(failures));
            if self.cancel.run_until_cancelled(waiting).await.is_none() {
                let last = tokio::time::timeout(LAST_TIMEOUT, self.append(transition)).await;
                return matches!(last, Ok(Ok(Appended::Published | Appended::Known)));
            }
            failures += 1;
        }
    }

    async fn append(&self, transition: Transition) -> Result<Appended, Failure> {
        let alerts = self.jetstream.get_stream_no_info(stream::ALERTS).await?;
        let instance = transition.change.alert.instance_id();
        let subject = subject::alert(transition.place.partition, &instance);
        let last = last_change(&alerts, &subject).await?;
        let sequence = last.as_ref().map_or(0, |(sequence, _)| *sequence);
        let last = last.and_then(|(_, last)| last);
        let Some(transition) = transition.behind(last.as_ref()) else { return Ok(Appended::Known) };
        let message = PublishMessage::build()
            .message_id(transition.id())
            .expected_last_subject_sequence(sequence)
            .payload(transition.to_message().into());
        match self.jetstream.send_publish(subject, message).await?.await {
            Ok(ack) if ack.duplicate => Ok(Appended::Known),
            Ok(_) => Ok(Appended::Published),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(Appended::Raced),
            Err(error) => Err(error.into()),
        }
    }

    async fn write(&self, bytes: Vec<u8>) {
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || checkpoint::write(&path, &bytes)).await;
        let error = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        // What is evaluated again is published once.
        tracing::warn!("the checkpoint of alerts cannot be written to {}: {error}", self.path.display());
    }
}

/// The last message of an instance: its sequence in the stream, and the change, if it is one that this version understands.
async fn last_change(
    alerts: &Stream<()>,
    subject: &str,
) -> Result<Option<(u64, Option<Transition>)>, Failure> {
    match alerts.direct_get_last_for_subject(subject).await {
        Ok(message) => Ok(Some((message.sequence, Transition::from_message(&message.payload)))),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
