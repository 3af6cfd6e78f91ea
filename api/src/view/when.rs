//! Moments and spans in URLs: `at=2026-11-21T03:12:00Z`, `at=-15m`, `from=…&to=…`, `range=3h`.
//!
//! A time without a zone is refused: it means another moment to every reader.

use std::time::Duration;

use fleetps_ingestor::history::Span;
use fleetps_nats::units;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::query::{
    BadParameter,
    parameter::{self, Value},
    parameters,
};

/// The ranges that pages offer, and what they are called there.
pub const RANGES: [(Duration, &str); 5] = [
    (Duration::from_secs(3_600), "1 h"),
    (Duration::from_secs(3 * 3_600), "3 h"),
    (Duration::from_secs(86_400), "1 d"),
    (Duration::from_secs(7 * 86_400), "7 d"),
    (Duration::from_secs(30 * 86_400), "30 d"),
];
/// The longest range: longer than any history, and far from where times overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
/// The shortest length of time: the shortest that can be written.
const SHORTEST: Duration = Duration::from_millis(1);
/// The accepted forms of a moment.
const EXPECTED: &str = "a time with its zone as in 2026-11-21T03:12:00Z or 2026-11-21T04:12:00+01:00, `now`, or how long ago as in -15m";

/// A moment, as a URL says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeParam {
    /// `now`.
    Now,
    /// `-15m`.
    Ago(Duration),
    /// A time, in µs since 1970 UTC.
    At(i64),
}

impl TimeParam {
    /// A time to the millisecond, which is what the history keeps.
    pub fn at(time_us: i64) -> Self {
        Self::At(time_us.div_euclid(1_000).saturating_mul(1_000))
    }

    /// The moment it means at `now_us`, in µs since 1970 UTC.
    pub fn resolve(self, now_us: i64) -> i64 {
        match self {
            Self::Now => now_us,
            Self::Ago(ago) => now_us.saturating_sub(micros(ago)),
            Self::At(time_us) => time_us,
        }
    }

    /// Whether it means another moment every time.
    pub fn is_relative(self) -> bool {
        !matches!(self, Self::At(_))
    }
}

impl Value for TimeParam {
    fn read(given: &str) -> Result<Self, String> {
        let text = given.trim();
        if text == "now" {
            return Ok(Self::Now);
        }
        if let Some(ago) = text.strip_prefix('-') {
            let ago = units::parse_duration(ago).map_err(|_| EXPECTED.to_owned())?;
            return Ok(Self::Ago(kept(ago)));
        }
        // Links of dashboards have ms since 1970 UTC.
        if let Some(time_ms) = epoch_ms(text) {
            return Ok(Self::At(time_ms.saturating_mul(1_000)));
        }
        // In a URL that was typed, the plus of a zone has become a space.
        let time = text.parse::<jiff::Timestamp>().or_else(|_| text.replace(' ', "+").parse());
        time.map(|time| Self::At(time.as_microsecond())).map_err(|_| {
            match text.parse::<jiff::civil::DateTime>() {
                Ok(_) => {
                    format!("a zone behind it, as in {}Z; in general {EXPECTED}", text.replace(' ', "T"))
                }
                Err(_) => EXPECTED.to_owned(),
            }
        })
    }

    fn written(&self) -> String {
        match self {
            Self::Now => "now".to_owned(),
            Self::Ago(ago) => format!("-{}", units::format_duration(*ago)),
            Self::At(time_us) => written_to(*time_us, if time_us % 1_000 == 0 { 3 } else { 6 }),
        }
    }

    fn schema() -> Json {
        let ago = json!({"type": "string", "pattern": "^(now|-[1-9][0-9]{0,5}(ms|s|m|h|d))$"});
        json!({"anyOf": [{"type": "string", "format": "date-time"}, ago], "examples": ["2026-11-21T03:12:00Z", "-15m"]})
    }
}

/// Milliseconds since 1970 UTC; those of the years 1973 to 5138 have these numbers of digits.
fn epoch_ms(text: &str) -> Option<i64> {
    let is_one = matches!(text.len(), 12..=14) && text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|_| is_one)
}

/// A length of time as far as it can be written: in whole milliseconds, and neither too short nor too long.
fn kept(length: Duration) -> Duration {
    let milliseconds = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(milliseconds).clamp(SHORTEST, LONGEST)
}

/// A length of time.
impl Value for Duration {
    fn read(given: &str) -> Result<Self, String> {
        let length = units::parse_duration(given);
        let length = length.map_err(|_| "a length of time, as in 1h, 3h, 1d or 30d".to_owned())?;
        Ok(kept(length))
    }

    fn written(&self) -> String {
        units::format_duration(*self)
    }

    fn schema() -> Json {
        json!({"type": "string", "pattern": "^[1-9][0-9]{0,5}(ms|s|m|h|d)$", "examples": ["1h", "30d"]})
    }
}

/// The part of a query that says a span. Links keep it as it was given: `range=1h` goes on meaning the last hour.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpanQuery {
    /// The beginning.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    pub from: Option<TimeParam>,
    /// The end.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    pub to: Option<TimeParam>,
    /// The length, where the beginning is not given.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    pub range: Option<Duration>,
}

parameters! {
    SpanQuery {
        from: "The beginning: a time with its zone, now, or how long ago.",
        to: "The end; now without it.",
        range: "The length, where the beginning is not given.",
    }
}

impl SpanQuery {
    /// This span.
    pub fn of(span: Span) -> Self {
        let (from, to) = (TimeParam::at(span.from_us), TimeParam::at(span.to_us));
        Self { from: Some(from), to: Some(to), range: None }
    }

    /// The span it means at `now_us`. Without `to` it ends at `end_us`; without `from` it is as long as `range`, or as
    /// `usual`.
    ///
    /// # Errors
    /// When it ends before it begins.
    pub fn resolve(&self, end_us: i64, now_us: i64, usual: Duration) -> Result<Span, BadParameter> {
        let to_us = self.to.map_or(end_us, |to| to.resolve(now_us));
        let length_us = micros(self.range.unwrap_or(usual));
        let from_us = self.from.map_or(to_us.saturating_sub(length_us), |from| from.resolve(now_us));
        if from_us >= to_us {
            let given = self.from.map(|from| from.written()).unwrap_or_default();
            return Err(BadParameter::new("from", &given, "a moment before `to`"));
        }
        Ok(Span { from_us, to_us })
    }
}

/// A moment as URLs have it: UTC, to the millisecond, which is what the history keeps.
pub fn written(moment_us: i64) -> String {
    written_to(moment_us, 3)
}

/// With `digits` digits behind the second, or none where it is a whole second.
fn written_to(time_us: i64, digits: usize) -> String {
    let time = jiff::Timestamp::from_microsecond(time_us).unwrap_or_default();
    let digits = if time_us % 1_000_000 == 0 { 0 } else { digits };
    format!("{time:.digits$}")
}

/// A length of time in µs.
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_763_712_000_000_000;

    fn moment(text: &str) -> Result<i64, String> {
        TimeParam::read(text).map(|time| time.resolve(NOW_US))
    }

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
            ("1763712000250", NOW_US + 250_000),
        ] {
            assert_eq!(moment(text), Ok(expected_us), "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_refused_with_what_is_missing() {
        let refusal = moment("2026-11-21 03:12:00").unwrap_err();
        assert!(refusal.contains("2026-11-21T03:12:00Z"), "{refusal:?}");
        for text in ["", "yesterday", "-", "-15", "15m", "12345", "1763712000", "2026-13-01T00:00:00Z"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for moment_us in [NOW_US, NOW_US + 123_000, 0] {
            assert_eq!(moment(&written(moment_us)), Ok(moment_us));
        }
        assert_eq!(written(NOW_US), "2025-11-21T08:00:00Z");
        assert_eq!(written(NOW_US + 123_456), "2025-11-21T08:00:00.123Z");
    }

    #[test]
    fn a_span_ends_now_unless_it_is_said_otherwise() {
        let hour_us = 3_600_000_000;
        let read = |query: &str| {
            let query: SpanQuery = crate::query::read(query)?;
            query.resolve(NOW_US, NOW_US, Duration::from_secs(3600))
        };
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
