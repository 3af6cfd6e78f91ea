//! Events: processes that started and exited, hosts that fell silent.
//!
//! Nothing is recorded when it happens; events are read off the history, so they are there for all of it. `processes` reads
//! starts and exits, `restarts` finds programs that are started again and again, `hosts` reads the rest.

mod event;
mod hosts;
mod processes;
mod restarts;

pub use event::{Event, EventKind};
use fleetps_nats::HostName;
use processes::Turn;

use super::{History, HistoryError, Listing, Resolution, Span, reading::coarsest, silence::around};

impl History {
    /// The events on `host`, or on any host, within `span`: the newest `limit`, newest first; only those of `kinds`, or
    /// all when it is empty.
    ///
    /// # Errors
    /// When a query fails.
    pub fn events(
        &self,
        host: Option<&HostName>,
        span: Span,
        kinds: &[EventKind],
        limit: usize,
    ) -> Result<Listing<Event>, HistoryError> {
        let span = span.bounded();
        let wants = |some: &[EventKind]| kinds.is_empty() || some.iter().any(|kind| kinds.contains(kind));
        self.ask(|reading| {
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
            events.retain(|event| wants(&[event.kind]));
            events.sort_by(|a, b| b.at_us.cmp(&a.at_us).then_with(|| order(a).cmp(&order(b))));
            let total = events.len() as u64;
            events.truncate(limit);
            // Rolling up keeps when processes were seen first and last, but only one snapshot a minute.
            let resolution = match coarsest(&around(reading, host, span)) {
                Resolution::Samples | Resolution::Minutes => Resolution::Samples,
                Resolution::Hours => Resolution::Minutes,
            };
            Ok(Listing { items: events, total, resolution })
        })
    }
}

/// Events of the same time are always in the same order.
fn order(event: &Event) -> impl Ord + '_ {
    (&event.host, event.kind, &event.process, &event.name)
}
