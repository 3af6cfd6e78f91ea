//! Segments that are divided by hosts, with a bound so low that every merge divides.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use fastrand::Rng;
use fleetps_ingestor::{
    IngestorSettings,
    catalog::SegmentFolder,
    check_folder,
    history::{History, SnapshotLookup},
    merge_folder, merge_folder_by,
    segment::{Level, SegmentName},
    tidy_folder,
};

use crate::{
    chance::seeds,
    ledger::{Ledger, lines, sql},
    support::value,
};

/// A tenth of what an hour of the ledger's fleet has, or less.
const FEW_ROWS: u64 = 1200;
const DAY_S: i64 = 86_400;

fn current(folder: &Path) -> Vec<SegmentName> {
    SegmentFolder::scan(folder).unwrap().current.iter().map(|segment| segment.name).collect()
}

/// A folder with these files of another one.
fn copy<'a>(from: &Path, names: impl IntoIterator<Item = &'a SegmentName>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        fs::copy(from.join(name.to_string()), folder.path().join(name.to_string())).unwrap();
    }
    folder
}

/// The snapshots of some days in fresh segments, and the same in a folder where every merge divided.
fn divided(days: i64, rng: &mut Rng) -> (Ledger, tempfile::TempDir, tempfile::TempDir) {
    let fresh = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::random(rng, days);
    ledger.seal(fresh.path(), rng);
    let merged = copy(fresh.path(), &current(fresh.path()));
    merge_folder_by(merged.path(), FEW_ROWS).unwrap();
    (ledger, fresh, merged)
}

fn assert_everything(folder: &Path, ledger: &Ledger, what: &str) {
    assert_eq!(
        value::<u64>(folder, "SELECT count(*) FROM host_sample"),
        ledger.entries.len() as u64,
        "{what}"
    );
    assert!(lines(folder, sql::SNAPSHOTS) == ledger.snapshots(false), "snapshots, {what}");
    assert!(lines(folder, sql::SAMPLES) == ledger.samples(false), "samples, {what}");
    assert!(lines(folder, sql::PROCESSES) == ledger.processes(), "processes, {what}");
}

/// Everything that does not depend on how segments are divided.
fn everything(folder: &Path) -> Vec<BTreeSet<String>> {
    let tables =
        ["event", "gap", "host_info", "host_sample", "filesystem_sample", "interface_sample", "process"];
    let of_table = |table: &str| lines(folder, &format!("SELECT t::VARCHAR FROM {table} AS t"));
    tables.into_iter().map(of_table).chain([lines(folder, sql::SAMPLES), lines(folder, sql::HOURS)]).collect()
}

#[test]
fn divided_segments_hold_what_whole_ones_do_and_each_host_is_in_one_of_a_range() {
    let (ledger, fresh, folder) = divided(1, &mut Rng::with_seed(5));
    assert_everything(folder.path(), &ledger, "merged");
    let names = current(folder.path());
    assert!(names.iter().all(|name| name.level > Level::Fresh && !name.shard.is_whole()), "{names:?}");
    assert!(names.iter().any(|name| name.level == Level::Day), "shards are merged further: {names:?}");
    for name in &names {
        let file = folder.path().join(name.to_string()).display().to_string();
        let connection = duckdb::Connection::open_in_memory().unwrap();
        connection.execute_batch(&format!("ATTACH '{file}' AS s (READ_ONLY)")).unwrap();
        let mut hosts = connection.prepare("SELECT DISTINCT host FROM s.host_sample").unwrap();
        let hosts = hosts.query_map([], |row| row.get::<_, String>(0)).unwrap();
        assert!(hosts.map(Result::unwrap).all(|host| name.shard.has(&host)), "{name}");
    }
    merge_folder(fresh.path()).unwrap();
    assert!(everything(folder.path()) == everything(fresh.path()));
}

#[test]
fn a_merge_that_is_broken_off_anywhere_loses_nothing_and_is_done_again() {
    let (mut rng, fresh) = (Rng::with_seed(3), tempfile::tempdir().unwrap());
    let mut ledger = Ledger::random(&mut rng, 1);
    ledger.seal(fresh.path(), &mut rng);
    let sources = current(fresh.path());
    // One merge of all that is there: a quarter of an hour in the middle of which none is due.
    let merged = copy(fresh.path(), &sources);
    merge_folder_by(merged.path(), 1500).unwrap();
    let shards = current(merged.path());
    let count = shards[0].shard.count();
    assert!(count > 1 && shards.iter().all(|name| name.level >= Level::Hour), "{shards:?}");
    let first_range: Vec<SegmentName> = shards
        .iter()
        .filter(|name| name.level == Level::Hour && name.last_sequence == shards[0].last_sequence)
        .copied()
        .collect();
    assert_eq!(first_range.len(), usize::from(count), "{shards:?}");
    let of_range = |name: &&SegmentName| name.last_sequence <= first_range[0].last_sequence;
    let inside: Vec<SegmentName> = sources.iter().filter(of_range).copied().collect();
    for done in [1, first_range.len() - 1, first_range.len()] {
        // Broken off between two renames.
        let folder = copy(fresh.path(), &sources);
        for name in &first_range[..done] {
            fs::copy(merged.path().join(name.to_string()), folder.path().join(name.to_string())).unwrap();
        }
        assert_everything(folder.path(), &ledger, &format!("{done} of {count} shards"));
        // Done again, into another number of shards.
        merge_folder_by(folder.path(), [700, 3000, 20_000_000][done % 3]).unwrap();
        assert_everything(folder.path(), &ledger, &format!("after {done} of {count} shards"));
        let covered = SegmentFolder::scan(folder.path()).unwrap().covered;
        assert_eq!(covered, [], "remains are removed");
    }
    for gone in [1, inside.len() - 1, inside.len()] {
        // Broken off between the removals of two sources.
        let folder = copy(fresh.path(), &sources);
        for name in &first_range {
            fs::copy(merged.path().join(name.to_string()), folder.path().join(name.to_string())).unwrap();
        }
        inside[inside.len() - gone..]
            .iter()
            .for_each(|name| fs::remove_file(folder.path().join(name.to_string())).unwrap());
        assert_everything(folder.path(), &ledger, &format!("without {gone} of its sources"));
    }
}

#[test]
fn a_damaged_shard_costs_its_own_hosts_alone_and_its_sources_take_its_place_while_they_are_there() {
    let (ledger, fresh, merged) = divided(1, &mut Rng::with_seed(0));
    let names = current(merged.path());
    assert!(names.iter().all(|name| name.level == Level::Hour), "{names:?}");
    let with_hosts =
        names.iter().max_by_key(|name| fs::metadata(merged.path().join(name.to_string())).unwrap().len());
    let damaged = *with_hosts.unwrap();
    let overwrite = |folder: &Path| {
        let path = folder.join(damaged.to_string());
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().skip(4096).step_by(512).for_each(|byte| *byte ^= 0x55);
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    };
    let with_sources = copy(merged.path(), &names);
    for name in current(fresh.path()) {
        fs::copy(fresh.path().join(name.to_string()), with_sources.path().join(name.to_string())).unwrap();
    }
    overwrite(with_sources.path());
    assert_eq!(check_folder(with_sources.path()).unwrap(), Vec::<String>::new());
    assert_everything(with_sources.path(), &ledger, "from the sources");

    overwrite(merged.path());
    assert_eq!(check_folder(merged.path()).unwrap(), [damaged.to_string()]);
    let history = History::open(merged.path()).unwrap();
    let missing: Vec<String> =
        history.missing_segments().into_iter().map(|missing| missing.segment).collect();
    assert_eq!(missing, [damaged.to_string()]);
    let in_it = |line: &String| damaged.shard.has(line.split('|').next().unwrap());
    let database = history.database().unwrap();
    let mut rows = database.prepare(sql::SNAPSHOTS).unwrap();
    let found: BTreeSet<String> = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let of_others: BTreeSet<String> =
        ledger.snapshots(false).into_iter().filter(|line| !in_it(line)).collect();
    assert!(found.is_superset(&of_others) && found.len() < ledger.snapshots(false).len());
}

#[test]
fn what_is_divided_is_thinned_summed_up_and_removed_as_everything_is() {
    for seed in seeds(1) {
        let (ledger, _fresh, folder) = divided(3, &mut Rng::with_seed(seed));
        let folder = folder.path();
        let settings = IngestorSettings { merge_rows: FEW_ROWS, ..IngestorSettings::default() };
        let tidy = |days: i64| tidy_folder(folder, ledger.ends_s() + days * DAY_S, &settings).unwrap();
        let assert_all = |level: Level| {
            let names = current(folder);
            assert!(names.iter().all(|name| name.level == level && !name.shard.is_whole()), "{names:?}");
            assert!(lines(folder, sql::PROCESSES) == ledger.processes(), "{level:?}");
            assert!(lines(folder, sql::HOURS) == ledger.hours(), "{level:?}");
        };
        tidy(10);
        assert_all(Level::Minute);
        assert!(lines(folder, sql::SNAPSHOTS) == ledger.snapshots(true));
        assert!(lines(folder, sql::SAMPLES) == ledger.samples(true));
        tidy(40);
        assert_all(Level::Rollup);
        assert!(lines(folder, sql::SNAPSHOTS) == ledger.snapshots_of_minutes());
        tidy(1000);
        // Those that say where to go on.
        let names = current(folder);
        let last = names.iter().map(|name| name.last_sequence).max().unwrap();
        assert!(names.iter().all(|name| name.last_sequence == last), "{names:?}");
    }
}

#[test]
fn days_of_whole_files_and_of_shards_lie_side_by_side() {
    let (mut rng, folder) = (Rng::with_seed(11), tempfile::tempdir().unwrap());
    let folder = folder.path();
    let mut ledger = Ledger::random(&mut rng, 2);
    ledger.seal(folder, &mut rng);
    // The first day as an earlier version merged it.
    let fresh = current(folder);
    let day = |name: &SegmentName| name.first_stored_s.div_euclid(DAY_S);
    let (earlier, later) = fresh.split_at(fresh.partition_point(|name| day(name) == day(&fresh[0])));
    let aside = copy(folder, later);
    later.iter().for_each(|name| fs::remove_file(folder.join(name.to_string())).unwrap());
    merge_folder(folder).unwrap();
    for name in later {
        fs::copy(aside.path().join(name.to_string()), folder.join(name.to_string())).unwrap();
    }
    merge_folder_by(folder, FEW_ROWS).unwrap();
    let names = current(folder);
    assert!(names[0].shard.is_whole() && names.iter().any(|name| !name.shard.is_whole()), "{names:?}");
    assert!(names.iter().filter(|name| name.shard.is_whole()).count() < earlier.len());
    assert_everything(folder, &ledger, "side by side");
    let history = History::open(folder).unwrap();
    for entry in ledger.entries.iter().step_by(97) {
        let at_us = entry.snapshot.captured_at_us;
        let found = history.snapshot_at(&entry.host, at_us).unwrap();
        assert!(matches!(found, SnapshotLookup::Snapshot(_)), "{} at {at_us}: {found:?}", entry.host);
    }
    let settings = IngestorSettings {
        merge_rows: FEW_ROWS,
        keep_samples: Duration::from_secs(3600),
        ..IngestorSettings::default()
    };
    tidy_folder(folder, ledger.ends_s() + 2 * DAY_S, &settings).unwrap();
    assert!(current(folder).iter().all(|name| name.level == Level::Minute));
    assert!(lines(folder, sql::SAMPLES) == ledger.samples(true));
}
