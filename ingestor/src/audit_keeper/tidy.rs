//! Merges audit segments, removes old ones, and unlinks replaced ones.

use std::{fs, sync::Arc, time::Instant};

use fleetps_nats::audit::{AuditEntry, Outcome};
use jiff::Timestamp;

use super::{
    Keeper, MERGE_RETRY,
    blocking::blocking,
    error::KeepError,
    plan::{expired, next_merge},
    position::Position,
};
use crate::audit::{AuditFolder, AuditName, REMOVED, last_link, merge};

impl Keeper {
    /// Merges, removes, and unlinks the segments that were replaced a while ago.
    pub(super) async fn tidy(&mut self, position: &mut Position) -> Result<(), KeepError> {
        let folder = self.folder();
        let found = blocking(move || Ok(AuditFolder::scan(&folder)?)).await?;
        // Covered segments stay until the one that covers them can be read.
        let whole: Vec<_> =
            found.current.iter().copied().filter(|name| !self.verifier.doubts(name)).collect();
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
        mergeable.retain(|name| !self.verifier.doubts(name) && !self.failed_merges.contains_key(name));
        if let Some(sources) = next_merge(&mergeable, now_s) {
            let (catalog, sources, first) =
                (Arc::clone(&self.catalog), sources.to_vec(), sources.first().copied());
            let merged = blocking(move || {
                merge(catalog.folder(), &sources)?;
                Ok(catalog.publish_again()?)
            });
            if let Err(error) = merged.await {
                self.failed_merges.extend(first.map(|first| (first, Instant::now())));
                return Err(error);
            }
        } else if let Some(name) =
            expired(&found.current, self.clock.judge(now_s).now_s, self.settings.keep_audit)
                // One that cannot be read now waits, and holds up nothing.
                .filter(|name| !self.verifier.doubts(name))
        {
            // Never one that was just merged: its entries would still be there.
            self.remove(position, name).await?;
        }
        self.unlink_retired();
        Ok(())
    }

    /// Removes the oldest segment. The removal is audited and sealed first, so that its entries are not missed.
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
        let catalog = Arc::clone(&self.catalog);
        blocking(move || {
            if let Err(error) = fs::remove_file(catalog.folder().join(name.to_string())) {
                tracing::warn!(%error, segment = %name, "cannot remove an audit segment");
            }
            Ok(catalog.publish_again()?)
        })
        .await
    }

    fn unlink_retired(&mut self) {
        let (folder, delay) = (self.folder(), self.settings.unlink_delay);
        let due = self.retired.extract_if(.., |(_, since)| since.elapsed() >= delay);
        for (name, _) in due {
            // A file that cannot be removed is found again at the next look.
            if let Err(error) = fs::remove_file(folder.join(name.to_string())) {
                tracing::warn!(%error, segment = %name, "cannot remove a merged audit segment");
            }
        }
    }
}
