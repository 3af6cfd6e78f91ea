//! Derivation from one pass to the next, on literals.

use std::collections::HashMap;

use super::*;
use crate::sample::users::GivenNames;

/// A source that answers from literals and counts the calls.
#[derive(Default)]
struct Told {
    processes: Vec<Process>,
    image: Image,
    owner: Option<u32>,
    facts: HashMap<u32, Facts>,
    facts_asked: u32,
    storage_asked: u32,
    /// Whether it takes too long to answer.
    is_late: bool,
    waiting: Vec<Wanted>,
}

impl ProcessSource for Told {
    fn read(&mut self, into: &mut Vec<RawProcess>) {
        let raw =
            |process: &Process| RawProcess { process: process.clone(), image: self.image, owner: self.owner };
        *into = self.processes.iter().map(raw).collect();
    }

    fn details(&mut self, wanted: &[Wanted], _: Duration, give: &mut dyn FnMut(Details)) {
        self.waiting.extend(wanted);
        if self.is_late {
            return;
        }
        for wanted in self.waiting.drain(..) {
            self.facts_asked += u32::from(wanted.facts);
            self.storage_asked += u32::from(wanted.storage);
            give(Details {
                pid: wanted.pid,
                token: wanted.token,
                facts: wanted.facts.then(|| self.facts.get(&wanted.pid).cloned().unwrap_or_default()),
                storage: wanted.storage.then_some(Some(StorageBytes { read: 1, written: 2 })),
            });
        }
    }
}

fn process(pid: u32, started_at_us: i64, cpu_time_ms: u64) -> Process {
    Process {
        pid,
        started_at_us,
        name: "sh".to_owned(),
        state: 'S',
        threads: Some(1),
        cpu_time_ms: Some(cpu_time_ms),
        ..Process::default()
    }
}

fn pass(table: &mut Table, source: &mut Told, at_s: u64) -> Vec<Process> {
    let at = PassTime { monotonic: Duration::from_secs(at_s), clock_us: at_s as i64 * 1_000_000 };
    let mut users = GivenNames(&|id| (id == "0").then(|| "root".to_owned()));
    table.pass(source, at, CommandLineMode::Scrubbed, &mut users)
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
    let facts = |name: &str| Facts { arguments: Some(vec![name.to_owned()]), ..Facts::default() };
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
fn exec_and_setuid_are_seen_in_the_next_pass_and_the_new_facts_with_them() {
    let (mut table, mut source) = (Table::default(), Told::default());
    let facts = |user: &str, line: &str| Facts {
        user_id: Some(user.to_owned()),
        arguments: Some(vec![line.to_owned()]),
        ..Facts::default()
    };
    source.processes = vec![process(60, 0, 0)];
    (source.image, source.owner) = (Image::Exact(1), Some(0));
    source.facts.insert(60, facts("0", "wrap"));
    pass(&mut table, &mut source, 100);
    // Under the same name and at the same time as before.
    source.image = Image::Exact(2);
    source.facts.insert(60, facts("0", "app --serve"));
    assert_eq!(pass(&mut table, &mut source, 101)[0].command_line.as_deref(), Some("app --serve"));
    source.owner = Some(65534);
    source.facts.insert(60, facts("65534", "app --serve"));
    assert_eq!(pass(&mut table, &mut source, 102)[0].user_name.as_deref(), Some("65534"));
    // In a pass that does not look, the user is as it was.
    source.owner = None;
    assert_eq!(pass(&mut table, &mut source, 103)[0].user_name.as_deref(), Some("65534"));
    assert_eq!(source.facts_asked, 3);
}

#[test]
fn of_guesses_only_some_are_followed_in_one_pass() {
    let (mut table, mut source) = (Table::default(), Told::default());
    source.processes = (60..160).map(|pid| process(pid, 0, 0)).collect();
    source.image = Image::Guess(1);
    pass(&mut table, &mut source, 1000);
    (source.image, source.facts_asked) = (Image::Guess(2), 0);
    pass(&mut table, &mut source, 1000);
    assert!(source.facts_asked <= MOST_GUESSES + 4, "{}", source.facts_asked);
    for _ in 0..20 {
        pass(&mut table, &mut source, 1000);
    }
    assert!(source.facts_asked >= 100);
}

#[test]
fn what_comes_late_is_taken_in_the_next_pass_but_not_by_another_process_with_the_pid() {
    let (mut table, mut source) = (Table::default(), Told::default());
    let facts = |name: &str| Facts { arguments: Some(vec![name.to_owned()]), ..Facts::default() };
    source.processes = vec![process(7, 1_000_000, 0)];
    source.facts.insert(7, facts("first"));
    source.is_late = true;
    assert_eq!(pass(&mut table, &mut source, 100)[0].command_line, None);
    source.is_late = false;
    assert_eq!(pass(&mut table, &mut source, 101)[0].command_line.as_deref(), Some("first"));
    // The question of the first, answered when the second is there.
    source.processes[0].name = "renamed".to_owned();
    source.is_late = true;
    pass(&mut table, &mut source, 102);
    let late = std::mem::take(&mut source.waiting);
    source.processes = vec![process(7, 102_000_000, 0)];
    pass(&mut table, &mut source, 103);
    (source.waiting, source.is_late) = (late, false);
    assert_eq!(pass(&mut table, &mut source, 104)[0].command_line, None);
}

#[test]
fn a_process_that_has_ended_keeps_what_is_known_of_it() {
    let (mut table, mut source) = (Table::default(), Told::default());
    source.processes = vec![process(7, 0, 0)];
    source.facts.insert(7, Facts { arguments: Some(vec!["app".to_owned()]), ..Facts::default() });
    pass(&mut table, &mut source, 100);
    source.processes[0].state = 'Z';
    source.image = Image::Guess(0);
    source.facts.insert(7, Facts { arguments: Some(Vec::new()), ..Facts::default() });
    assert_eq!(pass(&mut table, &mut source, 200)[0].command_line.as_deref(), Some("app"));
    // Its main thread alone has ended: another one is asked.
    source.processes[0].threads = Some(3);
    source.facts.insert(7, Facts { arguments: Some(vec!["app2".to_owned()]), ..Facts::default() });
    assert_eq!(pass(&mut table, &mut source, 300)[0].command_line.as_deref(), Some("app2"));
}

#[test]
fn shared_memory_is_never_more_than_the_resident_set_of_now() {
    let (mut table, mut source) = (Table::default(), Told::default());
    source.processes = vec![Process { resident_bytes: Some(5000), ..process(7, 0, 0) }];
    let figures = Process { shared_bytes: Some(4096), ..Process::default() };
    source.facts.insert(7, Facts { figures, ..Facts::default() });
    assert_eq!(pass(&mut table, &mut source, 100)[0].shared_bytes, Some(4096));
    source.processes[0].resident_bytes = Some(1000);
    assert_eq!(pass(&mut table, &mut source, 101)[0].shared_bytes, Some(1000));
}

#[test]
fn shared_memory_is_read_anew_when_a_process_has_another_size() {
    let (mut table, mut source) = (Table::default(), Told::default());
    let sized = |mib: u64| Process { resident_bytes: Some(mib << 20), ..process(1, 0, 100) };
    let mut reads_at = |second: u64, mib: u64| {
        let before = source.facts_asked;
        source.processes = vec![sized(mib)];
        pass(&mut table, &mut source, second);
        source.facts_asked - before
    };
    assert_eq!(reads_at(100, 10), 1, "a new one");
    assert_eq!((reads_at(101, 26), reads_at(102, 27)), (0, 1));
    assert_eq!((reads_at(103, 600), reads_at(104, 600), reads_at(105, 700)), (1, 0, 0));
    assert_eq!(reads_at(106, 400), 1, "it has shrunk");
}

#[test]
fn ended_children_are_counted_but_for_what_their_own_rows_have_shown() {
    let (mut table, mut source) = (Table::default(), Told::default());
    let parent = |children_ms| Process { ended_children_cpu_ms: Some(children_ms), ..process(1, 0, 100) };
    let child =
        Process { parent_pid: Some(1), ended_children_cpu_ms: Some(0), ..process(2, 100_500_000, 300) };
    source.processes = vec![parent(50_000)];
    assert_eq!(pass(&mut table, &mut source, 100)[0].ended_children_cpu_ms, Some(0));
    source.processes = vec![parent(50_000), child];
    pass(&mut table, &mut source, 101);
    // It used 400 ms in all, and one that nobody saw 50 ms.
    source.processes = vec![parent(50_450)];
    assert_eq!(pass(&mut table, &mut source, 102)[0].ended_children_cpu_ms, Some(150));
    assert_eq!(pass(&mut table, &mut source, 103)[0].ended_children_cpu_ms, Some(0));
    // Another system counts none.
    source.processes = vec![process(3, 0, 0)];
    assert_eq!(pass(&mut table, &mut source, 104)[0].ended_children_cpu_ms, None);
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
