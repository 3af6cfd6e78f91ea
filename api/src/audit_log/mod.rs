//! The audit, as the web server writes and reads it.
//!
//! `writer` sends entries to the broker, one after the other, in the background. `requests` decides which requests are
//! audited, by the `class` of their route. This file reads the audit: sealed entries, and those that only the broker
//! has.

mod class;
mod requests;
mod writer;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use async_nats::Client;
use axum::http::StatusCode;
use fleetps_ingestor::audit::{AuditAnswer, AuditFolder, AuditQuery, search};
use fleetps_nats::{
    HostName,
    audit::{Audit, AuditEntry, AuditError, Chained, Outcome},
    error_chain, now_us,
};
use tokio_util::sync::CancellationToken;

pub(crate) use class::AuditClass;
pub(crate) use requests::AuditedRequest;
use requests::{Probes, Views};
use writer::Writer;

use crate::{
    auth::Person,
    broker::{self, Away},
    metrics::Bounded,
    refusal::Refusal,
    shares::{Bounds, Shares},
};

/// The most entries that are read from the broker for one question; by then some have been sealed.
const MAX_UNSEALED: usize = 50_000;

/// Searches through the audit at once: each reads files, and the broker.
const SEARCHES: Bounds = Bounds {
    what: "searches of the audit under way",
    most: 2,
    of_a_person: 1,
    waiting: 16,
    waiting_of_a_person: 4,
    wait: Duration::from_secs(30),
};

/// The audit. A clone is the same one. Without a broker nothing is audited, and nothing can be read.
#[derive(Clone, Default)]
pub struct AuditLog(Option<Arc<Open>>);

/// An entry could not be written.
#[derive(Debug, thiserror::Error)]
pub enum NotAudited {
    /// This server has no broker, and so no audit.
    #[error("there is no audit here")]
    NoAudit,
    /// The broker does not answer.
    #[error(transparent)]
    Away(#[from] Away),
    /// The broker does not take it.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

struct Open {
    client: Client,
    audit: Audit,
    history: PathBuf,
    writer: Writer,
    views: Views,
    searches: Shares,
    probes: Probes,
}

impl AuditLog {
    /// Opens the audit; its sealed entries are in the folder `history`. Entries are written until `shutdown`.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn open(
        client: &Client,
        history: PathBuf,
        shutdown: CancellationToken,
    ) -> Result<Self, AuditError> {
        let audit = Audit::open(client).await?;
        let writer = Writer::start(audit.clone(), shutdown);
        Ok(Self(Some(Arc::new(Open {
            client: client.clone(),
            audit,
            history,
            writer,
            searches: Shares::new(SEARCHES),
            views: Views::default(),
            probes: Probes::default(),
        }))))
    }

    /// Audits an action of `person` in the background. While the broker is away, entries wait; those that do not fit
    /// are logged and counted.
    pub fn note(
        &self,
        person: &Person,
        action: &str,
        host: Option<HostName>,
        what: String,
        outcome: Outcome,
    ) {
        if let Some(open) = &self.0 {
            open.writer.write(AuditEntry {
                at_us: now_us(),
                who: person.name.clone(),
                from: Some(person.from),
                action: action.to_owned(),
                host,
                what,
                outcome,
            });
        }
    }

    /// Audits an action before it is done: when this returns, the broker has the entry, of which this is the sequence.
    ///
    /// # Errors
    /// When it was not written, or it is unknown whether it was. The action must then not be done.
    pub async fn write(&self, entry: AuditEntry) -> Result<u64, NotAudited> {
        let open = self.0.as_ref().ok_or(NotAudited::NoAudit)?;
        Ok(broker::ask(&open.client, open.audit.record(entry)).await??)
    }

    /// Audits what no person did, in the background, in the same way.
    pub fn note_entry(&self, entry: AuditEntry) {
        if let Some(open) = &self.0 {
            open.writer.write(entry);
        }
    }

    /// The segments that were found damaged, or are not read for another reason by their names alone, whose entries are
    /// missing; none where there is no audit here.
    pub fn set_aside(&self) -> Vec<String> {
        let found = self.0.as_ref().and_then(|open| AuditFolder::scan(&open.history).ok());
        let AuditFolder { damaged, skipped, .. } = found.unwrap_or_default();
        let skipped = skipped.into_iter().map(|file| file.file_name);
        damaged.iter().map(ToString::to_string).chain(skipped).collect()
    }

    /// How full the room for searches and for entries that wait is.
    pub fn bounded(&self) -> Vec<Bounded> {
        let Some(open) = &self.0 else { return Vec::new() };
        let searches = open.searches.bounded("audit-searches", Some("audit-searches-waiting"));
        searches.into_iter().chain(open.writer.bounded()).collect()
    }

    /// Finds entries for `who`, when it is their turn.
    ///
    /// # Errors
    /// When there is no audit here, it cannot be read, or too much is asked of it.
    pub async fn search(&self, who: &Person, query: AuditQuery) -> Result<AuditAnswer, Refusal> {
        let Some(open) = self.0.clone() else {
            let hint = "the audit is read from the broker and the data folder of the ingestor";
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "there is no audit here to look at",
                hint,
            ));
        };
        let turn = open.searches.take(&who.name).await?;
        let unsealed = open.unsealed().await?;
        let searching = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            search(&open.history, &unsealed, &query)
        });
        let found = searching.await.map_err(|error| Refusal::fault("could not search the audit", &error))?;
        found.map_err(|error| Refusal::fault("could not search the audit", &error_chain(&error)))
    }
}

impl Open {
    /// The entries that are in no segment yet.
    async fn unsealed(&self) -> Result<Vec<Chained>, Refusal> {
        let failed = |error: &dyn std::error::Error| Refusal::fault("could not read the audit", &error);
        let sealed = AuditFolder::scan(&self.history).map_err(|error| failed(&error))?;
        let mut next = sealed.current.last().map_or(1, |name| name.last_sequence + 1);
        let mut unsealed: Vec<Chained> = Vec::new();
        while unsealed.len() < MAX_UNSEALED {
            let more = broker::ask(&self.client, self.audit.read(next)).await?;
            let more = more.map_err(|error| failed(&error))?;
            let Some(last) = more.last() else { break };
            next = last.sequence + 1;
            unsealed.extend(more);
        }
        Ok(unsealed)
    }
}

/// A host's groups before and after, in words: `web → env=prod web`.
pub(crate) fn groups_changed(were: &BTreeSet<String>, are: &BTreeSet<String>) -> String {
    let words = |groups: &BTreeSet<String>| match groups.is_empty() {
        true => "none".to_owned(),
        false => groups.iter().map(String::as_str).collect::<Vec<_>>().join(" "),
    };
    format!("{} → {}", words(were), words(are))
}
