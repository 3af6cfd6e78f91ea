//! Equal buckets of time.

use crate::history::Span;

/// Equal buckets of time, one behind the other. Times are in whole milliseconds, which is what the history keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Where bucket 0 begins, in ms since 1970 UTC; what was captured then is not in it.
    pub begin_ms: i64,
    /// How long a bucket is, at least 1 ms.
    pub width_ms: i64,
    /// How many there are.
    pub count: i64,
    /// How far back before the first bucket samples are read, in ms: they make bucket -1.
    pub reach_ms: i64,
}

impl Grid {
    /// The time that is read: from behind the first until the second, in ms.
    pub(super) fn read_ms(self) -> (i64, i64) {
        let length_ms = self.width_ms.saturating_mul(self.count);
        (self.begin_ms.saturating_sub(self.reach_ms), self.begin_ms.saturating_add(length_ms))
    }

    /// The bucket of what was captured at `at_ms`; -1 before the first.
    pub fn bucket(self, at_ms: i64) -> i64 {
        match at_ms <= self.begin_ms {
            true => -1,
            false => (at_ms - self.begin_ms - 1) / self.width_ms.max(1),
        }
    }

    /// What is read, as a span.
    pub(super) fn span(self) -> Span {
        let (from_ms, to_ms) = self.read_ms();
        let us = |ms: i64| ms.saturating_mul(1000);
        // Until and with the last moment.
        Span { from_us: us(from_ms), to_us: us(to_ms).saturating_add(1) }.bounded()
    }
}

/// [`Grid::bucket`] in SQL, for an expression in ms.
pub(super) fn bucket_sql(at_ms: &str) -> String {
    format!("(CASE WHEN {at_ms} <= $2::BIGINT THEN -1 ELSE ({at_ms} - $2::BIGINT - 1) // $3::BIGINT END)")
}
