//! `/api/v1/audit`: who did what, as JSON or CSV, newest first.
//!
//! Parameters: `from`, `to`, `range`, `who` (a part of the name), `action` (`sign-in`, or `token` for all that begin with
//! `token.`), `host`, `limit`. `older` is the address of the entries before these, when there are more.

use axum::{extract::State, http::StatusCode, response::Response};
use fleetps_nats::audit::Chained;
use serde_json::{Value, json};

use super::{
    audit::{AuditQuery, AuditRequest},
    json,
};
use crate::{
    auth::Person,
    csv::{self, Format, InFormat},
    display::time_exact,
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

fn row(chained: &Chained) -> Value {
    let entry = &chained.entry;
    json!({
        "sequence": chained.sequence,
        "occurred_at": time_exact(entry.at_us),
        "who": entry.who,
        "address": entry.from,
        "action": entry.action,
        "host": entry.host,
        "what": entry.what,
        "outcome": entry.outcome.as_str(),
        "previous_hash": chained.previous,
        "hash": chained.hash,
    })
}

/// The entries.
pub async fn list(
    State(shared): State<AppState>,
    person: Person,
    Query(InFormat { query, format }): Query<InFormat<AuditQuery>>,
) -> Result<Response, Refusal> {
    let request = AuditRequest::of(query)?;
    let found = shared.audit_log.search(&person, request.question()).await?;
    let rows: Vec<Value> = found.entries.iter().map(row).collect();
    if format == Format::Csv {
        return Ok(csv::answer("audit", &COLUMNS, &rows));
    }
    let last_us = found.entries.last().map(|last| last.entry.at_us);
    let is_more = found.total > found.entries.len() as u64;
    let older = last_us
        .filter(|_| is_more)
        .map(|last_us| Url::audit().api().with(&request.older(last_us)).to_string());
    let answer = json!({
        "from": time_exact(request.span.span.from_us),
        "to": time_exact(request.span.span.to_us),
        "total": found.total,
        "older": older,
        "incomplete": found.unreadable.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "entries": rows,
    });
    Ok(json::answer(StatusCode::OK, &answer))
}
