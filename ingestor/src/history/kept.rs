//! Since when the past is kept, and how finely.

use std::{collections::HashMap, sync::Arc};

use super::Resolution;
use crate::catalog::SegmentIndex;

/// Since when the past is kept at which resolution; absent where nothing is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeptSince {
    /// Since when there is every sample.
    pub samples_from_us: Option<i64>,
    /// Since when there is at least one sample a minute.
    pub minutes_from_us: Option<i64>,
    /// Since when there are at least the sums of every hour.
    pub hours_from_us: Option<i64>,
    /// The last snapshot of any host.
    pub last_us: Option<i64>,
}

/// Which segments are finer than others is by the broker's clock, in which they follow each other, independent of the hosts'
/// clocks. Times are when snapshots were captured: what was filled in later is as old as it is.
pub(super) fn kept(segments: &[Arc<SegmentIndex>]) -> KeptSince {
    let mut in_order: Vec<&SegmentIndex> = segments.iter().map(Arc::as_ref).collect();
    in_order.sort_unstable_by_key(|segment| segment.name.first_stored_s);
    let since = |resolution: Resolution| {
        // Shards of one time may be kept differently for a while, and do not end together.
        let mut coarser_to: HashMap<(u32, i64), u64> = HashMap::new();
        for segment in in_order.iter().filter(|segment| segment.resolution() > resolution) {
            let to = coarser_to.entry(segment.name.numbering()).or_default();
            *to = segment.name.last_sequence.max(*to);
        }
        let is_finer = |segment: &&&SegmentIndex| {
            let coarser_to = coarser_to.get(&segment.name.numbering());
            segment.resolution() <= resolution
                && coarser_to.is_none_or(|to| segment.name.first_sequence > *to)
        };
        let finer: Vec<&&SegmentIndex> = in_order.iter().rev().take_while(is_finer).collect();
        let coarser = in_order.iter().filter(|segment| segment.resolution() > resolution);
        let coarser_to_us = coarser.filter_map(|segment| segment.last_us()).max();
        let first_us = finer.iter().filter_map(|segment| segment.first_us()).min()?;
        // Nothing before the first that was stored so finely is all there, unless nothing is coarser; a clock that was ahead
        // there must not hide the rest.
        match (coarser_to_us, finer.last().and_then(|segment| segment.first_us())) {
            (Some(coarser_to_us), Some(stored_first_us)) => {
                Some(first_us.max(coarser_to_us.min(stored_first_us)))
            }
            _ => Some(first_us),
        }
    };
    KeptSince {
        samples_from_us: since(Resolution::Samples),
        minutes_from_us: since(Resolution::Minutes),
        hours_from_us: since(Resolution::Hours),
        last_us: in_order.iter().filter_map(|segment| segment.last_us()).max(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{HostRange, HostRanges},
        segment::{Level, SegmentName, Shard},
    };

    /// A segment of one host, stored at a second of the broker's clock, with snapshots of other seconds.
    fn segment(level: Level, number: u64, stored_s: i64, (first_s, last_s): (i64, i64)) -> Arc<SegmentIndex> {
        let name = SegmentName {
            level,
            partition: 0,
            epoch_s: 0,
            first_sequence: number,
            last_sequence: number,
            first_stored_s: stored_s,
            schema_version: 4,
            shard: Shard::WHOLE,
        };
        let all = HostRange { first_us: first_s * 1_000_000, last_us: last_s * 1_000_000, interval_ms: 10 };
        let ranges = HostRanges { all, tables: Some(all) };
        Arc::new(SegmentIndex::of(name, [("web-1".parse().unwrap(), ranges)]))
    }

    fn samples_from_s(segments: &[Arc<SegmentIndex>]) -> Option<i64> {
        kept(segments).samples_from_us.map(|since_us| since_us / 1_000_000)
    }

    #[test]
    fn what_was_filled_in_later_is_as_old_as_it_is() {
        let fresh = |number, stored_s, captured| segment(Level::Fresh, number, stored_s, captured);
        let minutes = |number, stored_s, captured| segment(Level::Minute, number, stored_s, captured);
        // All of it was filled in at once.
        assert_eq!(samples_from_s(&[fresh(1, 9_000, (100, 200)), fresh(2, 9_001, (200, 300))]), Some(100));
        // Since then it was thinned, up to 500.
        let thinned = [minutes(1, 100, (100, 500)), fresh(2, 500, (501, 600)), fresh(3, 600, (601, 700))];
        assert_eq!(samples_from_s(&thinned), Some(501));
        // What is filled in of an earlier time says nothing of what was thinned between.
        let filled = [thinned.as_slice(), &[fresh(4, 9_000, (10, 20))]].concat();
        assert_eq!(samples_from_s(&filled), Some(500));
        // Nor does a clock that was ahead hide what is kept.
        let ahead = [minutes(1, 100, (100, 99_999)), fresh(2, 500, (501, 600))];
        assert_eq!(samples_from_s(&ahead), Some(501));
        assert_eq!(samples_from_s(&[minutes(1, 100, (100, 500))]), None);
    }
}
