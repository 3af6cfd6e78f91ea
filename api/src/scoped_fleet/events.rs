//! What happened: what the history has, joined with what was decided since.

use std::{collections::BTreeMap, sync::Arc};

use fleetps_ingestor::history::{Event, EventList, EventQuery, Scope, sort_events};

use super::ScopedFleet;
use crate::{history_service::AskedFor, live::LatestEvents, refusal::Refusal};

impl ScopedFleet {
    /// The events that `query` asks for, newest first.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub(crate) async fn events(&self, query: EventQuery, asked_for: AskedFor) -> Result<EventList, Refusal> {
        let (scope, latest) = (self.scope(), Arc::clone(&self.shared.latest_events));
        self.ask_for(asked_for, move |history| {
            let mut list = history.events(&query)?;
            let latest = after(&latest, &query, &list.sealed, &scope);
            list.total = list.total.map(|total| total + latest.len() as u64);
            list.items.extend(latest);
            sort_events(&mut list.items);
            list.items.truncate(query.limit);
            Ok(list)
        })
        .await
    }
}

/// The events of a scope that are in no segment yet.
fn after(
    latest: &LatestEvents,
    query: &EventQuery,
    sealed: &BTreeMap<u32, (i64, u64)>,
    scope: &Scope,
) -> Vec<Event> {
    let mut found = latest.after(sealed, |event| scope.sees(&event.host) && query.is_about(event));
    // Withheld before it is asked for a text.
    for event in found.iter_mut().filter(|event| !scope.sees_command_lines(&event.host)) {
        if let Some(program) = &mut event.program {
            program.command_line = None;
        }
    }
    found.retain(|event| query.matches(event));
    found
}
