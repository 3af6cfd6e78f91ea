//! The rows kept at every level, compared with a naive computation over the raw snapshots.

use std::{collections::BTreeSet, path::Path};

use fastrand::Rng;
use fleetps_ingestor::{IngestorSettings, catalog::SegmentFolder, merge_folder, segment::Level, tidy_folder};

use crate::{
    chance::seeds,
    ledger::{Ledger, lines, sql},
    support::value,
};

const DAY_S: i64 = 86_400;

fn levels(folder: &Path) -> Vec<Level> {
    SegmentFolder::scan(folder).unwrap().current.iter().map(|segment| segment.name.level).collect()
}

/// Fails at the first few lines that differ.
fn assert_same(what: &str, found: &BTreeSet<String>, expected: &BTreeSet<String>) {
    let missing: Vec<_> = expected.difference(found).take(3).collect();
    let strange: Vec<_> = found.difference(expected).take(3).collect();
    assert!(missing.is_empty() && strange.is_empty(), "{what}: missing {missing:#?}, too much {strange:#?}");
}

/// What every form keeps.
fn assert_processes_and_hours(stage: &str, folder: &Path, ledger: &Ledger) {
    assert_same(&format!("{stage}, process"), &lines(folder, sql::PROCESSES), &ledger.processes());
    assert_same(&format!("{stage}, process_hour"), &lines(folder, sql::HOURS), &ledger.hours());
    let last_ms = value::<i64>(folder, "SELECT epoch_ms(max(last_captured_at)) FROM segment");
    let captured_ms = ledger.entries.iter().map(|entry| entry.snapshot.captured_at_us.div_euclid(1000));
    assert_eq!(Some(last_ms), captured_ms.max());
}

#[test]
fn every_level_holds_what_a_naive_computation_says() {
    for seed in seeds(1) {
        let mut rng = Rng::with_seed(seed);
        let (mut ledger, folder) = (Ledger::random(&mut rng, 10), tempfile::tempdir().unwrap());
        let folder = folder.path();
        ledger.seal(folder, &mut rng);
        assert_same("fresh", &lines(folder, sql::SAMPLES), &ledger.samples(false));

        merge_folder(folder).unwrap();
        assert!(levels(folder).iter().all(|level| matches!(level, Level::Hour | Level::Day)));
        assert_same("merged", &lines(folder, sql::SNAPSHOTS), &ledger.snapshots(false));
        assert_same("merged", &lines(folder, sql::SAMPLES), &ledger.samples(false));
        assert_processes_and_hours("merged", folder, &ledger);

        let settings = IngestorSettings::default();
        tidy_folder(folder, ledger.ends_s() + 10 * DAY_S, &settings).unwrap();
        assert!(levels(folder).iter().all(|level| *level == Level::Minute), "{:?}", levels(folder));
        assert_same("minutes", &lines(folder, sql::SNAPSHOTS), &ledger.snapshots(true));
        assert_same("minutes", &lines(folder, sql::SAMPLES), &ledger.samples(true));
        assert_processes_and_hours("minutes", folder, &ledger);

        tidy_folder(folder, ledger.ends_s() + 40 * DAY_S, &settings).unwrap();
        assert!(levels(folder).iter().all(|level| *level == Level::Rollup) && levels(folder).len() < 4);
        assert_same("sums", &lines(folder, sql::SNAPSHOTS), &ledger.snapshots_of_minutes());
        assert_same("sums", &lines(folder, sql::SAMPLES), &BTreeSet::new());
        assert_processes_and_hours("sums", folder, &ledger);

        tidy_folder(folder, ledger.ends_s() + 1000 * DAY_S, &settings).unwrap();
        assert_eq!(levels(folder).len(), 1, "the last one says where to go on");
    }
}

#[test]
fn samples_that_were_never_merged_become_sums_at_once() {
    let mut rng = Rng::with_seed(7);
    let (mut ledger, folder) = (Ledger::random(&mut rng, 2), tempfile::tempdir().unwrap());
    ledger.seal(folder.path(), &mut rng);
    tidy_folder(folder.path(), ledger.ends_s() + 100 * DAY_S, &IngestorSettings::default()).unwrap();
    assert!(levels(folder.path()).iter().all(|level| *level == Level::Rollup));
    assert_processes_and_hours("at once", folder.path(), &ledger);
}

#[test]
fn a_limit_of_size_keeps_less_and_less_of_the_oldest() {
    let mut rng = Rng::with_seed(8);
    let (mut ledger, folder) = (Ledger::random(&mut rng, 6), tempfile::tempdir().unwrap());
    let folder = folder.path();
    ledger.seal(folder, &mut rng);
    merge_folder(folder).unwrap();
    let bytes =
        || -> u64 { SegmentFolder::scan(folder).unwrap().current.iter().map(|segment| segment.bytes).sum() };
    let whole = bytes();
    for share in [90, 70, 50] {
        let settings =
            IngestorSettings { max_history_bytes: whole * share / 100, ..IngestorSettings::default() };
        tidy_folder(folder, ledger.ends_s(), &settings).unwrap();
        assert!(bytes() <= settings.max_history_bytes, "{} of {whole}", bytes());
        // The less of it, the older; whether raw ones were merged is all the same.
        let thinned = |level: &Level| if level.is_raw() { Level::Fresh } else { *level };
        assert!(
            levels(folder).is_sorted_by(|older, newer| thinned(older) >= thinned(newer) || !newer.is_raw()),
            "{:?}",
            levels(folder)
        );
    }
    let settings = IngestorSettings { max_history_bytes: 0, ..IngestorSettings::default() };
    tidy_folder(folder, ledger.ends_s(), &settings).unwrap();
    assert_eq!(levels(folder), [Level::Rollup]);
}
