//! Programs by the sums of hours: of hours in several files, rolled up, and with a silence in them.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use fleetps_ingestor::{IngestorSettings, merge_folder, tidy_folder};
use fleetps_nats::{Snapshot, snapshot::Process};

use crate::{
    prometheus::BEGIN_S,
    prometheus_exact::{Told, assert_same, at_full_hours},
    support::{BEGIN_US, Site, process, snapshot_at},
};

/// Merges each segment of a folder by itself, as if the others came later.
fn merge_each(site: &Site) {
    let (folder, aside) = (site.folder.path(), tempfile::tempdir().unwrap());
    let segments = |folder| {
        let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| path.extension().is_some_and(|ending| ending == "duckdb")).collect::<Vec<_>>()
    };
    let (waiting, done) = (aside.path().join("waiting"), aside.path().join("done"));
    let moved = |from: &Path, to: &Path| fs::rename(from, to.join(from.file_name().unwrap())).unwrap();
    for folder in [&waiting, &done] {
        fs::create_dir(folder).unwrap();
    }
    segments(folder).iter().for_each(|segment| moved(segment, &waiting));
    for segment in segments(&waiting) {
        moved(&segment, folder);
        assert!(merge_folder(folder).unwrap() > 0);
        segments(folder).iter().for_each(|segment| moved(segment, &done));
    }
    segments(&done).iter().for_each(|segment| moved(segment, folder));
}

#[tokio::test]
async fn an_hour_in_two_files_has_the_mean_of_all_its_snapshots() {
    // Half an hour with two processes that share 3 MiB of their 4, then half an hour with one of them.
    let told = |minute: i64| {
        let app = |pid| Process {
            resident_bytes: Some(4 << 20),
            shared_bytes: Some(3 << 20),
            cpu_time_ms: Some(u64::try_from(minute).unwrap() * 100),
            ..process(pid, 1, "app")
        };
        let processes = if minute % 60 < 30 { vec![app(10), app(11)] } else { vec![app(10)] };
        let snapshot = snapshot_at(minute * 60 + 5, processes);
        let monotonic_ms = u64::try_from(minute + 100).unwrap() * 60_000;
        ("a-1", Snapshot { monotonic_ms, interval_ms: 60_000, ..snapshot })
    };
    let all: Told = (0..5 * 60 + 10).map(told).collect();
    // Files end within hours.
    let (early, late) = all.split_at(2 * 60 + 20);
    let site = Site::with_history(vec![early.to_vec(), late.to_vec()]);
    merge_each(&site);
    let site = site.reopened();
    for (query, expected) in [
        ("fleetps_program_processes", 1.5),
        ("avg_over_time(fleetps_program_processes[1h])", 1.5),
        ("fleetps_program_memory_bytes", 4.5 * f64::from(1 << 20)),
        // These are of every snapshot, and of no mean.
        ("max_over_time(fleetps_program_processes[1h])", 2.0),
        ("min_over_time(fleetps_program_processes[1h])", 1.0),
        ("sum_over_time(fleetps_program_processes[1h])", 90.0),
        ("count_over_time(fleetps_program_processes[1h])", 60.0),
    ] {
        assert_each_hour(&site, query, expected).await;
    }
}

async fn assert_each_hour(site: &Site, query: &str, expected: f64) {
    let query = format!("sum by (program) ({query})");
    for (hour, found) in at_full_hours(site, &query, 3_600).await.into_iter().enumerate() {
        let expected = BTreeMap::from([("app".to_owned(), expected)]);
        assert_same(&format!("{query} {hour}"), &found.into_iter().collect::<Vec<_>>(), &expected);
    }
}

/// Five hours of a process that uses half a core and is first seen a minute after its start, with a snapshot each minute that
/// `is_told`.
fn half_a_core(is_told: impl Fn(i64) -> bool) -> Told {
    let told = |minute: i64| {
        let app = Process {
            cpu_time_ms: Some(900_000 + u64::try_from(minute).unwrap() * 30_000),
            started_at_us: BEGIN_US - 60_000_000,
            start_ticks: Some(594_000),
            ..process(10, 1, "app")
        };
        let monotonic_ms = u64::try_from(minute + 100).unwrap() * 60_000;
        let snapshot = snapshot_at(minute * 60 + 5, vec![app]);
        ("a-1", Snapshot { monotonic_ms, interval_ms: 60_000, ..snapshot })
    };
    (0..5 * 60 + 10).filter(|minute| is_told(*minute)).map(told).collect()
}

const RATE: &str = "rate(fleetps_program_cpu_seconds_total[1h])";
const INCREASE: &str = "increase(fleetps_program_cpu_seconds_total[1h])";

#[tokio::test]
async fn programs_have_rates_where_only_hours_are_kept() {
    let site = Site::with_history(vec![half_a_core(|_| true)]);
    let hour = Duration::from_secs(3_600);
    let settings = IngestorSettings {
        merge_fresh_count: 1,
        keep_samples: hour,
        keep_minutes: hour,
        ..IngestorSettings::default()
    };
    assert!(tidy_folder(site.folder.path(), BEGIN_S + 3 * 86_400, &settings).unwrap() > 0);
    let site = site.reopened();
    assert_each_hour(&site, INCREASE, 1_800.0).await;
    assert_each_hour(&site, RATE, 0.5).await;
}

#[tokio::test]
async fn a_silence_within_hours_is_in_the_growth_and_in_the_time() {
    let site = Site::with_history(vec![half_a_core(|minute| !(10..50).contains(&(minute % 60)))]);
    assert!(merge_folder(site.folder.path()).unwrap() > 0);
    let site = site.reopened();
    assert_each_hour(&site, INCREASE, 1_800.0).await;
    assert_each_hour(&site, RATE, 0.5).await;
}

#[tokio::test]
async fn a_process_that_is_seen_late_counts_from_there_by_hours_too() {
    let late = half_a_core(|_| true).into_iter().map(|(host, mut snapshot)| {
        let minute = (snapshot.captured_at_us - BEGIN_US) / 60_000_000;
        if minute < 90 {
            snapshot.processes.clear();
        }
        for process in &mut snapshot.processes {
            process.started_at_us = BEGIN_US + 80 * 60_000_000;
        }
        (host, snapshot)
    });
    let site = Site::with_history(vec![late.collect()]);
    assert!(merge_folder(site.folder.path()).unwrap() > 0);
    let found = at_full_hours(&site.reopened(), &format!("sum by (program) ({INCREASE})"), 3_600).await;
    let used: Vec<f64> = found.iter().map(|programs| programs["app"]).collect();
    assert_eq!(used, [29.0 * 30.0, 1_800.0, 1_800.0, 1_800.0]);
}
