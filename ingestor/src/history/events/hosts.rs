//! Events of hosts: silence, reboots, another agent, another system.

use askama::Template;
use duckdb::params;
use fleetps_nats::HostName;
use jiff::SignedDuration;

use crate::{
    history::{
        Event, EventKind, HistoryError, Span,
        reading::Reading,
        silence::{around, of_host, silences},
    },
    template::render,
};

/// The boots within a span.
#[derive(Template)]
#[template(path = "history/events/booted.sql")]
struct BootedSql<'a> {
    host_sample: &'a str,
    /// The condition of the host.
    of_host: &'a str,
}

/// What changed of hosts within a span.
#[derive(Template)]
#[template(path = "history/events/changed.sql")]
struct ChangedSql<'a> {
    host_info: &'a str,
    /// The condition of the host.
    of_host: &'a str,
}

fn event(at_us: i64, kind: EventKind, host: HostName, detail: String) -> Event {
    Event { at_us, kind, host, process: None, name: None, detail }
}

/// Hosts that fell silent or came back within `span`.
pub(super) fn silent_and_back(
    reading: &Reading<'_>,
    host: Option<&HostName>,
    span: Span,
) -> Result<Vec<Event>, HistoryError> {
    let mut events = Vec::new();
    for silence in silences(reading, host, span)? {
        let length =
            silence.back_us.map(|back_us| SignedDuration::from_secs((back_us - silence.last_us) / 1_000_000));
        if span.contains(silence.last_us) {
            let detail = length.map_or_else(|| "not back yet".to_owned(), |length| format!("for {length:#}"));
            events.push(event(silence.last_us, EventKind::Silent, silence.host.clone(), detail));
        }
        if let (Some(back_us), Some(length)) = (silence.back_us, length)
            && span.contains(back_us)
        {
            events.push(event(back_us, EventKind::Back, silence.host, format!("after {length:#}")));
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
    let host_sample = &reading.relation("host_sample", &segments);
    let sql = render(&BootedSql { host_sample, of_host: of_host(host) });
    let (from_ms, to_ms) = span.bounds_ms();
    let mut statement = reading.connection.prepare(&sql)?;
    let mut rows = statement.query(params![host.map(HostName::as_str), from_ms, to_ms])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        // Always a host's name, unless another program wrote the file.
        let Ok(host) = row.get::<_, String>(0)?.parse() else { continue };
        events.push(event(row.get(1)?, EventKind::Booted, host, String::new()));
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
    let host_info = &reading.relation("host_info", &segments);
    let sql = render(&ChangedSql { host_info, of_host: of_host(host) });
    let (from_ms, to_ms) = span.bounds_ms();
    let mut statement = reading.connection.prepare(&sql)?;
    let mut rows = statement.query(params![host.map(HostName::as_str), from_ms, to_ms])?;
    let mut events: Vec<Event> = Vec::new();
    while let Some(row) = rows.next()? {
        let Ok(host) = row.get::<_, String>(0)?.parse() else { continue };
        let (at_us, column): (i64, String) = (row.get(1)?, row.get(2)?);
        let (before, now): (String, String) = (row.get(3)?, row.get(4)?);
        let kind = if column == "agent_version" { EventKind::AgentChanged } else { EventKind::HostChanged };
        let what = column.replace('_', " ");
        let detail = format!("{what}: {before} → {now}");
        // Several facts that changed at once are one event.
        match events.iter_mut().find(|event| (event.at_us, event.kind, &event.host) == (at_us, kind, &host)) {
            Some(event) => event.detail = format!("{}; {detail}", event.detail),
            None => events.push(event(at_us, kind, host, detail)),
        }
    }
    Ok(events)
}
