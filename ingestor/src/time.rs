//! Spans of time and moments, and how SQL takes them.

/// The first moment of the year 1 and the last of 9999, in µs since 1970 UTC: what people can mean, and DuckDB has.
const FIRST_US: i64 = -62_135_596_800_000_000;
const LAST_US: i64 = 253_402_300_799_999_999;
/// An hour.
pub(crate) const HOUR_US: i64 = 3_600_000_000;

/// From `from_us` up to but not including `to_us`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub from_us: i64,
    /// The moment after the last.
    pub to_us: i64,
}

impl Span {
    /// The part of it that the calendar has.
    pub(crate) fn bounded(self) -> Self {
        Self { from_us: self.from_us.clamp(FIRST_US, LAST_US), to_us: self.to_us.clamp(FIRST_US, LAST_US) }
    }

    /// Whether a moment lies in it.
    pub(crate) fn contains(self, at_us: i64) -> bool {
        (self.from_us..self.to_us).contains(&at_us)
    }

    /// Its bounds in ms, for `captured_at >= …` and `captured_at < …`.
    pub(crate) fn bounds_ms(self) -> (i64, i64) {
        (ceil_ms(self.from_us), ceil_ms(self.to_us))
    }

    /// How long it is.
    pub(crate) fn length_us(self) -> i64 {
        self.to_us.saturating_sub(self.from_us)
    }

    /// The whole hours that it reaches into.
    pub(crate) fn hours_around(self) -> Self {
        Self { from_us: hour_from(self.from_us), to_us: hour_from(self.to_us.saturating_add(HOUR_US - 1)) }
    }

    /// The whole hours inside it; empty where there is none.
    pub(crate) fn hours_inside(self) -> Self {
        let from_us = hour_from(self.from_us.saturating_add(HOUR_US - 1));
        Self { from_us, to_us: hour_from(self.to_us).max(from_us) }
    }
}

fn hour_from(at_us: i64) -> i64 {
    at_us - at_us.rem_euclid(HOUR_US)
}

/// The earliest and the latest ms that DuckDB's timestamps can say.
const MS_RANGE: (i64, i64) = (-9_223_372_000_000_000, 9_223_372_000_000_000);

/// The time that a parameter of ms since 1970 UTC says.
pub(crate) fn at(parameter: &str) -> String {
    format!("make_timestamp_ms({parameter}::BIGINT)::TIMESTAMP_MS")
}

/// For `captured_at <= make_timestamp_ms(?::BIGINT)::TIMESTAMP_MS`: rows captured at or before `us`. Without that cast
/// DuckDB would cast every row instead, and could skip no part of a table.
pub(crate) fn floor_ms(us: i64) -> i64 {
    us.div_euclid(1000).clamp(MS_RANGE.0, MS_RANGE.1)
}

/// For `captured_at < …` and `captured_at >= …`: rows captured before `us`, or not before it.
pub(crate) fn ceil_ms(us: i64) -> i64 {
    let is_whole = us.rem_euclid(1000) == 0;
    (us.div_euclid(1000) + i64::from(!is_whole)).clamp(MS_RANGE.0, MS_RANGE.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(from: f64, to: f64) -> Span {
        Span { from_us: (from * HOUR_US as f64) as i64, to_us: (to * HOUR_US as f64) as i64 }
    }

    #[test]
    fn whole_hours_lie_inside_and_around() {
        assert_eq!(hours(1.5, 4.5).hours_inside(), hours(2.0, 4.0));
        assert_eq!(hours(1.5, 4.5).hours_around(), hours(1.0, 5.0));
        assert_eq!(hours(1.0, 4.0).hours_inside(), hours(1.0, 4.0));
        assert_eq!(hours(1.0, 4.0).hours_around(), hours(1.0, 4.0));
        assert_eq!(hours(1.2, 1.8).hours_inside().length_us(), 0);
    }

    #[test]
    fn any_span_can_be_asked_for() {
        let widest = Span { from_us: i64::MIN, to_us: i64::MAX }.bounded();
        assert_eq!((widest.from_us, widest.to_us), (FIRST_US, LAST_US));
        assert!(widest.hours_around().from_us < widest.hours_around().to_us);
    }
}
