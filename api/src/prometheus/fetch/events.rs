//! Events, as counters.

use std::{collections::BTreeMap, sync::Arc};

use fleetps_ingestor::history::{Bucket, Event, EventKind, EventQuery, Span};

use super::{Failure, Reader, labels::only};
use crate::prometheus::{
    metric,
    parse::NAME,
    problem::Problem,
    question::Selection,
    series::{Labels, Series},
};

/// The most events of a question.
const MAX_EVENTS: usize = 10_000;
/// Events are asked for by host and program in so many queries at most.
const MAX_EVENT_QUERIES: usize = 16;
/// The labels that are conditions on events.
const EVENT_LABELS: [&str; 5] = [NAME, metric::HOST, metric::GROUP, metric::KIND, metric::PROGRAM];

impl Reader<'_> {
    /// How many events there were in each window, by host, kind and program.
    pub(super) fn events(&self, selection: &Selection) -> Result<Vec<Series>, Failure> {
        let mut series: BTreeMap<Labels, BTreeMap<i64, Bucket>> = BTreeMap::new();
        for (labels, at_ms) in self.happened(selection)? {
            let place = selection.grid.bucket(at_ms);
            series.entry(labels).or_default().entry(place).or_default().growth += 1.0;
        }
        self.count(series.len(), selection.windows.steps, selection)?;
        let one = |(labels, buckets): (Labels, BTreeMap<i64, Bucket>)| {
            let buckets: Vec<(i64, Bucket)> = buckets.into_iter().collect();
            let sum = |window: &[(i64, Bucket)]| Some(window.iter().map(|(_, bucket)| bucket.growth).sum());
            Series { labels, values: selection.windows.of(&buckets).map(sum).collect() }
        };
        Ok(series.into_iter().map(one).collect())
    }

    /// The events within the time of a selection, with their labels.
    pub(super) fn happened(&self, selection: &Selection) -> Result<Vec<(Labels, i64)>, Failure> {
        let matchers = &selection.selector.matchers;
        let accepts = |label: &str, value: &str| {
            matchers.iter().filter(|matcher| matcher.label == label).all(|matcher| matcher.accepts(value))
        };
        let kinds: Vec<EventKind> =
            EventKind::ALL.into_iter().filter(|kind| accepts(metric::KIND, kind.id())).collect();
        if kinds.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.events_of(selection, &kinds)?;
        let is_selected = |event: &Event| {
            selection.hosts.binary_search(&event.host).is_ok()
                && accepts(metric::PROGRAM, event.name().unwrap_or_default())
                && matchers
                    .iter()
                    .all(|matcher| EVENT_LABELS.contains(&matcher.label.as_str()) || matcher.accepts(""))
        };
        let told = |event: Event| {
            let mut labels = Labels::from([
                (metric::HOST, Arc::from(event.host.as_str())),
                (metric::KIND, Arc::from(event.kind.id())),
            ]);
            labels.extend(event.name().map(|name| (metric::PROGRAM, Arc::from(name))));
            (labels, event.at_us.div_euclid(1000))
        };
        Ok(found.into_iter().filter(is_selected).map(told).collect())
    }

    /// The events of a selection's time, hosts and kinds: asked for by host and program where these are few, so that others are
    /// not among the most.
    fn events_of(&self, selection: &Selection, kinds: &[EventKind]) -> Result<Vec<Event>, Failure> {
        let grid = selection.grid;
        let us = |ms: i64| ms.saturating_mul(1000).saturating_add(1);
        let end_ms = grid.begin_ms.saturating_add(grid.width_ms.saturating_mul(grid.count));
        let span = Span { from_us: us(grid.begin_ms), to_us: us(end_ms) };
        let few = |texts: usize| (1..=MAX_EVENT_QUERIES).contains(&texts);
        // What is of no program has no name, so an empty one cannot be asked for.
        let names =
            only(selection, metric::PROGRAM).filter(|names| names.iter().all(|name| !name.is_empty()));
        let names = match names.filter(|names| few(names.len())) {
            Some(names) => names.into_iter().map(Some).collect(),
            None => vec![None],
        };
        let hosts = match few(selection.hosts.len() * names.len()) {
            true => selection.hosts.iter().cloned().map(Some).collect(),
            false => vec![None],
        };
        let mut found = Vec::new();
        for (host, program) in hosts.iter().flat_map(|host| names.iter().map(move |name| (host, name))) {
            let query = EventQuery {
                host: host.clone(),
                program: program.clone(),
                kinds: kinds.to_vec(),
                ..EventQuery::of(span, MAX_EVENTS + 1 - found.len())
            };
            found.extend(self.history.events(&query)?.items);
            if found.len() > MAX_EVENTS {
                let error = format!(
                    "these are more than {MAX_EVENTS} events; select some by kind, host or program, or take a shorter time"
                );
                return Err(Problem::at(selection.selector.column, error).into());
            }
        }
        Ok(found)
    }
}
