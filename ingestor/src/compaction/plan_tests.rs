//! Merge planning, on literals and on any sequence of segments.

use proptest::prelude::*;

use super::*;
use crate::segment::{SCHEMA_VERSION, current_and_covered};

/// A whole day, so the first second of a day and an hour.
const MIDNIGHT_S: i64 = 20_000 * DAY_S;

fn segment(
    level: Level,
    first_sequence: u64,
    last_sequence: u64,
    first_stored_s: i64,
    rows: u64,
) -> SegmentMeta {
    let name = SegmentName {
        level,
        partition: 0,
        epoch_s: 1,
        first_sequence,
        last_sequence,
        first_stored_s,
        schema_version: SCHEMA_VERSION,
    };
    SegmentMeta { name, rows, bytes: rows * 5 }
}

fn fresh(first_sequence: u64, first_stored_s: i64) -> SegmentMeta {
    segment(Level::Fresh, first_sequence, first_sequence + 9, MIDNIGHT_S + first_stored_s, 1000)
}

#[test]
fn an_hour_is_merged_when_it_has_passed() {
    let segments = [fresh(1, 0), fresh(11, 30), fresh(21, HOUR_S)];
    assert_eq!(next_merge(&segments, MIDNIGHT_S + HOUR_S, 30), None);
    let plan = next_merge(&segments, MIDNIGHT_S + HOUR_S + SETTLE_S, 30).unwrap();
    assert_eq!((plan.level, plan.sources.as_slice()), (Level::Hour, &segments[..2]));
    assert_eq!(plan.name().unwrap().last_sequence, 20);
}

#[test]
fn many_waiting_are_merged_at_once() {
    let segments: Vec<_> = (0..5_u8).map(|i| fresh(1 + u64::from(i) * 10, i64::from(i))).collect();
    assert_eq!(next_merge(&segments, MIDNIGHT_S + 60, 6), None);
    assert_eq!(next_merge(&segments, MIDNIGHT_S + 60, 5).unwrap().sources, segments);
}

#[test]
fn a_missing_segment_or_another_epoch_divides() {
    let mut other_epoch = fresh(31, 90);
    other_epoch.name.epoch_s = 2;
    let segments = [fresh(1, 0), fresh(21, 60), other_epoch];
    let plan = next_merge(&segments, MIDNIGHT_S + 2 * HOUR_S, 30).unwrap();
    assert_eq!(plan.sources, &segments[..1]);
}

#[test]
fn hours_of_a_passed_day_become_a_day() {
    let segments = [
        segment(Level::Hour, 1, 10, MIDNIGHT_S, 1000),
        segment(Level::Hour, 11, 20, MIDNIGHT_S + HOUR_S, 1000),
        segment(Level::Hour, 21, 30, MIDNIGHT_S + DAY_S, 1000),
    ];
    assert_eq!(next_merge(&segments, MIDNIGHT_S + DAY_S, 30), None);
    let plan = next_merge(&segments, MIDNIGHT_S + DAY_S + SETTLE_S, 30).unwrap();
    assert_eq!((plan.level, plan.sources.as_slice()), (Level::Day, &segments[..2]));
}

#[test]
fn nothing_gets_too_big_to_be_handy() {
    let big =
        |first, stored| segment(Level::Fresh, first, first + 9, MIDNIGHT_S + stored, MAX_MERGED_ROWS / 2);
    let segments = [big(1, 0), big(11, 30), big(21, 60)];
    // Two fill one; there is no need to wait for more.
    let plan = next_merge(&segments, MIDNIGHT_S + 100, 30).unwrap();
    assert_eq!(plan.sources, &segments[..2]);
}

proptest! {
    /// Merging until nothing is due ends, keeps every sequence exactly once, and leaves no fresh one of the past.
    #[test]
    fn merging_ends_and_keeps_everything(parts in prop::collection::vec((1_u64..100, 0_u64..9_000_000, 1_i64..4000, prop::bool::weighted(0.1)), 1..60)) {
        let (mut sequence, mut stored_s) = (1, MIDNIGHT_S);
        let mut segments = Vec::new();
        for (length, rows, later_s, is_missing) in parts {
            if !is_missing {
                segments.push(segment(Level::Fresh, sequence, sequence + length - 1, stored_s, rows));
            }
            sequence += length;
            stored_s += later_s;
        }
        let covered_sequences = |segments: &[SegmentMeta]| -> u64 {
            segments.iter().map(|segment| segment.name.last_sequence - segment.name.first_sequence + 1).sum()
        };
        let (sequences, rows) = (covered_sequences(&segments), segments.iter().map(|segment| segment.rows).sum::<u64>());
        let now_s = stored_s + 2 * DAY_S;
        for _ in 0..=200 {
            let Some(plan) = next_merge(&segments, now_s, 30) else { break };
            let rows: u64 = plan.sources.iter().map(|source| source.rows).sum();
            prop_assert!(plan.sources.len() == 1 || rows <= MAX_MERGED_ROWS);
            let merged = SegmentMeta { name: plan.name().unwrap(), rows, bytes: 0 };
            // The merged one covers its sources and nothing else.
            let mut names: Vec<_> = segments.iter().map(|segment| segment.name).collect();
            names.push(merged.name);
            let (_, covered) = current_and_covered(names);
            let sources: Vec<_> = plan.sources.iter().map(|source| source.name).collect();
            prop_assert_eq!(covered, sources);
            segments.retain(|segment| !plan.sources.contains(segment));
            segments.push(merged);
            segments.sort_by_key(|segment| segment.name.first_sequence);
        }
        prop_assert_eq!(next_merge(&segments, now_s, 30), None);
        prop_assert_eq!(covered_sequences(&segments), sequences);
        prop_assert_eq!(segments.iter().map(|segment| segment.rows).sum::<u64>(), rows);
        prop_assert!(segments.iter().all(|segment| segment.name.level != Level::Fresh));
    }
}
