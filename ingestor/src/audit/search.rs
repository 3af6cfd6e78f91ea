//! Finding entries.

use std::path::Path;

use askama::Template;
use duckdb::params;
use fleetps_nats::audit::Chained;

use super::{
    AuditFolder, AuditName,
    segment::{COLUMNS, entry_of, open},
    verify_segment,
};
use crate::{segment::FolderError, template::render};

/// A filter of entries. Absent values do not restrict it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// From then on, in µs since 1970 UTC.
    pub from_us: i64,
    /// Before then, in µs since 1970 UTC.
    pub to_us: i64,
    /// A part of the person's name, in any case.
    pub who: Option<String>,
    /// The action, or the beginning of actions before a dot.
    pub action: Option<String>,
    /// About this host.
    pub host: Option<String>,
    /// The largest number of entries.
    pub limit: usize,
}

/// Entries, newest first.
#[derive(Debug)]
pub struct AuditAnswer {
    /// The entries.
    pub entries: Vec<Chained>,
    /// How many there are without the limit.
    pub total: u64,
    /// The segments whose entries are missing: unreadable and quarantined ones.
    pub unreadable: Vec<AuditName>,
}

/// The audit cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum AuditSearchError {
    /// The folder cannot be listed.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// DuckDB failed.
    #[error("a question to the audit failed")]
    Query(#[from] duckdb::Error),
}

/// Searches the sealed entries of `folder` and those of `entries`, which the broker has.
///
/// # Errors
/// When the folder cannot be listed, or DuckDB fails.
pub fn search(
    folder: &Path,
    entries: &[Chained],
    query: &AuditQuery,
) -> Result<AuditAnswer, AuditSearchError> {
    let folder = std::path::absolute(folder).map_err(FolderError::at(folder))?;
    let AuditFolder { current, mut damaged, skipped, .. } = AuditFolder::scan(&folder)?;
    damaged.extend(skipped.iter().map(|file| file.name));
    let mut answer = ask(&folder, &current, entries, query);
    if answer.is_err() {
        let (broken, whole): (Vec<_>, Vec<_>) =
            current.iter().copied().partition(|name| verify_segment(&folder, name).is_err());
        if !broken.is_empty() {
            damaged.extend(broken);
            answer = ask(&folder, &whole, entries, query);
        }
    }
    let mut answer = answer?;
    answer.unreadable.extend(damaged);
    Ok(answer)
}

/// The entries that an [`AuditQuery`] asks for.
#[derive(Template)]
#[template(path = "audit/search.sql")]
struct SearchSql;

fn ask(
    folder: &Path,
    names: &[AuditName],
    entries: &[Chained],
    query: &AuditQuery,
) -> Result<AuditAnswer, AuditSearchError> {
    let newest = names.last();
    let epoch_s = newest.map_or(0, |name| name.epoch_s);
    let (engine, unreadable) = open(folder, names, epoch_s, entries)?;
    let AuditQuery { from_us, to_us, who, action, host, limit } = query;
    let mut statement = engine.prepare(&render(&SearchSql))?;
    let mut rows = statement.query(params![from_us, to_us, who, action, host, *limit as u64])?;
    let (mut entries, mut total) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        total = row.get("total")?;
        entries.extend(entry_of(row)?);
    }
    Ok(AuditAnswer { entries, total, unreadable })
}
