//! The span that a page is about, as its URL says it, and the links to others.

use std::time::Duration;

use fleetps_ingestor::history::Span;

use super::{query::BadParameter, when};
use crate::display;

/// The lengths that pages offer: name in the URL, and on the page.
const RANGES: [(&str, &str); 5] =
    [("1h", "1 h"), ("3h", "3 h"), ("1d", "1 d"), ("7d", "7 d"), ("30d", "30 d")];

/// A span with what the URL said, which links keep: `range=1h` goes on meaning the last hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanQuery {
    /// The span.
    pub span: Span,
    given: Vec<(&'static str, String)>,
    usual: &'static str,
}

/// A moment as pages write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// As programs read it.
    pub exact: String,
    /// As people read it.
    pub text: String,
}

impl Stamp {
    /// Of a time.
    pub fn of(time_us: i64) -> Self {
        Self { exact: display::time_exact(time_us), text: display::time(time_us) }
    }
}

/// A link to another span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeLink {
    /// What it says.
    pub label: &'static str,
    /// Where to.
    pub href: String,
    /// Whether this is the page's.
    pub current: bool,
}

impl SpanQuery {
    /// Reads `from`, `to` and `range`: without any the `usual` range (as in "1h") before `end_us`.
    pub fn parse(query: &str, end_us: i64, now_us: i64, usual: &'static str) -> Result<Self, BadParameter> {
        let length = fleetps_nats::units::parse_duration(usual).unwrap_or(Duration::from_secs(3_600));
        let span = when::span(query, end_us, now_us, length)?;
        let mut given = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            if let Some(known) = ["from", "to", "range"].into_iter().find(|known| *known == name) {
                given.push((known, value.into_owned()));
            }
        }
        Ok(Self { span, given, usual })
    }

    /// Its beginning.
    pub fn from(&self) -> Stamp {
        Stamp::of(self.span.from_us)
    }

    /// Its end.
    pub fn to(&self) -> Stamp {
        Stamp::of(self.span.to_us)
    }

    /// Name and value of what the URL said, behind `others`, the page's other parameters.
    pub fn behind(&self, mut others: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
        others.extend(self.given.iter().cloned());
        others
    }

    /// What the URL said as `name`.
    pub fn given(&self, name: &str) -> &str {
        self.given.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// The same length of time, or from the same beginning where that was given, until `to_us`.
    pub fn until(&self, to_us: i64) -> Self {
        let length_us = self.span.to_us.saturating_sub(self.span.from_us);
        let has_from = !self.given("from").is_empty();
        let from_us = if has_from { self.span.from_us } else { to_us.saturating_sub(length_us) };
        let mut given = self.given.clone();
        given.retain(|(name, _)| *name != "to");
        given.push(("to", display::time_exact(to_us)));
        Self { span: Span { from_us, to_us }, given, usual: self.usual }
    }

    /// Links to the ranges that pages offer; `others` are the page's other parameters. They keep a `to`.
    pub fn ranges(&self, path: &str, others: &[(&'static str, String)]) -> Vec<RangeLink> {
        let here = match (self.given("from"), self.given("range")) {
            ("", "") => self.usual,
            ("", range) => range,
            _ => "",
        };
        let link = |(range, label): (&'static str, &'static str)| {
            let mut parameters = others.to_vec();
            parameters.extend(self.given.iter().filter(|(name, _)| *name == "to").cloned());
            parameters.push(("range", range.to_owned()));
            RangeLink { label, href: super::query::url(path, &parameters), current: here == range }
        };
        RANGES.map(link).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_763_712_000_000_000;

    #[test]
    fn links_to_other_ranges_keep_the_end_and_the_rest_of_the_page() {
        let query = SpanQuery::parse("to=2025-11-21T07:00:00Z&range=3h&x=1", NOW_US, NOW_US, "1h").unwrap();
        assert_eq!(query.span.to_us, NOW_US - 3_600_000_000);
        let links = query.ranges("/top", &[("by", "memory".to_owned())]);
        assert_eq!(links[0].href, "/top?by=memory&to=2025-11-21T07:00:00Z&range=1h");
        let current: Vec<_> = links.iter().filter(|link| link.current).map(|link| link.label).collect();
        assert_eq!(current, ["3 h"]);
    }

    #[test]
    fn the_usual_range_is_current_unless_something_else_is_said() {
        let current = |query: &str| {
            let query = SpanQuery::parse(query, NOW_US, NOW_US, "1d").unwrap();
            query.ranges("/", &[]).into_iter().find(|link| link.current).map(|link| link.label)
        };
        assert_eq!(current(""), Some("1 d"));
        assert_eq!(current("from=-2h"), None);
        assert_eq!(current("range=25h"), None);
    }
}
