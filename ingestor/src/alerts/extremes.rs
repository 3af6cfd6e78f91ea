//! How far a host is beyond what it was in the last week: a function of the stream, as everything else that is evaluated.
//!
//! Of each figure, the mean of five minutes is compared with the least and the greatest such mean of the week before, in half days; the
//! half day that goes on doesn't count. So the same is unusual for at most half a day, and then a part of the week. On labelled
//! series of servers this finds half of what was wrong, and tells nothing else (`benches/anomalies.rs`).

use std::collections::{BTreeMap, VecDeque};

use fleetps_nats::model::SnapshotPair;
use serde::{Deserialize, Serialize};

use super::{
    measure::{Key, host_value},
    measured::ValueOf,
    rule::HostMeasure,
};

/// What a value is the mean of, in µs: five minutes.
const BIN_US: i64 = 300_000_000;
/// A mean of less than half of it, in ms, says nothing.
const LEAST_MS: u64 = 150_000;
/// Bins of half a day.
const SLOT_BINS: i64 = 144;
/// A week of half days.
const SLOTS: usize = 14;
/// Half days that must be known: a whole day, and the part of one in which it was first looked.
const LEAST_SLOTS: usize = 3;
/// The range of a week is at least this part of the value.
const LEAST_RANGE: f64 = 0.02;
const MIB: f64 = (1 << 20) as f64;
/// The figures that are looked at, with the least range of each that a person would call one: on an idle host, any
/// little is far beyond the week.
const FIGURES: [(&str, f64); 9] = [
    ("cpu_percent", 10.0),
    ("memory", 10.0),
    ("load_1", 4.0),
    ("disk_read_bytes/s", 10.0 * MIB),
    ("disk_written_bytes/s", 10.0 * MIB),
    ("network_received_bytes/s", 5.0 * MIB),
    ("network_sent_bytes/s", 5.0 * MIB),
    ("process_count", 50.0),
    ("thread_count", 200.0),
];

/// The figures of a host in the last week, by their words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Extremes(BTreeMap<String, Series>);

/// One figure. The names are short because there are nine of each host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Series {
    /// The number of the bin that goes on, counted from 1970.
    #[serde(rename = "b")]
    bin: i64,
    /// The sum of its samples, how many there are, and for how long they were observed, in ms.
    #[serde(rename = "s")]
    sum: (f64, u32, u64),
    /// The least and the greatest mean of each half day up to the last bin that is over.
    #[serde(rename = "r")]
    ranges: VecDeque<Option<(f32, f32)>>,
    /// How far the last bin that is over was beyond the week, in percent of its range; absent where that is not known.
    #[serde(rename = "e")]
    beyond: Option<f64>,
}

impl Extremes {
    /// Takes note of the figures of a snapshot, `since_ms` after the one before (absent after a gap).
    pub(super) fn note(&mut self, pair: &SnapshotPair, since_ms: Option<u64>) {
        let bin = pair.latest().captured_at_us.div_euclid(BIN_US);
        for (word, least_range) in FIGURES {
            let value = HostMeasure::find(word).and_then(|figure| host_value(pair, figure));
            if let Some(series) = self.0.get_mut(word) {
                series.note(bin, (value, since_ms.unwrap_or_default()), least_range);
            } else if value.is_some() {
                let mut series = Series { bin, ..Series::default() };
                series.note(bin, (value, since_ms.unwrap_or_default()), least_range);
                self.0.insert(word.to_owned(), series);
            }
        }
    }

    /// How far each figure is beyond the week, in percent of its range.
    pub(super) fn beyond(&self) -> ValueOf {
        self.0.iter().map(|(word, series)| (Key::Named(word.clone()), series.beyond)).collect()
    }

    /// Whether nothing is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Series {
    fn note(&mut self, bin: i64, (value, since_ms): (Option<f64>, u64), least_range: f64) {
        if bin != self.bin {
            self.finish(bin, least_range);
        }
        let Some(value) = value.filter(|value| value.is_finite()) else { return };
        let (sum, count, observed_ms) = self.sum;
        self.sum = (sum + value, count.saturating_add(1), observed_ms.saturating_add(since_ms));
    }

    /// The bin is over, and `next` begins.
    fn finish(&mut self, next: i64, least_range: f64) {
        let (sum, count, observed_ms) = std::mem::take(&mut self.sum);
        let slot = self.bin.div_euclid(SLOT_BINS);
        let ahead = next.div_euclid(SLOT_BINS).saturating_sub(slot);
        let mean = (count > 0 && observed_ms >= LEAST_MS).then(|| sum / f64::from(count));
        self.beyond = mean.and_then(|mean| self.distance(mean, least_range));
        if self.ranges.is_empty() {
            self.ranges.push_back(None);
        }
        if let (Some(mean), Some(range)) = (mean, self.ranges.back_mut()) {
            let mean = mean as f32;
            let (least, greatest) = range.unwrap_or((mean, mean));
            *range = Some((least.min(mean), greatest.max(mean)));
        }
        if !(0..=SLOTS as i64).contains(&ahead) {
            // A gap of a week, or a clock that was set back.
            self.ranges.clear();
        }
        self.ranges.extend((0..ahead).take(SLOTS).map(|_| None));
        let excess = self.ranges.len().saturating_sub(SLOTS + 1);
        self.ranges.drain(..excess);
        self.bin = next;
    }

    /// How far a mean is beyond the half days that are over, in percent of their range.
    fn distance(&self, mean: f64, least_range: f64) -> Option<f64> {
        let over = self.ranges.iter().take(self.ranges.len().saturating_sub(1)).flatten();
        if over.clone().count() < LEAST_SLOTS {
            return None;
        }
        let least = over.clone().map(|(least, _)| f64::from(*least)).fold(f64::INFINITY, f64::min);
        let greatest = over.map(|(_, greatest)| f64::from(*greatest)).fold(f64::NEG_INFINITY, f64::max);
        let range = (greatest - least).max(least_range).max(LEAST_RANGE * mean.abs());
        Some((mean - greatest).max(least - mean).max(0.0) / range * 100.0)
    }
}

#[cfg(test)]
#[path = "extremes_tests.rs"]
mod tests;
