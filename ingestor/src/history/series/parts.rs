//! Downsampling: a span in equal parts, and the samples in each.
//!
//! The smallest and the greatest are kept beside the mean, so that no down-sampling loses a spike of one sample.

use std::collections::BTreeMap;

use fleetps_nats::model::rate;

use super::extent::Extent;
use crate::history::Span;

/// A sample with `L` levels, which are as they were at that moment, and `C` counters, which only say something together
/// with another sample's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample<const L: usize, const C: usize> {
    /// When, in µs since 1970 UTC, by the host's clock.
    pub(super) captured_at_us: i64,
    /// A number for the boot: counters start anew with each.
    pub(super) boot: u32,
    /// When, in ms since the boot, which no change of the clock moves.
    pub(super) monotonic_ms: i64,
    pub(super) levels: [Option<f64>; L],
    pub(super) counters: [Option<f64>; C],
}

/// Values while they are put together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gathered {
    extremes: Option<(f64, f64)>,
    sum: f64,
    weight: f64,
}

impl Gathered {
    /// A value that counts `weight` times in the mean.
    pub(super) fn add(&mut self, value: f64, weight: f64) {
        self.sum += value * weight;
        self.weight += weight;
        self.peak(value);
    }

    /// The rate of a counter that grew by `growth`, if there is one; it counts as long as it lasted.
    pub(super) fn add_rate(&mut self, growth: f64, elapsed_ms: i64) {
        if let Some(per_s) = rate::per_second(growth, elapsed_ms) {
            self.add(per_s, rate::seconds(elapsed_ms));
        }
    }

    /// A value that does not count in the mean.
    pub(super) fn peak(&mut self, value: f64) {
        let (min, max) = self.extremes.unwrap_or((value, value));
        self.extremes = Some((min.min(value), max.max(value)));
    }

    /// Their extent; `None` without values.
    pub(super) fn extent(&self) -> Option<Extent> {
        let (min, max) = self.extremes.filter(|_| self.weight > 0.0)?;
        // Adding up rounds, and the mean of equal values should not be another one.
        Some(Extent { min, mean: (self.sum / self.weight).clamp(min, max), max })
    }
}

/// The samples in one part of a span; rates are per second.
#[derive(Debug, Clone)]
pub(super) struct Part<const L: usize, const C: usize> {
    /// When its first sample was captured.
    pub(super) from_us: i64,
    /// When its last sample was.
    pub(super) to_us: i64,
    pub(super) samples: u32,
    pub(super) levels: [Gathered; L],
    pub(super) rates: [Gathered; C],
}

/// A span in equal parts. Those without samples are left out.
#[derive(Debug)]
pub(super) struct Parts<const L: usize, const C: usize> {
    span: Span,
    count: usize,
    parts: BTreeMap<i128, Part<L, C>>,
}

impl<const L: usize, const C: usize> Parts<L, C> {
    /// `span` in `count` parts.
    pub(super) fn new(span: Span, count: usize) -> Self {
        Self { span, count: count.max(1), parts: BTreeMap::new() }
    }

    /// The part that a moment lies in; `None` outside of the span.
    pub(super) fn at(&mut self, at_us: i64) -> Option<&mut Part<L, C>> {
        let Span { from_us, to_us } = self.span;
        if at_us < from_us || at_us >= to_us {
            return None;
        }
        // Wide enough for every span.
        let (since, length) =
            (i128::from(at_us) - i128::from(from_us), i128::from(to_us) - i128::from(from_us));
        let empty = || Part {
            from_us: at_us,
            to_us: at_us,
            samples: 0,
            levels: [Gathered::default(); L],
            rates: [Gathered::default(); C],
        };
        let part = self.parts.entry(since * self.count as i128 / length).or_insert_with(empty);
        part.from_us = part.from_us.min(at_us);
        part.to_us = part.to_us.max(at_us);
        Some(part)
    }

    /// Adds samples; those from before the span only say where counters stood. A rate is between a sample and the last
    /// one of the same boot that has the counter, so it is exact over lost samples; there is none where a counter went
    /// back. `counting_since_ms` is when all counters were zero, for what started then.
    pub(super) fn fill(&mut self, mut samples: Vec<Sample<L, C>>, counting_since_ms: Option<i64>) {
        // In the order in which they were captured, however the clock was changed.
        samples.sort_by_key(|sample| (sample.boot, sample.monotonic_ms));
        let mut boot = samples.first().map(|sample| sample.boot);
        let mut last = [counting_since_ms.map(|since_ms| (since_ms, 0.0)); C];
        for sample in samples {
            if boot.replace(sample.boot) != Some(sample.boot) {
                last = [None; C];
            }
            let mut part = self.at(sample.captured_at_us);
            if let Some(part) = &mut part {
                part.samples += 1;
                for (gathered, level) in part.levels.iter_mut().zip(sample.levels) {
                    level.into_iter().for_each(|level| gathered.add(level, 1.0));
                }
            }
            for (place, (last, now)) in last.iter_mut().zip(sample.counters).enumerate() {
                let Some(now) = now else { continue };
                let before = last.replace((sample.monotonic_ms, now));
                let gathered = part.as_mut().and_then(|part| part.rates.get_mut(place));
                if let (Some(gathered), Some((ms, value))) = (gathered, before) {
                    gathered.add_rate(now - value, sample.monotonic_ms - ms);
                }
            }
        }
    }

    /// The parts that have samples, in order.
    pub(super) fn into_parts(self) -> impl Iterator<Item = Part<L, C>> {
        self.parts.into_values()
    }
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
