//! A reader of 10,000 segments: its start, its memory and open files, a refresh, and its first questions:
//! `cargo bench -p fleetps-ingestor --bench ten_thousand_segments`.
//!
//! `cargo bench -p fleetps-ingestor --bench ten_thousand_segments -- [FOLDER [SEGMENTS]]`. The segments are sealed once in
//! FOLDER, or anew in a temporary folder. There are 2,000 hosts, and each segment has two snapshots of 20, 50, 100 or 200
//! of them, as a history has that is divided by hosts: 30 segments for each hour.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on should panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use fleetps_ingestor::{
    IngestorSettings,
    catalog::SegmentFolder,
    history::{History, SnapshotLookup, Span},
    segment::{SegmentRows, seal},
    tidy_folder,
};
use fleetps_nats::{HostName, Snapshot, snapshot::Process};

/// 2026-11-01 00:00 UTC.
const BEGIN_US: i64 = 1_793_491_200_000_000;
const HOUR_US: i64 = 3_600_000_000;
/// How many of the 2,000 hosts are in each of the segments of an hour: together all.
const BANDS: [usize; 30] = [
    200, 200, 200, 100, 100, 100, 100, 100, 100, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 20, 20, 20,
    20, 20, 20, 20, 20, 40,
];
/// More sequences than a segment has.
const SEQUENCES: u64 = 1_000;
/// Threads that seal.
const THREADS: usize = 2;

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let temporary = tempfile::tempdir().unwrap();
    let folder = arguments.first().map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let count = arguments.get(1).and_then(|count| count.parse().ok()).unwrap_or(10_000);
    fs::create_dir_all(&folder).unwrap();
    make(&folder, count);
    for which in ["first", "next"] {
        let took = timed(|| open_as_an_ingestor(&folder)).0;
        println!("{:<44} {:>10.1} ms", format!("an ingestor's catalog, {which} start"), ms(took));
    }
    read(&folder, count);
}

fn host(number: usize) -> HostName {
    format!("host-{number:04}.example").parse().unwrap()
}

/// Where a segment begins: its hour, and the place of its first host.
fn place(number: usize) -> (i64, usize, usize) {
    let (hour, band) = (number / BANDS.len(), number % BANDS.len());
    (BEGIN_US + i64::try_from(hour).unwrap() * HOUR_US, BANDS[..band].iter().sum(), BANDS[band])
}

fn make(folder: &Path, count: usize) {
    let there = SegmentFolder::scan(folder).unwrap().current.len();
    let begun = Instant::now();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                (there + thread..count).step_by(THREADS).for_each(|number| one(folder, number))
            });
        }
    });
    println!("{} segments sealed in {:.0} s", count.saturating_sub(there), begun.elapsed().as_secs_f64());
}

fn one(folder: &Path, number: usize) {
    let (begin_us, first, hosts) = place(number);
    let mut sequence = 1 + number as u64 * SEQUENCES;
    let mut rows = SegmentRows::new(0, 1, sequence, begin_us);
    for captured_at_us in [begin_us, begin_us + HOUR_US - 60_000_000] {
        for number in first..first + hosts {
            rows.push(sequence, captured_at_us, &host(number), &snapshot(captured_at_us));
            sequence += 1;
        }
    }
    seal(folder, &mut rows).unwrap();
}

fn snapshot(captured_at_us: i64) -> Snapshot {
    let process = |pid: u32| Process {
        pid,
        name: "program".to_owned(),
        start_ticks: Some(u64::from(pid)),
        ..Process::default()
    };
    Snapshot {
        captured_at_us,
        boot_id: "boot".to_owned(),
        interval_ms: 3_540_000,
        processes: vec![process(1), process(2)],
        ..Snapshot::default()
    }
}

/// Opens the catalog as the start of an ingestor does, and finds nothing to do.
fn open_as_an_ingestor(folder: &Path) {
    let settings = IngestorSettings {
        merge_fresh_count: usize::MAX,
        keep_samples: Duration::MAX,
        max_history_bytes: u64::MAX,
        ..IngestorSettings::default()
    };
    assert_eq!(tidy_folder(folder, BEGIN_US / 1_000_000, &settings).unwrap(), 0);
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let made = work();
    (begun.elapsed(), made)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Of this process, in MiB.
fn resident_mib() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    (statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4096) >> 20
}

/// Segments that this process has open.
fn open_segments() -> usize {
    let files = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let files = files.filter_map(|file| fs::read_link(file.path()).ok());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "duckdb")).count()
}

fn read(folder: &Path, count: usize) {
    let report = |what: &str, took: Duration| {
        println!(
            "{what:<44} {:>10.1} ms   {:>6} MiB   {:>6} files open",
            ms(took),
            resident_mib(),
            open_segments()
        );
    };
    report("before", Duration::ZERO);
    let (took, history) = timed(|| History::open(folder).unwrap());
    report("start", took);
    let (took, ()) = timed(|| history.refresh().unwrap());
    report("refresh, just after", took);
    // As long as a change may hide behind the resolution of the folder's time.
    thread::sleep(Duration::from_secs(3));
    history.refresh().unwrap();
    let (took, ()) = timed(|| (0..100).for_each(|_| history.refresh().unwrap()));
    report("refresh, nothing changed", took / 100);
    let hours = count / BANDS.len();
    let moment = |hour: usize| BEGIN_US + i64::try_from(hour).unwrap() * HOUR_US + HOUR_US / 2;
    for (which, hour) in
        [("first", hours / 2), ("second", hours / 2), ("elsewhere", hours / 3), ("elsewhere", 1)]
    {
        let (took, found) = timed(|| history.snapshot_at(&host(7), moment(hour)).unwrap());
        assert!(matches!(found, SnapshotLookup::Snapshot(_)));
        report(&format!("a host at a moment, {which}"), took);
    }
    for (which, hour) in [("first", hours / 2), ("second", hours / 2), ("elsewhere", hours / 4)] {
        let from_us = moment(hour) - HOUR_US / 2;
        let span = Span { from_us, to_us: from_us + HOUR_US };
        let (took, found) = timed(|| history.host_metrics(&host(7), span, 100, &[]).unwrap());
        assert!(!found.points.is_empty());
        report(&format!("a host over an hour, {which}"), took);
        let (took, found) = timed(|| history.cpu_peaks(span).unwrap());
        report(&format!("all hosts over an hour, {which} ({})", found.len()), took);
    }
    one(folder, count);
    let (took, ()) = timed(|| history.refresh().unwrap());
    report("refresh, one new segment", took);
    let (took, ()) = timed(|| history.refresh().unwrap());
    report("refresh, just after", took);
    let name = SegmentFolder::scan(folder).unwrap().current.last().unwrap().name;
    fs::remove_file(folder.join(name.to_string())).unwrap();
    let (took, ()) = timed(|| history.refresh().unwrap());
    report("refresh, one segment gone", took);
}
