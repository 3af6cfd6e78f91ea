//! The collector of rows, on literals.

use fleetps_nats::{model::process::PROCESS, snapshot::FilesystemSample};

use super::*;

fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

fn process(pid: u32, name: &str) -> Process {
    Process { pid, started_at_us: i64::from(pid), name: name.to_owned(), state: 'S', ..Process::default() }
}

fn snapshot(captured_at_us: i64, processes: Vec<Process>) -> Snapshot {
    let boot_id = "boot".to_owned();
    Snapshot {
        boot_id,
        run_id: "run".to_owned(),
        sequence: 1,
        captured_at_us,
        processes,
        ..Snapshot::default()
    }
}

fn rows() -> SegmentRows {
    SegmentRows::new(0, 1_000, 10, 5_000_000)
}

#[test]
fn every_identity_has_one_row_with_what_was_seen_last() {
    let mut rows = rows();
    rows.push(10, 0, &host("a"), &snapshot(100_000, vec![process(1, "sh"), process(2, "cron")]));
    rows.push(11, 0, &host("a"), &snapshot(200_000, vec![process(1, "exec-ed")]));
    // Came late: its facts about the process are older than the known ones.
    rows.push(12, 0, &host("a"), &snapshot(50_000, vec![process(1, "older")]));
    assert_eq!((rows.len(), rows.processes.len()), (4, 2));
    let (_, row) = rows.processes.iter().find(|(key, _)| key.pid == 1).unwrap();
    let name = PROCESS.iter().position(|field| field.column == "name").unwrap();
    assert_eq!(rows.programs.value(row.facts, name, &rows.names), Value::Text("exec-ed"));
    assert_eq!((row.first_seen_us, row.last_seen_us), (50_000, 200_000));
}

#[test]
fn the_same_pid_of_another_host_or_boot_is_another_process() {
    let mut rows = rows();
    rows.push(10, 0, &host("a"), &snapshot(100, vec![process(1, "sh")]));
    rows.push(11, 0, &host("b"), &snapshot(100, vec![process(1, "sh")]));
    let rebooted = Snapshot { boot_id: "other".to_owned(), ..snapshot(100, vec![process(1, "sh")]) };
    rows.push(12, 0, &host("a"), &rebooted);
    assert_eq!(rows.processes.len(), 3);
}

#[test]
fn snapshots_of_one_host_in_the_same_millisecond_get_the_next_free_one_in_every_table() {
    let mut rows = rows();
    let filesystem = FilesystemSample { mount: "/".to_owned(), ..FilesystemSample::default() };
    for (sequence, captured_at_us) in (10..).zip([5_999, 7_000, 5_000, 5_500, 7_001, -1]) {
        let filesystems = vec![filesystem.clone()];
        let snapshot = Snapshot { filesystems, ..snapshot(captured_at_us, vec![process(1, "sh")]) };
        rows.push(sequence, 0, &host("a"), &snapshot);
    }
    rows.push(16, 0, &host("b"), &snapshot(5_000, vec![]));
    let captured_us: Vec<i64> = rows.snapshots.iter().map(|row| row.snapshot.captured_at_us).collect();
    assert_eq!(captured_us, [5_000, 7_000, 6_000, 8_000, 9_000, -1_000, 5_000]);
    let ranks = rows.names.ranks();
    let captures = rows.captures(&ranks);
    rows.make_spans((&ranks, &[0]), &captures);
    // Of the six of host a, whose process stayed the same.
    let runs: Vec<_> =
        rows.runs.iter().map(|row| (row.first_captured_at_us, row.last_captured_at_us)).collect();
    assert_eq!((runs, rows.runs[0].snapshots), (vec![(-1_000, 9_000)], 6));
    assert!(rows.filesystems.iter().map(|row| row.captured_at_us).eq(captured_us[..6].iter().copied()));
}

#[test]
fn host_info_has_a_row_per_host_and_change() {
    let mut rows = rows();
    for (captured_at_us, name) in [(1, "a"), (2, "b"), (3, "a"), (4, "b")] {
        rows.push(10, 0, &host(name), &snapshot(captured_at_us, vec![]));
    }
    let mut upgraded = snapshot(5, vec![]);
    upgraded.host_info.kernel = Some("Linux 7".to_owned());
    rows.push(11, 0, &host("a"), &upgraded);
    let hosts: Vec<&str> = rows.infos.iter().map(|row| rows.names.text(row.host)).collect();
    assert_eq!(hosts, ["a", "b", "a"]);
}

#[test]
fn the_name_covers_gaps_and_refused_messages_too() {
    let mut rows = rows();
    rows.push_gap(10, 14, 1);
    rows.push(15, 5_500_000, &host("a"), &snapshot(1, vec![]));
    rows.cover(16);
    assert_eq!(
        rows.name().to_string(),
        "fresh-p000-0000001000-000000000010-000000000016-19700101T000005Z-v12.duckdb"
    );
}

#[test]
fn rows_and_text_bound_a_segment() {
    let mut rows = rows();
    rows.push(10, 0, &host("a"), &snapshot(1, vec![process(1, "sh"), process(2, "sh")]));
    assert!(rows.is_full(2) && !rows.is_full(3));
    let long = "x".repeat(4096);
    for pid in 0..20_000 {
        rows.push(11, 0, &host("a"), &snapshot(1, vec![process(pid, &long)]));
    }
    assert!(!rows.takes_too_much(), "it is the same text");
    for pid in 0..20_000 {
        rows.push(12, 0, &host("b"), &snapshot(1, vec![process(pid, &format!("{pid} {long}"))]));
    }
    assert!(rows.is_full(usize::MAX));
}
