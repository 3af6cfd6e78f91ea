//! Times as the older systems write them.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// The time of an ISO 8601 text, in µs since 1970 UTC; one without a zone is in UTC.
pub(super) fn read_time(text: &str) -> Option<i64> {
    let text = text.trim();
    let with_zone = text.parse::<Timestamp>().ok();
    let time = with_zone.or_else(|| {
        let civil = text.parse::<DateTime>().ok()?;
        civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    });
    time.map(|time| time.as_microsecond())
}

/// The time in UTC with `Z`; microseconds are left out where there are none.
pub(super) fn written_time(time_us: i64) -> String {
    let Ok(time) = Timestamp::from_microsecond(time_us) else { return String::new() };
    let format = if time_us % 1_000_000 == 0 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S.%6fZ" };
    time.strftime(format).to_string()
}

/// The time in UTC with microseconds and `Z`, always.
pub(super) fn written_exactly(time_us: i64) -> String {
    let Ok(time) = Timestamp::from_microsecond(time_us) else { return String::new() };
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_or_without_a_zone_and_written_in_utc() {
        for (text, written) in [
            ("2026-11-28T12:00:00Z", "2026-11-28T12:00:00Z"),
            ("2026-11-28T12:00:00", "2026-11-28T12:00:00Z"),
            ("2026-11-28T12:00:00.250000+00:00", "2026-11-28T12:00:00.250000Z"),
            ("2026-11-28 17:30:00.5+05:30", "2026-11-28T12:00:00.500000Z"),
        ] {
            assert_eq!(read_time(text).map(written_time).as_deref(), Some(written), "{text}");
        }
        for text in ["", "yesterday", "12:00", "2026-13-01T00:00:00Z", "99999999-01-01T00:00:00Z"] {
            assert_eq!(read_time(text), None, "{text}");
        }
    }
}
