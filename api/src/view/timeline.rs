//! The timeline across the top of a host's pages.

use fleetps_ingestor::history::Span;

use super::{
    chart::TIMES,
    travel::{Links, When},
    when::{RANGES, SpanQuery, written},
};
use crate::{display, url::Url};

/// From here on, times need their day.
pub(crate) const DAY_US: i64 = 86_400_000_000;
/// Below this, times need their seconds: two labels might lie in one minute.
const SECONDS_BELOW_US: i64 = 600_000_000;

/// A timeline. The picture comes by a request of its own, so that a page does not wait
/// for it; over it lie buttons, one for each part, which travel there without scripts.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    /// Its span.
    pub span: Span,
    /// The picture.
    pub image: Url,
    /// Its data, as JSON.
    pub metrics: Url,
    /// The ranges that can be chosen: name, link, whether it is this one.
    pub ranges: Vec<(&'static str, Url, bool)>,
    /// Where the buttons lead.
    pub path: String,
    /// The hidden fields of the buttons.
    pub carried: Vec<(String, String)>,
    /// Where the moment is, in thousandths of the width; absent when it is not in the span.
    pub mark: Option<f64>,
}

impl Timeline {
    /// Parts with a button each: a minute of an hour.
    const PARTS: i64 = 60;

    /// The timeline of `host`, as of `now_us`.
    pub(crate) fn new(host: &str, links: &Links, now_us: i64) -> Self {
        let when = &links.when;
        let span = when.span(now_us);
        let ends = SpanQuery::of(span);
        let ranges =
            RANGES.map(|(range, label)| (label, links.to(&when.ranged(range)), when.has_range(range)));
        let buttons = links.to(&When { at_us: None, span: Some(span), ..when.clone() });
        let share = |at_us: i64| (at_us - span.from_us) as f64 / (span.to_us - span.from_us).max(1) as f64;
        let inside = |at_us: &i64| (span.from_us..=span.to_us).contains(at_us);
        Self {
            span,
            image: Url::timeline(host).with(&ends),
            metrics: Url::host_metrics(host).with(&ends),
            ranges: ranges.into(),
            path: buttons.path().to_owned(),
            carried: buttons.parameters(),
            mark: when.at_us.filter(inside).map(|at_us| share(at_us) * 1000.0),
        }
    }

    /// The middle of each part: as URLs have it, and as people read it.
    pub(crate) fn parts(&self) -> Vec<(String, String)> {
        let middle = |part: i64| self.at_share((part as f64 + 0.5) / Self::PARTS as f64);
        (0..Self::PARTS).map(middle).map(|at_us| (written(at_us), display::time(at_us))).collect()
    }

    /// The times below it.
    pub(crate) fn labels(&self) -> Vec<(String, String)> {
        labels(self.span)
    }

    fn at_share(&self, share: f64) -> i64 {
        at_share(self.span, share)
    }
}

/// The times below a picture of `span`, from end to end: as programs read them, and as people do.
pub(crate) fn labels(span: Span) -> Vec<(String, String)> {
    let text = match span.to_us.saturating_sub(span.from_us) {
        ..SECONDS_BELOW_US => display::clock_to_the_second,
        SECONDS_BELOW_US..DAY_US => display::clock,
        _ => display::day_and_clock,
    };
    let at = |label: i32| at_share(span, f64::from(label) / f64::from(TIMES));
    (0..=TIMES).map(at).map(|at_us| (written(at_us), text(at_us))).collect()
}

fn at_share(span: Span, share: f64) -> i64 {
    let length_us = span.to_us.saturating_sub(span.from_us) as f64;
    span.from_us.saturating_add((length_us * share) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::HostTab;

    const NOW_US: i64 = 1_763_712_000_000_000;

    #[test]
    fn the_links_of_a_timeline_keep_what_else_the_page_says() {
        let links = Links {
            page: Url::host("h", HostTab::Processes).with(&[("q", "a b")]),
            when: When { at_us: Some(NOW_US - 1_800_000_000), ..When::default() },
        };
        let timeline = Timeline::new("h", &links, NOW_US);
        assert_eq!(timeline.ranges[3].1.to_string(), "/hosts/h?q=a+b&at=2025-11-21T07:30:00Z&range=3h");
        assert_eq!((timeline.ranges[2].2, timeline.ranges[3].2), (true, false));
        assert_eq!(timeline.mark, Some(500.0));
        assert_eq!(timeline.parts().len(), 60);
        assert_eq!(timeline.parts()[0].0, "2025-11-21T07:00:30Z");
        assert_eq!(timeline.labels().last().unwrap().1, "08:00 UTC");
        assert_eq!(links.live().to_string(), "/hosts/h?q=a+b");
        let short = Span { from_us: NOW_US, to_us: NOW_US + 60_000_000 };
        assert_eq!(Timeline { span: short, ..timeline }.labels()[1].1, "08:00:10 UTC");
    }
}
