//! The index answers as if every host of every segment were looked at.

use std::{cmp::Reverse, collections::BTreeSet};

use fastrand::Rng;

use super::*;
use crate::segment::{Level, SegmentName, Shard};

/// Histories that are tried.
const HISTORIES: u64 = 300;
/// Changes of each, and questions after each change.
const CHANGES: usize = 8;
const QUESTIONS: usize = 12;

type Segments = Vec<Arc<SegmentIndex>>;
/// Places of segments, each with what it holds of one host.
type Ranges = Vec<(usize, HostRange)>;

fn host(number: usize) -> HostName {
    format!("host-{number}").parse().unwrap()
}

/// A segment of a few hosts around `at_us`. Clocks are right, or each host's is off by as much as a few segments are long.
fn segment(number: u64, at_us: i64, are_clocks_right: bool, rng: &mut Rng) -> Arc<SegmentIndex> {
    let levels = [Level::Fresh, Level::Hour, Level::Minute, Level::Rollup];
    let name = SegmentName {
        level: levels[rng.usize(..levels.len())],
        partition: 0,
        epoch_s: 0,
        first_sequence: number,
        last_sequence: number,
        first_stored_s: at_us / 10,
        schema_version: 4,
        shard: Shard::WHOLE,
    };
    let mut ranges = |_: usize| {
        let off_us = if are_clocks_right { 0 } else { rng.i64(-40..40) };
        // Odd and even, so that no two segments have the same last time.
        let (first_us, last_us) = (at_us + off_us + rng.i64(0..4), at_us + off_us + rng.i64(4..10));
        // With none, every host is silent at once.
        let all = HostRange { first_us, last_us, interval_ms: [0, 10][rng.usize(..2)] };
        let tables = (rng.u8(..3) > 0).then(|| HostRange { last_us: rng.i64(first_us..=last_us), ..all });
        HostRanges { all, tables }
    };
    let hosts: Vec<(HostName, HostRanges)> = (0..5).map(|number| (host(number), ranges(number))).collect();
    let some = hosts.into_iter().filter(|_| fastrand::u8(..4) > 0);
    Arc::new(SegmentIndex::of(name, some))
}

/// The places of these segments.
fn places(all: &Segments, chosen: &[&SegmentIndex]) -> Vec<usize> {
    let place = |one: &&SegmentIndex| all.iter().position(|other| ptr::eq(Arc::as_ptr(other), *one)).unwrap();
    chosen.iter().map(place).collect()
}

fn ranges(all: &Segments, of: &HostName) -> Vec<(usize, HostRanges)> {
    let of_segment = |(place, segment): (usize, &Arc<SegmentIndex>)| {
        let ranges = segment.hosts().iter().find(|(host, _)| host.as_ref() == of)?.1;
        Some((place, ranges))
    };
    all.iter().enumerate().filter_map(of_segment).collect()
}

fn naive_overlapping(all: &Segments, of: Option<&HostName>, span: Span) -> Vec<usize> {
    let overlaps = |segment: &Arc<SegmentIndex>| {
        let hosts = segment.hosts().iter().filter(|(host, _)| of.is_none_or(|of| host.as_ref() == of));
        hosts
            .map(|(_, ranges)| ranges.all)
            .any(|range| range.first_us < span.to_us && range.last_us >= span.from_us)
    };
    (0..all.len()).filter(|place| overlaps(&all[*place])).collect()
}

fn naive_around(all: &Segments, of: Option<&HostName>, span: Span) -> Vec<usize> {
    let hosts: BTreeSet<HostName> = match of {
        Some(of) => [of.clone()].into(),
        None => (0..5).map(host).collect(),
    };
    let mut wanted = BTreeSet::new();
    for host in hosts {
        let ranges: Ranges =
            ranges(all, &host).into_iter().map(|(place, ranges)| (place, ranges.all)).collect();
        let (overlapping, others): (Ranges, Ranges) = ranges
            .iter()
            .partition(|(_, range)| range.first_us < span.to_us && range.last_us >= span.from_us);
        let starts = overlapping.iter().map(|(_, range)| range.first_us).filter(|us| *us < span.from_us);
        let ends = overlapping.iter().map(|(_, range)| range.last_us).filter(|us| *us >= span.to_us);
        let (known_before, known_after) = (starts.max(), ends.min());
        let before = others.iter().filter(|(_, range)| {
            range.last_us < span.from_us && known_before.is_none_or(|known| range.last_us > known)
        });
        let after = others.iter().filter(|(_, range)| {
            range.first_us >= span.to_us && known_after.is_none_or(|known| range.first_us < known)
        });
        wanted.extend(before.max_by_key(|(_, range)| range.last_us).map(|(place, _)| *place));
        wanted.extend(after.min_by_key(|(_, range)| range.first_us).map(|(place, _)| *place));
        wanted.extend(overlapping.iter().map(|(place, _)| *place));
    }
    wanted.into_iter().collect()
}

fn naive_lately(all: &Segments, at_us: i64) -> Vec<usize> {
    let mut wanted = BTreeSet::new();
    for host in (0..5).map(host) {
        let tables =
            ranges(all, &host).into_iter().filter_map(|(place, ranges)| Some((place, ranges.tables?)));
        let mut before: Ranges = tables.filter(|(_, range)| range.first_us <= at_us).collect();
        before.sort_by_key(|(_, range)| Reverse(range.last_us));
        let times: Vec<HostRange> = ranges(all, &host).into_iter().map(|(_, ranges)| ranges.all).collect();
        if times.is_sorted_by(|before, next| before.last_us < next.first_us) {
            let newest = before.first();
            let is_enough = newest.is_some_and(|(place, range)| {
                let is_fine = matches!(all[*place].name.level, Level::Fresh | Level::Hour);
                at_us > range.first_us && range.interval_ms == 0 && is_fine
            });
            wanted.extend(before.into_iter().take(if is_enough { 1 } else { 2 }).map(|(place, _)| place));
            continue;
        }
        let beyond = before.iter().filter(|(_, range)| range.last_us > at_us).count();
        wanted.extend(before.into_iter().take(beyond + 2).map(|(place, _)| place));
    }
    wanted.into_iter().collect()
}

/// Asks everything of a history that has these segments, after some question of each kind.
fn answers_as_the_naive(index: &HostIndex, all: &Segments, rng: &mut Rng) {
    let from_us = rng.i64(-50..550);
    let span = Span { from_us, to_us: from_us + rng.i64(-5..100) };
    let one = host(rng.usize(..6));
    for of in [None, Some(&one)] {
        let what = format!("{of:?} {span:?}");
        assert_eq!(places(all, &index.around(of, span)), naive_around(all, of, span), "around {what}");
        // Nobody asks for a span that ends before it begins.
        let span = Span { to_us: span.to_us.max(span.from_us), ..span };
        assert_eq!(
            places(all, &index.overlapping(of, span)),
            naive_overlapping(all, of, span),
            "within {what}"
        );
    }
    assert_eq!(places(all, &index.lately(from_us)), naive_lately(all, from_us), "lately {from_us}");
    let of_one = ranges(all, &one);
    assert_eq!(index.last_us(&one), of_one.iter().map(|(_, ranges)| ranges.all.last_us).max());
    assert_eq!(index.of_host(&one).len(), of_one.len());
    let last_us = (0..5).filter_map(|number| index.last_us(&host(number))).max();
    assert_eq!(index.kept().last_us, last_us);
}

#[test]
fn whatever_comes_and_goes_the_index_answers_as_if_every_host_of_every_segment_were_looked_at() {
    for seed in 0..HISTORIES {
        let mut rng = Rng::with_seed(seed);
        fastrand::seed(seed);
        let (mut index, mut all, mut number) = (HostIndex::default(), Segments::new(), 0);
        let are_clocks_right = rng.bool();
        for _ in 0..CHANGES {
            all.retain(|_| rng.u8(..6) > 0);
            for _ in 0..rng.usize(..10) {
                number += 1;
                // A merged one may take the place of one further ahead.
                let place = if rng.u8(..4) == 0 { rng.usize(..=all.len()) } else { all.len() };
                let at_us = i64::try_from(number * 10).unwrap();
                all.insert(place, segment(number, at_us, are_clocks_right, &mut rng));
            }
            index = index.with(all.clone());
            for _ in 0..QUESTIONS {
                answers_as_the_naive(&index, &all, &mut rng);
            }
        }
    }
}
