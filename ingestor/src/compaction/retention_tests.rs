//! Retention, on literals.

use std::time::Duration;

use super::*;
use crate::segment::{SCHEMA_VERSION, Shard};

const HOUR_S: i64 = 3600;

/// The segment of one hour.
fn hour(number: u8, level: Level) -> SegmentMeta {
    let sequence = 1 + u64::from(number) * 10;
    let name = SegmentName {
        level,
        partition: 0,
        epoch_s: 1,
        first_sequence: sequence,
        last_sequence: sequence + 9,
        first_stored_s: i64::from(number) * HOUR_S,
        schema_version: SCHEMA_VERSION,
        shard: Shard::WHOLE,
    };
    SegmentMeta { name, rows: 10, bytes: 100 }
}

fn hours(levels: &[Level]) -> Vec<SegmentMeta> {
    (0..).zip(levels).map(|(number, level)| hour(number, *level)).collect()
}

/// Settings that keep every sample for 5 hours, one a minute for `minutes` hours and sums for `hours` hours.
fn keep(minutes: u64, hours: u64) -> IngestorSettings {
    let of_hours = |hours: u64| Duration::from_secs(hours * 3600);
    IngestorSettings {
        keep_samples: of_hours(5),
        keep_minutes: of_hours(minutes),
        keep_hours: of_hours(hours),
        max_history_bytes: 1000,
        ..IngestorSettings::default()
    }
}

#[test]
fn what_is_too_old_for_every_form_goes_but_the_last() {
    let segments = hours(&[Level::Rollup; 3]);
    let now_s = segments[1].name.latest_stored_s() + 40 * HOUR_S;
    assert_eq!(expired(&segments, now_s, &keep(10, 41)), []);
    assert_eq!(expired(&segments, now_s, &keep(10, 40)), [segments[0].name]);
    // A setting without roll-ups.
    assert_eq!(expired(&segments, now_s, &keep(0, 0)), [segments[0].name, segments[1].name]);
    assert_eq!(expired(&segments, i64::MAX, &keep(10, 40)).len(), 2);
}

#[test]
fn neighbours_that_are_too_old_are_thinned_together_each_when_its_time_has_come() {
    let segments = hours(&[Level::Hour, Level::Hour, Level::Hour]);
    let last_s = segments[2].name.latest_stored_s();
    assert_eq!(next_downsampling(&segments, last_s + 5 * HOUR_S, &keep(10, 20)), None);
    let downsampled = next_downsampling(&segments, last_s + 5 * HOUR_S + 1, &keep(10, 20)).unwrap();
    assert_eq!((downsampled.level, downsampled.sources.as_slice()), (Level::Minute, segments.as_slice()));
    let rolled_up = next_downsampling(&segments, last_s + 11 * HOUR_S, &keep(10, 20)).unwrap();
    assert_eq!(rolled_up.level, Level::Rollup);
}

#[test]
fn what_has_its_form_is_left_alone_and_what_is_fresh_is_merged_first() {
    let segments = hours(&[Level::Rollup, Level::Minute, Level::Fresh]);
    let now_s = segments[1].name.latest_stored_s() + 6 * HOUR_S;
    assert_eq!(next_downsampling(&segments, now_s, &keep(10, 9000)), None);
    let plan = next_downsampling(&segments, now_s + 10 * HOUR_S, &keep(10, 9000)).unwrap();
    assert_eq!((plan.level, plan.sources), (Level::Rollup, vec![segments[1]]));
}

#[test]
fn where_there_is_too_much_samples_go_first_then_minutes_then_the_oldest() {
    let full = |levels: &[Level]| {
        enforce_size_limit(&hours(levels), &IngestorSettings { max_history_bytes: 350, ..keep(1, 1) })
    };
    let (rollup, minute, day) = (Level::Rollup, Level::Minute, Level::Day);
    let downsample = |number, from, level| Some(SizeStep::Downsample(Plan::of(level, &[hour(number, from)])));
    assert_eq!(full(&[rollup, minute, day]), None);
    assert_eq!(full(&[rollup, minute, day, Level::Hour]), downsample(2, day, minute));
    assert_eq!(full(&[rollup, minute, minute, Level::Fresh]), downsample(1, minute, rollup));
    let oldest = Some(SizeStep::Remove(hour(0, rollup).name));
    assert_eq!(full(&[rollup, rollup, rollup, Level::Fresh]), oldest);
}

#[test]
fn the_last_one_stays_whatever_happens() {
    let none = IngestorSettings { max_history_bytes: 0, ..keep(0, 0) };
    assert_eq!(enforce_size_limit(&hours(&[Level::Fresh]), &none), None);
}

#[test]
fn what_was_stored_while_the_clock_was_wrong_is_neither_too_old_nor_the_oldest() {
    let mut segments = hours(&[Level::Hour; 6]);
    for segment in &mut segments {
        segment.name.first_stored_s += 1000 * HOUR_S;
    }
    let now_s = segments[5].name.first_stored_s;
    let settings = keep(10, 20);
    for wrong_s in [5, now_s + 9000 * HOUR_S] {
        let mut set = segments.clone();
        set[3].name.first_stored_s = wrong_s;
        assert_eq!(expired(&set, now_s, &settings), []);
        assert_eq!(next_downsampling(&set, now_s, &settings), None);
        let full = IngestorSettings { max_history_bytes: 350, ..keep(10, 20) };
        let Some(SizeStep::Downsample(plan)) = enforce_size_limit(&set, &full) else {
            panic!("the oldest is downsampled")
        };
        assert_eq!(plan.sources, [set[0]]);
        // It expires with its neighbours.
        assert_eq!(expired(&set, now_s + 1000 * HOUR_S, &settings).len(), 5);
    }
}
