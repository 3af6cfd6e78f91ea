//! Events, newest first: from the table `event` (`stored`), and for segments of earlier versions, which have none, told by
//! their samples (`told`).

mod stored;
mod told;

use std::collections::{BTreeMap, HashSet};

use fleetps_nats::HostName;

use super::{
    History, HistoryError, Identity, Resolution, Span,
    reading::{Reading, coarsest},
    silence::around,
};
use crate::{
    events::{Event, EventKind, EventProcess},
    segment::SegmentName,
};

/// Which events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventQuery {
    /// On this host; on any where there is none.
    pub host: Option<HostName>,
    /// That happened within this time.
    pub span: Span,
    /// Of these kinds; of all when it is empty.
    pub kinds: Vec<EventKind>,
    /// Of the program of this name.
    pub program: Option<String>,
    /// With this text in the name, command line, unit, parent's name or change, in small or capital letters.
    pub text: Option<String>,
    /// The newest so many.
    pub limit: usize,
}

/// Events, newest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventList {
    /// The newest.
    pub items: Vec<Event>,
    /// How many there are in all; `None` where counting them would take long.
    pub total: Option<u64>,
    /// How finely the past was kept that they come from.
    pub resolution: Resolution,
    /// The last message of each partition that is in a segment, by numbering and sequence: what later ones decided is not in
    /// this list.
    pub sealed: BTreeMap<u32, (i64, u64)>,
}

impl EventQuery {
    /// Every event within `span`, the newest `limit`.
    pub fn of(span: Span, limit: usize) -> Self {
        Self { host: None, span, kinds: Vec::new(), program: None, text: None, limit }
    }

    /// Whether it asks for this event.
    pub fn matches(&self, event: &Event) -> bool {
        self.is_about(event) && self.text.as_ref().is_none_or(|text| text.is_empty() || has_text(event, text))
    }

    /// The same, whatever text it asks for.
    pub fn is_about(&self, event: &Event) -> bool {
        self.host.as_ref().is_none_or(|host| *host == event.host)
            && self.span.contains(event.at_us)
            && self.wants(event.kind)
            && self.program.as_ref().is_none_or(|program| event.name() == Some(program))
    }

    fn wants(&self, kind: EventKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }
}

fn has_text(event: &Event, text: &str) -> bool {
    let text = text.to_lowercase();
    let program = event.program.as_ref();
    let of_program = program.into_iter().flat_map(|program| {
        let others = [&program.command_line, &program.unit, &program.parent_name];
        std::iter::once(program.name.as_str()).chain(others.into_iter().flatten().map(String::as_str))
    });
    of_program.chain(event.change.as_deref()).any(|said| said.to_lowercase().contains(&text))
}

/// Newest first. Of one time, what was decided last comes first; those without a place in the stream are always in the
/// same order.
pub fn sort_events(events: &mut [Event]) {
    events.sort_by(|a, b| {
        let told = |event: &Event| (event.host.clone(), event.kind, event.process.clone());
        b.at_us.cmp(&a.at_us).then_with(|| b.place.cmp(&a.place)).then_with(|| told(a).cmp(&told(b)))
    });
}

impl Event {
    /// The process, if it is about one.
    pub fn identity(&self) -> Option<Identity> {
        let EventProcess { boot_id, pid, start, started_at_us } = self.process.clone()?;
        Some(Identity { host: self.host.clone(), boot_id, pid, start, started_at_us })
    }
}

impl History {
    /// The events that `query` asks for, newest first.
    ///
    /// # Errors
    /// When a query fails.
    pub fn events(&self, query: &EventQuery) -> Result<EventList, HistoryError> {
        let query = EventQuery { span: query.span.bounded(), ..query.clone() };
        self.ask(|reading| {
            let mut found = stored::events(reading, &query)?;
            if let Some(earlier) = before_events(reading, query.span) {
                let mut told = told::events(reading, &query, earlier)?;
                // What was decided after a start is of the time before, where a host had been silent since.
                let key =
                    |event: &Event| (event.kind, event.at_us, event.host.clone(), event.process.clone());
                let of_then = found.items.iter().filter(|event| earlier.contains(event.at_us));
                let known: HashSet<_> = of_then.map(key).collect();
                told.retain(|event| !known.contains(&key(event)));
                found.total = found.total.map(|total| total + told.len() as u64);
                found.items.extend(told);
                sort_events(&mut found.items);
                found.items.truncate(query.limit);
            }
            Ok(EventList {
                items: found.items,
                total: found.total,
                resolution: resolution(reading, &query),
                sealed: sealed(reading),
            })
        })
    }
}

fn sealed(reading: &Reading<'_>) -> BTreeMap<u32, (i64, u64)> {
    let mut sealed: BTreeMap<u32, (i64, u64)> = BTreeMap::new();
    for SegmentName { partition, epoch_s, last_sequence, .. } in
        reading.segments().map(|segment| segment.name)
    {
        let last = sealed.entry(partition).or_default();
        *last = (*last).max((epoch_s, last_sequence));
    }
    sealed
}

/// The part of `span` before there were events in segments; `None` where there is none.
fn before_events(reading: &Reading<'_>, span: Span) -> Option<Span> {
    if reading.segments().all(|segment| segment.name.has_events()) {
        return None;
    }
    let with_events = reading.segments().filter(|segment| segment.name.has_events());
    let since_us = with_events.filter_map(|segment| segment.first_us()).min().unwrap_or(i64::MAX);
    let earlier = Span { from_us: span.from_us, to_us: span.to_us.min(since_us) };
    (earlier.from_us < earlier.to_us).then_some(earlier)
}

/// Events that were stored are exact at any age; those that are told by samples are as fine as these.
fn resolution(reading: &Reading<'_>, query: &EventQuery) -> Resolution {
    let Some(earlier) = before_events(reading, query.span) else { return Resolution::Samples };
    // Rolling up keeps when processes were seen first and last, but only one snapshot a minute.
    match coarsest(&around(reading, query.host.as_ref(), earlier)) {
        Resolution::Samples | Resolution::Minutes => Resolution::Samples,
        Resolution::Hours => Resolution::Minutes,
    }
}
