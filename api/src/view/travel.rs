//! How pages about a host move through time: the moment a page shows, the span of its timeline, and links that keep both.

use std::time::Duration;

use fleetps_ingestor::history::Span;

use super::{
    query::{BadParameter, url},
    when::{length, micros, moment, span, written},
};

/// The length of a span unless another is asked for: what happened just now.
const USUAL_RANGE: Duration = Duration::from_secs(3_600);
/// The ranges that a timeline offers, as URLs and as pages have them.
pub const RANGES: [(&str, &str); 5] =
    [("1h", "1 h"), ("3h", "3 h"), ("1d", "1 d"), ("7d", "7 d"), ("30d", "30 d")];

/// The moment that a page shows, and the span of its timeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    /// The moment; absent for the present.
    pub at_us: Option<i64>,
    /// Whether the moment was given as a time ago, so that the URL means another one every time.
    pub is_relative: bool,
    /// The span, where its ends were given.
    pub span: Option<Span>,
    /// The length of the span, where only that was given, as in the URL.
    pub range: Option<String>,
}

impl When {
    /// Reads it from the part of a URL behind the question mark.
    ///
    /// # Errors
    /// Names the parameter that cannot be read.
    pub fn parse(query: &str, now_us: i64) -> Result<Self, BadParameter> {
        let mut parsed = Self::default();
        let mut has_ends = false;
        for (name, value) in form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            match name.as_ref() {
                "at" => {
                    parsed.at_us = Some(moment("at", &value, now_us)?);
                    parsed.is_relative = value.starts_with('-') || value == "now";
                }
                "range" => parsed.range = Some(value.into_owned()),
                "from" | "to" => has_ends = true,
                _ => {}
            }
        }
        let end_us = parsed.at_us.unwrap_or(now_us);
        let read = span(query, end_us, now_us, USUAL_RANGE)?;
        parsed.span = has_ends.then_some(read);
        parsed.range = parsed.range.filter(|_| !has_ends);
        Ok(parsed)
    }

    /// Name and value of every parameter that is not as usual.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = Vec::new();
        if let Some(at_us) = self.at_us {
            parameters.push(("at", written(at_us)));
        }
        if let Some(span) = self.span {
            parameters.push(("from", written(span.from_us)));
            parameters.push(("to", written(span.to_us)));
        } else if let Some(range) = &self.range {
            parameters.push(("range", range.clone()));
        }
        parameters
    }

    /// The span of the timeline. Without given ends it ends now, or so that the moment lies within it; then its ends are
    /// multiples of a quarter, so that it stays where it is while one steps from sample to sample.
    pub fn span(&self, now_us: i64) -> Span {
        if let Some(span) = self.span {
            return span;
        }
        let length_us = micros(self.length()).max(1);
        let to_us = match self.at_us {
            None => now_us,
            Some(at_us) => {
                let quarter_us = (length_us / 4).max(1);
                let quarters = at_us.div_euclid(quarter_us).saturating_add(2);
                quarters.saturating_mul(quarter_us).min(now_us.max(at_us))
            }
        };
        Span { from_us: to_us.saturating_sub(length_us), to_us }
    }

    fn length(&self) -> Duration {
        let given = self.range.as_ref().and_then(|range| length(range).ok());
        given.unwrap_or(USUAL_RANGE)
    }

    /// Whether the span has this length and ends by itself.
    pub fn has_range(&self, range: &str) -> bool {
        self.span.is_none() && self.range.as_deref().unwrap_or(RANGES[0].0) == range
    }

    /// The same at another moment; `None` is the present. A span that does not hold the moment moves there.
    pub fn at(&self, at_us: Option<i64>) -> Self {
        let span = match (self.span, at_us) {
            (Some(span), Some(at_us)) => Some(moved_to(span, at_us)),
            (span, _) => span,
        };
        Self { at_us, is_relative: false, span, ..self.clone() }
    }

    /// The same over the last `range`.
    pub fn ranged(&self, range: &str) -> Self {
        let range = (range != RANGES[0].0).then(|| range.to_owned());
        Self { span: None, range, ..self.clone() }
    }
}

/// `span`, moved by so many of its lengths that it holds `at_us`.
fn moved_to(span: Span, at_us: i64) -> Span {
    let length_us = span.to_us.saturating_sub(span.from_us).max(1);
    let lengths = at_us.saturating_sub(span.from_us).div_euclid(length_us);
    let from_us = span.from_us.saturating_add(lengths.saturating_mul(length_us));
    Span { from_us, to_us: from_us.saturating_add(length_us) }
}

/// Where a page's links lead: its path, what else its URL says, and the moment and span.
#[derive(Debug, Clone, Default)]
pub struct Links {
    /// The page's path.
    pub path: String,
    /// The parameters that have nothing to do with time.
    pub parameters: Vec<(&'static str, String)>,
    /// The moment and the span.
    pub when: When,
}

impl Links {
    /// The same page at another moment or over another span.
    pub fn to(&self, when: &When) -> String {
        let mut parameters = self.parameters.clone();
        parameters.extend(when.parameters());
        url(&self.path, &parameters)
    }

    /// The same page at this moment.
    pub fn at(&self, at_us: i64) -> String {
        self.to(&self.when.at(Some(at_us)))
    }

    /// The same page now.
    pub fn live(&self) -> String {
        self.to(&self.when.at(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_763_712_000_000_000;

    #[test]
    fn what_a_page_keeps_is_written_as_it_is_read() {
        for (read, written) in [
            ("", ""),
            ("at=&range=&q=x", ""),
            ("at=2025-11-21T08:00:00Z", "at=2025-11-21T08:00:00Z"),
            ("at=-15m&range=3h", "at=2025-11-21T07:45:00Z range=3h"),
            ("from=-2h&to=-1h&range=3h", "from=2025-11-21T06:00:00Z to=2025-11-21T07:00:00Z"),
        ] {
            let when = When::parse(read, NOW_US).unwrap();
            let parameters: Vec<String> =
                when.parameters().iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(parameters.join(" "), written, "{read}");
        }
        assert!(When::parse("at=-15m", NOW_US).unwrap().is_relative);
        assert_eq!(When::parse("at=2025-11-21+08:00", NOW_US).unwrap_err().parameter, "at");
        assert_eq!(When::parse("range=soon", NOW_US).unwrap_err().parameter, "range");
    }

    #[test]
    fn a_timeline_stays_where_it_is_while_one_steps_through_it_and_holds_the_moment() {
        let hour_us = 3_600_000_000;
        let span_at = |at_us: i64| When { at_us: Some(at_us), ..When::default() }.span(NOW_US);
        let at_us = NOW_US - 5 * hour_us;
        assert_eq!(span_at(at_us), span_at(at_us + 60_000_000));
        for at_us in [at_us, at_us - 1, NOW_US - 10_000_000, NOW_US, NOW_US + hour_us] {
            let span = span_at(at_us);
            assert_eq!(span.to_us - span.from_us, hour_us);
            assert!(span.from_us <= at_us && at_us <= span.to_us, "{at_us}: {span:?}");
        }
        assert_eq!(When::default().span(NOW_US), Span { from_us: NOW_US - hour_us, to_us: NOW_US });
    }

    #[test]
    fn a_given_span_moves_along_when_the_moment_leaves_it() {
        let span = Span { from_us: 1_000, to_us: 1_100 };
        let when = When { span: Some(span), ..When::default() };
        for (at_us, from_us) in [(1_000, 1_000), (1_099, 1_000), (1_100, 1_100), (999, 900), (1_350, 1_300)] {
            let moved = Span { from_us, to_us: from_us + 100 };
            assert_eq!(when.at(Some(at_us)).span, Some(moved), "{at_us}");
        }
        assert_eq!(when.at(None).span, Some(span));
    }
}
