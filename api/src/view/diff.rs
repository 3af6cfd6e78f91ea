//! The tables of what changed between two snapshots.

use fleetps_ingestor::history::{Changed, Diff};
use fleetps_nats::{
    model::{derived, rate},
    snapshot::Process,
};

use super::{
    Column, ProcessFacts, cells,
    table::{Cell, Head, Row, Table},
};
use crate::{display, url::Url};

/// One kind of change.
#[derive(Debug, Clone)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// The meaning of the section.
    pub meaning: &'static str,
    /// To how many.
    pub count: usize,
    /// To which; the first ones.
    pub table: Table,
}

/// Common parts of a page's tables.
struct Page<'a> {
    diff: &'a Diff,
    host: &'a str,
    rows: usize,
    memory_scale_bytes: f64,
}

/// A column: its class, its head and its unit.
type Columns<const N: usize> = [(&'static str, &'static str, &'static str); N];

/// The differences, at most `rows` of each kind; links lead to processes of `host`.
pub fn sections(diff: &Diff, host: &str, rows: usize) -> Vec<Section> {
    let changed = diff.resized.iter().chain(&diff.busy).map(|changed| &changed.after);
    let all = diff.started.iter().chain(&diff.gone).chain(changed);
    let greatest = all.filter_map(|process| process.resident_bytes).max().unwrap_or_default();
    let page = Page { diff, host, rows, memory_scale_bytes: cells::memory_scale(greatest as f64) };
    vec![page.restarted(), page.started(), page.gone(), page.resized(), page.busy()]
}

impl Page<'_> {
    fn started(&self) -> Section {
        let columns = [Column::Pid, Column::User, Column::Cpu, Column::Memory, Column::Age, Column::Command];
        Section {
            title: "Started",
            meaning: "there at the end, not at the beginning",
            count: self.diff.started.len(),
            table: self.plain("started", columns, &self.diff.started, self.diff.to_us),
        }
    }

    fn gone(&self) -> Section {
        let columns =
            [Column::Pid, Column::User, Column::CpuTime, Column::Memory, Column::Age, Column::Command];
        Section {
            title: "Gone",
            meaning: "there at the beginning, not at the end",
            count: self.diff.gone.len(),
            table: self.plain("gone", columns, &self.diff.gone, self.diff.from_us),
        }
    }

    /// A table of processes as they are.
    fn plain(&self, id: &'static str, columns: [Column; 6], processes: &[Process], at_us: i64) -> Table {
        let mut heads = vec![("name", "Process", "")];
        heads.extend(columns.map(|column| (column.id(), column.head(), column.unit())));
        let row = |process: &Process| {
            let facts = facts(process, at_us);
            let mut row = vec![self.name(process)];
            row.extend(columns.map(|column| cells::cell(column, &facts, self.memory_scale_bytes)));
            row
        };
        table(id, &heads, processes.iter().take(self.rows).map(row))
    }

    fn restarted(&self) -> Section {
        let heads: Columns<5> = [
            ("name", "Process", ""),
            ("pid", "PID", ""),
            ("before", "Before", "PID"),
            ("age", "Age", ""),
            ("command", "Command", ""),
        ];
        let row = |changed: &Changed| {
            let facts = facts(&changed.after, self.diff.to_us);
            let before = &changed.before;
            let href = Url::process(self.host, before.pid, before.started_at_us);
            vec![
                self.name(&changed.after),
                cells::cell(Column::Pid, &facts, 1.0),
                Cell::new("before", before.pid.to_string()).linked(href),
                cells::cell(Column::Age, &facts, 1.0),
                cells::cell(Column::Command, &facts, 1.0),
            ]
        };
        Section {
            title: "Restarted",
            meaning: "the same program and command line, another process",
            count: self.diff.restarted.len(),
            table: table("restarted", &heads, self.diff.restarted.iter().take(self.rows).map(row)),
        }
    }

    fn resized(&self) -> Section {
        let heads: Columns<6> = [
            ("name", "Process", ""),
            ("pid", "PID", ""),
            ("before", "Before", "B"),
            ("memory", "Memory", "B"),
            ("change", "Change", "B"),
            ("command", "Command", ""),
        ];
        let row = |changed: &Changed| {
            let facts = facts(&changed.after, self.diff.to_us);
            let (before, after) = (changed.before.resident_bytes, changed.after.resident_bytes);
            let change = before.zip(after).map_or_else(|| display::MISSING.to_owned(), difference);
            vec![
                self.name(&changed.after),
                cells::cell(Column::Pid, &facts, 1.0),
                Cell::new("before", display::size(before.map(|bytes| bytes as f64))),
                cells::cell(Column::Memory, &facts, self.memory_scale_bytes),
                Cell::new("change", change),
                cells::cell(Column::Command, &facts, 1.0),
            ]
        };
        Section {
            title: "Grown or shrunk",
            meaning: "a resident set that is another by a tenth and a mebibyte or more",
            count: self.diff.resized.len(),
            table: table("resized", &heads, self.diff.resized.iter().take(self.rows).map(row)),
        }
    }

    fn busy(&self) -> Section {
        let heads: Columns<6> = [
            ("name", "Process", ""),
            ("pid", "PID", ""),
            ("cputime", "CPU time", ""),
            ("cpu", "CPU", "%"),
            ("memory", "Memory", "B"),
            ("command", "Command", ""),
        ];
        let elapsed_ms = ((self.diff.to_us - self.diff.from_us) as f64 / 1000.0).max(1.0);
        let row = |changed: &Changed| {
            let facts = facts(&changed.after, self.diff.to_us);
            let spent_ms = cpu_time_spent_ms(changed);
            let mean_percent = spent_ms.map(|spent_ms| spent_ms as f64 * 100.0 / elapsed_ms);
            vec![
                self.name(&changed.after),
                cells::cell(Column::Pid, &facts, 1.0),
                Cell::new("cputime", display::cpu_time(spent_ms)),
                cells::number(Column::Cpu, mean_percent, 1.0),
                cells::cell(Column::Memory, &facts, self.memory_scale_bytes),
                cells::cell(Column::Command, &facts, 1.0),
            ]
        };
        Section {
            title: "Busy",
            meaning: "CPU time spent in between, and what that is in percent of one core",
            count: self.diff.busy.len(),
            table: table("busy", &heads, self.diff.busy.iter().take(self.rows).map(row)),
        }
    }

    fn name(&self, process: &Process) -> Cell {
        let href = Url::process(self.host, process.pid, process.started_at_us);
        cells::name("name", Some(&process.name)).linked(href)
    }
}

/// CPU time that a process spent between the two snapshots.
pub fn cpu_time_spent_ms(changed: &Changed) -> Option<u64> {
    rate::growth(changed.before.cpu_time_ms, changed.after.cpu_time_ms)
}

/// "+12.0 M" or "−3.4 M", with a minus as long as a plus.
fn difference((before, after): (u64, u64)) -> String {
    let sign = if after >= before { "+" } else { "−" };
    format!("{sign}{}", display::size(Some(after.abs_diff(before) as f64)))
}

fn facts(process: &Process, at_us: i64) -> ProcessFacts<'_> {
    let age_s = derived::age_us(at_us, process.started_at_us) / 1_000_000;
    ProcessFacts::alone(process, age_s)
}

fn table(
    id: &'static str,
    heads: &[(&'static str, &'static str, &'static str)],
    rows: impl Iterator<Item = Vec<Cell>>,
) -> Table {
    let head = |(column, text, unit): &(&'static str, &'static str, &'static str)| Head {
        column,
        text,
        unit,
        ..Head::default()
    };
    let row =
        |(number, cells): (usize, Vec<Cell>)| Row { id: format!("{id}-{number}"), cells, ..Row::default() };
    Table {
        id,
        heads: heads.iter().map(head).collect(),
        rows: rows.enumerate().map(row).collect(),
        ..Table::default()
    }
}
