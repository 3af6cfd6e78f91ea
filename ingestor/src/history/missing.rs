//! Segments that cannot be read.

use super::Span;
use crate::segment::SegmentName;

/// A segment that cannot be read. What it holds is missing in every answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingSegment {
    /// The name of the file.
    pub segment: String,
    /// About which time it segment, by the broker's clock.
    pub span: Span,
    /// Why it is missing, in words.
    pub reason: String,
}

impl MissingSegment {
    /// The segment `name`, which is missing for `reason`.
    pub(super) fn of(name: &SegmentName, reason: String) -> Self {
        let us = |seconds: i64| seconds.saturating_mul(1_000_000);
        let span = Span { from_us: us(name.first_stored_s), to_us: us(name.latest_stored_s()) };
        Self { segment: name.to_string(), span, reason }
    }
}
