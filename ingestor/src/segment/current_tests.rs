//! Which segments are read, on literals and after any course of merges and crashes.

use fastrand::Rng;

use super::*;
use crate::segment::{Level, SCHEMA_VERSION, SHARDED_VERSION};

/// Made-up histories that are tried.
const HISTORIES: u64 = 1000;

fn name(level: Level, first_sequence: u64, last_sequence: u64) -> SegmentName {
    SegmentName {
        level,
        partition: 0,
        epoch_s: 1_763_712_000,
        first_sequence,
        last_sequence,
        first_stored_s: 1_763_713_800,
        schema_version: SCHEMA_VERSION,
        shard: Shard::WHOLE,
    }
}

/// Shards of a segment, by their numbers from 0.
fn shards(of: SegmentName, count: u8, numbers: impl IntoIterator<Item = u8>) -> Vec<SegmentName> {
    let shard = |number| Shard::new(number, count).unwrap();
    let shards = numbers.into_iter().map(|number| SegmentName {
        shard: shard(number),
        schema_version: SHARDED_VERSION,
        ..of
    });
    shards.collect()
}

fn resolved(names: &[&[SegmentName]]) -> (Vec<SegmentName>, Vec<SegmentName>, Vec<SegmentName>) {
    let Resolved { current, covered, contested } = Resolved::of(names.concat());
    (current, covered, contested)
}

#[test]
fn a_segment_inside_another_is_covered() {
    let hour = name(Level::Hour, 1, 100);
    let (first, last) = (name(Level::Fresh, 1, 50), name(Level::Fresh, 51, 100));
    let next = name(Level::Fresh, 101, 120);
    assert_eq!(resolved(&[&[next, last, hour, first]]), (vec![hour, next], vec![first, last], vec![]));
}

#[test]
fn of_the_same_range_the_higher_level_stays_and_of_one_level_what_was_written_again() {
    let (fresh, hour) = (name(Level::Fresh, 1, 50), name(Level::Hour, 1, 50));
    assert_eq!(resolved(&[&[fresh, hour]]), (vec![hour], vec![fresh], vec![]));
    let again = hour.written_again();
    assert_eq!(resolved(&[&[hour, again]]), (vec![again], vec![hour], vec![]));
    assert_eq!(resolved(&[&[again, hour]]), (vec![again], vec![hour], vec![]));
}

#[test]
fn another_epoch_or_partition_covers_nothing() {
    let fresh = name(Level::Fresh, 1, 50);
    let other_epoch = SegmentName { epoch_s: 1_763_712_001, ..name(Level::Hour, 1, 100) };
    let other_partition = SegmentName { partition: 1, ..name(Level::Hour, 1, 100) };
    let (current, covered, _) = resolved(&[&[fresh, other_epoch, other_partition]]);
    assert_eq!((current.len(), covered.len()), (3, 0));
}

#[test]
fn shards_cover_their_sources_when_all_of_them_are_there() {
    let sources = [name(Level::Fresh, 1, 50), name(Level::Fresh, 51, 100)];
    let hour = name(Level::Hour, 1, 100);
    let (all, some) = (shards(hour, 4, 0..4), shards(hour, 4, 0..3));
    assert_eq!(resolved(&[&sources, &all]), (all.clone(), sources.to_vec(), vec![]));
    // A merge that was broken off.
    assert_eq!(resolved(&[&sources, &some]), (sources.to_vec(), some.clone(), vec![]));
    // It was done: one source is removed.
    assert_eq!(resolved(&[&sources[..1], &all]), (all, sources[..1].to_vec(), vec![]));
    // The same, and a shard is lost since; what is still there is not removed.
    assert_eq!(resolved(&[&sources[..1], &some]), (some.clone(), vec![], sources[..1].to_vec()));
    assert_eq!(resolved(&[&some]), (some, vec![], vec![]));
}

#[test]
fn a_merge_that_is_done_again_may_divide_into_more_or_fewer() {
    let (sources, hour) =
        ([name(Level::Fresh, 1, 50), name(Level::Fresh, 51, 100)], name(Level::Hour, 1, 100));
    for (broken_off, done) in [(8, 2), (2, 8)] {
        let some = shards(hour, broken_off, 0..broken_off - 1);
        let Resolved { current, covered, contested } =
            Resolved::of([&sources[..], &some, &shards(hour, done, 0..done)].concat());
        assert!(contested.is_empty() && sources.iter().all(|source| covered.contains(source)));
        assert_eq!(current.iter().fold(0, |bits, name| bits ^ name.shard.bits()), u64::MAX);
        assert_eq!(current.iter().map(|name| name.shard.bits().count_ones()).sum::<u32>(), 64);
    }
}

#[test]
fn each_shard_is_merged_by_itself() {
    let (first, second) =
        (shards(name(Level::Hour, 1, 50), 2, 0..2), shards(name(Level::Hour, 51, 90), 2, 0..2));
    let merged = shards(name(Level::Day, 1, 90), 2, 1..2);
    let (current, covered, contested) = resolved(&[&first, &second, &merged]);
    assert_eq!(current, [merged[0], first[0], second[0]]);
    assert_eq!((covered, contested), (vec![first[1], second[1]], vec![]));
}

/// A folder, as a compactor that is killed now and then changes it.
struct Folder {
    names: Vec<SegmentName>,
    last_sequence: u64,
}

/// How many of these segments have each sequence, from 1, of each of the smallest shards.
fn counts(names: &[SegmentName], last_sequence: u64) -> Vec<[u8; 64]> {
    let mut counts = vec![[0; 64]; last_sequence as usize];
    for name in names {
        for of_sequence in &mut counts[name.first_sequence as usize - 1..name.last_sequence as usize] {
            for (place, count) in of_sequence.iter_mut().enumerate() {
                *count += u8::from(name.shard.bits() >> place & 1 == 1);
            }
        }
    }
    counts
}

impl Folder {
    /// One step, which may be broken off.
    fn step(&mut self, rng: &mut Rng) {
        let Resolved { current, covered, .. } = Resolved::of(self.names.clone());
        match rng.u8(..6) {
            0 | 1 => {
                let first = self.last_sequence + 1;
                self.last_sequence += rng.u64(1..4);
                self.names.push(name(Level::Fresh, first, self.last_sequence));
            }
            2 => {
                let count = 1 << rng.u8(..4);
                let Some(merged) = merge(&current, Level::Fresh, rng) else { return };
                let merged = shards(merged, count, 0..count);
                let renamed = if rng.bool() { merged.len() } else { rng.usize(..=merged.len()) };
                self.put(&merged[..renamed]);
            }
            3 => {
                let levels = [Level::Hour, Level::Day, Level::Minute, Level::Rollup];
                let merged = merge(&current, levels[rng.usize(..levels.len())], rng);
                self.put(merged.as_slice());
            }
            4 => {
                let merged: Vec<_> = current.iter().filter(|name| name.level != Level::Fresh).collect();
                let again = merged.get(rng.usize(..merged.len().max(1))).map(|name| name.written_again());
                self.put(again.as_slice());
            }
            _ => {
                // Removed in any order.
                if let Some(gone) = covered.get(rng.usize(..covered.len().max(1))) {
                    self.names.retain(|name| name != gone);
                }
            }
        }
    }

    fn put(&mut self, names: &[SegmentName]) {
        self.names.retain(|name| !names.contains(name));
        self.names.extend(names);
    }
}

/// What neighbours of a level and shard are merged into.
fn merge(current: &[SegmentName], level: Level, rng: &mut Rng) -> Option<SegmentName> {
    let of_level: Vec<&SegmentName> = current.iter().filter(|name| name.level == level).collect();
    let mut last = **of_level.get(rng.usize(..of_level.len().max(1)))?;
    let first = last;
    for _ in 0..rng.u8(..5) {
        let is_next =
            |next: &&&SegmentName| next.first_sequence == last.last_sequence + 1 && next.shard == last.shard;
        let Some(next) = of_level.iter().find(is_next) else { break };
        last = **next;
    }
    let to = [Level::Hour, Level::Day, Level::Minute, Level::Rollup];
    let to: Vec<Level> = to.into_iter().filter(|to| *to > level || level >= Level::Minute).collect();
    let to = if level == Level::Fresh { Level::Hour } else { to[rng.usize(..to.len())].max(level) };
    Some(SegmentName { level: to, last_sequence: last.last_sequence, ..first })
}

/// After each step every row is read once.
fn assert_each_row_is_read_once(folder: &Folder, what: &str) {
    let Resolved { current, covered, contested } = Resolved::of(folder.names.clone());
    let of_names = || folder.names.iter().map(SegmentName::to_string).collect::<Vec<_>>().join("\n");
    assert_eq!(
        (&contested, current.len() + covered.len()),
        (&vec![], folder.names.len()),
        "{what}: {}",
        of_names()
    );
    let read = counts(&current, folder.last_sequence);
    assert!(read.as_flattened().iter().all(|count| *count == 1), "{what}: {current:?} of {:?}", folder.names);
}

#[test]
fn after_any_crash_every_row_is_read_once_and_a_lost_file_costs_only_its_own() {
    for seed in 0..HISTORIES {
        let (mut rng, what) = (Rng::with_seed(seed), format!("history {seed}"));
        let mut folder = Folder { names: Vec::new(), last_sequence: 0 };
        for _ in 0..rng.usize(1..50) {
            folder.step(&mut rng);
            assert_each_row_is_read_once(&folder, &what);
        }
        let mut lost = Vec::new();
        for _ in 0..rng.usize(..4).min(folder.names.len()) {
            lost.push(folder.names.swap_remove(rng.usize(..folder.names.len())));
        }
        let Resolved { current, covered, contested } = Resolved::of(folder.names.clone());
        let count = |names: &[SegmentName]| counts(names, folder.last_sequence).into_flattened();
        let (read, kept) = (count(&current), count(&[lost.as_slice(), &contested].concat()));
        let what = format!("{what} without {lost:?}: {:?}", folder.names);
        assert!(read.iter().all(|count| *count <= 1), "twice, {what}");
        assert!(read.iter().zip(&kept).all(|(read, kept)| read + kept > 0), "missing, {what}");
        // What may be removed is read elsewhere, or was in what is lost.
        let removed = count(&covered);
        assert!((0..read.len()).all(|cell| removed[cell] == 0 || read[cell] + kept[cell] > 0), "{what}");
    }
}
