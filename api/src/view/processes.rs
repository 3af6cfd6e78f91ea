//! The table of one host's processes, arranged as the query says.

use fleetps_ingestor::filter::{Deadline, Stopped};
use fleetps_nats::{model::ProcessView, snapshot::Process};

use super::{
    Arrangement, Column, ProcessFacts, cells,
    column::TITLES,
    facts::Sums,
    fold,
    query::{DEFAULT_ROWS, ProcessQuery, quoted},
    table::{Cell, Head, Link, Place, Row, Table, Toggle},
    tree,
};
use crate::{
    display,
    live::Moment,
    query::parameter::Count,
    url::{HostTab, Url},
};

/// The name of the table in the page.
pub(crate) const TABLE: &str = "processes";
/// The columns of a fold: those that add up.
const FOLD_COLUMNS: [Column; 7] =
    [Column::Name, Column::Pid, Column::Cpu, Column::Memory, Column::Read, Column::Written, Column::Threads];

/// The smallest CPU use that does not read as 0.
const SMALLEST_PERCENT: f64 = 0.05;
/// What the figures of sums are: tooltips, since a heading has room for no more than a word.
pub(crate) const TITLES_OF_SUMS: &[(&str, &str)] = &[
    ("cpu", "CPU use, with that of children that ended since the sample before"),
    ("memory", "Resident memory; what processes of one host share is counted once"),
];

/// The table, and how many processes match the filter.
#[derive(Debug, Default)]
pub(crate) struct ProcessTable {
    /// The table.
    pub table: Table,
    /// Processes that match.
    pub matching: usize,
}

/// Whether the query's filter lets each of `processes` through; none when the filter cannot be understood.
fn matches(
    processes: &[ProcessView<'_>],
    query: &ProcessQuery,
    deadline: &Deadline,
) -> Result<Vec<bool>, Stopped> {
    match &query.q.filter {
        Ok(filter) => filter.matching(processes, deadline),
        Err(_) => Ok(vec![false; processes.len()]),
    }
}

/// The matching ones of `processes`.
fn matching<'a>(
    processes: &[ProcessView<'a>],
    query: &ProcessQuery,
    deadline: &Deadline,
) -> Result<Vec<ProcessFacts<'a>>, Stopped> {
    let matches = matches(processes, query, deadline)?;
    let matching = processes.iter().zip(matches).filter(|(_, matches)| *matches);
    Ok(matching.map(|(view, _)| view.into()).collect())
}

/// Common parts of a page's cells.
struct Page<'a> {
    host: &'a str,
    query: &'a ProcessQuery,
    memory_scale_bytes: f64,
}

/// The processes of `moment`.
///
/// # Errors
/// When filtering them was not done by `deadline`.
pub(crate) fn table(
    moment: &Moment,
    query: &ProcessQuery,
    deadline: &Deadline,
) -> Result<ProcessTable, Stopped> {
    let processes: Vec<ProcessView<'_>> = moment.pair.processes().collect();
    let greatest = processes.iter().filter_map(|view| view.process.resident_bytes).max();
    let page = Page {
        host: moment.summary.host.as_str(),
        query,
        memory_scale_bytes: cells::memory_scale(greatest.unwrap_or_default() as f64),
    };
    Ok(match query.view {
        Arrangement::Tree => {
            let facts: Vec<ProcessFacts<'_>> = processes.iter().map(Into::into).collect();
            page.tree(&facts, &matches(&processes, query, deadline)?)
        }
        Arrangement::Flat => page.flat(matching(&processes, query, deadline)?),
        _ => page.fold(&matching(&processes, query, deadline)?),
    })
}

/// The processes that match, sorted: what the flat table and JSON list.
///
/// # Errors
/// When filtering them was not done by `deadline`.
pub(crate) fn sorted<'a>(
    moment: &'a Moment,
    query: &ProcessQuery,
    deadline: &Deadline,
) -> Result<Vec<ProcessFacts<'a>>, Stopped> {
    let processes: Vec<ProcessView<'_>> = moment.pair.processes().collect();
    Ok(sort(matching(&processes, query, deadline)?, query))
}

fn sort<'a>(mut processes: Vec<ProcessFacts<'a>>, query: &ProcessQuery) -> Vec<ProcessFacts<'a>> {
    processes.sort_by(|a, b| {
        let by_key =
            a.sort_key(query.order.column).compare(&b.sort_key(query.order.column), query.order.descending);
        by_key.then_with(|| a.process.pid.cmp(&b.process.pid))
    });
    processes
}

impl Page<'_> {
    fn tree(&self, processes: &[ProcessFacts<'_>], matches: &[bool]) -> ProcessTable {
        let arranged = tree::arrange(processes, matches, self.query);
        let rows = arranged.rows.iter().map(|row| self.tree_row(&processes[row.index], row)).collect();
        let shown = arranged.rows.len();
        let table = Table { is_tree: true, ..self.table(rows, shown, shown + arranged.cut_off) };
        ProcessTable { table, matching: arranged.matching }
    }

    fn tree_row(&self, facts: &ProcessFacts<'_>, row: &tree::TreeRow) -> Row {
        let pid = facts.process.pid;
        let toggle = row.expanded.map(|expanded| Toggle {
            expanded,
            href: self.url(&self.query.toggled(pid, !expanded)).at(&row_id(facts.process)),
        });
        let place = Place { level: row.level, set_size: row.set_size, position: row.position, toggle };
        let mut cells = self.cells(facts);
        if let Some(name) = cells.first_mut() {
            name.note = below_note(&row.below);
        }
        Row { id: row_id(facts.process), class: if row.dim { "dim" } else { "" }, place: Some(place), cells }
    }

    fn flat(&self, processes: Vec<ProcessFacts<'_>>) -> ProcessTable {
        let sorted = sort(processes, self.query);
        let row = |facts: &ProcessFacts<'_>| Row {
            id: row_id(facts.process),
            cells: self.cells(facts),
            ..Row::default()
        };
        let rows: Vec<Row> = sorted.iter().take(self.query.rows.get()).map(row).collect();
        let shown = rows.len();
        ProcessTable { table: self.table(rows, shown, sorted.len()), matching: sorted.len() }
    }

    fn fold(&self, processes: &[ProcessFacts<'_>]) -> ProcessTable {
        let groups = fold::groups(processes, self.query);
        let greatest =
            groups.iter().filter_map(|group| group.sums.number(Column::Memory)).fold(0.0, f64::max);
        let page = Self { memory_scale_bytes: cells::memory_scale(greatest), ..*self };
        let rows: Vec<Row> =
            groups.iter().take(self.query.rows.get()).map(|group| page.fold_row(group)).collect();
        let shown = rows.len();
        let mut table = self.table(rows, shown, groups.len());
        table.heads = FOLD_COLUMNS.into_iter().map(|column| self.head(column)).collect();
        let [name, count, ..] = table.heads.as_mut_slice() else { return ProcessTable::default() };
        name.text = self.query.view.label();
        count.text = "Processes";
        table.titles = TITLES_OF_SUMS;
        ProcessTable { table, matching: groups.iter().map(|group| group.sums.processes).sum() }
    }

    fn fold_row(&self, group: &fold::Group<'_>) -> Row {
        let mut name = cells::name("name", Some(group.name));
        if self.query.view == Arrangement::Program {
            let q = format!("name = {}", quoted(group.name));
            let processes = self.query.arranged(Arrangement::Flat).filtered(&q);
            name = name.linked(self.url(&processes));
        }
        let number = |column: Column| match column {
            Column::Name => name.clone(),
            Column::Pid => Cell::new("pid", display::count(group.sums.processes as u64)),
            other => cells::number(other, group.sums.number(other), self.memory_scale_bytes),
        };
        let id = format!(
            "g-{}",
            percent_encoding::utf8_percent_encode(group.name, percent_encoding::NON_ALPHANUMERIC)
        );
        Row { id, cells: FOLD_COLUMNS.map(number).into(), ..Row::default() }
    }

    fn table(&self, rows: Vec<Row>, shown: usize, all: usize) -> Table {
        let heads = self.query.columns.iter().map(|column| self.head(*column)).collect();
        let more = (all > shown).then(|| self.more(shown, all));
        Table { id: TABLE, heads, titles: TITLES, rows, more, ..Table::default() }
    }

    fn more(&self, shown: usize, all: usize) -> Link {
        let left = all - shown;
        let next = if left <= 2 * DEFAULT_ROWS { all } else { shown + DEFAULT_ROWS };
        let query = ProcessQuery { rows: Count::near(round_up(next)), ..self.query.clone() };
        let text =
            format!("Show {} more of {}", display::count((next - shown) as u64), display::count(all as u64));
        Link { href: self.url(&query), text }
    }

    fn head(&self, column: Column) -> Head {
        let sorted = if self.query.order.descending { "descending" } else { "ascending" };
        Head {
            column: column.id(),
            text: column.head(),
            unit: column.unit(),
            href: Some(self.url(&self.query.sorted_by(column))),
            sorted: (self.query.order.column == column).then_some(sorted),
        }
    }

    fn cells(&self, facts: &ProcessFacts<'_>) -> Vec<Cell> {
        let cell = |column: &Column| match *column {
            Column::Name => {
                cells::cell(*column, facts, self.memory_scale_bytes).linked(self.href(facts.process))
            }
            _ => cells::cell(*column, facts, self.memory_scale_bytes),
        };
        self.query.columns.iter().map(cell).collect()
    }

    /// The page of a process.
    fn href(&self, process: &Process) -> Url {
        Url::process(self.host, process.pid, process.started_at_us)
    }

    /// The same page with another query.
    fn url(&self, query: &ProcessQuery) -> Url {
        Url::host(self.host, HostTab::Processes).with(query)
    }
}

/// Names a process in the page: its pid alone would name another one after it was used again.
fn row_id(process: &Process) -> String {
    format!("p{}-{:x}", process.pid, process.start())
}

/// What is below a row of the tree; empty where nothing is.
fn below_note(below: &Sums) -> String {
    let cpu_percent = below.number(Column::Cpu);
    let cpu = display::percent(cpu_percent);
    if below.processes == 0 {
        let is_shown = cpu_percent.is_some_and(|percent| percent >= SMALLEST_PERCENT);
        return if is_shown { format!("ended children · {cpu} %") } else { String::new() };
    }
    let memory = display::size(below.number(Column::Memory));
    format!("{} below · Σ {cpu} % · {memory}", display::count(below.processes as u64))
}

/// Links to more rows stay the same while processes come and go.
fn round_up(rows: usize) -> usize {
    rows.div_ceil(DEFAULT_ROWS) * DEFAULT_ROWS
}
