//! The parts that run, in the two groups in which they stop.

use std::future::Future;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The parts that run.
#[derive(Default)]
pub(super) struct Parts {
    /// The ingestor: it stops last, when nothing more can come.
    storing: JoinSet<anyhow::Result<()>>,
    stop_storing: CancellationToken,
    /// Everything else.
    rest: JoinSet<anyhow::Result<()>>,
    stop_rest: CancellationToken,
}

impl Parts {
    /// Runs the ingestor: `part` gets the token that asks it to stop.
    pub(super) fn spawn_storing<Part: Future<Output = anyhow::Result<()>> + Send + 'static>(
        &mut self,
        name: &'static str,
        part: impl FnOnce(CancellationToken) -> Part,
    ) {
        let part = part(self.stop_storing.clone());
        self.storing.spawn(async move { part.await.with_context(|| format!("{name} failed")) });
    }

    /// Runs another part, which ends when [`Self::stop_token`] is cancelled.
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        part: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.rest.spawn(async move { part.await.with_context(|| format!("{name} failed")) });
    }

    /// Cancelled when the parts other than the ingestor are to stop.
    pub(super) fn stop_token(&self) -> CancellationToken {
        self.stop_rest.clone()
    }

    /// Returns when `ended`, or when a part has ended by itself.
    pub(super) async fn until(&mut self, ended: &CancellationToken) -> anyhow::Result<()> {
        tokio::select! {
            () = ended.cancelled() => Ok(()),
            Some(done) = self.rest.join_next() => done?,
            Some(done) = self.storing.join_next() => done?,
        }
    }

    /// Stops everything; an error is the ingestor's.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop_rest.cancel();
        while self.rest.join_next().await.is_some() {}
        self.stop_storing.cancel();
        match self.storing.join_next().await {
            Some(done) => done?,
            None => Ok(()),
        }
    }
}
