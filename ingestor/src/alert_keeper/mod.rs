//! Evaluates the rules on the stream of snapshots, and publishes what becomes of alerts to the stream `ALERT`.
//!
//! `start` finds where to begin, `evaluate` (a thread) decodes messages and evaluates them, `publish` (a task) appends the
//! changes, `rules` follows the rules and the groups of hosts. The stream is read by a reader of its own, so that alerts hold
//! up no segment and no segment holds up alerts. [`crate::alerts`] has the evaluation itself.
//!
//! **Once.** A change is known by the message that decided it. `publish` appends it behind the last change of its instance, if
//! that is of an earlier message, and on the condition that nobody has appended another meanwhile. So a change that is
//! decided again after a crash, or by two evaluators, is in the stream once.
//!
//! **Where it goes on.** A `checkpoint` beside the segments has all that is remembered after some message. It is
//! written when every change until then is published. A start reads ten minutes of messages before it once more, for
//! what is too large to be kept: the last snapshot of every host, and the processes that it had. Without a checkpoint
//! the open alerts are read from the stream `ALERT`, and the last quarter of an hour is evaluated.

mod checkpoint;
mod evaluate;
mod publish;
mod rules;
mod start;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_nats::{Client, jetstream};
use fleetps_nats::{Standing, decode::MessageDecoder, error_chain, patience::patiently, stream};
use tokio_util::sync::CancellationToken;

use self::{evaluate::Evaluation, publish::Publisher, rules::Following, start::Begin};
use crate::{
    intake::{Awaited, Ticker, WAITING_DELIVERIES, read_stream},
    status::Progress,
};

/// How often what is remembered is written down at least: what comes after it is evaluated again after a crash.
pub(crate) const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);
/// Changes that wait to be published, of some 800 bytes; when it is full, evaluation waits, and the stream is the buffer.
const WAITING_CHANGES: usize = 1_000;
/// How soon evaluation is begun anew after it broke off.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What is evaluated, and where it is remembered.
#[derive(Debug, Clone)]
pub(crate) struct AlertKeeper {
    pub(crate) client: Client,
    pub(crate) partition: u32,
    /// The rate limit of one host, in bytes a second.
    pub(crate) host_bytes_per_s: u64,
    /// The folder of the segments.
    pub(crate) folder: PathBuf,
    pub(crate) progress: Arc<Progress>,
    /// How often what is remembered is written down.
    pub(crate) checkpoint_every: Duration,
}

/// Why evaluation broke off.
type Failure = Box<dyn std::error::Error + Send + Sync>;

impl AlertKeeper {
    /// Evaluates until `cancel`. What goes wrong is logged, said in the status and tried again.
    pub(crate) async fn keep(self, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            let Err(error) = self.run(&cancel).await else { return };
            let error = error_chain(&*error);
            tracing::error!("alerts are not evaluated: {error}; trying again every {AGAIN_AFTER:?}");
            self.progress.set_alerts(|status| status.error = Some(error));
            let _ = cancel.run_until_cancelled(tokio::time::sleep(AGAIN_AFTER)).await;
        }
    }

    async fn run(&self, cancel: &CancellationToken) -> Result<(), Failure> {
        let jetstream = jetstream::new(self.client.clone());
        let preparing = async {
            patiently("the evaluation of alerts", || stream::ensure_alerts(&jetstream)).await?;
            let standing = patiently("the evaluation of alerts", || Standing::follow(&self.client)).await?;
            let following = patiently("the evaluation of alerts", || Following::start(&self.client)).await?;
            let begin = Begin::find(self, &jetstream).await?;
            Ok::<_, Failure>((standing, following, begin))
        };
        let Some(prepared) = cancel.run_until_cancelled(preparing).await else { return Ok(()) };
        let (standing, following, begin) = prepared?;
        self.progress.set_alerts(|status| status.error = None);
        let decoder = MessageDecoder::new(self.host_bytes_per_s)?.with_standing(standing.clone());
        let (incoming_in, incoming) = self.progress.channel("alert-deliveries", WAITING_DELIVERIES);
        let (changes_in, changes) = self.progress.channel("alert-changes", WAITING_CHANGES);
        let (awaited, start) = (Arc::new(Awaited::default()), begin.start);
        let evaluation =
            Evaluation::new(self, begin, following.news(), (decoder, standing), Arc::clone(&awaited));
        let thread = std::thread::Builder::new().name("alerts".to_owned());
        let evaluating = thread.spawn(move || evaluation.run(incoming, &changes_in))?;
        let publisher = Publisher::new(self, jetstream.clone(), cancel.clone());
        let publishing = tokio::spawn(publisher.run(changes));
        let ticker = Ticker::new(self.client.clone(), awaited);
        let stop = cancel.child_token();
        let keeping = tokio::spawn(following.keep(stop.clone()));
        let reading = (jetstream, ticker);
        read_stream(reading, start, self.checkpoint_every, incoming_in, stop.clone()).await;
        stop.cancel();
        let _ = keeping.await;
        let published = publishing.await;
        tokio::task::spawn_blocking(move || evaluating.join())
            .await?
            .map_err(|_| Failure::from("the evaluation panicked"))?;
        published?;
        if cancel.is_cancelled() { Ok(()) } else { Err(Failure::from("the evaluation ended")) }
    }
}
