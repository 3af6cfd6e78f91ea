//! `/api/v1/events` and `/api/v1/hosts/{host}/events`: what happened, as JSON or CSV, newest first.
//!
//! Parameters: `from`, `to`, `range`, `kind` (several with commas between), `limit`. `older` is the address of the events
//! before these, when there are more.

use axum::{
    extract::{Path, RawQuery},
    response::Response,
};
use fleetps_ingestor::history::Event;
use fleetps_nats::HostName;
use serde_json::{Value, json};

use super::{
    events::{EventsQuery, ask},
    listing::{self, List},
    page,
};
use crate::{display::time_exact, refusal::Refusal, sight::Sight, view::events};

/// The columns of the CSV form.
const COLUMNS: [&str; 8] = ["occurred_at", "kind", "host", "name", "pid", "boot_id", "started_at", "detail"];

fn row(event: &Event) -> Value {
    let process = event.process.as_ref();
    json!({
        "occurred_at": time_exact(event.at_us),
        "kind": events::id(event.kind),
        "host": event.host.as_str(),
        "name": event.name,
        "pid": process.map(|process| process.pid),
        "boot_id": process.map(|process| &process.boot_id),
        "started_at": process.map(|process| time_exact(process.started_at_us)),
        "detail": event.detail,
    })
}

async fn answer(sight: &Sight, host: Option<HostName>, path: &str, text: &str) -> Result<Response, Refusal> {
    let query = EventsQuery::parse(text)?;
    let (listing, older) = ask(sight, host, &query).await?;
    let about = json!({
        "from": time_exact(query.span.span.from_us),
        "to": time_exact(query.span.span.to_us),
        "total": listing.total,
        "older": older.map(|older| older.url(path)),
    });
    let list = List {
        name: "events",
        columns: &COLUMNS,
        rows: listing.items.iter().map(row).collect(),
        resolution: listing.resolution,
        about: listing::fields(about),
    };
    Ok(listing::answer(sight, text, list))
}

/// What happened anywhere, as JSON or CSV.
pub async fn fleet(sight: Sight, RawQuery(text): RawQuery) -> Result<Response, Refusal> {
    answer(&sight, None, "/api/v1/events", &text.unwrap_or_default()).await
}

/// What happened on a host, as JSON or CSV.
pub async fn host(
    sight: Sight,
    Path(host): Path<String>,
    RawQuery(text): RawQuery,
) -> Result<Response, Refusal> {
    let path = format!("/api/v1/hosts/{host}/events");
    answer(&sight, Some(page::host_name(&host)?), &path, &text.unwrap_or_default()).await
}
