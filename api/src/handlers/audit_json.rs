//! `/api/v1/audit`: who did what, as JSON or CSV, newest first.
//!
//! Parameters: `from`, `to`, `range`, `who` (a part of the name), `action` (`sign-in`, or `token` for all that begin with
//! `token.`), `host`, `limit`. `older` is the address of the entries before these, when there are more.

use std::net::IpAddr;

use axum::extract::State;
use fleetps_nats::{HostName, audit::Chained};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    audit::{AuditQuery, AuditRequest, withhold_command_lines},
    listing,
};
use crate::{
    answer::{Answer, Time, shape},
    auth::Person,
    csv::{self, Format, InFormat},
    extract::Query,
    refusal::Refusal,
    state::AppState,
    url::Url,
};

/// The columns of the CSV form, as in the history's table.
const COLUMNS: [&str; 10] = [
    "sequence",
    "occurred_at",
    "who",
    "address",
    "action",
    "host",
    "what",
    "outcome",
    "previous_hash",
    "hash",
];

/// Who did what, the latest first.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Audit<'a> {
    from: Time,
    to: Time,
    /// How many there are, without `limit`.
    total: u64,
    /// The address of the entries before these, where there are more.
    older: Option<String>,
    /// Files of the audit that could not be read.
    incomplete: Vec<String>,
    entries: Vec<Row<'a>>,
}

/// An entry of the audit.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
struct Row<'a> {
    sequence: u64,
    occurred_at: Time,
    who: &'a str,
    address: Option<IpAddr>,
    action: &'a str,
    host: Option<&'a str>,
    what: &'a str,
    outcome: &'static str,
    previous_hash: &'a str,
    hash: &'a str,
}

shape!(Audit<'_>);

fn row(chained: &Chained) -> Row<'_> {
    let entry = &chained.entry;
    Row {
        sequence: chained.sequence,
        occurred_at: Time(entry.at_us),
        who: &entry.who,
        address: entry.from,
        action: &entry.action,
        host: entry.host.as_ref().map(HostName::as_str),
        what: &entry.what,
        outcome: entry.outcome.as_str(),
        previous_hash: &chained.previous,
        hash: &chained.hash,
    }
}

/// The entries.
pub(crate) async fn list(
    State(shared): State<AppState>,
    person: Person,
    Query(InFormat { query, format }): Query<InFormat<AuditQuery>>,
) -> Result<Answer<Audit<'static>>, Refusal> {
    let request = AuditRequest::of(query)?;
    let mut found = shared.audit_log.search(&person, request.question()).await?;
    withhold_command_lines(&shared, &person, &mut found.entries);
    let entries: Vec<Row<'_>> = found.entries.iter().map(row).collect();
    if format == Format::Csv {
        return Ok(Answer::of_csv(csv::answer("audit", &COLUMNS, &listing::objects(&entries))));
    }
    let last_us = found.entries.last().map(|last| last.entry.at_us);
    let is_more = found.total > found.entries.len() as u64;
    let older = last_us
        .filter(|_| is_more)
        .map(|last_us| Url::audit().api().with(&request.older(last_us)).to_string());
    Ok(Answer::of(&Audit {
        from: Time(request.span.span.from_us),
        to: Time(request.span.span.to_us),
        total: found.total,
        older,
        incomplete: found.unreadable.iter().map(ToString::to_string).collect(),
        entries,
    }))
}
