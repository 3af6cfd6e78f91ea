//! Reading /proc: literals, and a folder that looks like it.

use std::path::Path;

use super::*;
use crate::sample::raw::{Facts, StorageBytes};

const PAGE_BYTES: u64 = 4096;

fn stat(name: &str) -> String {
    format!(
        "42 ({name}) S 7 42 42 0 -1 4194560 900 0 3 0 150 50 4 3 20 0 12 0 6000 104857600 2560 18446744073709551615 \
         1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
    )
}

#[test]
fn every_field_of_stat_is_found_whatever_the_name_is() {
    for name in ["nginx", "a b", ":) (:", "((", "))", "", "x) R 1 1"] {
        let process = parse_stat(stat(name).as_bytes(), 1_000_000, PAGE_BYTES).unwrap();
        let expected = Process {
            pid: 42,
            parent_pid: Some(7),
            start_ticks: Some(6000),
            started_at_us: 61_000_000,
            name: name.to_owned(),
            state: 'S',
            threads: Some(12),
            cpu_time_ms: Some(2000),
            resident_bytes: Some(2560 * 4096),
            virtual_bytes: Some(104_857_600),
            nice: Some(0),
            ended_children_cpu_ms: Some(70),
            ..Process::default()
        };
        assert_eq!(process, expected);
    }
}

#[test]
fn a_stat_that_is_cut_anywhere_is_no_process_and_no_panic() {
    let whole = stat("nginx");
    for length in 0..whole.find("2560").unwrap() {
        assert_eq!(parse_stat(&whole.as_bytes()[..length], 0, PAGE_BYTES), None);
    }
    assert_eq!(parse_stat(b")(", 0, PAGE_BYTES), None);
}

/// The processes that are there, in the order of their pids.
fn read(source: &mut ProcFolder) -> Vec<Process> {
    let mut raw = Vec::new();
    source.read(&mut raw);
    let mut processes: Vec<Process> = raw.into_iter().map(|raw| raw.process).collect();
    processes.sort_by_key(|process| process.pid);
    processes
}

/// Far longer than reading a process takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn details(source: &mut ProcFolder, pid: u32) -> (Facts, Option<StorageBytes>) {
    let mut found = Vec::new();
    let wanted = Wanted { pid, token: 1, facts: true, storage: true };
    source.details(&[wanted], PATIENCE, &mut |details| found.push(details));
    let details = found.remove(0);
    (details.facts.unwrap(), details.storage.unwrap())
}

fn write(folder: &Path, pid: u32, name: &str, content: &str) {
    let folder = folder.join(pid.to_string());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), content).unwrap();
}

#[test]
fn a_process_that_vanishes_or_may_not_be_read_costs_its_own_row_or_field_only() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 42, "stat", &stat("whole"));
    write(folder.path(), 42, "cmdline", "whole\0--x\0");
    write(
        folder.path(),
        42,
        "status",
        "Name:\twhole\nUid:\t1000\t1001\t1000\t1000\nvoluntary_ctxt_switches:\t150\n",
    );
    write(folder.path(), 42, "cgroup", "0::/system.slice/whole.service\n");
    write(folder.path(), 42, "io", "rchar: 9\nread_bytes: 4096\nwrite_bytes: 8192\n");
    // Gone between the listing and the reading.
    fs::create_dir(folder.path().join("43")).unwrap();
    // Nothing but the stat may be read.
    write(folder.path(), 44, "stat", &stat("denied").replacen("42", "44", 1));
    fs::write(folder.path().join("uptime"), "1").unwrap();

    let mut source = ProcFolder::new(folder.path().to_str().unwrap(), 0);
    let processes = read(&mut source);
    let names: Vec<&str> = processes.iter().map(|process| process.name.as_str()).collect();
    assert_eq!(names, ["whole", "denied"]);
    let (facts, storage) = details(&mut source, 42);
    assert_eq!(facts.arguments.unwrap(), ["whole", "--x"]);
    assert_eq!(facts.user_id.as_deref(), Some("1001"));
    assert_eq!(facts.figures.voluntary_switches, Some(150));
    assert_eq!(facts.unit.as_deref(), Some("whole.service"));
    assert_eq!(storage, Some(StorageBytes { read: 4096, written: 8192 }));
    let nothing = (Facts { arguments: Some(Vec::new()), ..Facts::default() }, None);
    assert_eq!(details(&mut source, 44), nothing);
    assert_eq!(details(&mut source, 99), nothing);
}

#[test]
fn a_pid_that_another_process_has_now_is_read_anew_and_what_is_gone_is_closed() {
    let mut source = ProcFolder::new("/proc", 0);
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let processes = read(&mut source);
    assert!(processes.iter().any(|process| process.pid == child.id()));
    assert!(source.open.contains_key(&child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    // The file of the dead process, as if its pid belonged to this test now.
    let dead = source.open.remove(&child.id()).unwrap();
    source.open.insert(std::process::id(), dead);
    let processes = read(&mut source);
    assert!(processes.iter().all(|process| process.pid != child.id()));
    assert!(processes.iter().any(|process| process.pid == std::process::id()));
    assert!(source.open.contains_key(&std::process::id()) && !source.open.contains_key(&child.id()));
}

#[test]
fn no_more_files_stay_open_than_allowed() {
    let mut source = ProcFolder { most_open: 2, ..ProcFolder::new("/proc", 0) };
    for _ in 0..2 {
        let processes = read(&mut source);
        assert!(source.open.len() <= 2 && processes.len() > 2);
    }
}

#[test]
fn open_files_are_as_many_as_the_kernel_lists() {
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let mut source = ProcFolder::new("/proc", 0);
    // Its loader opens and closes libraries for a moment.
    let is_same = (0..1000).any(|_| {
        std::thread::yield_now();
        let listed = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap().count();
        details(&mut source, child.id()).0.figures.open_files == u32::try_from(listed).ok()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_same);
}

#[test]
fn a_worker_of_the_kernel_has_a_name_and_not_the_work_it_does() {
    let kernel = IS_KERNEL_THREAD | 0x8020;
    for (name, flags, steady_name) in [
        ("kworker/u8:2-events_unbound", kernel, "kworker/u8:2"),
        ("kworker/0:1H+kblockd", kernel, "kworker/0:1H"),
        ("kworker/0:1", kernel, "kworker/0:1"),
        ("kworker/R-rcu_gp", kernel, "kworker/R-rcu_gp"),
        ("rcu_tasks-k:1-x", kernel, "rcu_tasks-k:1-x"),
        ("kworker/u8:2-miner", 0x40_0000, "kworker/u8:2-miner"),
    ] {
        assert_eq!(String::from_utf8_lossy(steady(name.as_bytes(), flags)), steady_name);
    }
}
