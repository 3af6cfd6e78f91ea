//! Moments and spans in URLs: `at=2026-11-21T03:12:00Z`, `at=-15m`, `from=…&to=…`, `range=3h`.
//!
//! A time without a zone is refused: it means another moment to every reader.

use std::time::Duration;

use fleetps_ingestor::history::Span;
use fleetps_nats::units;

use super::query::BadParameter;

/// The longest range: longer than anybody keeps a history, and far from where times overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
/// What a moment can be.
const EXPECTED: &str = "a time with its zone as in 2026-11-21T03:12:00Z or 2026-11-21T04:12:00+01:00, `now`, or how long ago as in -15m";

/// Reads a moment, in µs since 1970 UTC.
pub fn moment(parameter: &str, text: &str, now_us: i64) -> Result<i64, BadParameter> {
    let text = text.trim();
    if text == "now" {
        return Ok(now_us);
    }
    if let Some(ago) = text.strip_prefix('-') {
        let ago = units::parse_duration(ago).map_err(|_| BadParameter::new(parameter, text, EXPECTED))?;
        return Ok(now_us.saturating_sub(micros(ago)));
    }
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(moment.as_microsecond());
    }
    // In a URL that was typed, the plus of a zone has become a space.
    if let Ok(moment) = text.replace(' ', "+").parse::<jiff::Timestamp>() {
        return Ok(moment.as_microsecond());
    }
    let expected = match text.parse::<jiff::civil::DateTime>() {
        Ok(_) => format!("a zone behind it, as in {}Z; in general {EXPECTED}", text.replace(' ', "T")),
        Err(_) => EXPECTED.to_owned(),
    };
    Err(BadParameter::new(parameter, text, expected))
}

/// Reads the length of a span.
pub fn length(text: &str) -> Result<Duration, BadParameter> {
    let bad = |_| BadParameter::new("range", text, "a length of time, as in 1h, 3h, 1d or 30d");
    Ok(units::parse_duration(text).map_err(bad)?.min(LONGEST))
}

/// Reads a span: `from` and `to` where they are given; `to` is otherwise `end_us`, `from` is otherwise `range` before
/// `to`, or `usual` before it.
pub fn span(query: &str, end_us: i64, now_us: i64, usual: Duration) -> Result<Span, BadParameter> {
    let (mut from, mut to, mut range) = (None, None, usual);
    for (name, value) in form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
        match name.as_ref() {
            "from" => from = Some((moment("from", &value, now_us)?, value)),
            "to" => to = Some(moment("to", &value, now_us)?),
            "range" => range = length(&value)?,
            _ => {}
        }
    }
    let to_us = to.unwrap_or(end_us);
    let (from_us, given) = from.unwrap_or_else(|| (to_us.saturating_sub(micros(range)), "".into()));
    if from_us >= to_us {
        return Err(BadParameter::new("from", &given, "a moment before `to`"));
    }
    Ok(Span { from_us, to_us })
}

/// A moment as URLs have it: UTC, to the millisecond, which is what the history keeps.
pub fn written(moment_us: i64) -> String {
    let moment = jiff::Timestamp::from_microsecond(moment_us).unwrap_or_default();
    let precision = if moment_us % 1_000_000 == 0 { 0 } else { 3 };
    format!("{moment:.precision$}")
}

/// A length of time in µs.
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_763_712_000_000_000;

    #[test]
    fn a_moment_is_a_time_with_its_zone_or_a_time_ago() {
        for (text, expected_us) in [
            ("now", NOW_US),
            ("-15m", NOW_US - 900_000_000),
            ("-1d", NOW_US - 86_400_000_000),
            ("2025-11-21T08:00:00Z", NOW_US),
            ("2025-11-21T09:00:00+01:00", NOW_US),
            ("2025-11-21T09:00:00 01:00", NOW_US),
            ("2025-11-21T08:00:00.250Z", NOW_US + 250_000),
        ] {
            assert_eq!(moment("at", text, NOW_US), Ok(expected_us), "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_refused_with_what_is_missing() {
        let refusal = moment("at", "2026-11-21 03:12:00", NOW_US).unwrap_err();
        assert!(refusal.expected.contains("2026-11-21T03:12:00Z"), "{refusal:?}");
        for text in ["", "yesterday", "-", "-15", "15m", "12345", "2026-13-01T00:00:00Z"] {
            assert!(moment("at", text, NOW_US).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for moment_us in [NOW_US, NOW_US + 123_000, 0] {
            assert_eq!(moment("at", &written(moment_us), NOW_US), Ok(moment_us));
        }
        assert_eq!(written(NOW_US), "2025-11-21T08:00:00Z");
        assert_eq!(written(NOW_US + 123_456), "2025-11-21T08:00:00.123Z");
    }

    #[test]
    fn a_span_ends_now_unless_it_is_said_otherwise() {
        let hour_us = 3_600_000_000;
        let read = |query: &str| span(query, NOW_US, NOW_US, Duration::from_secs(3600));
        assert_eq!(read(""), Ok(Span { from_us: NOW_US - hour_us, to_us: NOW_US }));
        assert_eq!(read("range=3h"), Ok(Span { from_us: NOW_US - 3 * hour_us, to_us: NOW_US }));
        assert_eq!(
            read("from=-2h&to=-1h"),
            Ok(Span { from_us: NOW_US - 2 * hour_us, to_us: NOW_US - hour_us })
        );
        assert_eq!(read("range=4000000000d").unwrap().to_us, NOW_US);
        assert_eq!(read("from=-1h&to=-2h").unwrap_err().parameter, "from");
        assert_eq!(read("range=soon").unwrap_err().parameter, "range");
    }
}
