//! Events of segments without a table of them, told by their samples: `processes` reads starts and exits, `restarts` finds
//! programs that were started again and again, `hosts` reads the rest.

mod hosts;
mod processes;
mod restarts;

use processes::Turn;

use super::EventQuery;
use crate::{
    events::{Event, EventKind},
    history::{HistoryError, Span, reading::Reading},
};

/// The events within `span` that `query` asks for, in any order.
pub(super) fn events(
    reading: &Reading<'_>,
    query: &EventQuery,
    span: Span,
) -> Result<Vec<Event>, HistoryError> {
    let host = query.host.as_ref();
    let wants = |some: &[EventKind]| some.iter().any(|kind| query.wants(*kind));
    let mut events = Vec::new();
    if wants(&[EventKind::Started, EventKind::RestartLoop]) {
        let starts = processes::starts(reading, host, span)?;
        events.extend(restarts::loops(&starts));
        events.extend(starts.into_iter().map(Turn::into_started));
    }
    if wants(&[EventKind::Exited]) {
        let exits = processes::exits(reading, host, span)?;
        events.extend(exits.into_iter().map(Turn::into_exited));
    }
    if wants(&[EventKind::Silent, EventKind::Back]) {
        events.extend(hosts::silent_and_back(reading, host, span)?);
    }
    if wants(&[EventKind::Booted]) {
        events.extend(hosts::booted(reading, host, span)?);
    }
    if wants(&[EventKind::AgentChanged, EventKind::HostChanged]) {
        events.extend(hosts::changed(reading, host, span)?);
    }
    events.retain(|event| query.matches(event));
    Ok(events)
}
