//! Derivation from one pass to the next, on literals.

use std::collections::HashMap;

use super::*;
use crate::sample::raw::Facts;

/// A source that answers from literals and counts the calls.
#[derive(Default)]
struct Told {
    processes: Vec<Process>,
    facts: HashMap<u32, Facts>,
    facts_asked: u32,
    storage_asked: u32,
}

impl ProcessSource for Told {
    fn read(&mut self, into: &mut Vec<Process>) {
        into.clone_from(&self.processes);
    }

    fn facts(&mut self, pid: u32) -> Facts {
        self.facts_asked += 1;
        self.facts.get(&pid).cloned().unwrap_or_default()
    }

    fn storage(&mut self, _pid: u32) -> Option<StorageBytes> {
        self.storage_asked += 1;
        Some(StorageBytes { read: 1, written: 2 })
    }
}

fn process(pid: u32, started_at_us: i64, cpu_time_ms: u64) -> Process {
    Process {
        pid,
        started_at_us,
        name: "sh".to_owned(),
        state: 'S',
        cpu_time_ms: Some(cpu_time_ms),
        ..Process::default()
    }
}

fn pass(table: &mut Table, source: &mut Told, at_s: u64) -> Vec<Process> {
    let at = PassTime { monotonic: Duration::from_secs(at_s), clock_us: at_s as i64 * 1_000_000 };
    table.pass(source, at, CommandLineMode::Scrubbed, &|id| (id == "0").then(|| "root".to_owned()))
}

#[test]
fn cpu_is_the_share_of_the_time_between_two_passes() {
    let (mut table, mut source) = (Table::default(), Told::default());
    source.processes = vec![process(1, 0, 5000)];
    assert_eq!(pass(&mut table, &mut source, 100)[0].cpu_percent, None);
    source.processes = vec![process(1, 0, 6000)];
    assert_eq!(pass(&mut table, &mut source, 110)[0].cpu_percent, Some(10.0));
    // Two busy threads use more than one core.
    source.processes = vec![process(1, 0, 26_000)];
    assert_eq!(pass(&mut table, &mut source, 120)[0].cpu_percent, Some(200.0));
    assert_eq!(pass(&mut table, &mut source, 130)[0].cpu_percent, Some(0.0));
    // A counter that went back (some kernels' rounding) is no use at all.
    source.processes = vec![process(1, 0, 25_990)];
    assert_eq!(pass(&mut table, &mut source, 140)[0].cpu_percent, Some(0.0));
}

#[test]
fn a_process_that_started_since_counts_from_nothing_and_an_old_one_seen_first_has_no_figure() {
    let (mut table, mut source) = (Table::default(), Told::default());
    pass(&mut table, &mut source, 100);
    source.processes = vec![process(1, 105_000_000, 4000), process(2, 50_000_000, 4000)];
    let rows = pass(&mut table, &mut source, 110);
    assert_eq!(rows[0].cpu_percent, Some(40.0));
    assert_eq!(rows[1].cpu_percent, None);
}

#[test]
fn the_same_pid_with_another_start_is_another_process() {
    let (mut table, mut source) = (Table::default(), Told::default());
    let facts = |name: &str| Facts { arguments: vec![name.to_owned()], ..Facts::default() };
    source.processes = vec![process(7, 1_000_000, 90_000)];
    source.facts.insert(7, facts("old"));
    pass(&mut table, &mut source, 100);
    source.processes = vec![process(7, 104_000_000, 500)];
    source.facts.insert(7, facts("new"));
    let rows = pass(&mut table, &mut source, 110);
    assert_eq!(rows[0].command_line.as_deref(), Some("new"));
    assert_eq!(rows[0].cpu_percent, Some(5.0));
}

#[test]
fn facts_are_read_once_then_on_exec_and_once_a_minute() {
    let (mut table, mut source) = (Table::default(), Told::default());
    source.facts.insert(60, Facts { user_id: Some("0".to_owned()), ..Facts::default() });
    source.processes = vec![process(60, 0, 0)];
    for at_s in [100, 110, 120, 130, 140, 150] {
        assert_eq!(pass(&mut table, &mut source, at_s)[0].user_name.as_deref(), Some("root"));
    }
    assert_eq!(source.facts_asked, 1);
    source.processes[0].name = "rsync".to_owned();
    pass(&mut table, &mut source, 155);
    assert_eq!(source.facts_asked, 2);
    pass(&mut table, &mut source, 214);
    assert_eq!(source.facts_asked, 2);
    pass(&mut table, &mut source, 215);
    assert_eq!(source.facts_asked, 3);
}

#[test]
fn storage_is_read_of_who_ran_and_of_the_others_now_and_then() {
    let (mut table, mut source) = (Table::default(), Told::default());
    source.processes = vec![process(60, 0, 0)];
    pass(&mut table, &mut source, 100);
    pass(&mut table, &mut source, 110);
    assert_eq!(source.storage_asked, 1);
    source.processes[0].cpu_time_ms = Some(10);
    assert_eq!(pass(&mut table, &mut source, 111)[0].written_bytes, Some(2));
    assert_eq!(source.storage_asked, 2);
    pass(&mut table, &mut source, 130);
    assert_eq!(source.storage_asked, 2);
    pass(&mut table, &mut source, 131);
    assert_eq!(source.storage_asked, 3);
}

#[test]
fn who_is_gone_is_forgotten() {
    let (mut table, mut source) = (Table::default(), Told::default());
    source.processes = vec![process(1, 0, 0), process(2, 0, 0)];
    pass(&mut table, &mut source, 100);
    source.processes.pop();
    assert_eq!(pass(&mut table, &mut source, 110).len(), 1);
    assert_eq!(table.known.len(), 1);
}

#[test]
fn what_was_found_together_is_read_again_in_turns() {
    let (mut table, mut source) = (Table::default(), Told::default());
    source.processes = (0..600).map(|pid| process(pid, 0, 0)).collect();
    pass(&mut table, &mut source, 1000);
    for at_s in 1001..=1060 {
        (source.facts_asked, source.storage_asked) = (0, 0);
        pass(&mut table, &mut source, at_s);
        assert_eq!((source.facts_asked, source.storage_asked), (10, 30), "at {at_s}");
    }
}
