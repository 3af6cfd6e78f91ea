//! The span that a page is about, and the links to others.

use std::time::Duration;

use fleetps_ingestor::history::Span;

use super::when::{self, RANGES, SpanQuery, TimeParam};
use crate::{display, query::BadParameter, url::Url};

/// A span with what the URL said, which links keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageSpan {
    /// The span.
    pub span: Span,
    /// The span as the URL has it.
    pub given: SpanQuery,
    usual: Duration,
    /// Whether it ends now, and goes on doing so.
    follows: bool,
}

/// A moment as pages write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// As programs read it.
    pub exact: String,
    /// As people read it.
    pub text: String,
}

impl Stamp {
    /// The stamp of a time.
    pub(crate) fn of(time_us: i64) -> Self {
        Self { exact: display::time_exact(time_us), text: display::time(time_us) }
    }

    /// The stamp of a time of today: its day is left out.
    pub(crate) fn clock(time_us: i64) -> Self {
        Self { text: display::clock_to_the_second(time_us), ..Self::of(time_us) }
    }
}

/// A link to another span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RangeLink {
    /// Its label.
    pub label: &'static str,
    /// The address it leads to.
    pub href: Url,
    /// Whether this is the page's.
    pub current: bool,
}

impl PageSpan {
    /// The span that `given` means at `now_us`; without any parameter the `usual` length before `end_us`.
    ///
    /// # Errors
    /// When it ends before it begins.
    pub(crate) fn of(
        given: SpanQuery,
        end_us: i64,
        now_us: i64,
        usual: Duration,
    ) -> Result<Self, BadParameter> {
        let follows = given.to.map_or(end_us == now_us, |to| to == TimeParam::Now);
        Ok(Self { span: given.resolve(end_us, now_us, usual)?, given, usual, follows })
    }

    /// This span, for a page that resolves `given` itself.
    pub(crate) fn fixed(span: Span, given: SpanQuery) -> Self {
        let usual = Duration::from_micros(span.to_us.saturating_sub(span.from_us).unsigned_abs());
        Self { span, given, usual, follows: false }
    }

    /// Its length in ms, where it ends now: the page is asked again as that moves on.
    pub(crate) fn follows_ms(&self) -> Option<i64> {
        self.follows.then(|| self.span.to_us.saturating_sub(self.span.from_us) / 1_000)
    }

    /// Its beginning.
    pub(crate) fn from(&self) -> Stamp {
        Stamp::of(self.span.from_us)
    }

    /// Its end.
    pub(crate) fn to(&self) -> Stamp {
        Stamp::of(self.span.to_us)
    }

    /// The same length of time, or from the same beginning where that was given, until `to_us`.
    pub(crate) fn until(&self, to_us: i64) -> SpanQuery {
        SpanQuery { to: Some(TimeParam::At(to_us)), ..self.given.clone() }
    }

    /// Links to the ranges that pages offer; `page` has the page's other parameters. They keep a `to`.
    pub(crate) fn ranges(&self, page: &Url) -> Vec<RangeLink> {
        let here = match (self.given.from, self.given.range) {
            (None, range) => Some(range.unwrap_or(self.usual)),
            _ => None,
        };
        let link = |(range, label): (Duration, &'static str)| {
            let span = SpanQuery { from: None, to: self.given.to, range: Some(range) };
            RangeLink { label, href: page.clone().with(&span), current: here == Some(range) }
        };
        RANGES.map(link).into()
    }

    /// The page over the next shorter range: what that is called, and the link.
    pub(crate) fn shorter(&self, page: &Url) -> Option<(&'static str, Url)> {
        let (range, label) = when::shorter(self.span)?;
        let span = SpanQuery { from: None, to: self.given.to, range: Some(range) };
        Some((label, page.clone().with(&span)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_763_712_000_000_000;

    fn page_span(query: &str, usual_s: u64) -> PageSpan {
        let given = crate::query::read(query).unwrap();
        PageSpan::of(given, NOW_US, NOW_US, Duration::from_secs(usual_s)).unwrap()
    }

    #[test]
    fn links_to_other_ranges_keep_the_end_and_the_rest_of_the_page() {
        let span = page_span("to=2025-11-21T07:00:00Z&range=3h&x=1", 3_600);
        assert_eq!(span.span.to_us, NOW_US - 3_600_000_000);
        let links = span.ranges(&Url::top().with(&[("by", "memory")]));
        assert_eq!(links[0].href.to_string(), "/top?by=memory&to=2025-11-21T07:00:00Z&range=5m");
        let current: Vec<_> = links.iter().filter(|link| link.current).map(|link| link.label).collect();
        assert_eq!(current, ["3 h"]);
    }

    #[test]
    fn only_a_span_that_ends_now_moves_on() {
        for (query, follows_ms) in [
            ("", Some(3_600_000)),
            ("range=3h&to=now", Some(3 * 3_600_000)),
            ("from=-2h&to=-1h", None),
            ("to=2025-11-21T08:00:00Z", None),
        ] {
            assert_eq!(page_span(query, 3_600).follows_ms(), follows_ms, "{query}");
        }
        let gone =
            PageSpan::of(SpanQuery::default(), NOW_US - 1, NOW_US, Duration::from_secs(3_600)).unwrap();
        assert_eq!(gone.follows_ms(), None);
    }

    #[test]
    fn the_usual_range_is_current_unless_something_else_is_said() {
        let current = |query: &str| {
            let span = page_span(query, 86_400);
            span.ranges(&Url::fleet()).into_iter().find(|link| link.current).map(|link| link.label)
        };
        assert_eq!(current(""), Some("1 d"));
        assert_eq!(current("from=-2h"), None);
        assert_eq!(current("range=25h"), None);
    }
}
