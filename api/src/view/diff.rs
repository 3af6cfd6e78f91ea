//! The tables of what changed between two snapshots.

use std::collections::HashMap;

use fleetps_ingestor::history::{Changed, Diff};
use fleetps_nats::{
    model::{derived, rate},
    snapshot::Process,
};

use super::{
    Arrangement, Column, ProcessFacts, cells,
    facts::Sums,
    query::{FilterText, ProcessQuery, quoted},
    table::{Cell, Head, Row, Table},
    travel::TimeQuery,
    when::TimeParam,
};
use crate::{
    display,
    query::{
        order::{Direction, Order, SortColumn},
        parameter::{Value, choice},
    },
    url::{HostTab, Url},
};

/// One kind of change.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    /// The heading.
    pub title: &'static str,
    /// The meaning of the section, and what it leaves out.
    pub meaning: String,
    /// To how many processes.
    pub count: usize,
    /// To which; the first ones.
    pub table: Table,
    /// Whether there are more than the table has.
    pub is_cut: bool,
    /// Whether it is shown on request only.
    pub is_aside: bool,
}

/// A column that the tables can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiffBy {
    /// The program.
    Name,
    /// Its user.
    User,
    /// The age of the process.
    Age,
    /// CPU percent.
    Cpu,
    /// CPU time.
    CpuTime,
    /// Memory.
    Memory,
    /// By how much memory changed.
    Change,
}

/// The columns: their names in URLs are the classes of their heads.
const SORTED: [(DiffBy, &str); 7] = [
    (DiffBy::Name, "name"),
    (DiffBy::User, "user"),
    (DiffBy::Age, "age"),
    (DiffBy::Cpu, "cpu"),
    (DiffBy::CpuTime, "cputime"),
    (DiffBy::Memory, "memory"),
    (DiffBy::Change, "change"),
];

impl DiffBy {
    fn id(self) -> &'static str {
        SORTED.into_iter().find(|(by, _)| *by == self).map_or("", |(_, id)| id)
    }

    fn of_column(column: &str) -> Option<Self> {
        SORTED.into_iter().find(|(_, id)| *id == column).map(|(by, _)| by)
    }

    /// The figure of a process that it is.
    fn column(self) -> Option<Column> {
        match self {
            Self::Cpu => Some(Column::Cpu),
            Self::CpuTime => Some(Column::CpuTime),
            Self::Memory => Some(Column::Memory),
            Self::Name | Self::User | Self::Age | Self::Change => None,
        }
    }

    fn is_text(self) -> bool {
        matches!(self, Self::Name | Self::User)
    }
}

impl Value for DiffBy {
    fn read(given: &str) -> Result<Self, String> {
        choice(SORTED.map(|(by, _)| by), Self::id, given)
    }

    fn written(&self) -> String {
        self.id().to_owned()
    }
}

impl SortColumn for DiffBy {
    const USUAL: Self = Self::Memory;

    fn starts_with_greatest(self) -> bool {
        !self.is_text()
    }
}

/// How the tables are sorted.
pub(crate) struct Sorting<'a> {
    /// The order; without one each table has its own.
    pub by: Option<Order<DiffBy>>,
    /// The page in another order.
    pub sorted_by: &'a dyn Fn(DiffBy, Option<Direction>) -> Url,
}

impl Sorting<'_> {
    /// The head of a column, which leads to the page sorted by it.
    fn head(&self, column: &'static str) -> (Option<Url>, Option<&'static str>) {
        let Some(by) = DiffBy::of_column(column) else { return (None, None) };
        let here = self.by.filter(|order| order.column == by);
        let other = match here {
            Some(order) if order.descending => Some(Direction::Ascending),
            Some(_) => Some(Direction::Descending),
            None => None,
        };
        let sorted = here.map(|order| if order.descending { "descending" } else { "ascending" });
        (Some((self.sorted_by)(by, other)), sorted)
    }

    /// Sorts rows of a table that has the `columns`, by the text or the number that `key` finds; what has none comes last.
    fn sort<T>(&self, rows: &mut [T], columns: &[&str], key: impl Fn(&T, DiffBy) -> (String, Option<f64>)) {
        let Some(order) = self.by.filter(|order| columns.contains(&order.column.id())) else { return };
        let compare = |a: &(String, Option<f64>), b: &(String, Option<f64>)| match (a.1, b.1) {
            (None, None) if order.descending => b.0.cmp(&a.0),
            (None, None) => a.0.cmp(&b.0),
            (Some(a), Some(b)) if order.descending => b.total_cmp(&a),
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        rows.sort_by(|a, b| compare(&key(a, order.column), &key(b, order.column)));
    }
}

/// Common parts of a page's tables.
struct Page<'a> {
    diff: &'a Diff,
    host: &'a str,
    rows: usize,
    memory_scale_bytes: f64,
    sorting: &'a Sorting<'a>,
}

/// A column: its class, its head and its unit.
type Columns<const N: usize> = [(&'static str, &'static str, &'static str); N];

/// The differences, at most `rows` of each kind; links lead to processes of `host`.
pub(crate) fn sections(diff: &Diff, host: &str, rows: usize, sorting: &Sorting<'_>) -> Vec<Section> {
    let changed = diff.resized.iter().chain(&diff.busy).map(|changed| &changed.after);
    let all = diff.started.iter().chain(&diff.gone).chain(changed);
    let greatest = all.filter_map(|process| process.resident_bytes).max().unwrap_or_default();
    let memory_scale_bytes = cells::memory_scale(greatest as f64);
    let page = Page { diff, host, rows, memory_scale_bytes, sorting };
    vec![page.restarted(), page.resized(), page.started(), page.gone(), page.busy()]
}

/// Whether a process is a thread of the kernel: they come and go with its work, and are nobody's doing. On Linux all of them
/// have the parent 2, `kthreadd`, and no memory of their own.
fn is_kernel_thread(process: &Process) -> bool {
    let is_thread = process.parent_pid == Some(2) || (process.pid == 2 && process.name == "kthreadd");
    is_thread && process.resident_bytes.unwrap_or_default() == 0
}

/// "; without 3 kernel threads and 12 workers of pools", or nothing.
fn left_out(parts: &[(usize, &str, &str)]) -> String {
    let named = parts.iter().filter(|(count, ..)| *count > 0).map(|(count, one, several)| {
        format!("{} {}", display::count(*count as u64), if *count == 1 { one } else { several })
    });
    match named.collect::<Vec<_>>().join(" and ") {
        named if named.is_empty() => String::new(),
        named => format!("; without {named}"),
    }
}

const KERNEL_THREADS: (&str, &str) = ("kernel thread", "kernel threads");

/// Processes of one program.
struct Program<'a> {
    first: &'a Process,
    processes: usize,
    sums: Sums,
}

impl Page<'_> {
    fn started(&self) -> Section {
        let columns = [Column::User, Column::Cpu, Column::Memory, Column::Age, Column::Command];
        self.by_program(
            ("Started", "new since then"),
            ("started", columns, &self.diff.started, self.diff.to_us),
        )
    }

    fn gone(&self) -> Section {
        let columns = [Column::User, Column::CpuTime, Column::Memory, Column::Age, Column::Command];
        self.by_program(
            ("Gone", "there at the beginning, not at the end"),
            ("gone", columns, &self.diff.gone, self.diff.from_us),
        )
    }

    /// Processes as they are, those of one program as one line: the greatest programs first.
    fn by_program(
        &self,
        (title, meaning): (&'static str, &str),
        (id, columns, processes, at_us): (&'static str, [Column; 5], &[Process], i64),
    ) -> Section {
        let mut programs: Vec<Program<'_>> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for process in processes.iter().filter(|process| !is_kernel_thread(process)) {
            let sums = Sums::of(&facts(process, at_us));
            let place = *places.entry(&process.name).or_insert(programs.len());
            match programs.get_mut(place) {
                Some(program) => {
                    program.processes += 1;
                    program.sums.add(&sums);
                }
                None => programs.push(Program { first: process, processes: 1, sums }),
            }
        }
        let memory = |program: &Program<'_>| program.sums.number(Column::Memory).unwrap_or_default() as u64;
        programs.sort_by_key(|program| std::cmp::Reverse(memory(program)));
        let names = columns.map(Column::id);
        self.sorting.sort(&mut programs, &[&["name"], names.as_slice()].concat(), |program, by| {
            let first = program.first;
            match by {
                DiffBy::Name => (first.name.clone(), None),
                DiffBy::User => (first.user_name.clone().unwrap_or_default(), None),
                DiffBy::Age => (String::new(), age_s(first, at_us)),
                by => (String::new(), by.column().and_then(|column| program.sums.number(column))),
            }
        });
        let count = programs.iter().map(|program| program.processes).sum();
        let mut heads = vec![("name", "Program", ""), ("procs", "Processes", ""), ("pid", "PID", "")];
        heads.extend(columns.map(|column| (column.id(), column.head(), column.unit())));
        let rows = programs.iter().take(self.rows).map(|program| self.program_row(program, columns, at_us));
        let (one, several) = KERNEL_THREADS;
        Section {
            title,
            meaning: format!("{meaning}{}", left_out(&[(processes.len() - count, one, several)])),
            count,
            is_cut: programs.len() > self.rows,
            table: table(id, (&heads, self.sorting), rows),
            is_aside: false,
        }
    }

    /// A process, or several of one program with their sums and a link to them at that moment.
    fn program_row(&self, program: &Program<'_>, columns: [Column; 5], at_us: i64) -> Vec<Cell> {
        let first = facts(program.first, at_us);
        if program.processes == 1 {
            let pid = cells::cell(Column::Pid, &first, 1.0);
            let mut row = vec![self.name(program.first), Cell::new("procs", "1"), pid];
            row.extend(columns.map(|column| cells::cell(column, &first, self.memory_scale_bytes)));
            return row;
        }
        let then = TimeQuery { at: Some(TimeParam::at(at_us)), ..TimeQuery::default() };
        let q = FilterText::of(&format!("name = {}", quoted(&program.first.name)));
        let query = ProcessQuery { view: Arrangement::Flat, q, when: then, ..ProcessQuery::default() };
        let href = Url::host(self.host, HostTab::Processes).with(&query);
        let processes = Cell::new("procs", display::count(program.processes as u64));
        let name = cells::name("name", Some(&program.first.name)).linked(href);
        let mut row = vec![name, processes, Cell::new("pid", "")];
        row.extend(columns.map(|column| match column {
            Column::Age | Column::User => Cell::new(column.id(), ""),
            Column::Command => cells::cell(column, &first, 1.0),
            _ => cells::number(column, program.sums.number(column), self.memory_scale_bytes),
        }));
        row
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
        let is_kernel = |pair: &&&Changed| is_kernel_thread(&pair.after);
        let is_worker = |pair: &&&Changed| self.diff.workers.contains(&pair.after.key());
        let all: Vec<&Changed> = self.diff.restarted.iter().collect();
        let kernel = all.iter().filter(is_kernel).count();
        let workers = all.iter().filter(|pair| !is_kernel(pair) && is_worker(pair)).count();
        let mut shown: Vec<&Changed> =
            all.iter().filter(|pair| !is_kernel(pair) && !is_worker(pair)).copied().collect();
        self.sort_pairs(&mut shown, &["name", "age"]);
        let (one, several) = KERNEL_THREADS;
        let left_out = left_out(&[(kernel, one, several), (workers, "worker of a pool", "workers of pools")]);
        Section {
            title: "Restarted",
            meaning: format!("the same program and command line, another process{left_out}"),
            count: shown.len(),
            is_cut: shown.len() > self.rows,
            table: table("restarted", (&heads, self.sorting), shown.into_iter().take(self.rows).map(row)),
            is_aside: false,
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
            let before = changed.before.resident_bytes;
            let change = change_bytes(changed);
            vec![
                self.name(&changed.after),
                cells::cell(Column::Pid, &facts, 1.0),
                Cell::new("before", display::size(before.map(|bytes| bytes as f64))),
                cells::cell(Column::Memory, &facts, self.memory_scale_bytes),
                Cell::new("change", change.map_or_else(|| display::MISSING.to_owned(), display::change)),
                cells::cell(Column::Command, &facts, 1.0),
            ]
        };
        let mut shown: Vec<&Changed> = self.diff.resized.iter().collect();
        self.sort_pairs(&mut shown, &["name", "memory", "change"]);
        Section {
            title: "Grown or shrunk",
            meaning: "memory that changed by more than 10 %, or by 64 MiB".to_owned(),
            count: shown.len(),
            is_cut: shown.len() > self.rows,
            is_aside: false,
            table: table("resized", (&heads, self.sorting), shown.into_iter().take(self.rows).map(row)),
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
        let elapsed_ms = (self.diff.to_us - self.diff.from_us) / 1000;
        let row = |changed: &Changed| {
            let facts = facts(&changed.after, self.diff.to_us);
            let spent_ms = cpu_time_spent_ms(changed);
            let mean_percent =
                spent_ms.and_then(|spent_ms| derived::mean_percent_of_core(spent_ms as f64, elapsed_ms));
            vec![
                self.name(&changed.after),
                cells::cell(Column::Pid, &facts, 1.0),
                Cell::new("cputime", display::cpu_time(spent_ms)),
                cells::number(Column::Cpu, mean_percent, 1.0),
                cells::cell(Column::Memory, &facts, self.memory_scale_bytes),
                cells::cell(Column::Command, &facts, 1.0),
            ]
        };
        let mut shown: Vec<&Changed> = self.diff.busy.iter().collect();
        self.sort_pairs(&mut shown, &["name", "cputime", "cpu", "memory"]);
        Section {
            title: "Busy",
            meaning: "CPU time spent in between, and what that is in percent of one core".to_owned(),
            count: shown.len(),
            is_cut: shown.len() > self.rows,
            is_aside: true,
            table: table("busy", (&heads, self.sorting), shown.into_iter().take(self.rows).map(row)),
        }
    }

    /// Sorts processes at both moments, of a table with these columns.
    fn sort_pairs(&self, pairs: &mut [&Changed], columns: &[&str]) {
        self.sorting.sort(pairs, columns, |changed, by| match by {
            DiffBy::Name => (changed.after.name.clone(), None),
            DiffBy::User => (changed.after.user_name.clone().unwrap_or_default(), None),
            DiffBy::Age => (String::new(), age_s(&changed.after, self.diff.to_us)),
            DiffBy::Cpu | DiffBy::CpuTime => {
                (String::new(), cpu_time_spent_ms(changed).map(|spent| spent as f64))
            }
            DiffBy::Memory => (String::new(), changed.after.resident_bytes.map(|bytes| bytes as f64)),
            DiffBy::Change => (String::new(), change_bytes(changed).map(|bytes| bytes as f64)),
        });
    }

    fn name(&self, process: &Process) -> Cell {
        let href = Url::process(self.host, process.pid, process.started_at_us);
        cells::name("name", Some(&process.name)).linked(href)
    }
}

/// CPU time that a process spent between the two snapshots.
pub(crate) fn cpu_time_spent_ms(changed: &Changed) -> Option<u64> {
    rate::growth(changed.before.cpu_time_ms, changed.after.cpu_time_ms)
}

/// By how much the memory of a process changed.
fn change_bytes(changed: &Changed) -> Option<i64> {
    let (before, after) = (changed.before.resident_bytes?, changed.after.resident_bytes?);
    after.checked_signed_diff(before)
}

fn age_s(process: &Process, at_us: i64) -> Option<f64> {
    Some(derived::age_us(at_us, process.started_at_us) as f64 / 1e6)
}

fn facts(process: &Process, at_us: i64) -> ProcessFacts<'_> {
    let age_s = derived::age_us(at_us, process.started_at_us) / 1_000_000;
    ProcessFacts::alone(process, age_s)
}

fn table(
    id: &'static str,
    (heads, sorting): (&[(&'static str, &'static str, &'static str)], &Sorting<'_>),
    rows: impl Iterator<Item = Vec<Cell>>,
) -> Table {
    let head = |&(column, text, unit): &(&'static str, &'static str, &'static str)| {
        let (href, sorted) = sorting.head(column);
        Head { column, text, unit, href, sorted }
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
