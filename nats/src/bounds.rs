//! The range of a setting. A value outside it is refused at the start, with the key, the range and the reason.

use std::{fmt, ops::RangeInclusive, time::Duration};

use crate::units::{format_bytes, format_duration};

/// A setting whose value is outside its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {value}; expected {range}: {reason}")]
pub struct OutOfRange {
    key: &'static str,
    value: String,
    range: String,
    reason: &'static str,
}

impl OutOfRange {
    /// The setting's key, without its section.
    pub fn key(&self) -> &'static str {
        self.key
    }
}

/// The values that a setting may have, and why no others.
pub struct Bounds<T> {
    range: RangeInclusive<T>,
    show: fn(T) -> String,
    reason: &'static str,
}

/// Bounds of a duration.
pub fn duration(range: RangeInclusive<Duration>, reason: &'static str) -> Bounds<Duration> {
    Bounds { range, show: format_duration, reason }
}

/// Bounds of a size in bytes.
pub fn bytes(range: RangeInclusive<u64>, reason: &'static str) -> Bounds<u64> {
    Bounds { range, show: format_bytes, reason }
}

/// Bounds of the length of a list.
pub fn length(range: RangeInclusive<usize>, reason: &'static str) -> Bounds<usize> {
    Bounds { range, show: |length| format!("{length} entries"), reason }
}

/// Bounds of a number.
pub fn number<T: fmt::Display>(range: RangeInclusive<T>, reason: &'static str) -> Bounds<T> {
    Bounds { range, show: |value| value.to_string(), reason }
}

impl<T: PartialOrd + Copy> Bounds<T> {
    /// Checks the value of the setting `key`.
    ///
    /// # Errors
    /// When it is outside the range.
    pub fn check<V: Bounded<T>>(&self, key: &'static str, value: &V) -> Result<(), OutOfRange> {
        match value.bounded() {
            Some(value) if !self.range.contains(&value) => Err(OutOfRange {
                key,
                value: (self.show)(value),
                range: self.to_string(),
                reason: self.reason,
            }),
            _ => Ok(()),
        }
    }
}

impl<T: Copy> fmt::Display for Bounds<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = ((self.show)(*self.range.start()), (self.show)(*self.range.end()));
        write!(formatter, "{from} to {to}")
    }
}

/// A value that [`Bounds`] compare: a number itself, an optional value where there is one, the length of a list.
pub trait Bounded<T> {
    /// The value to compare; `None` where any will do.
    fn bounded(&self) -> Option<T>;
}

impl<T: Copy> Bounded<T> for T {
    fn bounded(&self) -> Option<T> {
        Some(*self)
    }
}

impl<T: Copy> Bounded<T> for Option<T> {
    fn bounded(&self) -> Option<T> {
        *self
    }
}

impl<T> Bounded<usize> for Vec<T> {
    fn bounded(&self) -> Option<usize> {
        Some(self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outside_of_a_range_is_told_with_name_value_range_and_reason() {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let keep = duration(days(1)..=days(7), "disks are small");
        assert_eq!(keep.check("keep", &days(7)), Ok(()));
        let refused = keep.check("keep", &days(8)).unwrap_err();
        assert_eq!(refused.to_string(), "keep is 8d; expected 1d to 7d: disks are small");
        let refused = bytes(1 << 20..=1 << 30, "why").check("max", &0).unwrap_err();
        assert_eq!(refused.to_string(), "max is 0 B; expected 1 MiB to 1 GiB: why");
        assert!(number(1..=5, "why").check("rows", &0).is_err());
        assert!(number(1..=5, "why").check("rows", &None).is_ok());
        let refused = length(0..=1, "why").check("names", &vec!["a", "b"]).unwrap_err();
        assert_eq!(refused.to_string(), "names is 2 entries; expected 0 entries to 1 entries: why");
    }
}
