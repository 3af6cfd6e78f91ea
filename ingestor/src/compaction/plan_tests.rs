//! Merge planning, on literals and on any sequence of segments.

use proptest::prelude::*;

use super::*;
use crate::segment::{FIRST_IMPORTED_PARTITION, Resolved, SCHEMA_VERSION, SHARDED_VERSION, Shard};

/// As in a program that was not told otherwise.
const MAX_ROWS: u64 = 20_000_000;

fn limits(fresh_count: usize) -> Limits {
    Limits { fresh_count, rows: MAX_ROWS }
}

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
        shard: Shard::WHOLE,
    };
    SegmentMeta { name, rows, bytes: rows * 5 }
}

fn fresh(first_sequence: u64, first_stored_s: i64) -> SegmentMeta {
    segment(Level::Fresh, first_sequence, first_sequence + 9, MIDNIGHT_S + first_stored_s, 1000)
}

#[test]
fn an_hour_is_merged_when_it_has_passed() {
    let segments = [fresh(1, 0), fresh(11, 30), fresh(21, HOUR_S)];
    assert_eq!(next_merge(&segments, MIDNIGHT_S + HOUR_S, limits(30)), None);
    let plan = next_merge(&segments, MIDNIGHT_S + HOUR_S + SETTLE_S, limits(30)).unwrap();
    assert_eq!((plan.level, plan.sources.as_slice()), (Level::Hour, &segments[..2]));
    assert_eq!(plan.names()[0].last_sequence, 20);
}

#[test]
fn many_waiting_are_merged_at_once() {
    let segments: Vec<_> = (0..5_u8).map(|i| fresh(1 + u64::from(i) * 10, i64::from(i))).collect();
    assert_eq!(next_merge(&segments, MIDNIGHT_S + 60, limits(6)), None);
    assert_eq!(next_merge(&segments, MIDNIGHT_S + 60, limits(5)).unwrap().sources, segments);
}

#[test]
fn a_missing_segment_or_another_epoch_divides() {
    let mut other_epoch = fresh(31, 90);
    other_epoch.name.epoch_s = 2;
    let segments = [fresh(1, 0), fresh(21, 60), other_epoch];
    let plan = next_merge(&segments, MIDNIGHT_S + 2 * HOUR_S, limits(30)).unwrap();
    assert_eq!(plan.sources, &segments[..1]);
}

#[test]
fn hours_of_a_passed_day_become_a_day() {
    let segments = [
        segment(Level::Hour, 1, 10, MIDNIGHT_S, 1000),
        segment(Level::Hour, 11, 20, MIDNIGHT_S + HOUR_S, 1000),
        segment(Level::Hour, 21, 30, MIDNIGHT_S + DAY_S, 1000),
    ];
    assert_eq!(next_merge(&segments, MIDNIGHT_S + DAY_S, limits(30)), None);
    let plan = next_merge(&segments, MIDNIGHT_S + DAY_S + SETTLE_S, limits(30)).unwrap();
    assert_eq!((plan.level, plan.sources.as_slice()), (Level::Day, &segments[..2]));
}

#[test]
fn nothing_gets_too_big_to_be_handy() {
    let big = |level, first, stored| segment(level, first, first + 9, MIDNIGHT_S + stored, MAX_ROWS / 2);
    let hours = [1, 11, 21].map(|first| big(Level::Hour, first, 0));
    // Two fill one; there is no need to wait for more.
    let plan = next_merge(&hours, MIDNIGHT_S + 100, limits(30)).unwrap();
    assert_eq!((plan.sources.as_slice(), plan.shards), (&hours[..2], 1));
    let imported = |number: u8| {
        let mut fresh = big(Level::Fresh, 1 + 10 * u64::from(number), i64::from(number));
        fresh.name.partition = FIRST_IMPORTED_PARTITION;
        fresh
    };
    let imported = [imported(0), imported(1), imported(2)];
    let plan = next_merge(&imported, MIDNIGHT_S + 100, limits(30)).unwrap();
    assert_eq!((plan.sources.as_slice(), plan.shards), (&imported[..2], 1));
}

/// Fresh segments of half a million rows, as many as come in `s` seconds at `rows_an_hour`.
fn of_fleet(first_sequence: u64, from_s: i64, s: i64, rows_an_hour: u64) -> Vec<SegmentMeta> {
    let every_ms = 500_000 * 3_600_000 / rows_an_hour;
    let count = s.unsigned_abs() * 1000 / every_ms;
    let fresh = |number: u64| {
        let (first, stored_s) = (first_sequence + number * 10, (number * every_ms / 1000).cast_signed());
        segment(Level::Fresh, first, first + 9, MIDNIGHT_S + from_s + stored_s, 500_000)
    };
    (0..count).map(fresh).collect()
}

#[test]
fn a_fleet_of_which_an_hour_is_too_much_for_one_is_divided() {
    // Up to 277 hosts with 200 processes, nothing is.
    for (rows_an_hour, shards, least_fresh) in
        [(19_000_000, 1, 30), (21_000_000, 2, 30), (144_000_000, 8, 30), (1_080_000_000, 32, 64)]
    {
        let fresh = of_fleet(1, 0, 3600, rows_an_hour);
        let due =
            (1..fresh.len()).find_map(|count| next_merge(&fresh[..count], MIDNIGHT_S, limits(30))).unwrap();
        assert_eq!((due.shards, due.sources.len()), (shards, least_fresh), "{rows_an_hour}");
        assert_eq!((due.level, due.names().len()), (Level::Hour, usize::from(shards)));
        assert!(due.rows() <= MAX_ROWS * DIVIDED_TIMES);
        let version = if shards == 1 { SCHEMA_VERSION } else { SHARDED_VERSION };
        assert!(due.names().iter().all(|name| name.schema_version == version));
    }
}

#[test]
fn the_number_of_shards_stays_while_it_is_about_right() {
    let after = |count: u8, rows_an_hour| {
        let of_hour = |shard| {
            let mut hour = segment(Level::Hour, 1, 10, MIDNIGHT_S, MAX_ROWS / 10);
            hour.name = SegmentName { shard, schema_version: SHARDED_VERSION, ..hour.name };
            hour
        };
        let mut segments: Vec<SegmentMeta> = Shard::all(count).map(of_hour).collect();
        segments.extend(of_fleet(11, 60, 900, rows_an_hour));
        next_merge(&segments, MIDNIGHT_S + 2 * HOUR_S, limits(30)).unwrap()
    };
    let counts = [10, 30, 70, 150, 300, 600].map(|millions| after(8, millions * 1_000_000).shards);
    assert_eq!(counts, [1, 2, 8, 8, 16, 32]);
    // A short rest of an hour does not say how much an hour has.
    let mut alone = after(8, 144_000_000);
    alone.sources.truncate(1);
    assert_eq!(shard_count(&alone.sources, 8, MAX_ROWS), 8);
    assert_eq!(shard_count(&alone.sources, 1, MAX_ROWS), 1);
}

#[test]
fn fresh_segments_without_events_are_not_divided() {
    let mut fresh = of_fleet(1, 0, 3600, 144_000_000);
    fresh.iter_mut().for_each(|segment| segment.name.schema_version = 5);
    let plan = next_merge(&fresh, MIDNIGHT_S, limits(30)).unwrap();
    assert_eq!((plan.shards, plan.names()[0].schema_version), (1, 5));
}

#[test]
fn each_shard_is_merged_by_itself_when_it_is_full() {
    let hour = |first_sequence, number, rows| {
        let mut hour = segment(Level::Hour, first_sequence, first_sequence + 9, MIDNIGHT_S, rows);
        let shard = Shard::new(number, 2).unwrap();
        hour.name = SegmentName { shard, schema_version: SHARDED_VERSION, ..hour.name };
        hour
    };
    let (small, large) = (MAX_ROWS / 10, MAX_ROWS / 2);
    let segments = [
        hour(1, 0, small),
        hour(1, 1, large),
        hour(11, 0, small),
        hour(11, 1, large),
        hour(21, 0, small),
        hour(21, 1, large),
    ];
    let plan = next_merge(&segments, MIDNIGHT_S + 100, limits(30)).unwrap();
    assert_eq!((plan.level, plan.sources.as_slice()), (Level::Day, &[segments[1], segments[3]][..]));
    assert_eq!(plan.names(), [SegmentName { level: Level::Day, last_sequence: 20, ..segments[1].name }]);
    let of_day = next_merge(&segments, MIDNIGHT_S + 2 * DAY_S, limits(30)).unwrap();
    assert_eq!(of_day.sources, [segments[0], segments[2], segments[4]]);
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
            let cells = |name: &SegmentName| {
                (name.last_sequence - name.first_sequence + 1) * u64::from(name.shard.bits().count_ones())
            };
            segments.iter().map(|segment| cells(&segment.name)).sum()
        };
        let (sequences, rows) = (covered_sequences(&segments), segments.iter().map(|segment| segment.rows).sum::<u64>());
        let now_s = stored_s + 2 * DAY_S;
        for _ in 0..=2000 {
            let Some(plan) = next_merge(&segments, now_s, limits(30)) else { break };
            let names = plan.names();
            let merged_rows = plan.rows() / names.len() as u64;
            prop_assert!(plan.sources.len() == 1 || merged_rows <= MAX_ROWS);
            let most = MAX_ROWS * if plan.divides() { DIVIDED_TIMES } else { 1 };
            prop_assert!(plan.sources.len() == 1 || plan.rows() <= most);
            let rest = plan.rows() % names.len() as u64;
            // The merged ones cover their sources and nothing else.
            let before = segments.iter().map(|segment| segment.name);
            let resolved = Resolved::of(before.chain(names.iter().copied()).collect());
            let sources: Vec<_> = plan.sources.iter().map(|source| source.name).collect();
            prop_assert_eq!((resolved.covered, resolved.contested), (sources, vec![]));
            segments.retain(|segment| !plan.sources.contains(segment));
            segments.extend(names.into_iter().zip(0..).map(|(name, place)| {
                let rows = merged_rows + if place == 0 { rest } else { 0 };
                SegmentMeta { name, rows, bytes: 0 }
            }));
            segments.sort_by_key(|segment| (segment.name.first_sequence, segment.name.shard));
        }
        prop_assert_eq!(next_merge(&segments, now_s, limits(30)), None);
        prop_assert_eq!(covered_sequences(&segments), sequences);
        prop_assert_eq!(segments.iter().map(|segment| segment.rows).sum::<u64>(), rows);
        prop_assert!(segments.iter().all(|segment| segment.name.level != Level::Fresh));
    }
}
