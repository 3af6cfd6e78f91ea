//! Moves entries from the stream to segments, merges these, and lets go of what is too old.

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::Client;
use fleetps_nats::{
    audit::{Audit, AuditEntry, AuditError, Chained, Link, Outcome},
    with_causes,
};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{
    AuditFileError, AuditFolder, AuditLeftOut, AuditName,
    damage::{Scrub, find_fault},
    last_link,
    plan::{behind, expired, next_merge},
    segment::{merge, seal},
};
use crate::{
    catalog::{Shelf, set_file_aside},
    retention_clock::RetentionClock,
    segment::{Fault, FileError, FolderError},
    settings::IngestorSettings,
    status::Progress,
};

/// Entries of one segment before it is merged with others: what is in memory at a time, of up to 5 KiB each.
const MAX_ENTRIES: usize = 10_000;
/// The last seal of the program's run must be done within this.
const LAST_SEAL_PATIENCE: Duration = Duration::from_secs(5);
/// A merge that failed is tried again this much later; others go on meanwhile.
const MERGE_RETRY: Duration = Duration::from_secs(15 * 60);
/// The action of the entry that says which entries were removed for their age.
pub(super) const REMOVED: &str = "audit.remove";

/// The audit could not be kept just now.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Stream(#[from] AuditError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Segment(#[from] AuditFileError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the audit stream was made anew, or lost its end")]
    Replaced,
    #[error("the newest audit segment {0} is not read: {1}. The broker keeps what came after it meanwhile")]
    LeftOut(String, Fault),
    #[error("a thread that keeps the audit failed; that is a bug, please report it with the log")]
    Panicked,
}

/// Keeps the audit until `cancel`, and seals what there is then. What goes wrong is logged and tried again.
pub(crate) async fn keep(
    client: Client,
    settings: IngestorSettings,
    shelf: Arc<Shelf>,
    (progress, clock): (Arc<Progress>, Arc<RetentionClock>),
    cancel: CancellationToken,
) {
    let scrub = Scrub::of(shelf.folder());
    let (retired, failed_merges) = (Vec::new(), HashMap::new());
    let mut keeper = Keeper {
        client,
        settings,
        shelf,
        progress,
        clock,
        error: None,
        position: None,
        retired,
        failed_merges,
        scrub,
    };
    let mut ticks = tokio::time::interval(keeper.settings.seal_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            _ = ticks.tick() => keeper.step().await,
        }
    }
    let _ = tokio::time::timeout(LAST_SEAL_PATIENCE, keeper.step()).await;
}

struct Keeper {
    client: Client,
    settings: IngestorSettings,
    shelf: Arc<Shelf>,
    progress: Arc<Progress>,
    /// Why the last step failed.
    error: Option<String>,
    /// By which entries are too old.
    clock: Arc<RetentionClock>,
    /// The stream, and how far it is sealed; absent until both are known.
    position: Option<Position>,
    /// What was merged into another, and when: readers may just be attaching it.
    retired: Vec<(AuditName, Instant)>,
    /// The first source of each merge that failed, and when.
    failed_merges: HashMap<AuditName, Instant>,
    scrub: Scrub,
}

#[derive(Clone)]
struct Position {
    audit: Audit,
    /// When the numbering began, in seconds since 1970 UTC.
    epoch_s: i64,
    /// The last entry that is sealed.
    sealed: Link,
}

impl Keeper {
    async fn step(&mut self) {
        let stepped = self.try_step().await;
        let error = stepped.as_ref().err().map(|error| with_causes(error));
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
            tracing::warn!("cannot look for damaged audit segments: {}", with_causes(&error));
        }
        self.progress.set_audit_error(error.or_else(|| self.scrub.problems()));
    }

    /// Reads one segment, or all, and sets aside what is damaged twice. Where the newest was, the broker may have its
    /// entries, and they are sealed again.
    async fn look_for_damage(&mut self, only: Option<AuditName>) -> Result<(), KeepError> {
        let folder = self.folder();
        let current = blocking(move || Ok(AuditFolder::scan(&folder)?.current)).await?;
        let wanted = only.map_or_else(|| current.clone(), |name| vec![name]);
        for name in wanted.into_iter().filter(|name| self.scrub.is_due(name)).collect::<Vec<_>>() {
            let folder = self.folder();
            let fault = blocking(move || Ok(find_fault(&folder, &name))).await?;
            let has_changed = fault.is_some() != self.scrub.doubts(&name);
            if fault.is_none() {
                self.scrub.remember(name, &current);
            }
            let is_proven = self.scrub.judge(name, fault, self.settings.quarantine_after);
            let shelf = Arc::clone(&self.shelf);
            let is_set_aside = blocking(move || {
                let is_set_aside =
                    is_proven && set_file_aside(shelf.folder(), &name.to_string(), &name.damaged_file_name());
                if is_set_aside || has_changed {
                    shelf.doubt_audit(&name)?;
                }
                Ok(is_set_aside)
            })
            .await?;
            if is_set_aside && current.last() == Some(&name) {
                self.position = None;
            }
        }
        Ok(())
    }

    async fn try_step(&mut self) -> Result<(), KeepError> {
        let mut position = match self.position.take() {
            Some(position) => position,
            None => self.find_position().await?,
        };
        self.seal_new(&mut position).await?;
        self.tidy(&mut position).await?;
        self.position = Some(position);
        self.scrub().await
    }

    /// Seals what is new in the stream.
    async fn seal_new(&self, position: &mut Position) -> Result<(), KeepError> {
        loop {
            let entries = position.next_entries().await?.ok_or(KeepError::Replaced)?;
            let Some(last) = entries.last().map(Chained::link) else { return Ok(()) };
            let (shelf, epoch_s) = (Arc::clone(&self.shelf), position.epoch_s);
            blocking(move || {
                seal(shelf.folder(), epoch_s, &entries)?;
                Ok(shelf.publish_again()?)
            })
            .await?;
            position.sealed = last;
        }
    }

    async fn find_position(&mut self) -> Result<Position, KeepError> {
        let audit = Audit::open(&self.client).await?;
        let created_s = audit.created_s().await?;
        let folder = self.folder();
        let sealed = blocking(move || {
            let found = AuditFolder::scan(&folder)?;
            let newest = found.current.last().copied();
            let is_newest = |file: &&AuditLeftOut| newest.is_none_or(|newest| newest.is_before(&file.name));
            if let Some(AuditLeftOut { file_name, fault, .. }) = found.left_out.iter().find(is_newest) {
                return Err(KeepError::LeftOut(file_name.clone(), fault.clone()));
            }
            let link = newest.map(|newest| last_link(&folder, &newest)).transpose()?;
            Ok(newest.map(|newest| newest.epoch_s).zip(link))
        })
        .await?;
        let anew = |epoch_s| Position { audit: audit.clone(), epoch_s, sealed: Link::before_the_first() };
        let Some((epoch_s, sealed)) = sealed.filter(|(epoch_s, _)| *epoch_s >= created_s) else {
            return Ok(anew(created_s));
        };
        let position = Position { audit: audit.clone(), epoch_s, sealed };
        if position.next_entries().await?.is_some() {
            return Ok(position);
        }
        tracing::warn!("the audit stream lost its end: what it holds is stored again, as another numbering");
        Ok(anew(Timestamp::now().as_second().max(epoch_s + 1)))
    }

    /// Merges, removes, and unlinks what was replaced a while ago.
    async fn tidy(&mut self, position: &mut Position) -> Result<(), KeepError> {
        let folder = self.folder();
        let found = blocking(move || Ok(AuditFolder::scan(&folder)?)).await?;
        // What took the place of the others is needed whole: until it can be read, they stay.
        let whole: Vec<_> = found.current.iter().copied().filter(|name| !self.scrub.doubts(name)).collect();
        let covered: Vec<_> = found.covered.into_iter().filter(|name| name.is_replaced_by(&whole)).collect();
        self.retired.retain(|(name, _)| covered.contains(name));
        for name in covered {
            if !self.retired.iter().any(|(retired, _)| *retired == name) {
                self.retired.push((name, Instant::now()));
            }
        }
        let now_s = Timestamp::now().as_second();
        self.failed_merges.retain(|_, failed| failed.elapsed() < MERGE_RETRY);
        let mut mergeable = found.current.clone();
        mergeable.retain(|name| !self.scrub.doubts(name) && !self.failed_merges.contains_key(name));
        if let Some(sources) = next_merge(&mergeable, now_s) {
            let (shelf, sources, first) =
                (Arc::clone(&self.shelf), sources.to_vec(), sources.first().copied());
            let merged = blocking(move || {
                merge(shelf.folder(), &sources)?;
                Ok(shelf.publish_again()?)
            });
            if let Err(error) = merged.await {
                self.failed_merges.extend(first.map(|first| (first, Instant::now())));
                return Err(error);
            }
        } else if let Some(name) =
            expired(&found.current, self.clock.judge(now_s).now_s, self.settings.keep_audit)
                // One that cannot be read now waits, and holds up nothing.
                .filter(|name| !self.scrub.doubts(name))
        {
            // Never one that was just merged: its entries would still be there.
            self.remove(position, name).await?;
        }
        self.unlink_retired();
        Ok(())
    }

    /// Reads a segment that was not read for long.
    async fn scrub(&mut self) -> Result<(), KeepError> {
        let folder = self.folder();
        let current = blocking(move || Ok(AuditFolder::scan(&folder)?.current)).await?;
        match self.scrub.next(&current) {
            Some(name) => self.look_for_damage(Some(name)).await,
            None => Ok(()),
        }
    }

    /// Removes the oldest segment. That is on record first, and in a segment, so that its entries are not missed.
    async fn remove(&mut self, position: &mut Position, name: AuditName) -> Result<(), KeepError> {
        let folder = self.folder();
        let last = blocking(move || Ok(last_link(&folder, &name)?)).await?;
        let entry = AuditEntry {
            at_us: Timestamp::now().as_microsecond(),
            who: "ingestor".to_owned(),
            from: None,
            action: REMOVED.to_owned(),
            host: None,
            what: format!(
                "entries up to {}, which were too old; the hash of the last: {}",
                last.sequence, last.hash
            ),
            outcome: Outcome::Done,
        };
        position.audit.record(entry).await?;
        self.seal_new(position).await?;
        let shelf = Arc::clone(&self.shelf);
        blocking(move || {
            if let Err(error) = fs::remove_file(shelf.folder().join(name.to_string())) {
                tracing::warn!(%error, segment = %name, "cannot remove an audit segment");
            }
            Ok(shelf.publish_again()?)
        })
        .await
    }

    fn unlink_retired(&mut self) {
        let (folder, delay) = (self.folder(), self.settings.unlink_delay);
        let due = self.retired.extract_if(.., |(_, since)| since.elapsed() >= delay);
        for (name, _) in due {
            // What cannot be removed is found again at the next look.
            if let Err(error) = fs::remove_file(folder.join(name.to_string())) {
                tracing::warn!(%error, segment = %name, "cannot remove a merged audit segment");
            }
        }
    }

    fn folder(&self) -> PathBuf {
        self.shelf.folder().to_owned()
    }
}

impl Position {
    /// The entries behind the last sealed one, as many as go into one segment; `None` where the stream is not the one
    /// that was sealed from.
    async fn next_entries(&self) -> Result<Option<Vec<Chained>>, KeepError> {
        // From the last one that is sealed on, to see that it still is the same.
        let Some(mut entries) = behind(&self.sealed, self.audit.read(self.sealed.sequence.max(1)).await?)
        else {
            return Ok(None);
        };
        while let Some(last) = entries.last().filter(|_| entries.len() < MAX_ENTRIES) {
            let more = self.audit.read(last.sequence + 1).await?;
            if more.is_empty() {
                break;
            }
            entries.extend(more);
        }
        Ok(Some(entries))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeepError> + Send + 'static,
) -> Result<T, KeepError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(KeepError::Panicked))
}
