//! Events from the tables `event`.

use std::cmp::Reverse;

use askama::Template;
use duckdb::{ToSql, params_from_iter};

use super::{EventQuery, sort_events};
use crate::{
    catalog::SegmentIndex,
    events::Event,
    history::{HistoryError, reading::Reading},
    stored_events::read_event,
    template::render,
};

/// Segments that are asked at first: the newest events are mostly in the last two. Each further step asks four times as
/// many, so that a question for what is rare, or not there, has few steps.
const FIRST_SEGMENTS: usize = 2;
const MORE_SEGMENTS: usize = 4;
/// The most that are asked at once: a fraction of those that may be attached.
const MAX_SEGMENTS: usize = 256;

/// The newest events of some segments.
#[derive(Template)]
#[template(path = "history/events/stored.sql")]
struct StoredSql<'a> {
    event: &'a str,
    condition: &'a str,
    limit: usize,
}

/// How many events there are.
#[derive(Template)]
#[template(path = "history/events/count.sql")]
struct CountSql<'a> {
    event: &'a str,
    condition: &'a str,
}

/// The newest events, and how many there are in all where that is known.
pub(super) struct Stored {
    pub(super) items: Vec<Event>,
    pub(super) total: Option<u64>,
}

/// The stored events that `query` asks for.
pub(super) fn events(reading: &Reading<'_>, query: &EventQuery) -> Result<Stored, HistoryError> {
    let span = query.span;
    let within = |segment: &&SegmentIndex| {
        segment.events().is_some_and(|range| range.first_us < span.to_us && range.last_us >= span.from_us)
    };
    let mut segments: Vec<&SegmentIndex> = reading.segments().filter(within).collect();
    segments.sort_by_key(|segment| Reverse(segment.events().map(|range| range.last_us)));
    let (mut items, mut rest, mut step) = (Vec::new(), &segments[..], FIRST_SEGMENTS);
    while !rest.is_empty() && !is_enough(&items, query.limit, rest) {
        reading.check()?;
        let (now, later) = rest.split_at(step.min(rest.len()));
        items.extend(reading.in_passing(|| newest(reading, query, now))?);
        sort_events(&mut items);
        items.truncate(query.limit);
        (rest, step) = (later, MAX_SEGMENTS.min(step * MORE_SEGMENTS));
    }
    let total = match items.len() < query.limit {
        true => Some(items.len() as u64),
        false if query.program.is_some() || query.text.is_some() => None,
        false => Some(count(reading, query, &segments)?),
    };
    Ok(Stored { items, total })
}

/// Whether no event in `rest` is among the newest `limit`.
fn is_enough(items: &[Event], limit: usize, rest: &[&SegmentIndex]) -> bool {
    let newest_us = rest.first().and_then(|segment| segment.events()).map(|range| range.last_us);
    limit == 0 || items.get(limit - 1).is_some_and(|last| Some(last.at_us) > newest_us)
}

fn newest(
    reading: &Reading<'_>,
    query: &EventQuery,
    segments: &[&SegmentIndex],
) -> Result<Vec<Event>, HistoryError> {
    let (event, condition) = (&reading.relation("event", segments)?, &condition(query));
    let sql = render(&StoredSql { event, condition, limit: query.limit });
    let mut statement = reading.connection.prepare(&sql)?;
    let rows = statement.query_map(params_from_iter(parameters(query)), read_event)?;
    Ok(rows.collect::<duckdb::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

fn count(reading: &Reading<'_>, query: &EventQuery, segments: &[&SegmentIndex]) -> Result<u64, HistoryError> {
    let span = query.span;
    let is_inside = |segment: &&SegmentIndex| {
        segment.events().is_some_and(|range| range.first_us >= span.from_us && range.last_us < span.to_us)
    };
    let is_everything = query.kinds.is_empty() && query.host.is_none() && reading.sees_every_host();
    let (inside, others): (Vec<_>, Vec<_>) =
        segments.iter().copied().partition(|segment| is_everything && is_inside(segment));
    let known: u64 = inside.iter().filter_map(|segment| segment.events()).map(|range| range.count).sum();
    let counted = others.chunks(MAX_SEGMENTS).map(|some| {
        reading.check()?;
        reading.in_passing(|| count_rows(reading, query, some))
    });
    Ok(known + counted.sum::<Result<u64, HistoryError>>()?)
}

fn count_rows(
    reading: &Reading<'_>,
    query: &EventQuery,
    segments: &[&SegmentIndex],
) -> Result<u64, HistoryError> {
    let (event, condition) = (&reading.relation("event", segments)?, &condition(query));
    let mut statement = reading.connection.prepare(&render(&CountSql { event, condition }))?;
    Ok(statement.query_row(params_from_iter(parameters(query)), |row| row.get(0))?)
}

/// The values of the templates' parameters, in their order.
fn parameters(query: &EventQuery) -> Vec<Box<dyn ToSql>> {
    let (from_ms, to_ms) = query.span.bounds_ms();
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(from_ms), Box::new(to_ms)];
    if let Some(host) = &query.host {
        values.push(Box::new(host.as_str().to_owned()));
    }
    if let Some(program) = &query.program {
        values.push(Box::new(program.clone()));
    }
    if let Some(text) = &query.text {
        values.push(Box::new(text.to_lowercase()));
    }
    values
}

/// The condition of an event; it takes [`parameters`].
fn condition(query: &EventQuery) -> String {
    let mut conditions = vec![
        "occurred_at >= make_timestamp_ms(?::BIGINT)::TIMESTAMP_MS".to_owned(),
        "occurred_at < make_timestamp_ms(?::BIGINT)::TIMESTAMP_MS".to_owned(),
    ];
    if query.host.is_some() {
        conditions.push("host = ?".to_owned());
    }
    if query.program.is_some() {
        conditions.push("name = ?".to_owned());
    }
    if query.text.is_some() {
        let said = "concat_ws(chr(10), name, command_line, unit, parent_name, change)";
        conditions.push(format!("contains(lower({said}), ?)"));
    }
    if !query.kinds.is_empty() {
        let kinds: Vec<String> = query.kinds.iter().map(|kind| format!("'{}'", kind.id())).collect();
        conditions.push(format!("kind IN ({})", kinds.join(", ")));
    }
    conditions.join("\n    AND ")
}
