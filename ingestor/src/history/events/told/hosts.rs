//! Events of hosts: silence, reboots, another agent, another system.

use askama::Template;
use duckdb::params;
use fleetps_nats::HostName;

use crate::{
    events::{Event, EventKind},
    history::{
        HistoryError, Span,
        reading::Reading,
        silence::{around, of_host, silences},
    },
    template::render,
};

/// The boots within a span.
#[derive(Template)]
#[template(path = "history/events/told/booted.sql")]
struct BootedSql<'a> {
    host_sample: &'a str,
    /// The condition of the host.
    of_host: &'a str,
}

/// What changed of hosts within a span.
#[derive(Template)]
#[template(path = "history/events/told/changed.sql")]
struct ChangedSql<'a> {
    host_info: &'a str,
    /// The condition of the host.
    of_host: &'a str,
}

/// Hosts that fell silent or came back within `span`.
pub(super) fn silent_and_back(
    reading: &Reading<'_>,
    host: Option<&HostName>,
    span: Span,
) -> Result<Vec<Event>, HistoryError> {
    let mut events = Vec::new();
    for silence in silences(reading, host, span)? {
        let length_ms = silence.back_us.map(|back_us| (back_us - silence.last_us) / 1000);
        let event = |kind, at_us| Event { length_ms, ..Event::of_host(kind, &silence.host, at_us) };
        if span.contains(silence.last_us) {
            events.push(event(EventKind::Silent, silence.last_us));
        }
        if let Some(back_us) = silence.back_us.filter(|back_us| span.contains(*back_us)) {
            events.push(event(EventKind::Back, back_us));
        }
    }
    Ok(events)
}

/// Hosts whose first snapshot of a boot lies within `span`, where there is one of another boot before.
pub(super) fn booted(
    reading: &Reading<'_>,
    host: Option<&HostName>,
    span: Span,
) -> Result<Vec<Event>, HistoryError> {
    let segments = around(reading, host, span);
    let host_sample = &reading.relation("host_sample", &segments)?;
    let sql = render(&BootedSql { host_sample, of_host: of_host(host) });
    let (from_ms, to_ms) = span.bounds_ms();
    let mut statement = reading.connection.prepare(&sql)?;
    let mut rows = statement.query(params![host.map(HostName::as_str), from_ms, to_ms])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        // Always a host's name, unless another program wrote the file.
        let Ok(host) = row.get::<_, String>("host")?.parse::<HostName>() else { continue };
        events.push(Event::of_host(EventKind::Booted, &host, row.get("at_us")?));
    }
    Ok(events)
}

/// Hosts with another agent, system or machine than before.
pub(super) fn changed(
    reading: &Reading<'_>,
    host: Option<&HostName>,
    span: Span,
) -> Result<Vec<Event>, HistoryError> {
    let segments = around(reading, host, span);
    let host_info = &reading.relation("host_info", &segments)?;
    let sql = render(&ChangedSql { host_info, of_host: of_host(host) });
    let (from_ms, to_ms) = span.bounds_ms();
    let mut statement = reading.connection.prepare(&sql)?;
    let mut rows = statement.query(params![host.map(HostName::as_str), from_ms, to_ms])?;
    let mut events: Vec<Event> = Vec::new();
    while let Some(row) = rows.next()? {
        let Ok(host) = row.get::<_, String>("host")?.parse::<HostName>() else { continue };
        let (at_us, column): (i64, String) = (row.get("at_us")?, row.get("column_name")?);
        let (before, now): (String, String) = (row.get("value_before")?, row.get("value")?);
        let kind = if column == "agent_version" { EventKind::AgentChanged } else { EventKind::HostChanged };
        let what = column.replace('_', " ");
        let detail = format!("{what}: {before} → {now}");
        // Several facts that changed at once are one event.
        match events.iter_mut().find(|event| (event.at_us, event.kind, &event.host) == (at_us, kind, &host)) {
            Some(Event { change: Some(change), .. }) => *change = format!("{change}; {detail}"),
            _ => events.push(Event { change: Some(detail), ..Event::of_host(kind, &host, at_us) }),
        }
    }
    Ok(events)
}
