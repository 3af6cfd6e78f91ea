//! What happens, as the ingestor decides it: every event once, or a gap. While nothing is to be told, the client still
//! gets to know its position now and then, so that it goes on without a gap.

use std::time::Duration;

use axum::body::Bytes;
use fleetps_ingestor::history::EventQuery;
use serde_json::json;
use tokio::{sync::watch, time::Instant};

use super::Step;
use crate::{
    handlers::events_json,
    live::Position,
    scoped_fleet::ScopedFleet,
    websocket::{
        message::{Outgoing, Type},
        request::Topic,
    },
};

/// Events in one message: at most 64 KB of usual ones.
const MOST: usize = 100;
/// How often a client gets to know its position while nothing happens: the broker keeps events for ten minutes.
const POSITION_EVERY: Duration = Duration::from_secs(15);

/// Events, for one client.
pub(in crate::websocket) struct EventsTopic {
    changed: watch::Receiver<()>,
    is_due: bool,
    query: EventQuery,
    /// Until where events were looked at; `None` while the stream is not known.
    position: Option<Position>,
    /// The position that the client knows, and since when.
    known: (Option<Position>, Instant),
}

impl EventsTopic {
    /// The events that `query` asks for, behind `since` or from now on.
    pub(in crate::websocket) fn new(
        scoped: &ScopedFleet,
        since: Option<Position>,
        query: EventQuery,
    ) -> Self {
        let changed = scoped.watch_events();
        Self { changed, is_due: true, query, position: since, known: (since, Instant::now()) }
    }

    pub(super) async fn ready(&mut self) {
        if self.is_due {
            return;
        }
        let is_news = self.position != self.known.0;
        tokio::select! {
            changed = self.changed.changed() => if changed.is_err() { return std::future::pending().await },
            () = tokio::time::sleep_until(self.known.1 + POSITION_EVERY), if is_news => {}
        }
        self.is_due = true;
    }

    pub(super) fn step(&mut self, scoped: &ScopedFleet) -> Step {
        self.changed.mark_unchanged();
        self.is_due = false;
        let Some(end) = scoped.end_of_events() else { return Step::Nothing };
        let Some(position) = self.position else {
            self.position = Some(end);
            return self.tell_position(end);
        };
        let told = scoped.events_after(position, MOST, &self.query);
        // Not all of them were looked at, perhaps.
        self.is_due = told.position != end && told.position != position;
        if let Some(gap) = told.gap {
            self.position = Some(gap.1);
            (self.is_due, self.known) = (true, (self.position, Instant::now()));
            scoped.sockets().count_gap();
            return Step::send(Outgoing::gap(&Topic::Events, gap));
        }
        self.position = Some(told.position);
        if told.events.is_empty() {
            let is_due = self.known.0 != self.position && self.known.1.elapsed() >= POSITION_EVERY;
            return if is_due { self.tell_position(told.position) } else { Step::Nothing };
        }
        self.known = (self.position, Instant::now());
        let rows: Vec<_> = told.events.iter().map(|(_, event)| events_json::row(event)).collect();
        let data = Bytes::from(serde_json::to_vec(&json!({ "events": rows })).unwrap_or_default());
        Step::send(Outgoing::data(&Topic::Events, Type::Events, told.position, data))
    }

    fn tell_position(&mut self, position: Position) -> Step {
        self.known = (Some(position), Instant::now());
        Step::send(Outgoing::position(&Topic::Events, position))
    }
}
