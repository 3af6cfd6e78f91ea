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

/// By the broker's clock, in which segments follow each other, independent of the hosts' clocks; only the last time is
/// a host's.
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
        let finer = in_order.iter().rev().take_while(is_finer);
        finer.last().map(|segment| segment.name.first_stored_s.saturating_mul(1_000_000))
    };
    KeptSince {
        samples_from_us: since(Resolution::Samples),
        minutes_from_us: since(Resolution::Minutes),
        hours_from_us: since(Resolution::Hours),
        last_us: in_order.iter().filter_map(|segment| segment.last_us()).max(),
    }
}
