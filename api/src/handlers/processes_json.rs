//! `/api/v1/hosts/{host}/processes`: one host's processes, now or `at` a moment; `/api/v1/hosts/{host}/live`: every sample as it comes.
//!
//! Parameters of the list: `q` (a filter), `sort` (a field; a `-` before it puts the greatest first, without one
//! each field goes its usual way: figures from the greatest, names from A), `dir` (`asc` or `desc`), `limit`, `offset`,
//! `at`, `format=csv`, and `include` for fields that are left out otherwise: `executable`, `unit`, `container`
//! (`command_line` is always there, and may be named).

use axum::{
    extract::{Path, RawQuery},
    response::{Response, sse::Event},
};
use fleetps_ingestor::{
    filter::{Deadline, Stopped},
    history::Resolution,
};
use futures_util::stream;
use serde_json::Value;

use super::{
    json::{self, Processes},
    page, push,
};
use crate::{
    csv,
    display::time_exact,
    live::{Moment, now_us},
    refusal::Refusal,
    sight::Sight,
    view::{
        Column, processes,
        query::{self, BadParameter, MAX_ROWS, ProcessQuery},
        when,
    },
};

/// The fields that `include` can name.
const INCLUDABLE: [Column; 4] = [Column::Command, Column::Executable, Column::Unit, Column::Container];

/// What is asked for.
#[derive(Debug)]
struct ListQuery {
    processes: ProcessQuery,
    at_us: Option<i64>,
    is_csv: bool,
    limit: usize,
    offset: usize,
    include: Vec<Column>,
}

impl ListQuery {
    fn parse(text: &str) -> Result<Self, BadParameter> {
        let mut parsed = Self {
            processes: ProcessQuery::default(),
            at_us: None,
            is_csv: csv::is_asked_for(text),
            limit: MAX_ROWS,
            offset: 0,
            include: Vec::new(),
        };
        let mut descending = None;
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            match name.as_ref() {
                "q" => parsed.processes = parsed.processes.filtered(&query::filter_text(&value)?),
                "sort" => {
                    let field = value.strip_prefix('-').unwrap_or(&value);
                    parsed.processes.sort = query::column("sort", field)?;
                    descending = descending.or((field.len() < value.len()).then_some(true));
                }
                "dir" => descending = query::direction(&value)?,
                "limit" => parsed.limit = query::number("limit", &value, MAX_ROWS)?,
                "offset" => parsed.offset = query::number("offset", &value, MAX_ROWS)?,
                "include" => parsed.include = include(&value)?,
                "at" => parsed.at_us = Some(when::moment("at", &value, now_us())?),
                "format" if value == "csv" || value == "json" => {}
                other => {
                    let known = "one of q, sort, dir, limit, offset, include, at, format (csv)";
                    return Err(BadParameter::new(other, &value, format!("another name: {known}")));
                }
            }
        }
        if let Err(error) = &parsed.processes.filter {
            return Err(query::bad_filter(&parsed.processes.q, error));
        }
        parsed.processes.descending = descending.unwrap_or(parsed.processes.sort.greatest_first());
        Ok(parsed)
    }
}

fn include(value: &str) -> Result<Vec<Column>, BadParameter> {
    let known = || INCLUDABLE.map(Column::field).join(", ");
    let column = |name: &str| {
        let found = INCLUDABLE.into_iter().find(|column| column.field() == name);
        found.ok_or_else(|| BadParameter::new("include", name, format!("names out of {}", known())))
    };
    value.split(',').filter(|name| !name.is_empty()).map(column).collect()
}

/// The processes.
pub async fn list(
    sight: Sight,
    Path(host): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let query = ListQuery::parse(&query.unwrap_or_default())?;
    let (moment, resolution) = page::moment_at(&sight, &host, query.at_us).await?;
    let (answering, filter) = (sight.clone(), query.processes.filter.clone().ok());
    sight
        .filter(filter.as_ref(), move |deadline| answer(&answering, &moment, resolution, &query, deadline))
        .await
}

fn answer(
    sight: &Sight,
    moment: &Moment,
    resolution: Option<Resolution>,
    query: &ListQuery,
    deadline: &Deadline,
) -> Result<Response, Stopped> {
    let sorted = processes::sorted(moment, &query.processes, deadline)?;
    let asked = sorted.iter().skip(query.offset).take(query.limit);
    let answer = Processes {
        host: moment.summary.host.as_str(),
        captured_at: time_exact(moment.snapshot().captured_at_us),
        total: sorted.len(),
        processes: asked.map(|facts| json::Process::of(facts, &query.include)).collect(),
    };
    match query.is_csv {
        true => Ok(as_csv(&answer, &query.include)),
        false => Ok(json::answer_at(sight, resolution, &answer)),
    }
}

fn as_csv(answer: &Processes<'_>, include: &[Column]) -> Response {
    let columns: Vec<&str> = json::process_fields(include).collect();
    let rows: Vec<Value> = answer.processes.iter().filter_map(|row| serde_json::to_value(row).ok()).collect();
    csv::answer(&format!("{}-processes", answer.host), &columns, &rows)
}

/// Every sample as it comes, the present one first: events called `snapshot`. A reader that is slower than the samples
/// misses some, never gets old ones.
pub async fn live(sight: Sight, Path(host): Path<String>) -> Result<Response, Refusal> {
    let name = page::moment_of(&sight, &host)?.summary.host.clone();
    let mut changed = sight.watch_host(&name)?;
    changed.mark_changed();
    let state = (sight.clone(), changed, name);
    let events = stream::unfold(state, |(sight, mut changed, name)| async move {
        tokio::select! {
            () = sight.shutdown().cancelled() => return None,
            changed = changed.changed() => changed.ok()?,
        }
        let moment = sight.moment(&name)?;
        let data = serde_json::to_string(&json::Sample::of(&moment, sight.groups(&name))).unwrap_or_default();
        let event = Event::default().event("snapshot").id(moment.summary.version()).data(data);
        Some((Ok(event), (sight, changed, name)))
    });
    push::answer(&sight, events)
}
