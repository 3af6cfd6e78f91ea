//! Flipped bits and missing ends of segments, anywhere in them.

use std::{collections::BTreeSet, fs, path::Path};

use fastrand::Rng;
use fleetps_ingestor::{
    catalog::SegmentFolder, check_folder, history::History, merge_folder, segment::SegmentName, tidy_folder,
};

use crate::{
    chance::{rounds, seeds},
    ledger::{Ledger, sql},
};

/// Every answer that a folder gives without `set_aside`; an error where a query fails, or more is missing.
fn answers(folder: &Path, set_aside: &[SegmentName]) -> Result<Vec<BTreeSet<String>>, String> {
    let history = History::open(folder).map_err(|error| error.to_string())?;
    let missing: Vec<String> =
        history.missing_segments().into_iter().map(|missing| missing.segment).collect();
    if !missing.iter().eq(set_aside.iter().map(SegmentName::to_string).collect::<Vec<_>>().iter()) {
        return Err(format!("{missing:?}"));
    }
    let database = history.database().map_err(|error| error.to_string())?;
    let answer = |sql: &str| {
        let mut statement = database.prepare(sql)?;
        let lines = statement.query_map([], |row| row.get(0))?;
        lines.collect::<Result<BTreeSet<String>, _>>()
    };
    let queries = [sql::SNAPSHOTS, sql::SAMPLES, sql::PROCESSES, sql::HOURS];
    queries.into_iter().map(|sql| answer(sql).map_err(|error| error.to_string())).collect()
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

/// Flips a few bits of a file close to each other, or cuts its end off.
fn damage(path: &Path, rng: &mut Rng) -> String {
    let mut bytes = fs::read(path).unwrap();
    let place = rng.usize(..bytes.len());
    let what = match rng.bool() {
        true => {
            bytes.truncate(place);
            format!("cut off at {place}")
        }
        false => {
            let flips: Vec<u8> = (0..rng.usize(1..4)).map(|_| 1 << rng.u8(..8)).collect();
            bytes.iter_mut().skip(place).zip(&flips).for_each(|(byte, flip)| *byte ^= flip);
            format!("{flips:?} flipped at {place}")
        }
    };
    // A segment is a file that is only read.
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
    what
}

#[test]
fn damage_anywhere_is_noticed_set_aside_and_never_answers_wrongly() {
    seeds(1).for_each(damage_is_noticed);
}

fn damage_is_noticed(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    // Damaged copies of the folder.
    let cases = rounds(6);
    let (mut ledger, whole) = (Ledger::random(&mut rng, 3), tempfile::tempdir().unwrap());
    ledger.seal(whole.path(), &mut rng);
    merge_folder(whole.path()).unwrap();
    // The oldest day as sums, the next thinned, the last with every sample.
    let middle_s = ledger.ends_s() - 86_400;
    let settings = fleetps_ingestor::IngestorSettings {
        keep_samples: std::time::Duration::from_secs(86_400),
        keep_minutes: std::time::Duration::from_secs(2 * 86_400),
        ..Default::default()
    };
    tidy_folder(whole.path(), middle_s + 2 * 86_400, &settings).unwrap();
    let names: Vec<SegmentName> =
        SegmentFolder::scan(whole.path()).unwrap().current.iter().map(|segment| segment.name).collect();
    let whole_answers = answers(whole.path(), &[]).unwrap();
    let mut noticed = 0;
    for case in 0..cases {
        let name = names[case % names.len()];
        let (copied, others) = (copy(whole.path()), copy(whole.path()));
        let path = copied.path().join(name.to_string());
        let what = format!("{name}, {}", damage(&path, &mut rng));
        // A reader before the ingestor has noticed.
        if let Ok(early) = answers(copied.path(), &[]) {
            assert!(early == whole_answers, "{what}");
        }
        let set_aside = check_folder(copied.path()).unwrap();
        if set_aside.is_empty() {
            assert!(answers(copied.path(), &[]).as_ref() == Ok(&whole_answers), "{what}");
            continue;
        }
        noticed += 1;
        assert_eq!(set_aside, [name.to_string()], "{what}");
        assert!(!path.exists() && copied.path().join(name.damaged_file_name()).exists(), "{what}");
        fs::remove_file(others.path().join(name.to_string())).unwrap();
        let of_others = answers(others.path(), &[]).unwrap();
        assert!(answers(copied.path(), &[name]) == Ok(of_others), "{what}");
        // Nor is it read again after a start.
        assert_eq!(check_folder(copied.path()).unwrap(), [name.to_string()], "{what}");
    }
    eprintln!("noticed {noticed} of {cases}; the others changed nothing");
    assert!(noticed > cases / 2);
}

#[test]
fn what_a_damaged_segment_was_merged_from_takes_its_place() {
    let mut rng = Rng::with_seed(12);
    let (mut ledger, folder) = (Ledger::random(&mut rng, 1), tempfile::tempdir().unwrap());
    let folder = folder.path();
    ledger.seal(folder, &mut rng);
    let sources = copy(folder);
    merge_folder(folder).unwrap();
    let merged = SegmentFolder::scan(folder).unwrap().current[0].name;
    for segment in SegmentFolder::scan(sources.path()).unwrap().current {
        let name = segment.name.to_string();
        fs::copy(sources.path().join(&name), folder.join(&name)).unwrap();
    }
    let path = folder.join(merged.to_string());
    let whole = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(check_folder(folder).unwrap(), Vec::<String>::new(), "nothing is missing");
    assert!(folder.join(merged.damaged_file_name()).exists());
    assert!(answers(folder, &[]).unwrap()[1] == ledger.samples(false));
}
