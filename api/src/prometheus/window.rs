//! From buckets to values: what a selector or a function of a window says at each step.

use fleetps_ingestor::history::Bucket;
use fleetps_nats::model::{Spacing, rate, staleness::silent_after_ms};

use super::ast::WindowFunction;

/// The steps of a selector as buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Windows {
    /// How many steps.
    pub(super) steps: usize,
    /// Buckets from a step to the next.
    pub(super) stride: i64,
    /// Buckets in a window.
    pub(super) length: i64,
}

impl Windows {
    /// The first and the last bucket of the window before a step.
    fn bounds(self, step: usize) -> (i64, i64) {
        let first = i64::try_from(step).unwrap_or(i64::MAX).saturating_mul(self.stride);
        (first, first.saturating_add(self.length - 1))
    }

    /// The buckets in the window of each step.
    pub(super) fn of<'a>(
        self,
        buckets: &'a [(i64, Bucket)],
    ) -> impl Iterator<Item = &'a [(i64, Bucket)]> + use<'a> {
        (0..self.steps).map(move |step| {
            let (first, last) = self.bounds(step);
            let begin = buckets.partition_point(|(place, _)| *place < first);
            let end = buckets.partition_point(|(place, _)| *place <= last);
            buckets.get(begin..end).unwrap_or_default()
        })
    }

    /// The last bucket until each step.
    pub(super) fn latest(self, buckets: &[(i64, Bucket)]) -> impl Iterator<Item = Option<&Bucket>> {
        (0..self.steps).map(move |step| last_until(buckets, self.bounds(step).1))
    }

    /// The last bucket before the window of each step.
    pub(super) fn before(self, buckets: &[(i64, Bucket)]) -> impl Iterator<Item = Option<&Bucket>> {
        (0..self.steps).map(move |step| last_until(buckets, self.bounds(step).0 - 1))
    }

    /// Buckets that are looked at for one series, at most.
    pub(super) fn work(self, buckets: usize) -> usize {
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        self.steps.saturating_mul(length.min(buckets).max(1))
    }
}

fn last_until(buckets: &[(i64, Bucket)], last: i64) -> Option<&Bucket> {
    let end = buckets.partition_point(|(place, _)| *place <= last);
    buckets.get(end.checked_sub(1)?).map(|(_, bucket)| bucket)
}

/// The age in ms from which on a sample says nothing about its host any more.
pub(super) fn silent_ms(interval_ms: i64, spacing_ms: u32) -> i64 {
    let spacing = if spacing_ms > 0 { Spacing::OneAMinute } else { Spacing::EverySample };
    silent_after_ms(u32::try_from(interval_ms).unwrap_or(u32::MAX), spacing)
}

/// What a window says of a level.
pub(super) fn of_level(function: WindowFunction, window: &[(i64, Bucket)]) -> Option<f64> {
    let buckets = || window.iter().map(|(_, bucket)| bucket).filter(|bucket| bucket.samples > 0.0);
    let count: f64 = buckets().map(|bucket| bucket.samples).sum();
    if count <= 0.0 {
        return None;
    }
    let sum = || buckets().map(|bucket| bucket.sum).sum::<f64>();
    let min = || buckets().map(|bucket| bucket.min).fold(f64::INFINITY, f64::min);
    let max = || buckets().map(|bucket| bucket.max).fold(f64::NEG_INFINITY, f64::max);
    Some(match function {
        // Adding up rounds, and the mean of equal values should not be another one.
        WindowFunction::Avg => (sum() / count).clamp(min(), max()),
        WindowFunction::Min => min(),
        WindowFunction::Max => max(),
        WindowFunction::Count => count,
        WindowFunction::Last => buckets().next_back()?.last,
        _ => sum(),
    })
}

/// What a window says of a counter, whose growth is in one list of buckets and the time that belongs to it in another.
pub(super) fn of_counter(
    function: WindowFunction,
    window: &[(i64, Bucket)],
    times: &[(i64, Bucket)],
) -> Option<f64> {
    if window.is_empty() {
        return None;
    }
    if function == WindowFunction::Irate {
        let (growth, elapsed_ms) = window.iter().rev().find_map(|(_, bucket)| bucket.last_pair)?;
        return rate::per_second(growth, elapsed_ms as i64);
    }
    let elapsed_ms: f64 = times.iter().map(|(_, bucket)| bucket.elapsed_ms).sum();
    if elapsed_ms <= 0.0 {
        return None;
    }
    let growth: f64 = window.iter().map(|(_, bucket)| bucket.growth).sum();
    match function {
        WindowFunction::Rate => rate::per_second(growth, elapsed_ms as i64),
        _ => Some(growth),
    }
}
