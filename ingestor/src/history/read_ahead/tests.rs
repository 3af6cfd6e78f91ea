//! Tests of read-ahead, and of the memory that is counted.

use std::path::Path;

use fleetps_nats::snapshot::HostInfo;

use super::*;
use crate::{
    history::{History, SnapshotLookup},
    segment::{SegmentRows, seal},
};

const SECOND_US: i64 = 1_000_000;

/// A segment with a snapshot every second, of as many processes and file systems, which say when that was.
fn seal_some(folder: &Path, host: &HostName, snapshots: i64, processes: u32, mounts: u32) -> SegmentName {
    let mut rows = SegmentRows::new(0, 0, 1, 0);
    for (second, sequence) in (0..snapshots).zip(1..) {
        let threads = u32::try_from(second).ok();
        let process = |pid| Process { pid, threads, ..Process::default() };
        let filesystem = |mount: u32| FilesystemSample { mount: mount.to_string(), ..Default::default() };
        let snapshot = Snapshot {
            captured_at_us: second * SECOND_US,
            interval_ms: 1000,
            processes: (0..processes).map(process).collect(),
            filesystems: (0..mounts).map(filesystem).collect(),
            ..Snapshot::default()
        };
        rows.push(sequence, snapshot.captured_at_us, host, &snapshot);
    }
    seal(folder, &mut rows).unwrap()
}

/// Goes to a second; returns from where to where is in memory then.
fn go_to(second: i64, history: &History, name: SegmentName, host: &HostName) -> (i64, i64) {
    let SnapshotLookup::Snapshot(past) = history.snapshot_at(host, second * SECOND_US).unwrap() else {
        panic!("nothing at {second}");
    };
    assert_eq!(past.pair.latest().processes[0].threads.map(i64::from), Some(second));
    let window = history.state().engine.windows.get(&(name, host.clone(), true)).unwrap();
    (window.first_us / SECOND_US, window.last_us / SECOND_US)
}

#[test]
fn the_way_ahead_of_who_goes_on_is_read_and_of_who_jumps_is_not() {
    let (folder, host) = (tempfile::tempdir().unwrap(), "web-01".parse().unwrap());
    let name = seal_some(folder.path(), &host, 1000, 300, 1);
    let history = History::open(folder.path()).unwrap();
    let go_to = |second| go_to(second, &history, name, &host);
    assert_eq!(go_to(500), (499, 500));
    assert_eq!(go_to(501), (500, 701), "a step on");
    assert_eq!(go_to(701), (500, 701), "in memory");
    assert_eq!(go_to(500), (299, 500), "before what is in memory");
    assert_eq!(go_to(306), (299, 500), "in memory");
    assert_eq!(go_to(990), (989, 990), "a jump");
    assert_eq!(go_to(998), (997, 999), "some steps on, to the end");
    assert_eq!(go_to(5), (4, 5), "a jump");
    assert_eq!(go_to(4), (0, 4), "a step back, to the beginning");
}

#[test]
fn every_text_counts_as_memory() {
    let long = || "x".repeat(4096);
    let window = |filesystem: FilesystemSample, host_info: HostInfo, process: Process| {
        let snapshot = Snapshot { filesystems: vec![filesystem], host_info, ..Snapshot::default() };
        let processes = vec![KnownProcess { boot_id: String::new(), phases: vec![(0, process)] }];
        SnapshotWindow { snapshots: vec![snapshot], processes, ..SnapshotWindow::default() }.bytes()
    };
    let short = window(FilesystemSample::default(), HostInfo::default(), Process::default());
    let filesystem = FilesystemSample { mount: long(), ..FilesystemSample::default() };
    let host_info = HostInfo { cpu_model: Some(long()), ..HostInfo::default() };
    let process = Process { command_line: Some(long()), ..Process::default() };
    assert_eq!(window(filesystem, host_info, process), short + 3 * 4096);
}

#[test]
fn what_is_ahead_is_not_read_where_it_is_too_much() {
    let (folder, host) = (tempfile::tempdir().unwrap(), "web-01".parse().unwrap());
    let name = seal_some(folder.path(), &host, 40, 1, 1000);
    let history = History::open(folder.path()).unwrap();
    let go_to = |second| go_to(second, &history, name, &host);
    assert_eq!(go_to(10), (9, 10));
    assert_eq!(go_to(11), (10, 11), "29,000 file systems ahead");
    assert_eq!(go_to(25), (24, 25), "a jump");
    assert_eq!(go_to(26), (25, 39), "14,000 ahead");
}

#[test]
fn file_systems_and_interfaces_are_read_as_they_were_captured() {
    let (folder, host) = (tempfile::tempdir().unwrap(), "web-01".parse().unwrap());
    let silent = FilesystemSample {
        mount: "/nas 'x'".to_owned(),
        device: Some("nas:/export".to_owned()),
        unanswered_since_us: Some(SECOND_US),
        answered_at_us: Some(SECOND_US / 2),
        last_used_bytes: Some(5),
        other_mounts: Some("/a\n/b".to_owned()),
        other_mount_count: Some(2),
        ..FilesystemSample::default()
    };
    let root = FilesystemSample {
        mount: "/".to_owned(),
        total_bytes: Some(i64::MAX as u64),
        used_bytes: Some(0),
        available_bytes: Some(1),
        inodes_total: Some(2),
        inodes_used: Some(1),
        ..FilesystemSample::default()
    };
    let loopback = InterfaceSample { name: "lo".to_owned(), ..InterfaceSample::default() };
    let card = InterfaceSample {
        name: "eth0".to_owned(),
        kind: Some("physical".to_owned()),
        counted_as: Some("physical".to_owned()),
        master: Some("br0".to_owned()),
        received_bytes: Some(7),
        sent_drops: Some(3),
        ..InterfaceSample::default()
    };
    let snapshot = Snapshot {
        captured_at_us: SECOND_US,
        interval_ms: 1000,
        sequence: 1,
        filesystems: vec![root, silent],
        interfaces: vec![card, loopback],
        ..Snapshot::default()
    };
    let mut rows = SegmentRows::new(0, 0, 1, 0);
    rows.push(1, SECOND_US, &host, &snapshot);
    seal(folder.path(), &mut rows).unwrap();
    let history = History::open(folder.path()).unwrap();
    let SnapshotLookup::Snapshot(past) = history.snapshot_at(&host, SECOND_US).unwrap() else {
        panic!("nothing there");
    };
    let found = past.pair.latest();
    assert_eq!((&found.filesystems, &found.interfaces), (&snapshot.filesystems, &snapshot.interfaces));
}
