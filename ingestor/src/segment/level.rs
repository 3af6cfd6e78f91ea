//! How much a segment has been merged, and how much of it was kept.

use super::Resolution;

/// How much a segment has been merged, and how much of it was kept. Of two with the same range, the later level replaces
/// the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// As sealed from the stream: half a minute, or three times that of a large fleet.
    Fresh,
    /// Merged within one hour.
    Hour,
    /// Merged within one day.
    Day,
    /// The process table of each host's last snapshot in every minute.
    Minute,
    /// Sums of every hour instead of process tables.
    Rollup,
}

impl Level {
    pub(super) const ALL: [Self; 5] = [Self::Fresh, Self::Hour, Self::Day, Self::Minute, Self::Rollup];

    /// The word in names and in the column `segment.level`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Minute => "minute",
            Self::Rollup => "rollup",
        }
    }

    /// Whether it has every sample.
    pub fn is_raw(self) -> bool {
        self <= Self::Day
    }

    /// How finely it keeps the past.
    pub(crate) fn resolution(self) -> Resolution {
        match self {
            Self::Fresh | Self::Hour | Self::Day => Resolution::Samples,
            Self::Minute => Resolution::Minutes,
            Self::Rollup => Resolution::Hours,
        }
    }
}
