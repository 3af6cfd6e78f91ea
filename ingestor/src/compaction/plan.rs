//! Which segments to merge next: a pure function over what there is.

use crate::{
    catalog::SegmentMeta,
    segment::{Level, SegmentName},
};

/// No merged segment gets more rows: at 4 bytes a row it is 80 MB, which is still quickly copied, and merging it takes
/// some 20 seconds of one processor, which is what stopping has to interrupt.
const MAX_MERGED_ROWS: u64 = 20_000_000;
/// An hour or a day counts as passed this much later: its last segment may still be on its way.
const SETTLE_S: i64 = 90;
/// This many downsampled segments of a period are merged although more may come: few files, and each day of a month is
/// written some three times.
const MERGE_THINNED_COUNT: usize = 8;

/// In segments of earlier versions, a level with every sample has every host's: no host was trimmed then.
const WHOLE_BEFORE_VERSION: u32 = 4;

const HOUR_S: i64 = 3600;
pub(super) const DAY_S: i64 = 24 * HOUR_S;
/// How long a time the roll-ups in one segment are of, about.
const MONTH_S: i64 = 30 * DAY_S;

/// A segment to make of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The level of the result.
    pub(crate) level: Level,
    /// From what, in the order of the stream; adjacent, and of one level.
    pub(crate) sources: Vec<SegmentMeta>,
}

/// How much of its sources a segment keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Everything.
    Whole,
    /// The processes of one snapshot a minute.
    Minutes,
    /// No processes, only their sums.
    Hours,
}

impl Plan {
    /// Rows in its sources.
    pub(crate) fn rows(&self) -> u64 {
        self.sources.iter().map(|source| source.rows).sum()
    }

    /// About as many rows will be in what it makes, at one sample in 10 s.
    pub(super) fn expected_rows(&self) -> u64 {
        match self.form() {
            Form::Whole => self.rows(),
            Form::Minutes => self.rows() / 6,
            Form::Hours if self.has_every_sample() => self.rows() / 360,
            Form::Hours => self.rows() / 60,
        }
    }

    /// The name of the segment it makes.
    pub(crate) fn name(&self) -> Option<SegmentName> {
        let (first, last) = (self.sources.first()?.name, self.sources.last()?.name);
        Some(SegmentName {
            level: self.level,
            last_sequence: last.last_sequence,
            schema_version: first.version_when_written_again(),
            ..first
        })
    }

    /// Whether its sources have every sample.
    pub(super) fn has_every_sample(&self) -> bool {
        self.sources.iter().all(|source| source.name.level.is_raw())
    }

    /// Whether hourly sums are made from samples: fresh sources have no sums, and those of earlier versions may have
    /// none. Other sources may have fewer rows of some hosts than their level says, so their sums are made from sums.
    pub(super) fn has_no_sums(&self) -> bool {
        let has_none = |source: &SegmentMeta| {
            source.name.level == Level::Fresh || source.name.schema_version < WHOLE_BEFORE_VERSION
        };
        self.has_every_sample() && self.sources.iter().any(has_none)
    }

    /// The form in which the sources' rows are kept.
    pub(super) fn form(&self) -> Form {
        let is_thinned_already = self.sources.iter().all(|source| source.name.level == self.level);
        match self.level {
            Level::Minute if !is_thinned_already => Form::Minutes,
            Level::Rollup if !is_thinned_already => Form::Hours,
            _ => Form::Whole,
        }
    }
}

/// Segments that could become one: neighbours of the same level and period, not too big together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) level: Level,
    pub(super) sources: &'a [SegmentMeta],
    period: (i64, i64),
    next: Option<&'a SegmentMeta>,
}

impl Run<'_> {
    /// Whether nothing more will join it: its period has passed, or it is at its size limit.
    fn is_over(&self, now_s: i64) -> bool {
        let (number, period_s) = self.period;
        let is_full = self.next.zip(self.sources.last()).is_some_and(|(next, last)| {
            is_next(last, next) && next.name.first_stored_s.div_euclid(period_s) == number
        });
        is_full || now_s >= (number + 1).saturating_mul(period_s).saturating_add(SETTLE_S)
    }

    /// The same for segments that were downsampled long after they were filled: what follows was downsampled as well.
    fn is_thinned_on(&self) -> bool {
        self.next.is_some_and(|next| next.name.level >= self.level)
    }
}

/// The runs of `segments` (in the order of the stream) within periods of `period_s`, in order.
pub(super) fn runs(segments: &[SegmentMeta], period_s: i64) -> impl Iterator<Item = Run<'_>> {
    let mut rest = segments;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let period = |segment: &SegmentMeta| segment.name.first_stored_s.div_euclid(period_s);
        let mut rows = first.rows;
        let fitting = rest.windows(2).take_while(|pair| {
            rows += pair[1].rows;
            is_next(&pair[0], &pair[1]) && period(&pair[0]) == period(&pair[1]) && rows <= MAX_MERGED_ROWS
        });
        let (sources, after) = rest.split_at(1 + fitting.count());
        rest = after;
        let level = first.name.level;
        Some(Run { level, sources, period: (period(first), period_s), next: after.first() })
    })
}

/// The next merge, if any is due. `segments` are in the order of the stream. Fresh segments of an hour are merged when
/// the hour has passed or `fresh_count` of them wait; a day's hours when the day has passed. Downsampled ones are
/// merged within a day, sums within a month.
pub(crate) fn next_merge(segments: &[SegmentMeta], now_s: i64, fresh_count: usize) -> Option<Plan> {
    let find = |from: Level, period_s, is_due: &dyn Fn(Run<'_>) -> bool, level| {
        let run = runs(segments, period_s).find(|run| run.level == from && is_due(*run))?;
        Some(Plan { level, sources: run.sources.to_vec() })
    };
    // One alone too: it becomes a file with few large blocks.
    let fresh_is_due = |run: Run<'_>| run.is_over(now_s) || run.sources.len() >= fresh_count;
    // One alone would only be copied.
    let hours_are_due = |run: Run<'_>| run.is_over(now_s) && run.sources.len() >= 2;
    let downsampled_is_due = |run: Run<'_>| {
        run.sources.len() >= MERGE_THINNED_COUNT || (run.is_thinned_on() && run.sources.len() >= 2)
    };
    find(Level::Fresh, HOUR_S, &fresh_is_due, Level::Hour)
        .or_else(|| find(Level::Hour, DAY_S, &hours_are_due, Level::Day))
        .or_else(|| find(Level::Minute, DAY_S, &downsampled_is_due, Level::Minute))
        .or_else(|| find(Level::Rollup, MONTH_S, &downsampled_is_due, Level::Rollup))
}

/// Whether `next` is of the same level and goes on where `segment` ends. Segments with events are not merged with those
/// of earlier versions, which have none.
fn is_next(segment: &SegmentMeta, next: &SegmentMeta) -> bool {
    segment.name.level == next.name.level
        && segment.name.has_events() == next.name.has_events()
        && segment.name.numbering() == next.name.numbering()
        && segment.name.last_sequence + 1 == next.name.first_sequence
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
