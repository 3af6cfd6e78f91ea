//! The table of what grew in memory: groups of processes at two moments.

use std::{cmp::Reverse, collections::HashMap};

use fleetps_ingestor::history::{MemoryRow, TopGroup};

use super::{
    cells,
    query::{FilterText, quoted},
    search::SearchQuery,
    table::{Cell, Head, Row, Table},
    when::TimeParam,
};
use crate::{
    display,
    url::{HostTab, Url},
};

/// A group at both moments; nothing of what there was at one of them only.
#[derive(Debug, Clone, PartialEq)]
pub struct Grown {
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
    fn change_bytes(&self) -> i64 {
        (self.after_bytes - self.before_bytes) as i64
    }
}

/// What changed between two moments, what grew most first.
pub fn grown(before: Vec<MemoryRow>, after: Vec<MemoryRow>) -> Vec<Grown> {
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

/// The table; `at_us` is the later moment, where the links lead, and absent for the present.
pub fn table(grown: &[Grown], group: TopGroup, at_us: Option<i64>) -> Table {
    let (text, field) = match group {
        TopGroup::Process | TopGroup::Name => ("Program", "name"),
        TopGroup::User => ("User", "user"),
        TopGroup::Unit => ("Unit", "unit"),
        TopGroup::Host => ("Host", "host"),
    };
    let columns = [
        ("name", text, ""),
        ("count", "Hosts", ""),
        ("procs", "Processes", ""),
        ("before", "Before", "B"),
        ("memory", "Memory", "B"),
        ("change", "Change", "B"),
    ];
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
        heads: columns.map(|(column, text, unit)| Head { column, text, unit, ..Head::default() }).into(),
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
}
