//! What a search finds: hosts by their names, and processes, each by itself or put together.

use std::{collections::HashMap, sync::Arc};

use fleetps_ingestor::{
    filter::Filter,
    history::{Found, FoundBy, FoundOrder},
};
use fleetps_nats::{HostName, model::table::TableColumn};
use jiff::Zoned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    Column, ProcessFacts, cells,
    facts::Sums,
    query::{FilterText, quoted},
    sums_over_hosts::SumsOverHosts,
    table::{Cell, Head, Row, Table},
    travel::host_at,
    when::TimeParam,
};
use crate::{
    live::Summary,
    query::{
        order::Direction,
        parameter::{self, Count, Value, choice, is_default, words},
        parameters,
    },
    url::{HostTab, Url},
};

/// What stands between a text and its time.
const BEFORE_TIME: &str = " at ";
/// Processes listed by default: ten screens.
const DEFAULT_FOUND: usize = 200;
/// The most processes listed.
pub(crate) const MAX_FOUND: usize = 10_000;

/// The columns behind the host.
const COLUMNS: [Column; 9] = [
    Column::Name,
    Column::Pid,
    Column::User,
    Column::Cpu,
    Column::Memory,
    Column::Read,
    Column::Written,
    Column::Age,
    Column::Command,
];

/// What processes are sorted by: the host, or one of the columns behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FoundColumn {
    /// The host.
    Host,
    /// A column of processes.
    Of(Column),
}

impl FoundColumn {
    fn id(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Of(column) => column.id(),
        }
    }

    /// All.
    fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Host).chain(COLUMNS.map(Self::Of))
    }

    /// What it is called in URLs: as on the page, and as in JSON where that differs.
    fn names(self) -> impl Iterator<Item = &'static str> {
        let field = match self {
            Self::Host => None,
            Self::Of(column) => Some(column.field()).filter(|field| *field != column.id()),
        };
        std::iter::once(self.id()).chain(field)
    }

    fn starts_with_greatest(self) -> bool {
        matches!(self, Self::Of(column) if column.descending_by_default())
    }

    fn by(self) -> FoundBy {
        match self {
            Self::Host => FoundBy::Host,
            Self::Of(column) if column == Column::Age => FoundBy::Age,
            Self::Of(column) => {
                let TableColumn { place, is_rate, .. } = *column.declared();
                if is_rate { FoundBy::Rate(place) } else { FoundBy::Field(place) }
            }
        }
    }
}

impl Value for FoundColumn {
    fn read(given: &str) -> Result<Self, String> {
        let names = || Self::all().flat_map(Self::names).collect::<Vec<_>>().join(", ");
        let found = Self::all().find(|column| column.names().any(|name| name == given));
        found.ok_or_else(|| format!("one of {}", names()))
    }

    fn written(&self) -> String {
        self.id().to_owned()
    }

    fn schema() -> Json {
        words(Self::all().flat_map(Self::names))
    }
}

/// What processes have in common that are put together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum FoundFold {
    /// Nothing: each is a row.
    #[default]
    Process,
    /// The program.
    Program,
    /// The host.
    Host,
    /// The user.
    User,
    /// The unit.
    Unit,
}

impl FoundFold {
    /// All: with their names in URLs, and what they are called on the page.
    pub(crate) const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Process, "process", "Processes"),
        (Self::Program, "program", "Programs"),
        (Self::Host, "host", "Hosts"),
        (Self::User, "user", "Users"),
        (Self::Unit, "unit", "Units"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(fold, ..)| *fold == self).map_or("", |(_, name, _)| name)
    }

    /// What a process has in common with others, and the field of the filter language that it is.
    fn common(self, found: &Found) -> (&'static str, Option<&str>) {
        let process = &found.process;
        match self {
            Self::Process | Self::Program => ("name", Some(&process.name)),
            Self::Host => ("host", Some(found.identity.host.as_str())),
            Self::User => ("user", process.user_name.as_deref()),
            Self::Unit => ("unit", process.unit.as_deref()),
        }
    }
}

impl Value for FoundFold {
    fn read(given: &str) -> Result<Self, String> {
        choice(Self::ALL.map(|(fold, ..)| fold), Self::name, given)
    }

    fn written(&self) -> String {
        self.name().to_owned()
    }
}

/// The query of a search.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SearchQuery {
    /// The filter.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub q: FilterText,
    /// When; absent for the present.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    pub at: Option<TimeParam>,
    /// By what they are sorted; the page by CPU without it, JSON by host and pid.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    pub sort: Option<FoundColumn>,
    /// Which way.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    pub dir: Option<Direction>,
    /// The most processes.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub limit: Count<DEFAULT_FOUND, MAX_FOUND>,
}

parameters! {
    SearchQuery {
        q: "The filter over processes, as in java and mem > 2G.",
        at: "The moment: a time (in UTC without a zone), now, or how long ago; the present without it.",
        sort: "What the processes are sorted by; by host and pid without it.",
        dir: "Which way: the greatest first, or the least.",
        limit: "The most processes.",
    }
}

/// The query of the page of a search.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SearchPageQuery {
    /// The search.
    #[serde(flatten)]
    pub search: SearchQuery,
    /// What is put together.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub fold: FoundFold,
}

impl SearchQuery {
    /// The order that it asks for; by `usual` unless it says what.
    pub(crate) fn order(&self, usual: FoundColumn) -> FoundOrder {
        let column = self.sort.unwrap_or(usual);
        let descending = match self.dir {
            Some(direction) => direction == Direction::Descending,
            None => column.starts_with_greatest(),
        };
        FoundOrder { by: column.by(), descending }
    }
}

/// The column by which the page is sorted without another.
pub(crate) const USUAL: FoundColumn = FoundColumn::Of(Column::Cpu);

impl SearchPageQuery {
    /// Whether the page is sorted by `column`, and then whether the greatest comes first.
    fn sorted(&self, column: FoundColumn) -> Option<bool> {
        (self.search.sort.unwrap_or(USUAL) == column).then(|| self.search.order(USUAL).descending)
    }

    /// The page sorted by `column`; the other way round if it is that already.
    fn sorted_by(&self, column: FoundColumn) -> Self {
        let descends = match self.sorted(column) {
            Some(descends) => !descends,
            None => column.starts_with_greatest(),
        };
        let direction = if descends { Direction::Descending } else { Direction::Ascending };
        let search = SearchQuery {
            sort: Some(column).filter(|column| *column != USUAL),
            dir: Some(direction).filter(|_| descends != column.starts_with_greatest()),
            ..self.search.clone()
        };
        Self { search, ..self.clone() }
    }
}

/// The search for the processes that have this value in a field, now or at a moment.
pub(crate) fn of_field(field: &str, value: &str, at: Option<TimeParam>) -> Url {
    of_text(&format!("{field} = {}", quoted(value)), at)
}

/// The search for a text, now or at a moment.
pub(crate) fn of_text(text: &str, at: Option<TimeParam>) -> Url {
    Url::search().with(&SearchQuery { q: FilterText::of(text), at, ..SearchQuery::default() })
}

/// A text and the time behind it, where it has one: `xz at 16:28`, `nginx at yesterday 03:12`. What is in quotes has none, and
/// a number alone is more likely to be searched than to be a day of the month.
pub(crate) fn split_time(text: &str, now: &Zoned) -> Option<(String, TimeParam)> {
    text.match_indices(BEFORE_TIME).find_map(|(place, _)| {
        let (before, time) = (text.get(..place)?.trim(), text.get(place + BEFORE_TIME.len()..)?.trim());
        let is_quoted = before.matches('"').count() % 2 == 1;
        let is_number = time.bytes().all(|byte| byte.is_ascii_digit());
        if before.is_empty() || is_quoted || is_number {
            return None;
        }
        Some((before.to_owned(), TimeParam::typed(time, now).ok()?))
    })
}

/// The filter of the page: words are looked for in users and units, too.
pub(crate) fn widened(q: &FilterText) -> FilterText {
    let words = q.filter.as_ref().ok().and_then(Filter::words);
    let any = |word: &String| {
        let word = quoted(word);
        format!("({word} or user:{word} or unit:{word})")
    };
    match words {
        Some(words) => {
            let widened = FilterText::of(&words.iter().map(any).collect::<Vec<_>>().join(" and "));
            // A long one may have more words than a filter can have patterns.
            if widened.filter.is_ok() { widened } else { q.clone() }
        }
        None => q.clone(),
    }
}

/// The table of processes; `is_past` when hosts should be shown as they were then.
pub(crate) fn table(found: &[Found], query: &SearchPageQuery, is_past: bool) -> Table {
    let head = |column: FoundColumn, text, unit| Head {
        column: column.id(),
        text,
        unit,
        href: Some(Url::search().with(&query.sorted_by(column))),
        sorted: query.sorted(column).map(|descends| if descends { "descending" } else { "ascending" }),
    };
    let of = |column: Column| head(FoundColumn::Of(column), column.head(), column.unit());
    let greatest = found.iter().filter_map(|found| found.process.resident_bytes).max().unwrap_or_default();
    let scale = cells::memory_scale(greatest as f64);
    let numbered = |(number, found): (usize, &Found)| Row {
        id: format!("f-{number}"),
        cells: row(found, is_past, scale),
        ..Row::default()
    };
    Table {
        id: "found",
        heads: std::iter::once(head(FoundColumn::Host, "Host", "")).chain(COLUMNS.map(of)).collect(),
        rows: found.iter().enumerate().map(numbered).collect(),
        ..Table::default()
    }
}

/// Processes that have something in common.
#[derive(Default)]
struct Folded<'a> {
    processes: u64,
    cpu_percent: f64,
    /// Memory is shared within a host only.
    by_host: HashMap<&'a HostName, Sums>,
}

impl Folded<'_> {
    fn sums(&self) -> SumsOverHosts {
        SumsOverHosts {
            hosts: self.by_host.len() as u64,
            processes: self.processes,
            cpu_percent: self.cpu_percent,
            memory_bytes: self.by_host.values().filter_map(|sums| sums.number(Column::Memory)).sum(),
        }
    }
}

/// The table of what processes have in common, those with most CPU first; links narrow the search of `query`.
pub(crate) fn folded(found: &[Found], query: &SearchPageQuery) -> Table {
    let mut groups: HashMap<(&'static str, Option<&str>), Folded<'_>> = HashMap::new();
    for one in found {
        let group = groups.entry(query.fold.common(one)).or_default();
        group.processes += 1;
        group.cpu_percent += f64::from(one.process.cpu_percent.unwrap_or_default());
        group.by_host.entry(&one.identity.host).or_default().add(&Sums::of(&facts(one)));
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by(|(a_key, a), (b_key, b)| {
        b.cpu_percent.total_cmp(&a.cpu_percent).then_with(|| a_key.cmp(b_key))
    });
    let most = groups.first().map_or(1.0, |(_, group)| group.cpu_percent).max(100.0);
    let row = |(number, ((field, value), group)): (usize, &((&'static str, Option<&str>), Folded<'_>))| {
        let name = cells::name("name", *value);
        let name = match value {
            Some(value) => name.linked(narrowed(query, field, value)),
            None => name,
        };
        Row { id: format!("g-{number}"), cells: group.sums().cells(name, most), ..Row::default() }
    };
    Table {
        id: "folded",
        heads: SumsOverHosts::heads(query.fold.head()),
        rows: groups.iter().enumerate().map(row).collect(),
        ..Table::default()
    }
}

impl FoundFold {
    /// The head of its column.
    fn head(self) -> &'static str {
        match self {
            Self::Process => "Process",
            Self::Program => "Program",
            Self::Host => "Host",
            Self::User => "User",
            Self::Unit => "Unit",
        }
    }
}

/// The processes of a search that have this value in a field.
fn narrowed(query: &SearchPageQuery, field: &str, value: &str) -> Url {
    let q = FilterText::of(&format!("({}) and {field} = {}", widened(&query.search.q).text, quoted(value)));
    let search = SearchQuery { q, limit: Count::default(), ..query.search.clone() };
    Url::search().with(&SearchPageQuery { search, fold: FoundFold::Process })
}

/// The hosts that a search found, at the moment that was searched.
pub(crate) fn hosts(hosts: &[Arc<Summary>], at_us: Option<i64>) -> Vec<(String, &'static str, Url)> {
    let link = |host: &Arc<Summary>| {
        let state = if at_us.is_some() { "" } else { host.state.word() };
        (host.host.to_string(), state, self::host(host, at_us))
    };
    hosts.iter().map(link).collect()
}

/// The page of a host, now or at a moment.
pub(crate) fn host(host: &Summary, at_us: Option<i64>) -> Url {
    let name = host.host.as_str();
    at_us.map_or_else(|| Url::host(name, HostTab::Processes), |at_us| host_at(name, at_us))
}

/// The derived values of a match.
pub(crate) fn facts(found: &Found) -> ProcessFacts<'_> {
    ProcessFacts { rates: found.rates, ..ProcessFacts::alone(&found.process, found.age_us / 1_000_000) }
}

fn row(found: &Found, is_past: bool, memory_scale_bytes: f64) -> Vec<Cell> {
    let host = found.identity.host.as_str();
    let href =
        if is_past { host_at(host, found.captured_at_us) } else { Url::host(host, HostTab::Processes) };
    let facts = facts(found);
    let mut cells: Vec<Cell> = COLUMNS.map(|column| cells::cell(column, &facts, memory_scale_bytes)).into();
    if let Some(name) = cells.first_mut() {
        name.href = Some(Url::of_process(&found.identity));
    }
    cells.insert(0, Cell::new("host", host).linked(href));
    cells
}
