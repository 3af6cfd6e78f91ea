//! `/api/v1/events` and `/api/v1/hosts/{host}/events`: what happened, as JSON or CSV, newest first.
//!
//! Parameters: `from`, `to`, `range`, `kind` (several with commas between), `host`, `program` (its name), `text` (anywhere in
//! name, command line, unit, parent's name or change), `limit`. `older` is the address of the events before these, when
//! there are more. `total` is absent where more match a `program` or `text` than are listed.

use axum::response::Response;
use fleetps_ingestor::history::Event;
use fleetps_nats::HostName;
use serde_json::{Value, json};

use super::{
    events::{EventsQuery, EventsRequest, ask},
    listing::{self, List},
};
use crate::{
    csv::InFormat,
    display::time_exact,
    extract::{Host, Query},
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    url::{HostTab, Url},
};

/// The columns of the CSV form.
const COLUMNS: [&str; 20] = [
    "occurred_at",
    "kind",
    "host",
    "name",
    "pid",
    "boot_id",
    "started_at",
    "detail",
    "command_line",
    "user_name",
    "unit",
    "parent_pid",
    "parent_name",
    "supervisor",
    "cpu_time_ms",
    "resident_bytes",
    "length_ms",
    "lives",
    "since",
    "decided_at",
];

/// An event in a list.
pub fn row(event: &Event) -> Value {
    let process = event.identity();
    let process = process.as_ref();
    let program = event.program.as_ref();
    json!({
        "occurred_at": time_exact(event.at_us),
        "kind": event.kind.id(),
        "host": event.host.as_str(),
        "name": event.name(),
        "pid": process.map(|process| process.pid),
        "boot_id": process.map(|process| &process.boot_id),
        "started_at": process.map(|process| time_exact(process.started_at_us)),
        "detail": event.detail(),
        "command_line": program.and_then(|program| program.command_line.as_deref()),
        "user_name": program.and_then(|program| program.user_name.as_deref()),
        "unit": program.and_then(|program| program.unit.as_deref()),
        "parent_pid": event.parent_pid,
        "parent_name": program.and_then(|program| program.parent_name.as_deref()),
        "supervisor": event.supervisor,
        "cpu_time_ms": event.cpu_time_ms,
        "resident_bytes": event.resident_bytes,
        "length_ms": event.length_ms,
        "lives": event.lives,
        "since": event.since_us.map(time_exact),
        "decided_at": (event.decided_at_us != 0).then(|| time_exact(event.decided_at_us)),
    })
}

async fn answer(
    scoped: &ScopedFleet,
    host: Option<HostName>,
    page: Url,
    asked: InFormat<EventsQuery>,
) -> Result<Response, Refusal> {
    let request = EventsRequest::of(asked.query)?;
    let (listing, older) = ask(scoped, host, &request, asked.format.into()).await?;
    let about = json!({
        "from": time_exact(request.span.span.from_us),
        "to": time_exact(request.span.span.to_us),
        "total": listing.total,
        "older": older.map(|older| page.api().with(&older).to_string()),
    });
    let list = List {
        name: "events",
        columns: &COLUMNS,
        rows: listing.items.iter().map(row).collect(),
        resolution: listing.resolution,
        about: listing::fields(about),
    };
    Ok(listing::answer(scoped, asked.format, list))
}

/// The events on all hosts, as JSON or CSV.
pub async fn fleet(
    scoped: ScopedFleet,
    Query(asked): Query<InFormat<EventsQuery>>,
) -> Result<Response, Refusal> {
    answer(&scoped, None, Url::events(), asked).await
}

/// The events on a host, as JSON or CSV.
pub async fn host(
    scoped: ScopedFleet,
    Host(host): Host,
    Query(asked): Query<InFormat<EventsQuery>>,
) -> Result<Response, Refusal> {
    let page = Url::host(host.as_str(), HostTab::Events);
    answer(&scoped, Some(host), page, asked).await
}
