//! Audit segments that are damaged. They get another name, as other segments do, so that the rest goes on without them; no
//! file is ever removed for it.

use std::{
    collections::HashMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{Keeper, blocking::blocking, error::KeepError};
use crate::{
    audit::{AuditFolder, AuditName, verify_segment},
    catalog::quarantine_file,
    segment::{Fault, VerifyLog},
};

/// The file beside the segments that says which were read when.
const VERIFIED: &str = "verified-audit.json";

/// How often a segment that is unreadable for another reason than damage is retried.
const RETRY: Duration = Duration::from_secs(60);

/// Reads segments whole, one at a time, and sets aside those that are damaged twice.
#[derive(Debug)]
pub(super) struct Verifier {
    log: VerifyLog,
    doubted: HashMap<AuditName, Doubt>,
}

/// The fault of a segment that is still in its place.
#[derive(Debug)]
struct Doubt {
    fault: Fault,
    /// When it was first found damaged, if it was.
    suspected_since: Option<Instant>,
    retry_at: Instant,
}

impl Verifier {
    pub(super) fn of(folder: &Path) -> Self {
        Self { log: VerifyLog::load(folder.join(VERIFIED)), doubted: HashMap::new() }
    }

    /// The next of `names` to read: those that could not be read and are due again, then those that never were read, then
    /// those that were read longest ago.
    pub(super) fn next(&mut self, names: &[AuditName]) -> Option<AuditName> {
        self.doubted.retain(|name, _| names.contains(name));
        let now = Instant::now();
        if let Some((name, _)) = self.doubted.iter().find(|(_, doubt)| doubt.retry_at <= now) {
            return Some(*name);
        }
        let whole: Vec<_> = names.iter().filter(|name| !self.doubts(name)).collect();
        let file_names: Vec<String> = whole.iter().map(ToString::to_string).collect();
        let next = self.log.next(&file_names, Timestamp::now().as_second())?;
        whole.into_iter().find(|name| name.to_string() == next).copied()
    }

    /// Whether a segment could not be read when it was last tried.
    pub(super) fn doubts(&self, name: &AuditName) -> bool {
        self.doubted.contains_key(name)
    }

    /// Whether it is worth reading a segment now.
    pub(super) fn is_due(&self, name: &AuditName) -> bool {
        self.doubted.get(name).is_none_or(|doubt| doubt.retry_at <= Instant::now())
    }

    /// The faults of the segments that cannot be read.
    pub(super) fn problems(&self) -> Option<String> {
        let problems = self.doubted.iter().map(|(name, doubt)| format!("{name}: {}", doubt.fault));
        problems.reduce(|all, next| format!("{all}; {next}"))
    }

    /// Draws the conclusion from having read a segment whole; true when it is proven to be damaged.
    pub(super) fn judge(
        &mut self,
        name: AuditName,
        fault: Option<Fault>,
        quarantine_after: Duration,
    ) -> bool {
        let before = self.doubted.remove(&name);
        let Some(fault) = fault else { return false };
        if before.as_ref().is_none_or(|before| before.fault != fault) {
            tracing::error!(segment = %name, "left out: {fault}");
        }
        let now = Instant::now();
        let first = before.and_then(|before| before.suspected_since);
        let is_proven = fault.is_damage() && first.is_some_and(|first| now - first >= quarantine_after);
        let retry = if fault.is_damage() { quarantine_after } else { RETRY };
        let suspected_since = first.or_else(|| fault.is_damage().then_some(now));
        self.doubted.insert(name, Doubt { fault, suspected_since, retry_at: now + retry });
        is_proven
    }

    /// Remembers that a segment was read whole; `names` are all there are.
    pub(super) fn remember(&mut self, name: AuditName, names: &[AuditName]) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.log.remember(name.to_string(), &names, Timestamp::now().as_second());
    }
}

impl Keeper {
    /// Reads one segment, or all, and quarantines those found damaged twice. Where the newest was quarantined, the
    /// broker may have its entries, and they are sealed again.
    pub(super) async fn look_for_damage(&mut self, only: Option<AuditName>) -> Result<(), KeepError> {
        let folder = self.folder();
        let current = blocking(move || Ok(AuditFolder::scan(&folder)?.current)).await?;
        let wanted = only.map_or_else(|| current.clone(), |name| vec![name]);
        for name in wanted.into_iter().filter(|name| self.verifier.is_due(name)).collect::<Vec<_>>() {
            let folder = self.folder();
            let fault = blocking(move || Ok(verify_segment(&folder, &name).err())).await?;
            let has_changed = fault.is_some() != self.verifier.doubts(&name);
            if fault.is_none() {
                self.verifier.remember(name, &current);
            }
            let is_proven = self.verifier.judge(name, fault, self.settings.quarantine_after);
            let catalog = Arc::clone(&self.catalog);
            let is_quarantined = blocking(move || {
                let is_quarantined = is_proven
                    && quarantine_file(catalog.folder(), &name.to_string(), &name.damaged_file_name());
                if is_quarantined || has_changed {
                    catalog.doubt_audit(&name)?;
                }
                Ok(is_quarantined)
            })
            .await?;
            if is_quarantined && current.last() == Some(&name) {
                self.position = None;
            }
        }
        Ok(())
    }

    /// Reads a segment that was not read for long.
    pub(super) async fn verify_next(&mut self) -> Result<(), KeepError> {
        let folder = self.folder();
        let current = blocking(move || Ok(AuditFolder::scan(&folder)?.current)).await?;
        match self.verifier.next(&current) {
            Some(name) => self.look_for_damage(Some(name)).await,
            None => Ok(()),
        }
    }
}
