//! Retention: which segments are downsampled and removed, by age and by the size limit. Pure functions over the
//! catalog.

use std::collections::HashMap;

use super::{
    plan::{DAY_S, Limits, Plan, by_shard, runs},
    stored::StoredTimes,
};
use crate::{
    catalog::SegmentMeta,
    segment::{Level, SegmentName},
    settings::IngestorSettings,
};

/// A step that makes room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SizeStep {
    /// Keep less of a segment.
    Downsample(Plan),
    /// Keep nothing of it.
    Remove(SegmentName),
}

/// The segments past the last retention period, to be removed. `segments` are in the order of the stream.
pub(super) fn expired(segments: &[SegmentMeta], now_s: i64, settings: &IngestorSettings) -> Vec<SegmentName> {
    let stored = StoredTimes::of(segments);
    let is_expired = |segment: &&SegmentMeta| kept_as(stored.latest_s(segment), now_s, settings).is_none();
    removable(segments).filter(is_expired).map(|segment| segment.name).collect()
}

/// The next segments that are due to be downsampled.
pub(super) fn next_downsampling(
    segments: &[SegmentMeta],
    now_s: i64,
    settings: &IngestorSettings,
) -> Option<Plan> {
    let (stored, shards) = (StoredTimes::of(segments), by_shard(segments));
    let max_rows = Limits::from(settings).rows;
    [Level::Minute, Level::Rollup].into_iter().find_map(|level| {
        // Fresh ones are merged first.
        let is_due = |segment: &SegmentMeta| {
            segment.name.level != Level::Fresh
                && segment.name.level < level
                && kept_as(stored.latest_s(segment), now_s, settings) == Some(level)
        };
        let mut runs = shards.iter().flat_map(|of_shard| runs(of_shard, DAY_S, max_rows));
        let run = runs.find(|run| run.sources.iter().all(is_due))?;
        Some(Plan::of(level, run.sources))
    })
}

/// The step where all segments together take too much: the oldest with every sample is downsampled; when there is none,
/// the oldest with one sample a minute becomes sums; then the oldest goes.
pub(super) fn enforce_size_limit(segments: &[SegmentMeta], settings: &IngestorSettings) -> Option<SizeStep> {
    let bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
    if bytes <= settings.max_history_bytes {
        return None;
    }
    let stored = StoredTimes::of(segments);
    let downsample = |levels: &[Level], level| {
        let oldest = oldest(&stored, segments.iter().filter(|segment| levels.contains(&segment.name.level)))?;
        Some(SizeStep::Downsample(Plan::of(level, &[*oldest])))
    };
    downsample(&[Level::Hour, Level::Day], Level::Minute)
        .or_else(|| downsample(&[Level::Minute], Level::Rollup))
        .or_else(|| Some(SizeStep::Remove(oldest(&stored, removable(segments))?.name)))
}

/// The level that a segment should have at least whose last message was stored at `latest_stored_s`; `None` where it is too
/// old for any.
fn kept_as(latest_stored_s: i64, now_s: i64, settings: &IngestorSettings) -> Option<Level> {
    let age_s = u64::try_from(now_s.saturating_sub(latest_stored_s)).unwrap_or(0);
    match age_s {
        _ if age_s <= settings.keep_samples.as_secs() => Some(Level::Fresh),
        _ if age_s <= settings.keep_minutes.as_secs() => Some(Level::Minute),
        _ if age_s <= settings.keep_hours.as_secs() => Some(Level::Rollup),
        _ => None,
    }
}

/// All but the last of each numbering, because their names say where to go on.
fn removable(segments: &[SegmentMeta]) -> impl Iterator<Item = &SegmentMeta> {
    let mut last: HashMap<(u32, i64), u64> = HashMap::new();
    for SegmentMeta { name, .. } in segments {
        let last = last.entry(name.numbering()).or_default();
        *last = name.last_sequence.max(*last);
    }
    segments
        .iter()
        .filter(move |segment| last.get(&segment.name.numbering()) != Some(&segment.name.last_sequence))
}

fn oldest<'a>(
    stored: &StoredTimes,
    segments: impl Iterator<Item = &'a SegmentMeta>,
) -> Option<&'a SegmentMeta> {
    segments.min_by_key(|segment| stored.first_s(segment))
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
