//! When segments were stored, although the broker's clock may have been wrong meanwhile: nothing may go for its age because
//! a clock stood in 1970 for a minute, or count as the oldest because it was set back.

use std::collections::HashMap;

use crate::{catalog::SegmentMeta, segment::SegmentName};

/// When each segment was stored, in seconds since 1970 UTC.
#[derive(Debug)]
pub(super) struct StoredTimes(HashMap<SegmentName, i64>);

impl StoredTimes {
    /// The times at which `segments`, in the order of the stream, were stored. In that order times rise. So the longest
    /// rising series of a numbering counts; a segment outside it counts as stored when the last counting one before it
    /// was.
    pub(super) fn of(segments: &[SegmentMeta]) -> Self {
        let mut times = HashMap::new();
        for numbering in segments.chunk_by(|a, b| a.name.numbering() == b.name.numbering()) {
            // Nothing was stored before the numbering began.
            let said_s: Vec<i64> =
                numbering.iter().map(|s| s.name.first_stored_s.max(s.name.epoch_s)).collect();
            let rising = longest_rising(&said_s);
            let mut counts_s = None;
            for (index, segment) in numbering.iter().enumerate() {
                if rising.binary_search(&index).is_ok() {
                    counts_s = Some(said_s[index]);
                }
                times.insert(segment.name, counts_s.unwrap_or(said_s[index]));
            }
        }
        Self(times)
    }

    /// When its first message was stored.
    pub(super) fn first_s(&self, segment: &SegmentMeta) -> i64 {
        self.0.get(&segment.name).copied().unwrap_or(segment.name.first_stored_s)
    }

    /// The latest time at which its last message can have been stored.
    pub(super) fn latest_s(&self, segment: &SegmentMeta) -> i64 {
        SegmentName { first_stored_s: self.first_s(segment), ..segment.name }.latest_stored_s()
    }
}

/// The indexes of a longest part of `times` that never falls, in order.
fn longest_rising(times: &[i64]) -> Vec<usize> {
    // For each length of a rising series, the index of its last element, where that is smallest.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(times.len());
    for (index, time) in times.iter().enumerate() {
        let length = ends.partition_point(|end| times[*end] <= *time);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        match ends.get_mut(length) {
            Some(end) => *end = index,
            None => ends.push(index),
        }
    }
    let mut rising: Vec<usize> =
        std::iter::successors(ends.last().copied(), |index| before[*index]).collect();
    rising.reverse();
    rising
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::segment::{Level, SCHEMA_VERSION, Shard};

    fn stored(times: &[i64]) -> Vec<i64> {
        let segment = |(number, first_stored_s): (u64, &i64)| SegmentMeta {
            name: SegmentName {
                level: Level::Hour,
                partition: 0,
                epoch_s: 50,
                first_sequence: number,
                last_sequence: number,
                first_stored_s: *first_stored_s,
                schema_version: SCHEMA_VERSION,
                shard: Shard::WHOLE,
            },
            rows: 1,
            bytes: 1,
        };
        let segments: Vec<SegmentMeta> = (1..).zip(times).map(segment).collect();
        let times = StoredTimes::of(&segments);
        segments.iter().map(|segment| times.first_s(segment)).collect()
    }

    #[test]
    fn what_does_not_fit_was_stored_when_the_one_before_was() {
        for (said, counts) in [
            (vec![100, 101, 102], vec![100, 101, 102]),
            (vec![99, 100, 101, 0, 0, 102], vec![99, 100, 101, 101, 101, 102]),
            (vec![100, 101, 9000, 9001, 102, 103, 104], vec![100, 101, 101, 101, 102, 103, 104]),
            (vec![0, 0, 100, 101], vec![50, 50, 100, 101]),
            (vec![100, 101, 9000], vec![100, 101, 9000]),
            (vec![100, 100, 99, 100], vec![100, 100, 100, 100]),
            (vec![], vec![]),
        ] {
            assert_eq!(stored(&said), counts, "{said:?}");
        }
    }

    proptest! {
        #[test]
        fn times_that_count_never_fall_after_the_first_that_fits(times in prop::collection::vec(50_i64..200, 0..40)) {
            let rising = longest_rising(&times);
            prop_assert!(rising.windows(2).all(|pair| pair[0] < pair[1] && times[pair[0]] <= times[pair[1]]));
            let counts = stored(&times);
            let from = rising.first().copied().unwrap_or_default();
            prop_assert!(counts[from..].windows(2).all(|pair| pair[0] <= pair[1]));
            // By the plainest way, there is no longer one.
            let mut longest = vec![0_usize; times.len()];
            for index in 0..times.len() {
                let best = (0..index).filter(|earlier| times[*earlier] <= times[index]).map(|earlier| longest[earlier]).max();
                longest[index] = best.unwrap_or(0) + 1;
            }
            prop_assert_eq!(rising.len(), longest.into_iter().max().unwrap_or(0));
        }
    }
}
