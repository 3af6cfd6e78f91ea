//! Saves the broker's buckets into the data folder: soon after each change, once a minute at most, and every day.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use async_nats::Client;
use fleetps_ingestor::backup::{BackupError, Buckets, SavedState, SavedStates, bucket_names, read_buckets};
use fleetps_nats::{bucket, error_chain, now_us};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Found, Losses, StateHealth};

/// How often to check whether a bucket changed: one request to the broker for each of a few buckets.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The least time between two files: a fleet that joins within a minute is a few files and not thousands.
const SAVE_EVERY_US: i64 = 60 * 1_000_000;
/// Unchanged records are saved again after a day, so that there is a file of each day.
const DAY_US: i64 = 24 * 3600 * 1_000_000;
/// How long the last look may take when the program ends.
const END_TIMEOUT: Duration = Duration::from_secs(2);
/// A field that changes with every use of a token, and is worth no file.
const NOTED_USE: &str = "used_at_us";

/// The saved records, and the broker's records at that time.
struct Keeper<'a> {
    client: &'a Client,
    states: SavedStates,
    health: &'a StateHealth,
    saved: Option<SavedState>,
    revisions: BTreeMap<String, Option<u64>>,
}

/// Saves the buckets of the broker until `shutdown`, and once more then.
pub(crate) async fn keep_saving(
    client: Client,
    data: &Path,
    health: &StateHealth,
    shutdown: CancellationToken,
) {
    let states = SavedStates::of(data);
    let Some(saved) = shutdown.run_until_cancelled(newest(&states, health)).await else { return };
    let mut keeper = Keeper { client: &client, states, health, saved, revisions: BTreeMap::new() };
    while shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        let is_due = keeper.age_us() >= SAVE_EVERY_US;
        keeper.look(is_due).await;
    }
    let _ = tokio::time::timeout(END_TIMEOUT, keeper.look(true)).await;
}

/// The last saved records, as soon as they can be listed: without them no loss would be noticed, and the rest would be
/// saved in their place.
async fn newest(states: &SavedStates, health: &StateHealth) -> Option<SavedState> {
    loop {
        match states.newest() {
            Ok(saved) => return saved,
            Err(error) => failed(health, &error),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Says why nothing is saved, in the log when that changes.
fn failed(health: &StateHealth, error: &BackupError) {
    let problem = error_chain(error);
    if health.unsaved().as_ref() != Some(&problem) {
        tracing::warn!(error = problem, "the broker's records could not be saved; trying again");
    }
    health.failed(problem);
}

impl Keeper<'_> {
    /// How old the last file is; as good as for ever where there is none, or its time is still to come.
    fn age_us(&self) -> i64 {
        let age_us = self.saved.as_ref().map(|saved| now_us().saturating_sub(saved.made_at_us));
        age_us.filter(|age_us| *age_us >= 0).unwrap_or(i64::MAX)
    }

    async fn look(&mut self, is_due: bool) {
        match self.save(is_due).await {
            Ok(()) => self.health.saved(),
            Err(error) => failed(self.health, &error),
        }
    }

    /// Saves changed records. While records are lost nothing is saved, so that the earlier files stay.
    async fn save(&mut self, is_due: bool) -> Result<(), BackupError> {
        let mut names: BTreeSet<_> = bucket_names(self.client).await?.into_iter().collect();
        names.extend(self.saved.iter().flat_map(|saved| saved.buckets.keys().cloned()));
        let names = names.iter().map(String::as_str);
        let revisions = bucket::revisions(self.client, names).await?;
        if !is_due || (revisions == self.revisions && self.age_us() < DAY_US) {
            return Ok(());
        }
        let losses = Losses::find(self.client, self.saved.as_ref()).await?;
        let is_whole = losses.is_empty();
        let found = Found { saved: self.saved.take(), losses };
        self.health.set_lost(found.problem());
        self.saved = found.saved;
        if is_whole {
            let buckets = read_buckets(self.client).await?;
            let is_same =
                self.saved.as_ref().is_some_and(|saved| lasting(&saved.buckets) == lasting(&buckets));
            if !is_same || self.age_us() >= DAY_US {
                let state = SavedState::new(buckets, now_us());
                let (states, saving) = (self.states.clone(), state.clone());
                let saved = tokio::task::spawn_blocking(move || states.save(&saving)).await;
                saved.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
                self.saved = Some(state);
            }
        }
        self.revisions = revisions;
        Ok(())
    }
}

/// The buckets without what changes all the time.
fn lasting(buckets: &Buckets) -> Buckets {
    let mut buckets = buckets.clone();
    let records = buckets.values_mut().flat_map(BTreeMap::values_mut);
    records.filter_map(Value::as_object_mut).for_each(|record| _ = record.remove(NOTED_USE));
    buckets
}
