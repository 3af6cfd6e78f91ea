//! Which segments to merge next: a pure function over what there is.

use std::collections::BTreeMap;

use crate::{
    catalog::SegmentMeta,
    segment::{Level, SegmentName, Shard},
    settings::IngestorSettings,
};

/// A merge that divides reads at most this many times the rows of a merged segment: a minute of one processor, which is
/// what a crash may lose of it.
const DIVIDED_TIMES: u64 = 3;
/// The most shards that a merge divides into. Of 10,000 hosts with 300 processes, each then holds its hosts for half an hour.
const MAX_SHARDS: u8 = 32;
/// A merge that divides waits until each of its shards gets this part of the rows of a merged segment: smaller files are many,
/// and each takes its time to write.
const LEAST_PART: u64 = 20;
/// But it waits for at most this many times the usual number of fresh segments, because every query attaches all of them.
const MAX_FRESH_TIMES: usize = 4;
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

/// A segment to make of others, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The level of the result.
    pub(crate) level: Level,
    /// From what, in the order of the stream; adjacent, and of one level and shard.
    pub(crate) sources: Vec<SegmentMeta>,
    /// Into how many shards these are divided; 1 where the result is of their own.
    pub(crate) shards: u8,
}

/// How much may become one segment, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// This many fresh segments are merged before their hour has passed.
    pub(crate) fresh_count: usize,
    /// The most rows of a merged segment.
    pub(crate) rows: u64,
}

impl From<&IngestorSettings> for Limits {
    fn from(settings: &IngestorSettings) -> Self {
        Self { fresh_count: settings.merge_fresh_count, rows: settings.merge_rows.max(1) }
    }
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
    /// One segment of these.
    pub(crate) fn of(level: Level, sources: &[SegmentMeta]) -> Self {
        Self { level, sources: sources.to_vec(), shards: 1 }
    }

    /// Rows in its sources.
    pub(crate) fn rows(&self) -> u64 {
        rows(&self.sources)
    }

    /// Whether its sources are divided by hosts.
    pub(super) fn divides(&self) -> bool {
        self.shards > 1
    }

    /// About as many rows will be in each segment that it makes, at one sample in 10 s.
    pub(super) fn expected_rows(&self) -> u64 {
        match self.form() {
            Form::Whole => self.rows() / u64::from(self.shards.max(1)),
            Form::Minutes => self.rows() / 6,
            Form::Hours if self.has_every_sample() => self.rows() / 360,
            Form::Hours => self.rows() / 60,
        }
    }

    /// The names of the segments it makes; none without sources.
    pub(crate) fn names(&self) -> Vec<SegmentName> {
        let (Some(first), Some(last)) = (self.sources.first(), self.sources.last()) else {
            return Vec::new();
        };
        let name = |shard| {
            let (level, last_sequence) = (self.level, last.name.last_sequence);
            let name = SegmentName { level, last_sequence, shard, ..first.name };
            SegmentName { schema_version: name.version_when_written_again(), ..name }
        };
        match self.divides() {
            true => Shard::all(self.shards).map(name).collect(),
            false => vec![name(first.name.shard)],
        }
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

/// The segments of each shard, in the order of the stream.
pub(super) fn by_shard(segments: &[SegmentMeta]) -> Vec<Vec<SegmentMeta>> {
    let mut shards: BTreeMap<Shard, Vec<SegmentMeta>> = BTreeMap::new();
    for segment in segments {
        shards.entry(segment.name.shard).or_default().push(*segment);
    }
    shards.into_values().collect()
}

/// The runs of the `segments` of one shard (in the order of the stream) within periods of `period_s`, in order.
pub(super) fn runs(segments: &[SegmentMeta], period_s: i64, max_rows: u64) -> impl Iterator<Item = Run<'_>> {
    let mut rest = segments;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let period = |segment: &SegmentMeta| segment.name.first_stored_s.div_euclid(period_s);
        let max_rows =
            if can_be_divided(&first.name) { max_rows.saturating_mul(DIVIDED_TIMES) } else { max_rows };
        let mut rows = first.rows;
        let fitting = rest.windows(2).take_while(|pair| {
            rows += pair[1].rows;
            is_next(&pair[0], &pair[1]) && period(&pair[0]) == period(&pair[1]) && rows <= max_rows
        });
        let (sources, after) = rest.split_at(1 + fitting.count());
        rest = after;
        let level = first.name.level;
        Some(Run { level, sources, period: (period(first), period_s), next: after.first() })
    })
}

/// The next merge, if any is due. `segments` are in the order of the stream. Fresh segments of an hour are merged when
/// the hour has passed or enough of them wait, and divided by hosts where an hour of all would be too much for one; a day's
/// hours when the day has passed, or when they fill a segment. Downsampled ones are merged within a day, sums within a
/// month. But for the division, each shard is merged by itself.
pub(crate) fn next_merge(segments: &[SegmentMeta], now_s: i64, limits: Limits) -> Option<Plan> {
    let shards = by_shard(segments);
    let find = |from: Level, period_s, is_due: &dyn Fn(Run<'_>) -> bool| {
        let all = shards.iter().flat_map(|of_shard| runs(of_shard, period_s, limits.rows));
        all.into_iter().find(|run| run.level == from && is_due(*run))
    };
    // One alone would only be copied.
    let hours_are_due = |run: Run<'_>| run.is_over(now_s) && run.sources.len() >= 2;
    let downsampled_is_due = |run: Run<'_>| {
        run.sources.len() >= MERGE_THINNED_COUNT || (run.is_thinned_on() && run.sources.len() >= 2)
    };
    let count = |run: &Run<'_>| shard_count(run.sources, shards_before(segments, run.sources), limits.rows);
    // One alone too: it becomes a file with few large blocks.
    let fresh_is_due = |run: Run<'_>| run.is_over(now_s) || is_enough(run.sources, count(&run), limits);
    find(Level::Fresh, HOUR_S, &fresh_is_due)
        .map(|run| Plan { shards: count(&run), ..Plan::of(Level::Hour, run.sources) })
        .or_else(|| Some(Plan::of(Level::Day, find(Level::Hour, DAY_S, &hours_are_due)?.sources)))
        .or_else(|| Some(Plan::of(Level::Minute, find(Level::Minute, DAY_S, &downsampled_is_due)?.sources)))
        .or_else(|| Some(Plan::of(Level::Rollup, find(Level::Rollup, MONTH_S, &downsampled_is_due)?.sources)))
}

/// Whether fresh segments that become `shards` are enough for a merge before their hour has passed.
fn is_enough(fresh: &[SegmentMeta], shards: u8, limits: Limits) -> bool {
    let least = u64::from(shards) * limits.rows / LEAST_PART;
    let is_worth_it = shards == 1 || rows(fresh) >= least;
    fresh.len() >= limits.fresh_count.saturating_mul(if is_worth_it { 1 } else { MAX_FRESH_TIMES })
}

/// Whether a merge of such segments may divide them. Not imported ones: of those, an import that was broken off while it moved
/// them into the history could not be finished.
fn can_be_divided(name: &SegmentName) -> bool {
    // To earlier versions, a segment without events that is divided would not be one of a later version.
    name.level == Level::Fresh && name.has_events() && !name.is_imported()
}

/// Into how many shards these fresh segments are divided, so that a shard's hour is at most `max_rows`. It stays with the
/// number of shards `before` unless that is too small, or four times too large: shards of different numbers are not merged
/// with each other.
fn shard_count(fresh: &[SegmentMeta], before: u8, max_rows: u64) -> u8 {
    if !fresh.first().is_some_and(|first| can_be_divided(&first.name)) {
        return 1;
    }
    let needed_for = |rows: u64| {
        let shards = rows.div_ceil(max_rows).clamp(1, u64::from(MAX_SHARDS)).next_power_of_two();
        u8::try_from(shards).unwrap_or(MAX_SHARDS)
    };
    let least = needed_for(rows(fresh));
    let Some(rows_an_hour) = rows_an_hour(fresh) else { return before.min(MAX_SHARDS).max(least) };
    let needed = needed_for(rows_an_hour).max(least);
    let fits = needed <= before && before <= MAX_SHARDS && before / 4 < needed;
    if fits { before } else { needed }
}

/// How many rows come in an hour, by the broker's clock; `None` where one segment alone does not tell.
fn rows_an_hour(fresh: &[SegmentMeta]) -> Option<u64> {
    let (last, before) = fresh.split_last()?;
    let took_s = last.name.first_stored_s.saturating_sub(before.first()?.name.first_stored_s);
    // A clock that was set back tells nothing; several segments in a second are a lot.
    let took_s = u64::try_from(took_s).ok()?.max(1);
    u64::try_from(u128::from(rows(before)) * u128::from(HOUR_S.unsigned_abs()) / u128::from(took_s)).ok()
}

/// How many shards the segments have that end where `fresh` begins; 1 where there are none.
fn shards_before(segments: &[SegmentMeta], fresh: &[SegmentMeta]) -> u8 {
    let Some(first) = fresh.first().map(|first| first.name) else { return 1 };
    let ends_there = |segment: &&SegmentMeta| {
        segment.name.numbering() == first.numbering()
            && segment.name.last_sequence + 1 == first.first_sequence
    };
    segments.iter().rev().find(ends_there).map_or(1, |before| before.name.shard.count())
}

fn rows(segments: &[SegmentMeta]) -> u64 {
    segments.iter().map(|segment| segment.rows).sum()
}

/// Whether `next`, of the same shard, is of the same level and goes on where `segment` ends. Segments with events are not merged with those
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
