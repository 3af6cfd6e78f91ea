//! `/api/v1/events` and `/api/v1/hosts/{host}/events`: what happened, as JSON or CSV, newest first.
//!
//! Parameters: `from`, `to`, `range`, `kind` (several with commas between), `host`, `program` (its name), `text` (anywhere in
//! name, command line, unit, parent's name or change), `limit`. `older` is the address of the events before these, when
//! there are more. `total` is absent where more match a `program` or `text` than are listed.

use fleetps_ingestor::history::{Event, EventKind};
use fleetps_nats::HostName;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    events::{EventsQuery, EventsRequest, ask, note_lives_until_now},
    json::AboutPast,
    listing::{self, List},
};
use crate::{
    answer::{Answer, Time, shape},
    csv::InFormat,
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

/// Something that happened. What does not apply to its kind is null.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Event")]
pub(crate) struct Row<'a> {
    occurred_at: Time,
    #[schemars(extend("enum" = EventKind::ALL.map(EventKind::id)))]
    kind: &'static str,
    host: &'a str,
    /// The program.
    name: Option<&'a str>,
    pid: Option<u32>,
    boot_id: Option<String>,
    started_at: Option<Time>,
    detail: String,
    command_line: Option<&'a str>,
    user_name: Option<&'a str>,
    unit: Option<&'a str>,
    parent_pid: Option<u32>,
    parent_name: Option<&'a str>,
    supervisor: Option<&'a str>,
    /// What the process had used when it exited.
    cpu_time_ms: Option<u64>,
    resident_bytes: Option<u64>,
    length_ms: Option<i64>,
    lives: Option<u32>,
    since: Option<Time>,
    decided_at: Option<Time>,
}

/// Events, the latest first.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Events<'a> {
    from: Time,
    to: Time,
    /// How many there are, without `limit`; null where more match `program` or `text` than are listed.
    total: Option<u64>,
    /// The address of the events before these, where there are more.
    older: Option<String>,
    events: Vec<Row<'a>>,
}

shape!(Events<'_>);

/// An event in a list.
pub(crate) fn row(event: &Event) -> Row<'_> {
    let process = event.identity();
    let process = process.as_ref();
    let program = event.program.as_ref();
    Row {
        occurred_at: Time(event.at_us),
        kind: event.kind.id(),
        host: event.host.as_str(),
        name: event.name(),
        pid: process.map(|process| process.pid),
        boot_id: process.map(|process| process.boot_id.clone()),
        started_at: process.map(|process| Time(process.started_at_us)),
        detail: event.detail(),
        command_line: program.and_then(|program| program.command_line.as_deref()),
        user_name: program.and_then(|program| program.user_name.as_deref()),
        unit: program.and_then(|program| program.unit.as_deref()),
        parent_pid: event.parent_pid,
        parent_name: program.and_then(|program| program.parent_name.as_deref()),
        supervisor: event.supervisor.as_deref(),
        cpu_time_ms: event.cpu_time_ms,
        resident_bytes: event.resident_bytes,
        length_ms: event.length_ms,
        lives: event.lives,
        since: event.since_us.map(Time),
        decided_at: (event.decided_at_us != 0).then_some(Time(event.decided_at_us)),
    }
}

async fn answer(
    scoped: &ScopedFleet,
    host: Option<HostName>,
    page: Url,
    asked: InFormat<EventsQuery>,
) -> Result<Answer<AboutPast<Events<'static>>>, Refusal> {
    let request = EventsRequest::of(asked.query)?;
    let about = host.clone().or(request.query.host.clone());
    let (mut listing, older) = ask(scoped, host, &request, asked.format.into()).await?;
    note_lives_until_now(scoped, about, &request, &mut listing).await;
    let answer = Events {
        from: Time(request.span.span.from_us),
        to: Time(request.span.span.to_us),
        total: listing.total,
        older: older.map(|older| page.api().with(&older).to_string()),
        events: listing.items.iter().map(row).collect(),
    };
    let list = List {
        name: "events",
        columns: &COLUMNS,
        rows: |answer: &Events<'_>| listing::objects(&answer.events),
        resolution: listing.resolution,
        answer,
    };
    Ok(listing::answer(scoped, asked.format, list))
}

/// The events on all hosts, as JSON or CSV.
pub(crate) async fn fleet(
    scoped: ScopedFleet,
    Query(asked): Query<InFormat<EventsQuery>>,
) -> Result<Answer<AboutPast<Events<'static>>>, Refusal> {
    answer(&scoped, None, Url::events(), asked).await
}

/// The events on a host, as JSON or CSV.
pub(crate) async fn host(
    scoped: ScopedFleet,
    Host(host): Host,
    Query(asked): Query<InFormat<EventsQuery>>,
) -> Result<Answer<AboutPast<Events<'static>>>, Refusal> {
    let page = Url::host(host.as_str(), HostTab::Events);
    answer(&scoped, Some(host), page, asked).await
}
