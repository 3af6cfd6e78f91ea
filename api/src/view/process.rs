//! One process among others: its ancestry, its relatives, its earlier lives and its likes elsewhere.

use std::collections::HashMap;

use fleetps_ingestor::history::ProcessLife;
use fleetps_nats::{model::derived, snapshot::Process};

use super::{
    Column, ProcessFacts, cells,
    column::TITLES,
    table::{Cell, Head, Link, Row, Table},
    travel::host_at,
};
use crate::{
    display,
    url::{HostTab, Url},
};

/// Processes in a table of relatives; who needs all of them looks at the host's page.
pub(crate) const MAX_RELATIVES: usize = 20;
/// An ancestry is followed no further: real ones are shorter, and a broken host may say that two are each other's parent.
const MAX_ANCESTORS: usize = 64;
/// The columns of relatives behind their name.
const RELATIVE_COLUMNS: [Column; 6] =
    [Column::Pid, Column::User, Column::Cpu, Column::Memory, Column::Age, Column::Command];

/// The ancestors of a process in its snapshot, the eldest first.
pub(crate) fn ancestors<'a>(processes: &'a [Process], process: &Process) -> Vec<&'a Process> {
    let by_pid: HashMap<u32, &Process> = processes.iter().map(|process| (process.pid, process)).collect();
    let mut ancestors: Vec<&Process> = Vec::new();
    let mut parent_pid = process.parent_pid;
    while let Some(parent) = parent_pid.and_then(|pid| by_pid.get(&pid)) {
        if parent.pid == process.pid || ancestors.len() == MAX_ANCESTORS {
            break;
        }
        parent_pid = parent.parent_pid;
        ancestors.push(parent);
    }
    ancestors.reverse();
    ancestors
}

/// Processes with the same parent, the busiest first.
pub(crate) fn siblings<'a>(processes: &'a [Process], process: &Process) -> Vec<&'a Process> {
    let is_sibling = |other: &&Process| {
        other.parent_pid == process.parent_pid && other.pid != process.pid && other.parent_pid.is_some()
    };
    busiest_first(processes.iter().filter(is_sibling).collect())
}

/// Processes that it is the parent of, the busiest first.
pub(crate) fn children<'a>(processes: &'a [Process], process: &Process) -> Vec<&'a Process> {
    let is_child = |other: &&Process| other.parent_pid == Some(process.pid) && other.pid != process.pid;
    busiest_first(processes.iter().filter(is_child).collect())
}

fn busiest_first(mut processes: Vec<&Process>) -> Vec<&Process> {
    let cpu_percent = |process: &Process| process.cpu_percent.unwrap_or(-1.0);
    processes.sort_by(|a, b| cpu_percent(b).total_cmp(&cpu_percent(a)).then(a.pid.cmp(&b.pid)));
    processes
}

/// Its ancestry on `host`, as links.
pub(crate) fn ancestry(ancestors: &[&Process], host: &str) -> Vec<Link> {
    let link = |process: &&Process| Link {
        href: Url::process(host, process.pid, process.started_at_us),
        text: format!("{} {}", cells::name("", Some(&process.name)).text, process.pid),
    };
    ancestors.iter().map(link).collect()
}

/// The first relatives, in a table called `id`, as they were at `at_us`.
pub(crate) fn relatives(id: &'static str, relatives: &[&Process], host: &str, at_us: i64) -> Table {
    let head = |column: Column| Head {
        column: column.id(),
        text: column.head(),
        unit: column.unit(),
        ..Head::default()
    };
    let greatest = relatives.iter().filter_map(|process| process.resident_bytes).max().unwrap_or_default();
    let scale = cells::memory_scale(greatest as f64);
    let row = |(number, process): (usize, &&Process)| {
        let age_s = derived::age_us(at_us, process.started_at_us) / 1_000_000;
        let facts = ProcessFacts::alone(process, age_s);
        let href = Url::process(host, process.pid, process.started_at_us);
        let mut row = vec![cells::name("name", Some(&process.name)).linked(href)];
        row.extend(RELATIVE_COLUMNS.map(|column| cells::cell(column, &facts, scale)));
        Row { id: format!("{id}-{number}"), cells: row, ..Row::default() }
    };
    let name = Head { column: "name", text: "Process", ..Head::default() };
    Table {
        id,
        heads: std::iter::once(name).chain(RELATIVE_COLUMNS.map(head)).collect(),
        titles: TITLES,
        rows: relatives.iter().take(MAX_RELATIVES).enumerate().map(row).collect(),
        ..Table::default()
    }
}

/// Lives of the same program in a table called `id`; with their host where they are elsewhere.
pub(crate) fn lives(id: &'static str, lives: &[ProcessLife], with_host: bool) -> Table {
    let heads = [
        ("host", "Host"),
        ("pid", "PID"),
        ("when", "Started"),
        ("when", "Last seen"),
        ("age", "Ran for"),
        ("status", "State"),
        ("user", "User"),
        ("command", "Command"),
    ];
    let is_shown = |column: &str| with_host || column != "host";
    let head = |(column, text)| Head { column, text, ..Head::default() };
    let row = |(number, life): (usize, &ProcessLife)| {
        let cells = life_cells(life).into_iter().filter(|cell| is_shown(cell.column)).collect();
        Row { id: format!("{id}-{number}"), cells, ..Row::default() }
    };
    Table {
        id,
        heads: heads.into_iter().filter(|(column, _)| is_shown(column)).map(head).collect(),
        rows: lives.iter().enumerate().map(row).collect(),
        ..Table::default()
    }
}

fn life_cells(life: &ProcessLife) -> [Cell; 8] {
    let host = life.identity.host.as_str();
    let started_at_us = life.identity.started_at_us;
    let lived_s = derived::age_us(life.last_seen_us, started_at_us) / 1_000_000;
    let state = if life.has_exited {
        Cell::new("status", "exited")
    } else {
        Cell::new("status", "running").shaded("up")
    };
    [
        Cell::new("host", host).linked(Url::host(host, HostTab::Processes)),
        Cell::new("pid", life.identity.pid.to_string()).linked(Url::of_process(&life.identity)),
        Cell::moment("when", started_at_us).linked(Url::of_process(&life.identity)),
        Cell::moment("when", life.last_seen_us).linked(host_at(host, life.last_seen_us)),
        Cell::new("age", display::duration(lived_s)),
        state,
        cells::name("user", life.process.user_name.as_deref()),
        cells::path("command", life.process.command_line.as_deref()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, parent_pid: Option<u32>, cpu_percent: f32) -> Process {
        Process { pid, parent_pid, cpu_percent: Some(cpu_percent), ..Process::default() }
    }

    fn pids(processes: &[&Process]) -> Vec<u32> {
        processes.iter().map(|process| process.pid).collect()
    }

    #[test]
    fn relatives_are_found_in_the_snapshot_and_the_busiest_come_first() {
        let processes = [
            process(1, None, 0.0),
            process(5, Some(1), 1.0),
            process(7, Some(5), 0.0),
            process(8, Some(5), 9.0),
            process(9, Some(5), 2.0),
        ];
        let me = &processes[2];
        assert_eq!(pids(&ancestors(&processes, me)), [1, 5]);
        assert_eq!(pids(&siblings(&processes, me)), [8, 9]);
        assert_eq!(pids(&children(&processes, &processes[1])), [8, 9, 7]);
        assert!(siblings(&processes, &processes[0]).is_empty(), "roots are no siblings");
    }

    #[test]
    fn processes_that_are_each_others_parents_are_not_followed_for_ever() {
        let processes = [
            process(1, Some(2), 0.0),
            process(2, Some(1), 0.0),
            process(3, Some(3), 0.0),
            process(4, Some(1), 0.0),
        ];
        assert_eq!(pids(&ancestors(&processes, &processes[0])), [2]);
        assert!(ancestors(&processes, &processes[2]).is_empty());
        assert_eq!(ancestors(&processes, &processes[3]).len(), MAX_ANCESTORS);
    }
}
