//! Durations and sizes as people write them, in settings files and on command lines: `10s`, `7d`, `20 GiB`.

use std::time::Duration;

/// Reads `10s`, `500ms`, `1h 30m`, `7d`.
///
/// # Errors
/// The given text and the expected form, when it is not a duration or not above zero.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || {
        format!("{text:?} is not a duration: expected a number with a unit, as in 500ms, 10s, 5m, 1h or 7d")
    };
    // The library leaves out days, whose length varies where daylight saving time is used; here a day has 24 hours.
    if let Some(days) = text.trim().strip_suffix('d') {
        let days: u32 = days.trim().parse().map_err(|_| expected())?;
        return Some(days).filter(|days| *days > 0).map(days_long).ok_or_else(expected);
    }
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| expected())?;
    Duration::try_from(parsed).ok().filter(|duration| !duration.is_zero()).ok_or_else(expected)
}

fn days_long(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 3600)
}

/// Reads `512`, `64MiB`, `20 GiB`, `1.5 TB`.
///
/// # Errors
/// The given text and the expected form.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    text.trim()
        .parse::<bytesize::ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| format!("{text:?} is not a size: expected a number with a unit, as in 512 MiB or 20 GB"))
}

/// Writes a duration so that [`parse_duration`] reads it again.
pub fn format_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [(24 * 3_600_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let whole =
        units.into_iter().find(|(length, _)| milliseconds > 0 && milliseconds.is_multiple_of(*length));
    match whole {
        Some((length, unit)) => format!("{}{unit}", milliseconds / length),
        None => format!("{milliseconds}ms"),
    }
}

/// Writes a size so that [`parse_bytes`] reads it again.
pub fn format_bytes(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(size, _)| bytes > 0 && bytes.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{} {unit}", bytes / size),
        None => format!("{bytes} B"),
    }
}

/// A duration in a settings file: `#[serde(with = "units::duration")]`.
pub mod duration {
    use super::{Duration, format_duration, parse_duration};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes it as text.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(*duration))
    }

    /// Reads it from text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse_duration(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A size in a settings file: `#[serde(with = "units::bytes")]`.
pub mod bytes {
    use super::{format_bytes, parse_bytes};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes it as text.
    pub fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_bytes(*bytes))
    }

    /// Reads it from text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        parse_bytes(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, milliseconds) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("5m", 300_000),
            ("1h 30m", 5_400_000),
            ("7d", 604_800_000),
            ("1.5s", 1500),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "10", "ten seconds", "-5s", "0s", "0d", "d", "-1d"] {
            assert!(parse_duration(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in
            [("512", 512), ("64MiB", 64 << 20), ("20 GiB", 20 << 30), ("1 GB", 1_000_000_000)]
        {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "GiB", "much", "-1 GB"] {
            assert!(parse_bytes(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for milliseconds in [1, 999, 1000, 90_000, 3_600_000, 604_800_000] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
        for bytes in [0, 1, 1024, 1 << 20, (20 << 30) + 1, 3 << 40] {
            assert_eq!(parse_bytes(&format_bytes(bytes)), Ok(bytes));
        }
    }
}
