//! Trees, honest and hostile.

use std::time::Duration;

use fleetps_ingestor::filter::{Deadline, Fields};
use fleetps_nats::snapshot::Process;

use super::*;
use crate::{
    query::{order::Order, parameter::Count},
    view::Column,
};

/// (pid, parent, start, cpu, name)
type Given = (u32, u32, i64, f32, &'static str);

fn processes(given: &[Given]) -> Vec<Process> {
    let process = |&(pid, parent, started_at_us, cpu, name): &Given| Process {
        pid,
        parent_pid: (parent > 0).then_some(parent),
        started_at_us,
        cpu_percent: Some(cpu),
        resident_bytes: Some(10),
        name: name.to_owned(),
        ..Process::default()
    };
    given.iter().map(process).collect()
}

fn facts(processes: &[Process]) -> Vec<ProcessFacts<'_>> {
    processes.iter().map(|process| ProcessFacts::alone(process, 0)).collect()
}

/// The visible rows as "level:pid", dim ones in brackets.
fn shown(given: &[Given], query: &ProcessQuery) -> String {
    let processes = processes(given);
    let filter = query.q.filter.clone().unwrap();
    let fields = processes.iter().map(|process| Fields::of("", process));
    let matches = filter.matching(fields, &Deadline::after(Duration::from_secs(60))).unwrap();
    let rows = arrange(&facts(&processes), &matches, query).rows;
    let row = |row: &TreeRow| {
        let text = format!("{}:{}", row.level, processes[row.index].pid);
        if row.dim { format!("[{text}]") } else { text }
    };
    rows.iter().map(row).collect::<Vec<_>>().join(" ")
}

const FAMILY: [Given; 5] = [
    (1, 0, 0, 0.0, "init"),
    (2, 1, 1, 1.0, "a"),
    (3, 1, 1, 0.5, "b"),
    (4, 3, 2, 9.0, "c"),
    (5, 2, 2, 2.0, "d"),
];

#[test]
fn siblings_are_sorted_by_their_subtrees_and_stay_below_their_parents() {
    let query = ProcessQuery::default();
    assert_eq!(shown(&FAMILY, &query), "1:1 2:3 3:4 2:2 3:5");
    let by_pid = ProcessQuery { order: Order { column: Column::Pid, descending: false }, ..query };
    assert_eq!(shown(&FAMILY, &by_pid), "1:1 2:2 3:5 2:3 3:4");
}

#[test]
fn a_collapsed_row_knows_the_sums_of_what_it_hides() {
    let processes = processes(&FAMILY);
    let query = ProcessQuery::default().toggled(1, false);
    let rows = arrange(&facts(&processes), &[true; 5], &query).rows;
    assert_eq!(rows.len(), 1);
    let below = rows[0].below;
    assert_eq!(
        (below.processes, below.number(Column::Cpu), below.number(Column::Memory)),
        (4, Some(12.5), Some(40.0))
    );
    assert_eq!(rows[0].expanded, Some(false));
}

#[test]
fn a_filter_keeps_the_ancestors_of_what_matches_dimmed() {
    let query = ProcessQuery::default().filtered("C");
    assert_eq!(shown(&FAMILY, &query), "[1:1] [2:3] 3:4");
    let nothing = ProcessQuery::default().filtered("zzz");
    assert_eq!(shown(&FAMILY, &nothing), "");
}

#[test]
fn circles_younger_parents_and_unknown_parents_make_roots() {
    let query =
        ProcessQuery { order: Order { column: Column::Pid, descending: false }, ..ProcessQuery::default() };
    for (given, expected) in [
        (vec![(1, 1, 0, 0.0, "own parent")], "1:1"),
        (vec![(1, 2, 0, 0.0, "a"), (2, 1, 0, 0.0, "b")], "1:1 2:2"),
        (
            vec![(1, 3, 0, 0.0, "a"), (2, 1, 0, 0.0, "b"), (3, 2, 0, 0.0, "c"), (4, 3, 0, 0.0, "d")],
            "1:1 2:2 3:3 4:4",
        ),
        (vec![(5, 9, 0, 0.0, "parent is gone")], "1:5"),
        (vec![(1, 0, 7, 0.0, "the pid was used again"), (2, 1, 3, 0.0, "older")], "1:1 1:2"),
    ] {
        assert_eq!(shown(&given, &query), expected);
    }
}

#[test]
fn rows_beyond_the_budget_are_counted() {
    let query = ProcessQuery { rows: Count::near(2), ..ProcessQuery::default() };
    let processes = processes(&FAMILY);
    let rows = arrange(&facts(&processes), &[true; 5], &query);
    assert_eq!((rows.rows.len(), rows.cut_off), (2, 3));
}

#[test]
fn deep_rows_crowds_and_kernel_threads_start_collapsed() {
    let chain: Vec<Given> = (1..=20_000).map(|pid| (pid, pid - 1, i64::from(pid), 0.0, "link")).collect();
    assert_eq!(shown(&chain, &ProcessQuery::default()).split(' ').count(), DEEP_LEVEL);
    let mut crowd: Vec<Given> = vec![(1, 0, 0, 0.0, "init"), (2, 1, 0, 0.0, "master")];
    crowd.extend((3..=203).map(|pid| (pid, 2, 1, 0.0, "worker")));
    assert_eq!(shown(&crowd, &ProcessQuery::default()), "1:1 2:2");
    assert_eq!(shown(&crowd, &ProcessQuery::default().toggled(2, true)).split(' ').count(), 203);

    let mut kernel = processes(&[(2, 0, 0, 0.0, "kthreadd"), (3, 2, 0, 0.0, "kworker")]);
    kernel.iter_mut().for_each(|process| process.resident_bytes = Some(0));
    assert_eq!(arrange(&facts(&kernel), &[true; 2], &ProcessQuery::default()).rows.len(), 1);
}

#[test]
fn what_is_below_a_row_includes_its_ended_children_and_counts_shared_memory_once() {
    let mut processes = processes(&FAMILY);
    processes.iter_mut().for_each(|process| process.shared_bytes = Some(8));
    let mut facts = facts(&processes);
    facts[0].ended_children_percent = Some(100.0);
    facts[3].ended_children_percent = Some(20.0);
    let rows = arrange(&facts, &[true; 5], &ProcessQuery::default()).rows;
    let below = |pid: u32| rows.iter().find(|row| processes[row.index].pid == pid).unwrap().below;
    assert_eq!(below(1).number(Column::Cpu), Some(132.5), "12.5 of processes, 120 of their ended children");
    assert_eq!(below(1).number(Column::Memory), Some(16.0), "2 of each of four, and 8 that all share");
    assert_eq!((below(4).processes, below(4).number(Column::Cpu)), (0, Some(20.0)));
    // The one whose children used more comes first.
    assert_eq!(rows.iter().map(|row| processes[row.index].pid).collect::<Vec<_>>(), [1, 3, 4, 2, 5]);
}
