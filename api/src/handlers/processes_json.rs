//! `/api/v1/hosts/{host}/processes`: one host's processes, now or `at` a moment; `/api/v1/hosts/{host}/live`: every sample
//! as it comes.
//!
//! Parameters of the list: `q` (a filter), `sort` (a field; a `-` before it puts the greatest first, without one
//! each field goes its usual way: figures from the greatest, names from A), `dir` (`asc` or `desc`), `limit`, `offset`,
//! `at`, `format=csv`, and `include` for fields that are left out otherwise: `executable`, `unit`, `container`
//! (`command_line` is always there, and may be named).

use axum::response::{Response, sse::Event};
use fleetps_ingestor::{
    filter::{Deadline, Stopped},
    history::Resolution,
};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    json::{self, AtMoment},
    page,
    process_fields::{self, ProcessJson},
    push,
    sample::{Processes, Sample, Sums},
};
use crate::{
    answer::{Answer, Stream, Time},
    csv::{self, Format},
    extract::{Host, Query},
    live::{Moment, now_us},
    query::{
        order::{Direction, Order, SortColumn},
        parameter::{self, BadParameter, Count, Value, is_default, words},
        parameters,
    },
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    view::{
        Column, processes,
        query::{FilterText, MAX_ROWS, ProcessQuery},
        when::TimeParam,
    },
};

/// The fields that `include` can name.
const INCLUDABLE: [Column; 7] = [
    Column::Command,
    Column::Executable,
    Column::Unit,
    Column::Container,
    Column::Pod,
    Column::Deleted,
    Column::SentMemory,
];

/// The query of the list; a parameter that it does not know is a mistake.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ListQuery {
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    q: FilterText,
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    sort: Sort,
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    dir: Option<Direction>,
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    limit: Count<MAX_ROWS, MAX_ROWS>,
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    offset: Count<0, MAX_ROWS>,
    #[serde(with = "parameter::list", skip_serializing_if = "is_default")]
    include: Vec<Included>,
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    at: Option<TimeParam>,
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    format: StrictFormat,
}

parameters! {
    ListQuery {
        q: "A filter, as in java and mem > 2G.",
        sort: "The field to sort by; figures from the greatest, names from A. A - before it puts the greatest first.",
        dir: "The direction.",
        limit: "The most processes.",
        offset: "How many to leave out before the first.",
        include: "Fields that are left out otherwise, with commas between.",
        at: "The moment: a time (in UTC without a zone), now, or how long ago; the present without it.",
        format: "The form of the answer.",
    }
}

/// A field to sort by; a `-` before it puts the greatest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sort {
    column: Column,
    descending_by_default: bool,
}

impl Default for Sort {
    fn default() -> Self {
        Self { column: Column::USUAL, descending_by_default: false }
    }
}

impl Value for Sort {
    fn read(given: &str) -> Result<Self, String> {
        let field = given.strip_prefix('-').unwrap_or(given);
        Ok(Self { column: Column::read(field)?, descending_by_default: field.len() < given.len() })
    }

    fn written(&self) -> String {
        format!("{}{}", if self.descending_by_default { "-" } else { "" }, self.column.field())
    }

    fn schema() -> Json {
        let turned = Column::ALL.map(|column| format!("-{}", column.field()));
        words(Column::ALL.map(Column::field).into_iter().chain(turned.iter().map(String::as_str)))
    }
}

/// A field that only `include` adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Included(Column);

impl Value for Included {
    fn read(given: &str) -> Result<Self, String> {
        let found = INCLUDABLE.into_iter().find(|column| column.field() == given);
        found.map(Self).ok_or_else(|| format!("names out of {}", INCLUDABLE.map(Column::field).join(", ")))
    }

    fn written(&self) -> String {
        self.0.field().to_owned()
    }

    fn schema() -> Json {
        words(INCLUDABLE.map(Column::field))
    }
}

/// A format that has to be one of those there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct StrictFormat(Format);

impl Value for StrictFormat {
    fn read(given: &str) -> Result<Self, String> {
        match given {
            "csv" | "json" => Format::read(given).map(Self),
            _ => Err("`csv` or `json`".to_owned()),
        }
    }

    fn written(&self) -> String {
        self.0.written()
    }

    fn schema() -> Json {
        Format::schema()
    }
}

impl ListQuery {
    /// The processes that it is about.
    fn processes(&self) -> ProcessQuery {
        let descending_by_default = self.sort.descending_by_default.then_some(Direction::Descending);
        let order = Order::by(self.sort.column, self.dir.or(descending_by_default));
        ProcessQuery { q: self.q.clone(), order, ..ProcessQuery::default() }
    }
}

/// The processes.
pub(crate) async fn list(
    scoped: ScopedFleet,
    Query(query): Query<ListQuery>,
    Host(host): Host,
) -> Result<Answer<AtMoment<Processes<'static>>>, Refusal> {
    if let Err(error) = &query.q.filter {
        return Err(BadParameter::new("q", &query.q.text, format!("another filter: {error}")).into());
    }
    let at_us = query.at.map(|at| at.resolve(now_us()));
    let (moment, resolution) = page::moment_at(&scoped, &host, at_us).await?;
    let (answering, filter) = (scoped.clone(), query.q.filter.clone().ok());
    scoped
        .filter(filter.as_ref(), move |deadline| answer(&answering, &moment, resolution, &query, deadline))
        .await
}

fn answer(
    scoped: &ScopedFleet,
    moment: &Moment,
    resolution: Option<Resolution>,
    query: &ListQuery,
    deadline: &Deadline,
) -> Result<Answer<AtMoment<Processes<'static>>>, Stopped> {
    let sorted = processes::sorted(moment, &query.processes(), deadline)?;
    let asked = sorted.iter().skip(query.offset.get()).take(query.limit.get());
    let include: Vec<Column> = query.include.iter().map(|included| included.0).collect();
    let answer = Processes {
        host: moment.summary.host.as_str(),
        captured_at: Time(moment.snapshot().captured_at_us),
        total: sorted.len(),
        processes_left_out: moment.snapshot().processes_left_out,
        texts_shortened: moment.snapshot().texts_shortened,
        limited_view: moment.snapshot().host_info.limited_view.as_deref(),
        sums: Sums::of(&moment.pair),
        processes: asked.map(|facts| ProcessJson::of(facts, &include)).collect(),
    };
    match query.format.0 {
        Format::Csv => Ok(Answer::of_csv(as_csv(&answer, &include))),
        Format::Json => Ok(json::answer_at(scoped, resolution, answer)),
    }
}

fn as_csv(answer: &Processes<'_>, include: &[Column]) -> Response {
    let columns = process_fields::csv_columns(include);
    let rows: Vec<serde_json::Value> =
        answer.processes.iter().filter_map(|row| serde_json::to_value(row).ok()).collect();
    csv::answer(&format!("{}-processes", answer.host), &columns, &rows)
}

/// Every sample as it comes, the present one first: events called `snapshot`. A reader that is slower than the samples
/// misses some, never gets old ones.
pub(crate) async fn live(scoped: ScopedFleet, Host(host): Host) -> Result<Stream<Sample<'static>>, Refusal> {
    page::moment_of(&scoped, &host)?;
    let mut changed = scoped.watch_host(&host)?;
    changed.mark_changed();
    let state = (scoped.clone(), changed, host);
    let events = stream::unfold(state, |(scoped, mut changed, name)| async move {
        tokio::select! {
            () = scoped.shutdown().cancelled() => return None,
            changed = changed.changed() => changed.ok()?,
        }
        let moment = scoped.moment(&name)?;
        let data = serde_json::to_string(&Sample::of(&moment, scoped.groups(&name))).unwrap_or_default();
        let event = Event::default().event("snapshot").id(moment.summary.version()).data(data);
        Some((Ok(event), (scoped, changed, name)))
    });
    Ok(Stream::of(push::answer(&scoped, events)?))
}
