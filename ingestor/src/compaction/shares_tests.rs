//! Which hosts are above their share, and which rows go first, on literals.

use super::*;
use crate::segment::{SCHEMA_VERSION, Shard};

fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

/// A segment, and what hosts take of it.
fn segment(number: u8, level: Level, taken: &[(&str, u64)]) -> (SegmentMeta, Taken) {
    let name = SegmentName {
        level,
        partition: 0,
        epoch_s: 1,
        first_sequence: u64::from(number) + 1,
        last_sequence: u64::from(number) + 1,
        first_stored_s: i64::from(number) * 3600,
        schema_version: SCHEMA_VERSION,
        shard: Shard::WHOLE,
    };
    let bytes = taken.iter().map(|(_, bytes)| bytes).sum();
    let most = taken.iter().map(|(name, bytes)| (host(name), *bytes)).collect();
    (SegmentMeta { name, rows: 1, bytes }, Taken { most, hosts: taken.len() })
}

fn names(beyond: &[Beyond]) -> Vec<&str> {
    beyond.iter().map(|beyond| beyond.host.as_str()).collect()
}

#[test]
fn only_who_takes_far_more_than_an_equal_part_is_beyond_a_share() {
    let beyond_in = |taken: &[(&str, u64)], limit| {
        let (_, taken) = segment(0, Level::Hour, taken);
        names(&beyond([&taken].into_iter(), limit)).join(" ")
    };
    assert_eq!(beyond_in(&[("a", 10), ("b", 10), ("c", 10)], 25), "", "all alike");
    assert_eq!(beyond_in(&[("a", 10), ("b", 12), ("c", 14)], 30), "", "one more among equals");
    assert_eq!(beyond_in(&[("a", 10), ("b", 10), ("c", 100)], 100), "c");
    assert_eq!(beyond_in(&[("a", 1), ("b", 60), ("c", 100), ("d", 1)], 100), "c b", "the greatest first");
    assert_eq!(beyond_in(&[("a", 200)], 100), "", "nobody else is there");
    assert_eq!(beyond_in(&[], 100), "");
}

#[test]
fn of_those_beyond_minutes_are_kept_everywhere_before_sums_anywhere_and_the_oldest_go_first() {
    let all = [
        segment(1, Level::Day, &[("a", 10), ("hog", 100)]),
        segment(0, Level::Rollup, &[("a", 10), ("hog", 100)]),
        segment(2, Level::Minute, &[("a", 10), ("hog", 100)]),
        segment(3, Level::Hour, &[("a", 100), ("hog", 1)]),
        segment(4, Level::Fresh, &[("hog", 100)]),
        segment(5, Level::Hour, &[("a", 10), ("hog", 100)]),
    ];
    let mut segments: Vec<SegmentMeta> = all.iter().map(|(segment, _)| *segment).collect();
    segments.sort_by_key(|segment| segment.name.first_sequence);
    let by_segment: HashMap<_, _> = all.into_iter().map(|(segment, taken)| (segment.name, taken)).collect();
    let hog = Beyond { host: host("hog"), bytes: 500, share_bytes: 100 };
    let mut shares = Shares { by_segment, beyond: vec![hog], ..Shares::default() };
    let order = std::iter::from_fn(|| shares.next_trim(&segments));
    let order: Vec<_> = order.map(|trim| (trim.source.name.first_sequence - 1, trim.keep)).collect();
    let (minutes, sums, nothing) = (Keep::Minutes, Keep::Sums, Keep::Nothing);
    assert_eq!(
        order,
        [
            (1, minutes),
            (5, minutes),
            (1, sums),
            (2, sums),
            (5, sums),
            (0, nothing),
            (1, nothing),
            (2, nothing),
            (5, nothing)
        ]
    );
}
