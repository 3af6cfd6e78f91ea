//! The records of commands, as the broker keeps them, with a copy in memory.
//!
//! Every change is written against the revision that it was made from, so that of two who change a record the later one sees
//! what the other did: a command that somebody has cancelled is not sent, whichever server looks after it. What this server
//! wrote is known here at once, before the copy has it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use async_nats::Client;
use fleetps_nats::{
    bucket::{Bucket, BucketError, WatchedBucket},
    command::CommandId,
    now_us,
};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::record::CommandRecord;
use crate::broker::{self, Away};

/// The bucket of records; a key is the id of a command.
const BUCKET: &str = "commands";
/// The most records. They take about 1 KB each, and their bucket 16 MiB.
pub(super) const MAX_RECORDS: usize = 10_000;
/// Older records are removed; the audit keeps what was done for longer.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// The most bytes of all records, at which the oldest make room: what the bucket has, less what the broker adds to each.
const MAX_BYTES: usize = 10 << 20;
/// A record is changed anew when another was faster. Two servers and a person who cancels are three.
const MAX_ATTEMPTS: usize = 10;

/// A record could not be written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The broker does not answer.
    #[error(transparent)]
    Away(#[from] Away),
    /// The broker refuses it.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// Others change it all the time.
    #[error("others change this command all the time")]
    Crowded,
}

/// The records; a clone is the same.
#[derive(Debug, Clone)]
pub(super) struct Store {
    client: Client,
    bucket: Bucket<CommandRecord>,
    copy: WatchedBucket<CommandRecord>,
    /// What this server wrote and the copy may not have yet, by id.
    written: Arc<RwLock<HashMap<String, Arc<CommandRecord>>>>,
    /// Tells of every change, by a number that grows, also from one run of the server to the next: pages name it as the version
    /// that they show.
    changed: watch::Sender<u64>,
}

impl Store {
    /// Opens and follows the bucket.
    pub(super) async fn open(client: &Client) -> Result<Self, BucketError> {
        let bucket = Bucket::open(client, BUCKET).await?;
        let copy = bucket.follow().await?;
        let changed = watch::Sender::new(u64::try_from(now_us()).unwrap_or_default());
        Ok(Self { client: client.clone(), bucket, copy, written: Arc::default(), changed })
    }

    /// Tells of what other servers change, for as long as this is awaited.
    pub(super) async fn follow(&self) {
        let mut copy = self.copy.clone();
        loop {
            copy.changed().await;
            let is_behind = |id: &String, written: &CommandRecord| {
                copy.get(id).is_none_or(|copied| copied.version < written.version)
            };
            self.written.write().retain(|id, written| is_behind(id, written));
            self.tell();
        }
    }

    /// Tells of every change.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn tell(&self) {
        self.changed.send_modify(|number| *number = number.wrapping_add(1));
    }

    /// The record of this id, as far as this server knows.
    pub(super) fn get(&self, id: &str) -> Option<Arc<CommandRecord>> {
        let written = self.written.read().get(id).cloned();
        let copied = self.copy.get(id);
        [written, copied].into_iter().flatten().max_by_key(|record| record.version)
    }

    /// Every record, the latest asked first.
    pub(super) fn all(&self) -> Vec<Arc<CommandRecord>> {
        let mut all: BTreeMap<String, Arc<CommandRecord>> = self.copy.all().into_iter().collect();
        for (id, written) in self.written.read().iter() {
            if all.get(id).is_none_or(|copied| copied.version < written.version) {
                all.insert(id.clone(), Arc::clone(written));
            }
        }
        let mut all: Vec<_> = all.into_values().collect();
        all.sort_by(|a, b| (b.asked_at_us, number(a)).cmp(&(a.asked_at_us, number(b))));
        all
    }

    /// The records that people ask for by this id: one, or those of a plan by their number.
    pub(super) fn asked_as(&self, id: &CommandId) -> Vec<Arc<CommandRecord>> {
        if let Some(record) = self.get(id.as_str()) {
            return vec![record];
        }
        let mut of_plan = self.all();
        of_plan.retain(|record| record.asked_as() == id);
        of_plan.sort_by_key(|record| number(record));
        of_plan
    }

    /// Writes a new record.
    pub(super) async fn create(&self, record: CommandRecord) -> Result<(), StoreError> {
        broker::ask(&self.client, self.bucket.create(record.id.as_str(), &record)).await??;
        self.note(record);
        Ok(())
    }

    /// Changes a record, as the broker has it; `change` says whether it did anything. Returns what it is then; `None` where it
    /// was not changed.
    pub(super) async fn change(
        &self,
        id: &CommandId,
        mut change: impl FnMut(&mut CommandRecord) -> bool,
    ) -> Result<Option<CommandRecord>, StoreError> {
        for _ in 0..MAX_ATTEMPTS {
            let known = broker::ask(&self.client, self.bucket.get(id.as_str())).await??;
            let Some(mut known) = known else { return Ok(None) };
            if !change(&mut known.value) {
                self.note(known.value);
                return Ok(None);
            }
            known.value.version += 1;
            let writing = self.bucket.update(id.as_str(), &known.value, known.revision);
            if broker::ask(&self.client, writing).await?? {
                self.note(known.value.clone());
                return Ok(Some(known.value));
            }
        }
        Err(StoreError::Crowded)
    }

    fn note(&self, record: CommandRecord) {
        self.written.write().insert(record.id.to_string(), Arc::new(record));
        self.tell();
    }

    /// Removes the oldest records that are over, for room and where they are older than anybody asks for.
    pub(super) async fn tidy(&self, now_us: i64) -> Result<(), BucketError> {
        for id in too_many(&self.all(), now_us) {
            self.bucket.delete(&id).await?;
        }
        Ok(())
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.copy.all().len()
    }
}

fn number(record: &CommandRecord) -> usize {
    record.plan.as_ref().map_or(0, |plan| plan.number)
}

/// The ids of what is to be removed, of records with the latest first.
fn too_many(all: &[Arc<CommandRecord>], now_us: i64) -> Vec<String> {
    let (mut bytes, mut count, mut removed) = (0, 0, Vec::new());
    for record in all {
        bytes += serde_json::to_string(&**record).map_or(0, |text| text.len());
        count += 1;
        let age_us = now_us.saturating_sub(record.asked_at_us);
        let is_old = u128::try_from(age_us).is_ok_and(|age_us| age_us > KEPT_FOR.as_micros());
        // A tenth is room for what comes until this is looked at again.
        let is_beyond = count > MAX_RECORDS / 10 * 9 || bytes > MAX_BYTES;
        if record.is_over && (is_old || is_beyond) {
            removed.push(record.id.to_string());
        }
    }
    removed
}
