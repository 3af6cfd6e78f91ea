//! How pages about a host move through time: the moment a page shows, the span of its timeline, and links that keep both.

use std::time::Duration;

use fleetps_ingestor::history::Span;

use serde::{Deserialize, Serialize};

use super::when::{self, SpanQuery, TimeParam, micros};
use crate::{
    live::now_us,
    query::{
        parameter::{self, BadParameter},
        parameters,
    },
    url::{HostTab, Url},
};

/// The default length of a span: the recent past.
const DEFAULT_RANGE: Duration = Duration::from_secs(3_600);

/// The part of a query that says the moment of a page, and the span of its timeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TimeQuery {
    /// The moment; absent for the present.
    #[serde(with = "parameter::optional", skip_serializing_if = "Option::is_none")]
    pub at: Option<TimeParam>,
    /// The span.
    #[serde(flatten)]
    pub span: SpanQuery,
}

parameters! {
    TimeQuery {
        at: "The moment: a time (in UTC without a zone), now, or how long ago; the present without it.",
        ..span,
    }
}

impl TimeQuery {
    /// The time that it means at `now_us`.
    ///
    /// # Errors
    /// When the span ends before it begins.
    pub(crate) fn resolve(&self, now_us: i64) -> Result<When, BadParameter> {
        let at_us = self.at.map(|at| at.resolve(now_us));
        let span = self.span.resolve(at_us.unwrap_or(now_us), now_us, DEFAULT_RANGE)?;
        let has_ends = self.span.from.is_some() || self.span.to.is_some();
        Ok(When {
            at_us,
            is_relative: self.at.is_some_and(TimeParam::is_relative),
            span: has_ends.then_some(span),
            range: self.span.range.filter(|_| !has_ends),
        })
    }
}

impl From<&When> for TimeQuery {
    fn from(when: &When) -> Self {
        let span = match when.span {
            Some(span) => SpanQuery::of(span),
            None => SpanQuery { range: when.range, ..SpanQuery::default() },
        };
        Self { at: when.at_us.map(TimeParam::at), span }
    }
}

/// A host as it was at a moment.
pub(crate) fn host_at(host: &str, at_us: i64) -> Url {
    let at = TimeQuery { at: Some(TimeParam::at(at_us)), ..TimeQuery::default() };
    Url::host(host, HostTab::Processes).with(&at)
}

/// The moment that a page shows, and the span of its timeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct When {
    /// The moment; absent for the present.
    pub at_us: Option<i64>,
    /// Whether the moment was given as a time ago, so that the URL means another one every time.
    pub is_relative: bool,
    /// The span, where its ends were given.
    pub span: Option<Span>,
    /// The length of the span, where only that was given.
    pub range: Option<Duration>,
}

impl When {
    /// The span of the timeline. Without given ends it ends now, or so that the moment lies within it; then its ends are
    /// multiples of a quarter, so that it stays where it is while one steps from sample to sample.
    pub(crate) fn span(&self, now_us: i64) -> Span {
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
        self.range.unwrap_or(DEFAULT_RANGE)
    }

    /// Whether the span has this length and ends by itself.
    pub(crate) fn has_range(&self, range: Duration) -> bool {
        self.span.is_none() && self.length() == range
    }

    /// The same at another moment; `None` is the present. A span that does not hold the moment moves there.
    pub(crate) fn at(&self, at_us: Option<i64>) -> Self {
        let span = match (self.span, at_us) {
            (Some(span), Some(at_us)) => Some(moved_to(span, at_us, now_us())),
            (span, _) => span,
        };
        Self { at_us, is_relative: false, span, ..self.clone() }
    }

    /// The same over the last `range`.
    pub(crate) fn ranged(&self, range: Duration) -> Self {
        Self { span: None, range: Some(range).filter(|range| *range != DEFAULT_RANGE), ..self.clone() }
    }
}

/// `span`, moved by a multiple of its length so that it holds `at_us`; not into the future, where it would be refused.
fn moved_to(span: Span, at_us: i64, now_us: i64) -> Span {
    let length_us = span.to_us.saturating_sub(span.from_us).max(1);
    let lengths = at_us.saturating_sub(span.from_us).div_euclid(length_us);
    let from_us = span.from_us.saturating_add(lengths.saturating_mul(length_us));
    let to_us = from_us.saturating_add(length_us).min(now_us.max(at_us));
    Span { from_us: to_us.saturating_sub(length_us), to_us }
}

/// A page about a host, and the links that lead from it through time.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    /// The page, with the parameters that have nothing to do with time.
    pub page: Url,
    /// The moment and the span.
    pub when: When,
}

impl Links {
    /// The same page at another moment or over another span.
    pub(crate) fn to(&self, when: &When) -> Url {
        self.page.clone().with(&TimeQuery::from(when))
    }

    /// The same page at this moment.
    pub(crate) fn at(&self, at_us: i64) -> Url {
        self.to(&self.when.at(Some(at_us)))
    }

    /// The same page over the next shorter range: what that is called, and the link. A span with ends keeps its end.
    pub(crate) fn shorter(&self, now_us: i64) -> Option<(&'static str, Url)> {
        let (range, label) = when::shorter(self.when.span(now_us))?;
        let when = match self.when.span {
            Some(Span { to_us, .. }) => {
                let span = Some(Span { from_us: to_us.saturating_sub(micros(range)), to_us });
                When { span, ..self.when.clone() }
            }
            None => self.when.ranged(range),
        };
        Some((label, self.to(&when)))
    }

    /// The same page now.
    pub(crate) fn live(&self) -> Url {
        self.to(&self.when.at(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_763_712_000_000_000;

    fn when(query: &str) -> Result<When, BadParameter> {
        crate::query::read::<TimeQuery>(query)?.resolve(NOW_US)
    }

    #[test]
    fn what_a_page_keeps_is_written_as_it_is_read() {
        for (read, written) in [
            ("", ""),
            ("at=&range=&q=x", ""),
            ("at=2025-11-21T08:00:00Z", "at=2025-11-21T08:00:00Z"),
            ("at=-15m&range=3h", "at=2025-11-21T07:45:00Z range=3h"),
            ("from=-2h&to=-1h&range=3h", "from=2025-11-21T06:00:00Z to=2025-11-21T07:00:00Z"),
        ] {
            let when = when(read).unwrap();
            let written_again = Url::fleet().with(&TimeQuery::from(&when)).parameters();
            let parameters: Vec<String> =
                written_again.iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(parameters.join(" "), written, "{read}");
        }
        assert!(when("at=-15m").unwrap().is_relative);
        assert_eq!(when("at=2025-11-21+25:00").unwrap_err().parameter, "at");
        assert_eq!(when("range=soon").unwrap_err().parameter, "range");
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
        assert_eq!(
            moved_to(span, 1_250, 1_260),
            Span { from_us: 1_160, to_us: 1_260 },
            "not into the future"
        );
        assert_eq!(moved_to(span, 1_250, 1_200), Span { from_us: 1_150, to_us: 1_250 });
    }
}
