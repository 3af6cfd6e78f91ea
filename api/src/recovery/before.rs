//! Whether there was an administrator before: saved records and the audit know it even where the broker does not.

use std::path::{Path, PathBuf};

use fleetps_ingestor::audit::{AuditFolder, AuditQuery, search};
use fleetps_nats::audit::{Audit, AuditEntry, Outcome};

use super::{Found, losses::Losses};
use crate::{
    auth::{Grant, USERS, User},
    display::time,
};

/// After everything: the year 9999, in µs since 1970 UTC. DuckDB takes no time much later.
const END_US: i64 = 253_370_764_800_000_000;
/// Entries of each kind that are read: all that there can be within the years that the audit is kept.
const MOST: usize = 1_000_000;

/// The evidence of an earlier administrator; `None` without any.
///
/// # Errors
/// When the audit cannot be read: then it is unknown.
pub(crate) async fn sign_of_administrator(
    found: &Found,
    audit: &Audit,
    history: &Path,
) -> anyhow::Result<Option<String>> {
    if let Some(sign) = in_losses(&found.losses).or_else(|| in_saved(found)) {
        return Ok(Some(sign));
    }
    let mut next = 1;
    loop {
        let entries = audit.read(next).await?;
        let Some(last) = entries.last() else { break };
        next = last.sequence + 1;
        if let Some(sign) = entries.iter().find_map(|chained| in_entry(&chained.entry)) {
            return Ok(Some(sign));
        }
    }
    let history = history.to_owned();
    tokio::task::spawn_blocking(move || in_segments(history)).await?
}

fn in_losses(losses: &Losses) -> Option<String> {
    losses.of_users().map(|loss| format!("of the users, {loss}"))
}

fn in_saved(found: &Found) -> Option<String> {
    let saved = found.saved.as_ref()?;
    let is_administrator =
        |value| serde_json::from_value(value).is_ok_and(|user: User| user.is_administrator());
    let mut users = saved.buckets.get(USERS)?.iter();
    let (name, _) = users.find(|(_, value)| is_administrator((*value).clone()))?;
    Some(format!("{name} was one when the broker's records were saved at {}", time(saved.made_at_us)))
}

/// Whether an entry made a person an administrator of every host.
fn in_entry(entry: &AuditEntry) -> Option<String> {
    let grants_everything = || {
        let everything = Grant::EVERYTHING.to_string();
        entry.what.split_whitespace().any(|word| word == everything)
    };
    let made_one = match entry.action.as_str() {
        "sign-in.first" => true,
        "user.add" | "user.grant" => grants_everything(),
        _ => false,
    };
    (made_one && entry.outcome == Outcome::Done)
        .then(|| format!("the audit says that one was made at {}, by {}", time(entry.at_us), entry.who))
}

fn in_segments(history: PathBuf) -> anyhow::Result<Option<String>> {
    if !history.is_dir() {
        return Ok(None);
    }
    let folder = AuditFolder::scan(&history)?;
    if folder.current.is_empty() && folder.damaged.is_empty() {
        return Ok(None);
    }
    for action in ["sign-in.first", "user"] {
        let query = AuditQuery {
            to_us: END_US,
            action: Some(action.to_owned()),
            limit: MOST,
            ..AuditQuery::default()
        };
        let answer = search(&history, &[], &query)?;
        if let Some(sign) = answer.entries.iter().find_map(|chained| in_entry(&chained.entry)) {
            return Ok(Some(sign));
        }
        if !answer.unreadable.is_empty() {
            return Ok(Some("parts of the audit, which would say so, are damaged".to_owned()));
        }
    }
    Ok(None)
}
