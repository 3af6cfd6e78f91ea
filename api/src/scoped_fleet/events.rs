//! What happened: what the history has, joined with what was decided since.

use fleetps_ingestor::history::{Event, EventList, EventQuery, sort_events};

use super::ScopedFleet;
use crate::refusal::Refusal;

impl ScopedFleet {
    /// The events that `query` asks for, newest first.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn events(&self, query: EventQuery) -> Result<EventList, Refusal> {
        let asked = query.clone();
        let mut list = self.ask(move |history| history.events(&asked)).await?;
        let latest = self.latest_events(&query, list.sealed);
        list.total = list.total.map(|total| total + latest.len() as u64);
        list.items.extend(latest);
        sort_events(&mut list.items);
        list.items.truncate(query.limit);
        Ok(list)
    }

    /// The events that are in no segment yet.
    fn latest_events(&self, query: &EventQuery, sealed: Option<(i64, u64)>) -> Vec<Event> {
        let scope = self.scope();
        let mut latest = self.shared.latest_events.after(sealed, |event| scope.sees(&event.host));
        // Withheld before it is asked for a text.
        for event in latest.iter_mut().filter(|event| !scope.sees_command_lines(&event.host)) {
            if let Some(program) = &mut event.program {
                program.command_line = None;
            }
        }
        latest.retain(|event| query.matches(event));
        latest
    }
}
