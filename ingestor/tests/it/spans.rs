//! Spans of processes through sealing and merging: what they say of each snapshot is what was in it.

use std::path::Path;

use fleetps_ingestor::{
    merge_folder,
    segment::{SegmentRows, seal},
};
use fleetps_nats::{Snapshot, snapshot::Process};

use crate::support::{rows, value};

/// 2026-11-21T08:59:45Z.
const BEGIN_S: i64 = 1_795_251_585;

/// Seals a segment of snapshots: the seconds after which each was captured, and its processes with their pages.
fn seal_one(folder: &Path, first_sequence: u64, captured: &[(i64, &[(u32, u64)])]) {
    let mut segment = SegmentRows::new(0, 1_700_000_000, first_sequence, BEGIN_S * 1_000_000);
    for (sequence, (after_s, processes)) in (first_sequence..).zip(captured) {
        let process = |(pid, pages): &(u32, u64)| Process {
            pid: *pid,
            name: format!("process-{pid}"),
            state: 'S',
            resident_bytes: Some(pages * 4096),
            ..Process::default()
        };
        let snapshot = Snapshot {
            boot_id: "boot".to_owned(),
            run_id: format!("run-{first_sequence}"),
            sequence,
            captured_at_us: (BEGIN_S + after_s) * 1_000_000,
            interval_ms: 10_000,
            processes: processes.iter().map(process).collect(),
            ..Snapshot::default()
        };
        segment.push(sequence, BEGIN_S * 1_000_000, &"host".parse().unwrap(), &snapshot);
    }
    seal(folder, &mut segment).unwrap();
}

/// Every sample as (seconds, pid, pages), in order.
fn samples(folder: &Path) -> Vec<(i64, u32, u64)> {
    let sql = format!(
        "SELECT epoch_ms(captured_at) // 1000 - {BEGIN_S}, pid, resident_bytes // 4096 FROM process_sample ORDER BY ALL"
    );
    rows(folder, &sql, |row| (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap()))
}

fn spans(folder: &Path) -> u64 {
    value(folder, "SELECT count(*) FROM process_span")
}

#[test]
fn what_stays_the_same_over_two_segments_becomes_one_span_that_counts_in_every_hour() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // The hour ends after the second.
    seal_one(folder, 1, &[(0, &[(1, 7), (2, 1)]), (10, &[(1, 7), (2, 2)]), (20, &[(1, 7)])]);
    seal_one(folder, 4, &[(30, &[(1, 7), (2, 2)]), (40, &[(1, 7), (2, 2)])]);
    let expected = [
        (0, 1, 7),
        (0, 2, 1),
        (10, 1, 7),
        (10, 2, 2),
        (20, 1, 7),
        (30, 1, 7),
        (30, 2, 2),
        (40, 1, 7),
        (40, 2, 2),
    ];
    assert_eq!((samples(folder), spans(folder)), (expected.to_vec(), 5));
    merge_folder(folder).unwrap();
    assert_eq!((samples(folder), spans(folder)), (expected.to_vec(), 4));
    let hours = "SELECT pid, samples, resident_bytes_sum // 4096 FROM process_hour ORDER BY pid, hour";
    let hours: Vec<(u32, u32, u64)> =
        rows(folder, hours, |row| (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap()));
    assert_eq!(hours, [(1, 2, 14), (1, 3, 21), (2, 2, 3), (2, 2, 4)]);
}

#[test]
fn snapshots_that_came_late_between_those_of_a_span_end_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    seal_one(folder, 1, &[(0, &[(1, 7), (2, 5)]), (20, &[(1, 7), (2, 5)]), (40, &[(1, 7), (2, 5)])]);
    seal_one(folder, 4, &[(10, &[(1, 7)]), (30, &[(1, 8), (2, 5)])]);
    let expected = [
        (0, 1, 7),
        (0, 2, 5),
        (10, 1, 7),
        (20, 1, 7),
        (20, 2, 5),
        (30, 1, 8),
        (30, 2, 5),
        (40, 1, 7),
        (40, 2, 5),
    ];
    assert_eq!((samples(folder), spans(folder)), (expected.to_vec(), 5));
    merge_folder(folder).unwrap();
    // The first process: 0 to 20, 30, 40. The second: 0, 20 to 40.
    assert_eq!((samples(folder), spans(folder)), (expected.to_vec(), 5));
    let hours: u64 = value(folder, "SELECT sum(samples)::UBIGINT FROM process_hour");
    assert_eq!(hours, 9);
}
