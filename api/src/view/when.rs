//! Moments and spans in URLs: `at=2026-11-21T03:12:00Z`, `at=-15m`, `from=…&to=…`, `range=3h`; and as people type them:
//! `at=16:28`, `at=yesterday 03:12` ([`wall_time`](super::wall_time)).
//!
//! A time without a zone is in UTC here. Of pages it is in the reader's zone: `middleware::typed_times` has made it exact
//! before, so that a link means the same to everybody.

use std::time::Duration;

use fleetps_ingestor::history::Span;
use fleetps_nats::units;
use jiff::Zoned;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::wall_time;
use crate::{
    live::now_us,
    query::{
        BadParameter,
        parameter::{self, Value},
        parameters,
    },
};

/// The ranges that pages offer, and what they are called there.
pub(crate) const RANGES: [(Duration, &str); 7] = [
    (Duration::from_secs(300), "5 m"),
    (Duration::from_secs(900), "15 m"),
    (Duration::from_secs(3_600), "1 h"),
    (Duration::from_secs(3 * 3_600), "3 h"),
    (Duration::from_secs(86_400), "1 d"),
    (Duration::from_secs(7 * 86_400), "7 d"),
    (Duration::from_secs(30 * 86_400), "30 d"),
];
/// The next shorter of them than a span.
pub(crate) fn shorter(span: Span) -> Option<(Duration, &'static str)> {
    let length_us = span.to_us.saturating_sub(span.from_us);
    RANGES.into_iter().rfind(|(range, _)| micros(*range) < length_us)
}

/// The longest range: longer than any history, and far from where times overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
/// The shortest length of time: the shortest that can be written.
const SHORTEST: Duration = Duration::from_millis(1);
/// The accepted forms of a moment.
const EXPECTED: &str = "a time as in 16:28, yesterday 03:12, Nov 27 4:28 PM, 2026-11-27 16:28 or 2026-11-27T16:28:00Z; how \
    long ago as in -15m; or now";

/// A moment, as a URL says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeParam {
    /// `now`.
    Now,
    /// `-15m`.
    Ago(Duration),
    /// A time, in µs since 1970 UTC.
    At(i64),
}

impl TimeParam {
    /// A time to the millisecond, which is what the history keeps.
    pub(crate) fn at(time_us: i64) -> Self {
        Self::At(time_us.div_euclid(1_000).saturating_mul(1_000))
    }

    /// The moment it means at `now_us`, in µs since 1970 UTC.
    pub(crate) fn resolve(self, now_us: i64) -> i64 {
        match self {
            Self::Now => now_us,
            Self::Ago(ago) => now_us.saturating_sub(micros(ago)),
            Self::At(time_us) => time_us,
        }
    }

    /// Whether it means another moment every time.
    pub(crate) fn is_relative(self) -> bool {
        !matches!(self, Self::At(_))
    }

    /// Reads what means the same to every reader: a time with its zone, `now`, or how long ago.
    pub(crate) fn exact(given: &str) -> Option<Self> {
        let text = given.trim();
        if text.eq_ignore_ascii_case("now") {
            return Some(Self::Now);
        }
        if let Some(ago) = ago(text) {
            return Some(Self::Ago(kept(ago)));
        }
        // Links of dashboards have ms since 1970 UTC.
        if let Some(time_ms) = epoch_ms(text) {
            return Some(Self::At(time_ms.saturating_mul(1_000)));
        }
        // In a URL that was typed, the plus of a zone has become a space.
        let time = text.parse::<jiff::Timestamp>().or_else(|_| text.replace(' ', "+").parse());
        time.ok().map(|time| Self::At(time.as_microsecond()))
    }

    /// Reads it as somebody types it whose clock shows `now`.
    ///
    /// # Errors
    /// What it can be, which completes "expected …".
    pub(crate) fn typed(given: &str, now: &Zoned) -> Result<Self, String> {
        if let Some(exact) = Self::exact(given) {
            return Ok(exact);
        }
        match wall_time::read(given, now) {
            Ok(time_us) => Ok(Self::At(time_us)),
            Err(problem) if problem.is_empty() => Err(EXPECTED.to_owned()),
            Err(problem) => Err(format!("{EXPECTED}; {problem}")),
        }
    }
}

/// How long ago: `-15m`, `15m ago` or `2 days ago`.
fn ago(text: &str) -> Option<Duration> {
    let lower = text.to_lowercase();
    let length = lower.strip_prefix('-').or_else(|| lower.strip_suffix("ago"))?.trim();
    let days = [("weeks", 7), ("week", 7), ("w", 7), ("days", 1), ("day", 1)];
    match days.into_iter().find_map(|(unit, days)| Some((length.strip_suffix(unit)?.trim(), days))) {
        Some((number, days)) => {
            let days = number.parse::<u32>().ok()?.checked_mul(days)?;
            units::parse_duration(&format!("{days}d")).ok()
        }
        None => units::parse_duration(length).ok(),
    }
}

impl Value for TimeParam {
    fn read(given: &str) -> Result<Self, String> {
        let now = jiff::Timestamp::from_microsecond(now_us()).unwrap_or_default();
        Self::typed(given, &now.to_zoned(jiff::tz::TimeZone::UTC))
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
        let typed = json!({"type": "string", "maxLength": wall_time::MAX_BYTES, "description": "a time as people type it, in UTC"});
        let examples = ["2026-11-21T03:12:00Z", "-15m", "yesterday 03:12"];
        json!({"anyOf": [{"type": "string", "format": "date-time"}, ago, typed], "examples": examples})
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
pub(crate) struct SpanQuery {
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
        from: "The beginning: a time (in UTC without a zone), now, or how long ago.",
        to: "The end; now without it.",
        range: "The length, where the beginning is not given.",
    }
}

impl SpanQuery {
    /// This span.
    pub(crate) fn of(span: Span) -> Self {
        let (from, to) = (TimeParam::at(span.from_us), TimeParam::at(span.to_us));
        Self { from: Some(from), to: Some(to), range: None }
    }

    /// The span it means at `now_us`. Without `to` it ends at `end_us`; without `from` it is as long as `range`, or as
    /// `usual`.
    ///
    /// # Errors
    /// When it ends before it begins.
    pub(crate) fn resolve(&self, end_us: i64, now_us: i64, usual: Duration) -> Result<Span, BadParameter> {
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
pub(crate) fn micros(duration: Duration) -> i64 {
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
            ("2025-11-21 08:00", NOW_US),
            ("Nov 21, 2025, 8:00:00 AM", NOW_US),
            ("15m ago", NOW_US - 900_000_000),
            ("15 minutes ago", NOW_US - 900_000_000),
            ("2 days ago", NOW_US - 2 * 86_400_000_000),
            ("-1w", NOW_US - 7 * 86_400_000_000),
            ("2025-11-21T09:00:00 01:00", NOW_US),
            ("2025-11-21T08:00:00.250Z", NOW_US + 250_000),
            ("1763712000250", NOW_US + 250_000),
        ] {
            assert_eq!(moment(text), Ok(expected_us), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_would_be_one() {
        for text in ["", "soon", "-", "-15", "15m", "12345", "1763712000", "2026-13-01T00:00:00Z"] {
            let refusal = moment(text).unwrap_err();
            assert!(refusal.starts_with("a time as in 16:28, yesterday 03:12"), "{text}: {refusal}");
        }
        assert!(moment("yesterdy").unwrap_err().ends_with("; “yesterdy” is neither a day nor a time of day"));
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
    fn the_next_shorter_range_is_shorter() {
        let of =
            |length_s: i64| shorter(Span { from_us: 0, to_us: length_s * 1_000_000 }).map(|(_, label)| label);
        for (length_s, expected) in [
            (300, None),
            (301, Some("5 m")),
            (3_600, Some("15 m")),
            (90_000, Some("1 d")),
            (1 << 32, Some("30 d")),
        ] {
            assert_eq!(of(length_s), expected, "{length_s}");
        }
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
