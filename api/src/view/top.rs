//! The table of who used most.

use fleetps_ingestor::history::{Identity, Span, TopBy, TopGroup, TopRow};
use fleetps_nats::{HostName, model::derived};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    cells,
    query::{FilterText, quoted},
    search::SearchQuery,
    table::{Cell, Head, Row, Table},
    when::{SpanQuery, TimeParam},
};
use crate::{
    display,
    query::{
        parameter::{self, Count, Value, choice, is_default, words},
        parameters,
    },
    url::Url,
};

/// Lines by default: two screens.
const DEFAULT_LINES: usize = 50;
/// The most lines, and what the sum for shares is made of: more programs than a large fleet runs.
pub(crate) const MAX_LINES: usize = 10_000;

/// The orders of a top: name in the URL, and on the page.
pub(crate) const ORDERS: [(TopBy, &str, &str); 5] = [
    (TopBy::Cpu, "cpu", "CPU time"),
    (TopBy::Memory, "memory", "Memory"),
    (TopBy::Peak, "peak", "Peak memory"),
    (TopBy::Read, "read", "Read"),
    (TopBy::Written, "written", "Written"),
];

/// The groupings of a top: name in the URL, and on the page.
pub(crate) const GROUPS: [(TopGroup, &str, &str); 5] = [
    (TopGroup::Process, "process", "Process"),
    (TopGroup::Name, "name", "Program"),
    (TopGroup::User, "user", "User"),
    (TopGroup::Unit, "unit", "Unit"),
    (TopGroup::Host, "host", "Host"),
];

impl Value for TopBy {
    fn read(given: &str) -> Result<Self, String> {
        choice(ORDERS.map(|(by, ..)| by), |by| id(by, &ORDERS), given)
    }

    fn written(&self) -> String {
        id(*self, &ORDERS).to_owned()
    }

    fn schema() -> Json {
        words(ORDERS.map(|(_, id, _)| id))
    }
}

impl Value for TopGroup {
    fn read(given: &str) -> Result<Self, String> {
        choice(GROUPS.map(|(group, ..)| group), |group| id(group, &GROUPS), given)
    }

    fn written(&self) -> String {
        id(*self, &GROUPS).to_owned()
    }

    fn schema() -> Json {
        words(GROUPS.map(|(_, id, _)| id))
    }
}

/// What the page shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TopShow {
    /// Who used most.
    #[default]
    Use,
    /// What grew in memory.
    Growth,
}

impl TopShow {
    fn name(self) -> &'static str {
        match self {
            Self::Use => "use",
            Self::Growth => "growth",
        }
    }
}

impl Value for TopShow {
    fn read(given: &str) -> Result<Self, String> {
        choice([Self::Use, Self::Growth], Self::name, given)
    }

    fn written(&self) -> String {
        self.name().to_owned()
    }
}

/// The name of a value in URLs and in JSON.
pub(crate) fn id<T: Copy + PartialEq>(value: T, known: &[(T, &'static str, &'static str)]) -> &'static str {
    known.iter().find(|(candidate, ..)| *candidate == value).map_or("", |(_, id, _)| id)
}

/// The query of a top.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TopQuery {
    /// By what it is ordered.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub by: TopBy,
    /// How processes are grouped.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub group: TopGroup,
    /// Only this host.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// The most lines.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub limit: Count<DEFAULT_LINES, MAX_LINES>,
    /// Over which time.
    #[serde(flatten)]
    pub span: SpanQuery,
}

parameters! {
    TopQuery {
        by: "What the lines are ordered by.",
        group: "What a line adds up.",
        host: "Only this host.",
        limit: "The most lines.",
        ..span,
    }
}

/// Common parts of a top's rows.
#[derive(Debug, Clone)]
pub(crate) struct TopTable<'a> {
    /// The query.
    pub query: &'a TopQuery,
    /// Over which time.
    pub span: Span,
    /// The sum of all rows, also of those that are not shown; absent where it is unknown.
    pub sum: Option<f64>,
}

/// How much a row has of what the top is ordered by.
pub(crate) fn amount(row: &TopRow, by: TopBy) -> Option<u64> {
    match by {
        TopBy::Cpu => row.cpu_time_ms,
        TopBy::Memory => row.memory_bytes.map(|bytes| bytes.round() as u64),
        TopBy::Peak => row.peak_resident_bytes,
        TopBy::Read => row.read_bytes,
        TopBy::Written => row.written_bytes,
    }
}

/// The sum of the rows; peaks have none.
pub(crate) fn sum(rows: &[TopRow], by: TopBy) -> Option<f64> {
    let amounts = rows.iter().filter_map(|row| amount(row, by));
    (by != TopBy::Peak).then(|| amounts.map(|amount| amount as f64).sum())
}

/// What the heads mean that are short.
static MEANINGS: [(&str, &str); 5] = [
    ("load", "CPU time by the time that is recorded of this range"),
    ("cpu", "CPU time, in hours, minutes and seconds"),
    ("memory", "The mean of what its processes had together; what those of one host share is counted once"),
    ("peak", "The largest resident memory of one process in this range"),
    ("share", "The part in what all lines used"),
];

/// Whether a figure of several processes is one process's all the same: peaks have no sum.
fn is_of_one(by: TopBy, group: TopGroup) -> bool {
    by == TopBy::Peak && group != TopGroup::Process
}

/// A row's share of `sum`, in percent.
pub(crate) fn share(row: &TopRow, by: TopBy, sum: Option<f64>) -> Option<f64> {
    let sum = sum.filter(|sum| *sum > 0.0)?;
    Some(amount(row, by)? as f64 * 100.0 / sum)
}

impl TopTable<'_> {
    /// The table of `rows`.
    pub(crate) fn table(&self, rows: &[TopRow]) -> Table {
        let greatest = rows.first().and_then(|row| amount(row, self.query.by)).unwrap_or_default() as f64;
        let row = |(number, row): (usize, &TopRow)| Row {
            id: format!("t-{number}"),
            cells: self.cells(row, greatest),
            ..Row::default()
        };
        Table {
            id: "top",
            titles: &MEANINGS,
            heads: self.heads(),
            rows: rows.iter().enumerate().map(row).collect(),
            ..Table::default()
        }
    }

    fn heads(&self) -> Vec<Head> {
        let what =
            GROUPS.into_iter().find(|(group, ..)| *group == self.query.group).map_or("", |(.., label)| label);
        let mut heads = vec![Head { column: "name", text: what, ..Head::default() }];
        let plain = |column, text| Head { column, text, ..Head::default() };
        match self.query.group {
            TopGroup::Process => heads.extend([plain("pid", "PID"), plain("host", "Host")]),
            TopGroup::Host => heads.push(plain("procs", "Processes")),
            _ => heads.extend([plain("procs", "Processes"), plain("count", "Hosts")]),
        }
        heads.push(Head { unit: "% of a core", ..plain("load", "CPU") });
        for (by, _, text) in ORDERS {
            let here = by == self.query.by;
            heads.push(Head {
                column: column(by),
                text: if is_of_one(by, self.query.group) { "Largest" } else { text },
                unit: "",
                href: Some(self.ordered_by(by)),
                sorted: here.then_some("descending"),
            });
            if here && by != TopBy::Peak {
                heads.push(Head { unit: "%", ..plain("share", "Share") });
            }
        }
        heads
    }

    /// The page ordered by something else.
    fn ordered_by(&self, by: TopBy) -> Url {
        Url::top().with(&TopQuery { by, ..self.query.clone() })
    }

    fn cells(&self, row: &TopRow, greatest: f64) -> Vec<Cell> {
        let mut cells = vec![self.name(row)];
        match (self.query.group, &row.process) {
            (TopGroup::Process, Some(process)) => cells.extend([
                Cell::new("pid", process.pid.to_string()),
                Cell::new("host", process.host.as_str()).linked(self.of_host(&process.host)),
            ]),
            (TopGroup::Process, None) => cells.extend([Cell::new("pid", ""), Cell::new("host", "")]),
            (TopGroup::Host, _) => cells.push(Cell::new("procs", display::count(row.processes))),
            _ => cells.extend([
                Cell::new("procs", display::count(row.processes)),
                Cell::new("count", display::count(row.hosts)),
            ]),
        }
        cells.push(Cell::new("load", display::percent(self.cpu_percent(row))));
        for (by, ..) in ORDERS {
            let amount = amount(row, by);
            let text = match by {
                TopBy::Cpu => display::cpu_time(amount),
                _ => display::size(amount.map(|bytes| bytes as f64)),
            };
            let part = amount.unwrap_or_default() as f64 / greatest.max(1.0);
            let shade = if by == self.query.by { display::shade(part) } else { "" };
            cells.push(Cell::new(column(by), text).shaded(shade));
            if by == self.query.by && by != TopBy::Peak {
                cells.push(Cell::new("share", display::percent(share(row, by, self.sum))));
            }
        }
        cells
    }

    /// Mean CPU use over the span, in percent of one core.
    fn cpu_percent(&self, row: &TopRow) -> Option<f64> {
        let span_ms = (self.span.to_us - self.span.from_us) / 1000;
        derived::mean_percent_of_core(row.cpu_time_ms? as f64, span_ms)
    }

    /// The group, as a link to its processes.
    fn name(&self, row: &TopRow) -> Cell {
        let Some(key) = &row.key else {
            return Cell::new("name", display::MISSING);
        };
        let cell = cells::name("name", Some(key));
        let field = match self.query.group {
            TopGroup::Process => return linked(cell, row.process.as_ref()),
            TopGroup::Host => return self.host_cell(cell, key),
            TopGroup::Name => "name",
            TopGroup::User => "user",
            TopGroup::Unit => "unit",
        };
        let mut q = format!("{field} = {}", quoted(key));
        if let Some(host) = &self.query.host {
            q = format!("host = {host} and {q}");
        }
        // A process of a past span is searched for at its end; one of a span that goes on is searched for now.
        let at = self.query.span.to.map(|_| TimeParam::at(self.span.to_us));
        cell.linked(Url::search().with(&SearchQuery { q: FilterText::of(&q), at, ..SearchQuery::default() }))
    }

    fn host_cell(&self, cell: Cell, name: &str) -> Cell {
        match name.parse() {
            Ok(host) => cell.linked(self.of_host(&host)),
            Err(_) => cell,
        }
    }

    /// The same top of one host's programs.
    fn of_host(&self, host: &HostName) -> Url {
        let group = TopGroup::default();
        Url::top().with(&TopQuery { group, host: Some(host.clone()), ..self.query.clone() })
    }
}

fn linked(cell: Cell, process: Option<&Identity>) -> Cell {
    match process {
        Some(process) => cell.linked(Url::of_process(process)),
        None => cell,
    }
}

/// The class of a column: its hue.
fn column(by: TopBy) -> &'static str {
    match by {
        TopBy::Cpu => "cpu",
        TopBy::Memory => "memory",
        TopBy::Peak => "peak",
        TopBy::Read | TopBy::Written => "disk",
    }
}
