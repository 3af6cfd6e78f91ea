//! The range of a setting: what is outside is refused at the start, by name, with the reason for the range.

use std::{fmt, ops::RangeInclusive, time::Duration};

use crate::units::{format_bytes, format_duration};

/// A setting whose value is outside of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {value}; expected {from} to {to}: {reason}")]
pub struct OutOfRange {
    key: &'static str,
    value: String,
    from: String,
    to: String,
    reason: &'static str,
}

/// Checks a duration.
///
/// # Errors
/// When it is outside of the range.
pub fn duration(
    key: &'static str,
    value: Duration,
    range: RangeInclusive<Duration>,
    reason: &'static str,
) -> Result<(), OutOfRange> {
    within(key, value, &range, format_duration, reason)
}

/// Checks a size in bytes.
///
/// # Errors
/// When it is outside of the range.
pub fn bytes(
    key: &'static str,
    value: u64,
    range: RangeInclusive<u64>,
    reason: &'static str,
) -> Result<(), OutOfRange> {
    within(key, value, &range, format_bytes, reason)
}

/// Checks a number.
///
/// # Errors
/// When it is outside of the range.
pub fn number<T: PartialOrd + Copy + fmt::Display>(
    key: &'static str,
    value: T,
    range: RangeInclusive<T>,
    reason: &'static str,
) -> Result<(), OutOfRange> {
    within(key, value, &range, |value| value.to_string(), reason)
}

fn within<T: PartialOrd + Copy>(
    key: &'static str,
    value: T,
    range: &RangeInclusive<T>,
    show: impl Fn(T) -> String,
    reason: &'static str,
) -> Result<(), OutOfRange> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(OutOfRange { key, value: show(value), from: show(*range.start()), to: show(*range.end()), reason })
}

/// Of the names that a message about an unknown setting lists in backticks, the first being the unknown one, the nearest
/// to that; `None` where none is near, or the message is about something else.
pub fn nearest_name(message: &str) -> Option<&str> {
    let mut names = message.strip_prefix("unknown field")?.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    let distance = |name: &&str| strsim::damerau_levenshtein(unknown, name);
    // A third of the letters: more would be another word.
    names.min_by_key(distance).filter(|name| distance(name) <= unknown.len().div_ceil(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outside_of_a_range_is_told_with_name_value_range_and_reason() {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        assert_eq!(duration("keep", days(7), days(1)..=days(7), "why"), Ok(()));
        let refused = duration("keep", days(8), days(1)..=days(7), "disks are small").unwrap_err();
        assert_eq!(refused.to_string(), "keep is 8d; expected 1d to 7d: disks are small");
        let refused = bytes("max", 0, 1 << 20..=1 << 30, "why").unwrap_err();
        assert_eq!(refused.to_string(), "max is 0 B; expected 1 MiB to 1 GiB: why");
        assert!(number("rows", 0, 1..=5, "why").is_err());
    }

    #[test]
    fn the_nearest_name_is_one_that_is_near() {
        let message =
            |name: &str| format!("unknown field `{name}`, expected one of `listen`, `seal_rows`, `data`");
        for (unknown, nearest) in
            [("lisen", Some("listen")), ("sealrows", Some("seal_rows")), ("colour", None)]
        {
            assert_eq!(nearest_name(&message(unknown)), nearest);
        }
        assert_eq!(nearest_name("unknown field `a`, there are no fields"), None);
        assert_eq!(nearest_name("invalid type: `listen`"), None);
    }
}
