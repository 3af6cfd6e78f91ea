//! One host that fills the history, and others that lose nothing by it.

use std::{collections::BTreeSet, path::Path};

use fastrand::Rng;
use fleetps_ingestor::{
    IngestorSettings,
    catalog::SegmentFolder,
    history::{History, SnapshotLookup},
    merge_folder,
    segment::{SegmentRows, seal},
    tidy_folder,
};
use fleetps_nats::{Snapshot, snapshot::Process};

use crate::{
    chance::seeds,
    ledger::{lines, sql},
    publisher,
    refusals::status_where,
    support::{Fixture, value},
};

/// An hour of the past, in seconds since 1970 UTC.
const BEGIN_S: i64 = 1_790_001_000 - 1_790_001_000 % 3600;
const QUIET: usize = 20;
/// Snapshots of each host in each of two hours, one every 10 s.
const SNAPSHOTS: u64 = 90;

/// Processes whose figures change all the time, so that nothing of them is kept only once.
fn busy(count: u32, rng: &mut Rng) -> Vec<Process> {
    let process = |pid| Process {
        pid,
        started_at_us: (BEGIN_S - 100) * 1_000_000,
        name: "busy".to_owned(),
        state: 'R',
        cpu_time_ms: Some(rng.u64(0..1_000_000) * 10),
        resident_bytes: Some(rng.u64(0..1_000_000) * 4096),
        ..Process::default()
    };
    (1..=count).map(process).collect()
}

/// Seals two hours of quiet hosts and, where wanted, one that has a hundred times as many processes.
fn seal_hours(folder: &Path, with_hog: bool, rng: &mut Rng) {
    let mut sequence = 0;
    for hour in 0..2 {
        let begin_s = BEGIN_S + hour * 3600;
        let mut rows = SegmentRows::new(0, BEGIN_S - 10, sequence + 1, begin_s * 1_000_000);
        for step in 0..SNAPSHOTS {
            let captured_at_us = (begin_s + i64::try_from(step).unwrap() * 10) * 1_000_000;
            for number in 0..QUIET + usize::from(with_hog) {
                sequence += 1;
                let (host, count) =
                    if number == QUIET { ("hog".to_owned(), 400) } else { (format!("quiet-{number:02}"), 4) };
                let snapshot = Snapshot {
                    captured_at_us,
                    monotonic_ms: 1000 + sequence * 10,
                    interval_ms: 10_000,
                    processes: busy(count, rng),
                    ..publisher::snapshot("run", step + 1)
                };
                rows.push(sequence, captured_at_us, &host.parse().unwrap(), &snapshot);
            }
        }
        seal(folder, &mut rows).unwrap();
    }
}

fn bytes(folder: &Path) -> u64 {
    SegmentFolder::scan(folder).unwrap().current.iter().map(|segment| segment.bytes).sum()
}

fn samples(folder: &Path, hosts: &str) -> i64 {
    value(folder, &format!("SELECT count(*) FROM process_sample WHERE host LIKE '{hosts}'"))
}

fn of_quiet(lines: BTreeSet<String>) -> BTreeSet<String> {
    lines.into_iter().filter(|line| !line.contains("hog")).collect()
}

/// At any moment of the first hour, both hosts have a process table.
fn assert_shown(folder: &Path) {
    let history = History::open(folder).unwrap();
    for host in ["hog", "quiet-00"] {
        for second in (60..800).step_by(37) {
            let at_us = (BEGIN_S + second) * 1_000_000;
            let shown = history.snapshot_at(&host.parse().unwrap(), at_us).unwrap();
            assert!(matches!(shown, SnapshotLookup::Snapshot(_)), "{host} at second {second}: {shown:?}");
        }
    }
}

#[test]
fn what_a_host_has_beyond_its_share_goes_before_any_sample_of_the_others() {
    for seed in seeds(1) {
        let (mut rng, folder) = (Rng::with_seed(seed), tempfile::tempdir().unwrap());
        let folder = folder.path();
        seal_hours(folder, true, &mut rng);
        merge_folder(folder).unwrap();
        let alone = tempfile::tempdir().unwrap();
        seal_hours(alone.path(), false, &mut rng);
        merge_folder(alone.path()).unwrap();
        let alone = bytes(alone.path());
        let (whole, quiet) = (bytes(folder), samples(folder, "quiet%"));
        let (all_hours, quiet_samples) = (lines(folder, sql::HOURS), of_quiet(lines(folder, sql::SAMPLES)));
        let mut of_hog = samples(folder, "hog");
        // The part that is left to the large host.
        for (percent, keeps_sums) in [(60, true), (30, false), (10, false)] {
            let settings = IngestorSettings {
                max_history_bytes: alone + (whole - alone) * percent / 100,
                ..IngestorSettings::default()
            };
            tidy_folder(folder, BEGIN_S + 3 * 3600, &settings).unwrap();
            assert!(
                bytes(folder) <= settings.max_history_bytes,
                "{} of {whole} at {percent} %",
                bytes(folder)
            );
            assert_eq!(samples(folder, "quiet%"), quiet, "{percent} %");
            assert_eq!(of_quiet(lines(folder, sql::SAMPLES)), quiet_samples);
            assert!(samples(folder, "hog") <= of_hog, "{percent} %");
            of_hog = samples(folder, "hog");
            if keeps_sums {
                assert_shown(folder);
                assert!(of_hog > 0 && of_hog < 2 * 400 * 90);
                assert_eq!(lines(folder, sql::HOURS), all_hours, "its sums are those of every sample");
            }
            assert_eq!(of_quiet(lines(folder, sql::HOURS)), of_quiet(all_hours.clone()));
        }
        // Rows of one host that were thinned are thinned further with everything else.
        tidy_folder(folder, BEGIN_S + 9 * 86_400, &IngestorSettings::default()).unwrap();
        assert!(samples(folder, "quiet%") > 0);
        History::open(folder).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_is_told_who_is_beyond_a_share() {
    let fixture = Fixture::start().await;
    std::fs::create_dir_all(fixture.history()).unwrap();
    seal_hours(&fixture.history(), true, &mut Rng::with_seed(1));
    merge_folder(&fixture.history()).unwrap();
    let settings =
        IngestorSettings { max_history_bytes: bytes(&fixture.history()) * 7 / 10, ..fixture.settings() };
    let quiet = samples(&fixture.history(), "quiet%");
    let ingestor = fixture.ingestor(settings.clone()).await;
    let status = status_where(&fixture, |status| !status.beyond_share.is_empty()).await;
    assert!(matches!(&status.beyond_share[..], [said] if said.contains("hog")), "{:?}", status.beyond_share);
    crate::support::until("room", || bytes(&fixture.history()) <= settings.max_history_bytes).await;
    ingestor.stop().await;
    assert_eq!(samples(&fixture.history(), "quiet%"), quiet);
}
