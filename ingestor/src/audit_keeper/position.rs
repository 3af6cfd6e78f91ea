//! How far the audit stream is sealed, and what comes next in it.

use std::path::PathBuf;

use async_nats::Client;
use fleetps_nats::audit::{Audit, Chained, Link};
use jiff::Timestamp;

use super::{blocking::blocking, error::KeepError, plan::behind};
use crate::audit::{AuditFolder, SkippedAuditFile, last_link};

/// Entries of one segment before it is merged with others: they are in memory at a time, of up to 5 KiB each.
const MAX_ENTRIES: usize = 10_000;

/// The audit stream, and how far it is sealed.
#[derive(Clone)]
pub(super) struct Position {
    pub(super) audit: Audit,
    /// When the numbering began, in seconds since 1970 UTC.
    pub(super) epoch_s: i64,
    /// The last entry that is sealed.
    pub(super) sealed: Link,
}

impl Position {
    /// Finds the position from the segments in `folder` and the broker's stream.
    pub(super) async fn find(client: &Client, folder: PathBuf) -> Result<Self, KeepError> {
        let audit = Audit::open(client).await?;
        let created_s = audit.created_s().await?;
        let sealed = blocking(move || {
            let found = AuditFolder::scan(&folder)?;
            let newest = found.current.last().copied();
            let is_newest =
                |file: &&SkippedAuditFile| newest.is_none_or(|newest| newest.is_before(&file.name));
            if let Some(SkippedAuditFile { file_name, fault, .. }) = found.skipped.iter().find(is_newest) {
                return Err(KeepError::SkippedFile(file_name.clone(), fault.clone()));
            }
            let link = newest.map(|newest| last_link(&folder, &newest)).transpose()?;
            Ok(newest.map(|newest| newest.epoch_s).zip(link))
        })
        .await?;
        let anew = |epoch_s| Self { audit: audit.clone(), epoch_s, sealed: Link::before_the_first() };
        let Some((epoch_s, sealed)) = sealed.filter(|(epoch_s, _)| *epoch_s >= created_s) else {
            return Ok(anew(created_s));
        };
        let position = Self { audit: audit.clone(), epoch_s, sealed };
        if position.next_entries().await?.is_some() {
            return Ok(position);
        }
        tracing::warn!("the audit stream lost its end: what it holds is stored again, as another numbering");
        Ok(anew(Timestamp::now().as_second().max(epoch_s + 1)))
    }

    /// The entries behind the last sealed one, as many as go into one segment; `None` where the stream is not the one
    /// that was sealed from.
    pub(super) async fn next_entries(&self) -> Result<Option<Vec<Chained>>, KeepError> {
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
