//! The rate of a counter. The essay in `pair` says when there is one.

/// By how much a counter grew; `None` where either value is unknown or it went backwards.
///
/// A counter that goes backwards was reset or wrapped around, and by how much it had grown until then is unknown.
pub fn growth(earlier: Option<u64>, later: Option<u64>) -> Option<u64> {
    later?.checked_sub(earlier?)
}

/// Growth per second. `None` where the counter went backwards or no time passed, so a rate is never negative and never
/// infinite. Take `elapsed_ms` from the monotonic clock where there is one.
pub fn per_second(growth: f64, elapsed_ms: i64) -> Option<f64> {
    (growth >= 0.0 && elapsed_ms > 0).then(|| growth / seconds(elapsed_ms))
}

/// The growth per second of a counter with these two values.
pub fn of_counter(earlier: Option<u64>, later: Option<u64>, elapsed_ms: i64) -> Option<f64> {
    per_second(growth(earlier, later)? as f64, elapsed_ms)
}

/// Milliseconds as seconds.
pub fn seconds(elapsed_ms: i64) -> f64 {
    elapsed_ms as f64 / 1000.0
}

/// [`growth`] in SQL, given an expression for the difference of two values: NULL where that is negative.
pub fn sql_growth(difference: &str) -> String {
    format!("CASE WHEN {difference} >= 0 THEN {difference} END")
}

/// [`per_second`] in SQL, given expressions for both arguments: a DOUBLE, or NULL.
pub fn sql_per_second(growth: &str, elapsed_ms: &str) -> String {
    format!("CASE WHEN {growth} >= 0 AND {elapsed_ms} > 0 THEN {growth} / ({elapsed_ms} / 1000) END")
}

/// How much of a counter a process used within a span, in SQL: a BIGINT, or NULL.
///
/// `first` and `last` are the counter's first and last value there: since counters of one process only grow, the smallest and
/// the greatest. `started_within` says whether the process started within the span: then the counter was zero.
pub fn sql_growth_within(first: &str, last: &str, started_within: &str) -> String {
    format!("{last} - if({started_within}, 0, {first})")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_is_growth_by_time() {
        assert_eq!(of_counter(Some(100), Some(300), 2_000), Some(100.0));
        assert_eq!(of_counter(Some(7), Some(7), 1), Some(0.0));
    }

    #[test]
    fn there_is_no_rate_of_what_went_backwards_is_unknown_or_took_no_time() {
        assert_eq!(of_counter(Some(300), Some(100), 2_000), None, "reset");
        assert_eq!(of_counter(Some(u64::from(u32::MAX)), Some(3), 2_000), None, "wrapped around");
        assert_eq!(of_counter(None, Some(100), 2_000), None);
        assert_eq!(of_counter(Some(100), None, 2_000), None);
        assert_eq!(of_counter(Some(100), Some(300), 0), None);
        assert_eq!(of_counter(Some(100), Some(300), -2_000), None, "out of order");
        assert_eq!(per_second(f64::NAN, 1_000), None);
    }

    proptest! {
        #[test]
        fn rates_are_never_negative_and_never_infinite(earlier: u64, later: u64, elapsed_ms: i64) {
            if let Some(rate) = of_counter(Some(earlier), Some(later), elapsed_ms) {
                prop_assert!(rate >= 0.0 && rate.is_finite(), "{rate}");
                prop_assert!(later >= earlier && elapsed_ms > 0);
            }
        }
    }
}
