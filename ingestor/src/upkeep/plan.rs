//! Which segments to merge next: a pure function over what there is.

use crate::{
    segment::{Level, SCHEMA_VERSION, SegmentName},
    shelf::Shelved,
};

/// No merged segment gets more rows: at 18 bytes a row it is 360 MB, which is still quickly copied, and merging it takes
/// some 20 seconds of one processor, which is what stopping has to interrupt.
const MAX_MERGED_ROWS: u64 = 20_000_000;
/// An hour or a day counts as passed this much later: its last segment may still be on its way.
const SETTLE_S: i64 = 90;

const HOUR_S: i64 = 3600;
const DAY_S: i64 = 24 * HOUR_S;

/// Segments to merge into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What it becomes.
    pub(crate) level: Level,
    /// From what, in the order of the stream; adjacent.
    pub(crate) sources: Vec<Shelved>,
}

impl Plan {
    /// Rows of processes in its sources.
    pub(crate) fn rows(&self) -> u64 {
        self.sources.iter().map(|source| source.rows).sum()
    }

    /// The name of the segment it makes.
    pub(crate) fn name(&self) -> Option<SegmentName> {
        let (first, last) = (self.sources.first()?.name, self.sources.last()?.name);
        Some(SegmentName {
            level: self.level,
            last_sequence: last.last_sequence,
            schema_version: SCHEMA_VERSION,
            ..first
        })
    }
}

/// The next merge, if any is due. `segments` are in the order of the stream. Fresh segments of an hour are merged when
/// the hour has passed or `fresh_count` of them wait; those of the hours of a day when the day has passed.
pub(crate) fn next_merge(segments: &[Shelved], now_s: i64, fresh_count: usize) -> Option<Plan> {
    next_of_level(
        segments,
        Level::Fresh,
        Level::Hour,
        HOUR_S,
        |run, is_over| {
            // One alone too: it becomes a file with few large blocks.
            is_over || run.len() >= fresh_count
        },
        now_s,
    )
    .or_else(|| {
        // One alone would only be copied.
        next_of_level(
            segments,
            Level::Hour,
            Level::Day,
            DAY_S,
            |run, is_over| is_over && run.len() >= 2,
            now_s,
        )
    })
}

fn next_of_level(
    segments: &[Shelved],
    from: Level,
    level: Level,
    period_s: i64,
    is_due: impl Fn(&[Shelved], bool) -> bool,
    now_s: i64,
) -> Option<Plan> {
    let period = |segment: &Shelved| segment.name.first_stored_s.div_euclid(period_s);
    let mut rest = segments;
    while let Some(first) = rest.first() {
        let length = run_length(rest, &period);
        let (run, after) = rest.split_at(length);
        rest = after;
        if first.name.level != from {
            continue;
        }
        // Another run of the same period follows where this one is as big as may be.
        let is_full = after
            .first()
            .is_some_and(|next| is_next(&run[length - 1], next) && period(next) == period(first));
        let is_passed = now_s >= (period(first) + 1) * period_s + SETTLE_S;
        if is_due(run, is_passed || is_full) {
            return Some(Plan { level, sources: run.to_vec() });
        }
    }
    None
}

/// How many segments from the first on can become one; at least one.
fn run_length(segments: &[Shelved], period: &impl Fn(&Shelved) -> i64) -> usize {
    let mut rows = segments[0].rows;
    let fitting = segments.windows(2).take_while(|pair| {
        rows += pair[1].rows;
        is_next(&pair[0], &pair[1]) && period(&pair[0]) == period(&pair[1]) && rows <= MAX_MERGED_ROWS
    });
    1 + fitting.count()
}

/// Whether `next` is of the same level and goes on where `segment` ends.
fn is_next(segment: &Shelved, next: &Shelved) -> bool {
    segment.name.level == next.name.level
        && segment.name.numbering() == next.name.numbering()
        && segment.name.last_sequence + 1 == next.name.first_sequence
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
