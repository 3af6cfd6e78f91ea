//! The table of what grew in memory: groups of processes at two moments.

use std::{cmp::Reverse, collections::HashMap};

use fleetps_ingestor::history::{MemoryRow, TopGroup};
use fleetps_nats::HostName;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    cells,
    query::{FilterText, quoted},
    search::SearchQuery,
    table::{Cell, Head, Row, Table},
    top::{MAX_LINES, TopQuery},
    when::{SpanQuery, TimeParam},
};
use crate::{
    display,
    query::{
        order::{Order, SortColumn},
        parameter::{self, Count, Value, choice, is_default, words},
        parameters,
    },
    url::{HostTab, Url},
};

/// A group at both moments; nothing of what there was at one of them only.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grown {
    /// The group; absent for what has none.
    pub key: Option<String>,
    /// Its hosts and processes at the later moment.
    pub counts: (u64, u64),
    /// Its memory at the earlier moment.
    pub before_bytes: f64,
    /// The same at the later one.
    pub after_bytes: f64,
}

impl Grown {
    /// By how much it grew; negative where it shrank. To the byte, so that it can be sorted by.
    pub(crate) fn change_bytes(&self) -> i64 {
        (self.after_bytes - self.before_bytes) as i64
    }
}

/// What changed between two moments, what grew most first.
pub(crate) fn grown(before: Vec<MemoryRow>, after: Vec<MemoryRow>) -> Vec<Grown> {
    let mut earlier: HashMap<Option<String>, f64> =
        before.into_iter().map(|row| (row.key, row.memory_bytes)).collect();
    let mut all: Vec<Grown> = after
        .into_iter()
        .map(|row| Grown {
            before_bytes: earlier.remove(&row.key).unwrap_or_default(),
            after_bytes: row.memory_bytes,
            counts: (row.hosts, row.processes),
            key: row.key,
        })
        .collect();
    let gone = |(key, before_bytes)| Grown { key, counts: (0, 0), before_bytes, after_bytes: 0.0 };
    all.extend(earlier.into_iter().map(gone));
    all.retain(|grown| grown.change_bytes() != 0);
    all.sort_by(|a, b| (Reverse(a.change_bytes()), &a.key).cmp(&(Reverse(b.change_bytes()), &b.key)));
    all
}

/// Lines by default: two screens.
const DEFAULT_LINES: usize = 50;

/// The query of what grew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct GrowthQuery {
    /// How processes are grouped.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub group: TopGroup,
    /// Only this host.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// The order.
    #[serde(flatten)]
    pub order: Order<GrowthBy>,
    /// The most lines.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub limit: Count<DEFAULT_LINES, MAX_LINES>,
    /// Between the ends of which time.
    #[serde(flatten)]
    pub span: SpanQuery,
}

parameters! {
    GrowthQuery {
        group: "What a line adds up; processes are put together by program.",
        host: "Only this host.",
        limit: "The most lines.",
        ..order,
        ..span,
    }
}

impl GrowthQuery {
    /// What a page of the top with this query asks, in this order.
    pub(crate) fn of(top: &TopQuery, order: Order<GrowthBy>) -> Self {
        let TopQuery { group, host, limit, span, .. } = top.clone();
        Self { group, host, order, limit: Count::near(limit.get()), span }.put_together()
    }

    /// The same for groups of processes: one by itself is on the page of its host.
    pub(crate) fn put_together(self) -> Self {
        let group = if self.group == TopGroup::Process { TopGroup::Name } else { self.group };
        Self { group, ..self }
    }
}

impl Grown {
    /// What it is sorted by.
    fn number(&self, by: GrowthBy) -> f64 {
        let (hosts, processes) = self.counts;
        match by {
            GrowthBy::Name => 0.0,
            GrowthBy::Hosts => hosts as f64,
            GrowthBy::Processes => processes as f64,
            GrowthBy::Before => self.before_bytes,
            GrowthBy::Memory => self.after_bytes,
            GrowthBy::Change => self.change_bytes() as f64,
        }
    }
}

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GrowthBy {
    /// The group.
    Name,
    /// Its hosts.
    Hosts,
    /// Its processes.
    Processes,
    /// Its memory at the earlier moment.
    Before,
    /// Its memory at the later one.
    Memory,
    /// By how much it grew.
    Change,
}

/// The columns: name in URLs, class, head and unit.
const COLUMNS: [(GrowthBy, &str, &str, &str, &str); 6] = [
    (GrowthBy::Name, "name", "name", "", ""),
    (GrowthBy::Hosts, "hosts", "count", "Hosts", ""),
    (GrowthBy::Processes, "processes", "procs", "Processes", ""),
    (GrowthBy::Before, "before", "before", "Before", "B"),
    (GrowthBy::Memory, "memory", "memory", "Memory", "B"),
    (GrowthBy::Change, "change", "change", "Change", "B"),
];

impl GrowthBy {
    fn id(self) -> &'static str {
        COLUMNS.into_iter().find(|(by, ..)| *by == self).map_or("", |(_, id, ..)| id)
    }
}

impl Value for GrowthBy {
    fn read(given: &str) -> Result<Self, String> {
        choice(COLUMNS.map(|(by, ..)| by), Self::id, given)
    }

    fn written(&self) -> String {
        self.id().to_owned()
    }

    fn schema() -> Json {
        words(COLUMNS.map(|(_, id, ..)| id))
    }
}

impl SortColumn for GrowthBy {
    const USUAL: Self = Self::Change;

    fn starts_with_greatest(self) -> bool {
        self != Self::Name
    }
}

/// Sorts what changed; of equals, what grew most stays first.
pub(crate) fn sort(all: &mut [Grown], order: Order<GrowthBy>) {
    all.sort_by(|a, b| {
        let numbers = a.number(order.column).total_cmp(&b.number(order.column));
        let ordering = if order.column == GrowthBy::Name { a.key.cmp(&b.key) } else { numbers };
        if order.descending { ordering.reverse() } else { ordering }
    });
}

/// The table; `at_us` is the later moment, where the links lead, and absent for the present. `sorted_by` is the page in another
/// order.
pub(crate) fn table(
    grown: &[Grown],
    group: TopGroup,
    at_us: Option<i64>,
    (order, sorted_by): (Order<GrowthBy>, impl Fn(Order<GrowthBy>) -> Url),
) -> Table {
    let (text, field) = match group {
        TopGroup::Process | TopGroup::Name => ("Program", "name"),
        TopGroup::User => ("User", "user"),
        TopGroup::Unit => ("Unit", "unit"),
        TopGroup::Host => ("Host", "host"),
    };
    let head =
        |(by, _, column, head, unit): (GrowthBy, &str, &'static str, &'static str, &'static str)| Head {
            column,
            text: if by == GrowthBy::Name { text } else { head },
            unit,
            href: Some(sorted_by(order.sorted_by(by))),
            sorted: (order.column == by).then_some(if order.descending { "descending" } else { "ascending" }),
        };
    let most = grown.iter().map(|grown| grown.after_bytes).fold(1.0, f64::max);
    let row = |(number, grown): (usize, &Grown)| {
        let name = cells::name("name", grown.key.as_deref());
        let name = match &grown.key {
            Some(key) => name.linked(processes(field, key, at_us)),
            None => name,
        };
        let (hosts, processes) = grown.counts;
        let cells = vec![
            name,
            Cell::new("count", display::count(hosts)),
            Cell::new("procs", display::count(processes)),
            Cell::new("before", display::size(Some(grown.before_bytes))),
            Cell::new("memory", display::size(Some(grown.after_bytes)))
                .shaded(display::shade(grown.after_bytes / most)),
            Cell::new("change", display::change(grown.change_bytes())),
        ];
        Row { id: format!("m-{number}"), cells, ..Row::default() }
    };
    Table {
        id: "grown",
        heads: COLUMNS.map(head).into(),
        rows: grown.iter().enumerate().map(row).collect(),
        ..Table::default()
    }
}

fn processes(field: &str, key: &str, at_us: Option<i64>) -> Url {
    if field == "host" && at_us.is_none() {
        return Url::host(key, HostTab::Processes);
    }
    let q = FilterText::of(&format!("{field} = {}", quoted(key)));
    Url::search().with(&SearchQuery { q, at: at_us.map(TimeParam::at), ..SearchQuery::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, memory_bytes: f64) -> MemoryRow {
        MemoryRow { key: Some(key.to_owned()), hosts: 2, processes: 3, memory_bytes }
    }

    #[test]
    fn what_grew_most_comes_first_and_what_is_gone_or_new_counts_whole() {
        const MIB: f64 = 1_048_576.0;
        let before = vec![row("leak", 11_000.0 * MIB), row("steady", MIB), row("gone", 3.0 * MIB)];
        let after = vec![row("steady", MIB), row("new", 2.0 * MIB), row("leak", 11_355.0 * MIB)];
        let grown = grown(before, after);
        let change = |grown: &Grown| display::change(grown.change_bytes());
        let changes: Vec<_> =
            grown.iter().map(|grown| (grown.key.as_deref().unwrap(), change(grown))).collect();
        let expected = [("leak", "+355 M"), ("new", "+2.00 M"), ("gone", "−3.00 M")];
        assert_eq!(changes, expected.map(|(key, change)| (key, change.to_owned())));
    }

    #[test]
    fn each_column_is_an_order_and_the_usual_one_is_what_grew_most() {
        let grown = |key: &str, before_bytes, after_bytes, counts| Grown {
            key: Some(key.to_owned()),
            counts,
            before_bytes,
            after_bytes,
        };
        let all = [grown("b", 1.0, 9.0, (1, 5)), grown("a", 8.0, 2.0, (3, 3)), grown("c", 5.0, 6.0, (2, 7))];
        for (column, expected) in [
            (GrowthBy::Change, "bca"),
            (GrowthBy::Name, "abc"),
            (GrowthBy::Hosts, "acb"),
            (GrowthBy::Processes, "cba"),
            (GrowthBy::Before, "acb"),
            (GrowthBy::Memory, "bca"),
        ] {
            let mut sorted = all.to_vec();
            sort(&mut sorted, Order::by(column, None));
            let keys: String = sorted.iter().filter_map(|grown| grown.key.clone()).collect();
            assert_eq!(keys, expected, "{column:?}");
        }
    }
}
