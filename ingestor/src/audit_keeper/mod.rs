//! Keeps the audit: moves its entries from the stream to segments, merges these, and removes old ones.
//!
//! `position` is how far the stream is sealed, `plan` decides which segments are merged and removed, `tidy` does it,
//! `verify` reads segments whole and quarantines the damaged ones. `crate::audit` has the format of the files and reads
//! them.

mod blocking;
mod error;
mod plan;
mod position;
mod tidy;
mod verify;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::Client;
use fleetps_nats::{audit::Chained, error_chain};
use tokio_util::sync::CancellationToken;

use self::{blocking::blocking, error::KeepError, position::Position, verify::Verifier};
use crate::{
    audit::{AuditName, seal},
    catalog::SegmentCatalog,
    retention_clock::RetentionClock,
    settings::IngestorSettings,
    status::Progress,
};

/// The last seal of the program's run must be done within this.
const LAST_SEAL_TIMEOUT: Duration = Duration::from_secs(5);
/// A merge that failed is tried again this much later; others go on meanwhile.
const MERGE_RETRY: Duration = Duration::from_secs(15 * 60);

/// Keeps the audit until `cancel`, and seals what there is then. What goes wrong is logged and tried again.
pub(crate) async fn keep(
    client: Client,
    settings: IngestorSettings,
    catalog: Arc<SegmentCatalog>,
    (progress, clock): (Arc<Progress>, Arc<RetentionClock>),
    cancel: CancellationToken,
) {
    let verifier = Verifier::of(catalog.folder());
    let (retired, failed_merges) = (Vec::new(), HashMap::new());
    let mut keeper = Keeper {
        client,
        settings,
        catalog,
        progress,
        clock,
        error: None,
        position: None,
        retired,
        failed_merges,
        verifier,
    };
    let mut ticks = tokio::time::interval(keeper.settings.seal_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            _ = ticks.tick() => keeper.step().await,
        }
    }
    let _ = tokio::time::timeout(LAST_SEAL_TIMEOUT, keeper.step()).await;
}

struct Keeper {
    client: Client,
    settings: IngestorSettings,
    catalog: Arc<SegmentCatalog>,
    progress: Arc<Progress>,
    /// Why the last step failed.
    error: Option<String>,
    /// By which entries are too old.
    clock: Arc<RetentionClock>,
    /// The stream, and how far it is sealed; absent until both are known.
    position: Option<Position>,
    /// Merged sources, and when they were merged: readers may just be attaching them.
    retired: Vec<(AuditName, Instant)>,
    /// The first source of each merge that failed, and when.
    failed_merges: HashMap<AuditName, Instant>,
    verifier: Verifier,
}

impl Keeper {
    async fn step(&mut self) {
        let stepped = self.try_step().await;
        let error = stepped.as_ref().err().map(|error| error_chain(error));
        if let Some(error) = &error {
            if self.error.as_ref() != Some(error) {
                tracing::warn!("the audit is not in segments yet: {error}; trying again");
            }
            // Looked up anew, in case the stream is another one.
            self.position = None;
        }
        self.error.clone_from(&error);
        if let Err(KeepError::Segment(_)) = stepped
            && let Err(error) = self.look_for_damage(None).await
        {
            tracing::warn!("cannot look for damaged audit segments: {}", error_chain(&error));
        }
        self.progress.set_audit_error(error.or_else(|| self.verifier.problems()));
    }

    async fn try_step(&mut self) -> Result<(), KeepError> {
        let mut position = match self.position.take() {
            Some(position) => position,
            None => Position::find(&self.client, self.folder()).await?,
        };
        self.seal_new(&mut position).await?;
        self.tidy(&mut position).await?;
        self.position = Some(position);
        self.verify_next().await
    }

    /// Seals the stream's new entries.
    async fn seal_new(&self, position: &mut Position) -> Result<(), KeepError> {
        loop {
            let entries = position.next_entries().await?.ok_or(KeepError::Replaced)?;
            let Some(last) = entries.last().map(Chained::link) else { return Ok(()) };
            let (catalog, epoch_s) = (Arc::clone(&self.catalog), position.epoch_s);
            blocking(move || {
                seal(catalog.folder(), epoch_s, &entries)?;
                Ok(catalog.publish_again()?)
            })
            .await?;
            position.sealed = last;
        }
    }

    fn folder(&self) -> PathBuf {
        self.catalog.folder().to_owned()
    }
}
