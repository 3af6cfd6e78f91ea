//! The log says of segments what these say themselves, or nothing.

use std::{collections::BTreeMap, fs::File, time::Duration};

use fastrand::Rng;
use fleetps_nats::snapshot::{Process, Snapshot};

use super::*;
use crate::{
    catalog::SegmentCatalog,
    segment::{RowCounts, SegmentRows, seal},
};

/// What is known of a segment, to compare.
type Known = (Vec<(String, HostRanges)>, Option<EventRange>);

fn known(index: &SegmentIndex) -> Known {
    let hosts = index.hosts().iter().map(|(host, ranges)| (host.to_string(), *ranges));
    (hosts.collect(), index.events())
}

/// Seals a segment of some of ten hosts.
fn seal_one(folder: &Path, number: u64, rng: &mut Rng) -> SegmentName {
    let first = 1 + number * 100;
    let mut rows = SegmentRows::new(0, 1, first, i64::try_from(first).unwrap() * 1_000_000);
    for sequence in first..first + rng.u64(1..20) {
        let captured_at_us = i64::try_from(sequence).unwrap() * 1_000_000 + rng.i64(-5..5) * 1_000;
        let processes = vec![Process { pid: 1, ..Process::default() }; rng.usize(0..2)];
        let snapshot =
            Snapshot { captured_at_us, interval_ms: rng.u32(1..9), processes, ..Snapshot::default() };
        rows.push(sequence, captured_at_us, &format!("host-{}", rng.u8(0..10)).parse().unwrap(), &snapshot);
    }
    seal(folder, &mut rows).unwrap()
}

/// What the segments of a folder say themselves.
fn truth(folder: &Path, names: &[SegmentName]) -> BTreeMap<String, Known> {
    let mut counts = RowCounts::of(folder);
    let mut read = |name: &SegmentName| {
        let (_, index) = counts.read_with(name, |connection| SegmentIndex::load(connection, *name)).unwrap();
        (name.to_string(), known(&index))
    };
    names.iter().map(&mut read).collect()
}

/// What a reader finds in the log that has not read it yet.
fn logged(folder: &Path) -> BTreeMap<String, Known> {
    read_on(&mut IndexLogReader::default(), folder)
}

fn read_on(reader: &mut IndexLogReader, folder: &Path) -> BTreeMap<String, Known> {
    let mut found = BTreeMap::new();
    reader.read(folder, |_| true, |index| drop(found.insert(index.name.to_string(), known(&index))));
    found
}

#[test]
fn times_of_any_size_are_read_as_they_were_written() {
    let mut rng = Rng::with_seed(1);
    let name = SegmentRows::new(0, 1, 1, 0).name();
    for round in 0..200 {
        let any = |rng: &mut Rng| match rng.u8(0..3) {
            0 => rng.i64(..),
            1 => [i64::MIN, i64::MAX, 0, -1][rng.usize(0..4)],
            _ => 1_800_000_000_000_000 + rng.i64(0..1_000_000),
        };
        let range =
            |rng: &mut Rng| HostRange { first_us: any(rng), last_us: any(rng), interval_ms: rng.u32(..) };
        let ranges = |rng: &mut Rng| HostRanges { all: range(rng), tables: rng.bool().then(|| range(rng)) };
        let hosts: Vec<_> =
            (0..round % 7).map(|host| (format!("h.{host}").parse().unwrap(), ranges(&mut rng))).collect();
        let events = rng.bool().then(|| EventRange {
            first_us: any(&mut rng),
            last_us: any(&mut rng),
            count: rng.u64(..),
        });
        let index = SegmentIndex::of(name, hosts).with_events(events);
        let bytes = rmp_serde::to_vec(&Content::of(&index)).unwrap();
        let read = rmp_serde::from_slice::<Content<'_>>(&bytes).unwrap().into_index(name).unwrap();
        assert_eq!(known(&read), known(&index));
    }
}

#[test]
fn the_log_says_what_segments_hold_and_a_reader_follows_it() {
    let (folder, mut rng) = (tempfile::tempdir().unwrap(), Rng::with_seed(2));
    let folder = folder.path();
    let old: Vec<_> = (0..3).map(|number| seal_one(folder, number, &mut rng)).collect();
    let catalog = SegmentCatalog::open(folder).unwrap();
    let mut reader = IndexLogReader::default();
    assert_eq!(read_on(&mut reader, folder), truth(folder, &old));
    assert_eq!(read_on(&mut reader, folder), BTreeMap::new());
    let new = seal_one(folder, 3, &mut rng);
    catalog.add(new, 1).unwrap();
    assert_eq!(read_on(&mut reader, folder), truth(folder, &[new]));
    // The next start adds nothing.
    let bytes = || fs::metadata(folder.join(INDEX_LOG)).unwrap().len();
    let before = bytes();
    drop(catalog);
    assert_eq!(SegmentCatalog::open(folder).unwrap().segments().len(), 4);
    assert_eq!((bytes(), logged(folder)), (before, truth(folder, &[&old[..], &[new]].concat())));
}

#[test]
fn a_file_that_is_another_one_by_now_is_not_described() {
    let (folder, mut rng) = (tempfile::tempdir().unwrap(), Rng::with_seed(3));
    let folder = folder.path();
    let name = seal_one(folder, 0, &mut rng);
    SegmentCatalog::open(folder).unwrap();
    let path = folder.join(name.to_string());
    let modified = path.metadata().unwrap().modified().unwrap();
    let set = |time| File::open(&path).unwrap().set_modified(time).unwrap();
    set(modified + Duration::from_nanos(1_000_000));
    assert_eq!(logged(folder), BTreeMap::new());
    // The ingestor looks into it, and writes it down.
    SegmentCatalog::open(folder).unwrap();
    assert_eq!(logged(folder), truth(folder, &[name]));
    set(modified + Duration::from_nanos(2_000_000));
    assert_eq!(logged(folder), BTreeMap::new());
    // As it was when it was first written down.
    set(modified);
    assert_eq!(logged(folder), truth(folder, &[name]));
}

#[test]
fn damage_anywhere_costs_records_and_never_a_wrong_one_and_the_next_start_heals_it() {
    let (folder, mut rng) = (tempfile::tempdir().unwrap(), Rng::with_seed(4));
    let folder = folder.path();
    let names: Vec<_> = (0..4).map(|number| seal_one(folder, number, &mut rng)).collect();
    SegmentCatalog::open(folder).unwrap();
    let (all, path) = (truth(folder, &names), folder.join(INDEX_LOG));
    let whole = fs::read(&path).unwrap();
    let mut was_healed = 0;
    for round in 0..300 {
        let mut bytes = whole.clone();
        match rng.u8(0..3) {
            0 => bytes.truncate(rng.usize(0..bytes.len())),
            1 => bytes.iter_mut().skip(rng.usize(0..whole.len())).take(9).for_each(|byte| *byte = 0xff),
            _ => {
                let place = rng.usize(0..bytes.len());
                bytes[place] ^= 1 << rng.u8(0..8);
            }
        }
        fs::write(&path, &bytes).unwrap();
        let found = logged(folder);
        assert!(found.iter().all(|(name, known)| all.get(name) == Some(known)), "round {round}");
        if round % 50 == 0 {
            SegmentCatalog::open(folder).unwrap();
            assert_eq!(logged(folder), all, "round {round}");
            was_healed += usize::from(found != all);
        }
    }
    assert!(was_healed > 0);
    // Something else in its place is no reason not to go on.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(logged(folder), BTreeMap::new());
    assert_eq!(SegmentCatalog::open(folder).unwrap().segments().len(), 4);
}

#[test]
fn records_of_segments_that_are_gone_do_not_pile_up() {
    let (folder, mut rng) = (tempfile::tempdir().unwrap(), Rng::with_seed(5));
    let folder = folder.path();
    let name = seal_one(folder, 0, &mut rng);
    let mut log = IndexLog::open(folder);
    let (path, mut reader) = (folder.join(name.to_string()), IndexLogReader::default());
    let mut most = 0;
    for round in 1..2_000_u32 {
        let stamp = FileStamp { bytes: u64::from(round), modified_ns: 0 };
        let index = SegmentIndex::of(name, []);
        log.add(&RecordHead { file_name: &name.to_string(), stamp, rows: 0 }, &index);
        most = most.max(fs::metadata(folder.join(INDEX_LOG)).unwrap().len());
        reader.records(folder, |_| {});
    }
    assert!(most < 50_000, "{most} bytes");
    // What the newest file has is read by one that followed, and by one that begins.
    let stamp = FileStamp::of(&path).unwrap();
    let index = SegmentIndex::of(
        name,
        [("a".parse().unwrap(), HostRanges { all: range((0, 0), (1, -2, 3)), tables: None })],
    );
    log.add(&RecordHead { file_name: &name.to_string(), stamp, rows: 0 }, &index);
    assert_eq!(read_on(&mut reader, folder), [(name.to_string(), known(&index))].into());
    assert_eq!(logged(folder), [(name.to_string(), known(&index))].into());
}
