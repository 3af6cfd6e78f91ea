//! Segments with flipped bits and missing ends: what they hold is missing in answers, and said to be; nothing else is.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
};

use fastrand::Rng;
use fleetps_ingestor::{history::History, segment::SegmentName};

use crate::{
    chance::{rounds, seeds},
    fleet::{Published, fleet, seal_all},
    naive::{Kept, at_moment},
};

/// Flips some bits, or cuts off the end.
fn damage(path: &Path, rng: &mut Rng) {
    // A segment is a file that is only read.
    fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    if rng.u32(0..4) == 0 {
        file.set_len(rng.u64(0..length)).unwrap();
        return;
    }
    for _ in 0..rng.u32(1..=64) {
        let place = rng.u64(0..length);
        let mut byte = [0];
        file.read_exact_at(&mut byte, place).unwrap();
        file.write_all_at(&[byte[0] ^ 1 << rng.u32(0..8)], place).unwrap();
    }
}

/// Asks for the table at every fifth snapshot. Each answer must be the one from all segments, or, where the damaged
/// segment is said to be missing, the one from all others.
fn check(history: &History, published: &[Published], rest: &[Published], damaged: &SegmentName) {
    let all = Kept::all(published);
    for one in published.iter().step_by(5) {
        let at_us = one.snapshot.captured_at_us;
        let found = history.snapshot_at(&one.host, at_us).unwrap();
        let set_aside: Vec<String> =
            history.missing_segments().into_iter().map(|about| about.segment).collect();
        if set_aside.is_empty() {
            assert_eq!(found, at_moment(published, &all, &one.host, at_us));
        } else {
            assert_eq!(set_aside, [damaged.to_string()]);
            assert_eq!(found, at_moment(rest, &all, &one.host, at_us));
        }
    }
}

#[test]
fn a_damaged_segment_is_set_aside_and_the_others_go_on() {
    seeds(1).for_each(others_go_on);
}

fn others_go_on(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    // Files that are damaged, each in another way.
    let damages = rounds(8);
    let published = (0..).map(fleet).find(|published| published.len() > 60).unwrap();
    let whole = tempfile::tempdir().unwrap();
    let segments = seal_all(whole.path(), &published, &mut rng);
    let mut noticed = 0;
    for number in 0..damages {
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(whole.path()).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
        let (name, range) = &segments[rng.usize(0..segments.len())];
        let rest = [&published[..range.start], &published[range.end..]].concat();
        // Before or after it is attached.
        let opened = (number % 2 == 0).then(|| History::open(folder.path()).unwrap());
        damage(&folder.path().join(name.to_string()), &mut rng);
        let history = opened.unwrap_or_else(|| History::open(folder.path()).unwrap());
        check(&history, &published, &rest, name);
        noticed += history.missing_segments().len();
        history.refresh().unwrap();
        check(&history, &published, &rest, name);
    }
    assert!(noticed > damages / 2, "only {noticed} were noticed");
}
