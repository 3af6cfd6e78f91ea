//! The table of processes that were found on all hosts.

use fleetps_ingestor::history::Found;
use serde::{Deserialize, Serialize};

use super::{
    Column, ProcessFacts, cells,
    query::FilterText,
    table::{Cell, Head, Row, Table},
    travel::host_at,
    when::TimeParam,
};
use crate::{
    query::{
        parameter::{self, Count, is_default},
        parameters,
    },
    url::{HostTab, Url},
};

/// Processes listed by default: ten screens.
const DEFAULT_FOUND: usize = 200;
/// The most processes listed.
const MAX_FOUND: usize = 10_000;

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

/// The query of a search.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchQuery {
    /// The filter.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub q: FilterText,
    /// When; absent for the present.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    pub at: Option<TimeParam>,
    /// The most processes.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub limit: Count<DEFAULT_FOUND, MAX_FOUND>,
}

parameters! {
    SearchQuery {
        q: "The filter over processes, as in java and mem > 2G.",
        at: "The moment: a time with its zone, now, or how long ago; the present without it.",
        limit: "The most processes.",
    }
}

/// The table; `is_past` when hosts should be shown as they were then.
pub fn table(found: &[Found], is_past: bool) -> Table {
    let head = |column: Column| Head {
        column: column.id(),
        text: column.head(),
        unit: column.unit(),
        ..Head::default()
    };
    let host = Head { column: "host", text: "Host", ..Head::default() };
    let greatest = found.iter().filter_map(|found| found.process.resident_bytes).max().unwrap_or_default();
    let scale = cells::memory_scale(greatest as f64);
    let numbered = |(number, found): (usize, &Found)| Row {
        id: format!("f-{number}"),
        cells: row(found, is_past, scale),
        ..Row::default()
    };
    Table {
        id: "found",
        heads: std::iter::once(host).chain(COLUMNS.map(head)).collect(),
        rows: found.iter().enumerate().map(numbered).collect(),
        ..Table::default()
    }
}

/// The derived values of a match.
pub fn facts(found: &Found) -> ProcessFacts<'_> {
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
