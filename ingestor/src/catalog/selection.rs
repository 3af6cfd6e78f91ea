//! Which segments are attached where not all of them can be.
//!
//! Each segment that is attached takes some milliseconds, an open file, and a part of every view that DuckDB plans.

use std::{cmp::Reverse, collections::HashSet};

use crate::{segment::SegmentName, time::Span};

/// Segments that are attached at once: some three seconds of work, and half of the 1,024 files that a shell lets a program
/// open.
pub const MAX_ATTACHED: usize = 500;
/// How much earlier or later than its name says a segment may hold something, in s: a snapshot that waited for the broker is
/// older than its message, and a clock may be a little ahead.
const REACH_S: i64 = 6 * 3600;

/// The newest segments, as many as fit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Newest {
    /// In the order in which they were given.
    pub(crate) names: Vec<SegmentName>,
    /// Since when everything that the broker took is in them, in s since 1970 UTC; absent where none is left out.
    pub(crate) since_s: Option<i64>,
}

/// The newest of these segments, at most `most`.
pub(crate) fn newest(mut names: Vec<SegmentName>, most: usize) -> Newest {
    if names.len() <= most {
        return Newest { names, since_s: None };
    }
    let mut by_end = names.clone();
    by_end.sort_unstable_by_key(|name| Reverse((name.latest_stored_s(), name.first_stored_s)));
    let left_out = by_end.split_off(most);
    let kept: HashSet<SegmentName> = by_end.into_iter().collect();
    names.retain(|name| kept.contains(name));
    Newest { names, since_s: left_out.first().map(SegmentName::latest_stored_s) }
}

/// Whether a segment may hold something from within `span`, by the time in its name.
pub(crate) fn may_hold(name: &SegmentName, span: Span) -> bool {
    let (from_s, to_s) = (span.from_us.div_euclid(1_000_000), span.to_us.div_euclid(1_000_000));
    name.latest_stored_s() >= from_s.saturating_sub(REACH_S)
        && name.first_stored_s <= to_s.saturating_add(REACH_S)
}
