//! The timeline across the top of a host's pages.

use fleetps_ingestor::history::Span;

use super::{
    travel::{Links, RANGES, When},
    when::written,
};

/// A timeline. The picture comes by a request of its own, so that a page does not wait
/// for it; over it lie buttons, one for each part, which travel there without scripts.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// What it shows.
    pub span: Span,
    /// The picture.
    pub image: String,
    /// Its data, as JSON.
    pub metrics: String,
    /// The ranges that can be chosen: name, link, whether it is this one.
    pub ranges: Vec<(&'static str, String, bool)>,
    /// Where the buttons lead.
    pub path: String,
    /// What the buttons carry along.
    pub carried: Vec<(&'static str, String)>,
    /// Where the moment is, in thousandths of the width; absent when it is not in the span.
    pub mark: Option<f64>,
}

impl Timeline {
    /// Parts with a button each: a minute of an hour.
    const PARTS: i64 = 60;
    /// Times written below it: every sixth.
    const LABELS: i64 = 6;

    /// That of `host`, as of `now_us`.
    pub fn new(host: &str, links: &Links, now_us: i64) -> Self {
        let when = &links.when;
        let span = when.span(now_us);
        let ends = format!("from={}&to={}", written(span.from_us), written(span.to_us));
        let ranges = RANGES.map(|(range, _)| (range, links.to(&when.ranged(range)), when.has_range(range)));
        let mut carried = links.parameters.clone();
        carried.extend(When { at_us: None, span: Some(span), ..when.clone() }.parameters());
        let share = |at_us: i64| (at_us - span.from_us) as f64 / (span.to_us - span.from_us).max(1) as f64;
        let inside = |at_us: &i64| (span.from_us..=span.to_us).contains(at_us);
        Self {
            span,
            image: format!("/hosts/{host}/timeline.svg?{ends}"),
            metrics: format!("/api/v1/hosts/{host}/metrics?{ends}"),
            ranges: ranges.into(),
            path: links.path.clone(),
            carried,
            mark: when.at_us.filter(inside).map(|at_us| share(at_us) * 1000.0),
        }
    }

    /// Its first moment, as URLs have it.
    pub fn from(&self) -> String {
        written(self.span.from_us)
    }

    /// Its end, as URLs have it.
    pub fn to(&self) -> String {
        written(self.span.to_us)
    }

    /// The middle of each part: as URLs have it, and as people read it.
    pub fn parts(&self) -> Vec<(String, String)> {
        self.at_each(Self::PARTS, 0.5)
    }

    /// The times below it.
    pub fn labels(&self) -> Vec<(String, String)> {
        let mut labels = self.at_each(Self::LABELS, 0.0);
        labels.push(moment_texts(self.span.to_us));
        labels
    }

    fn at_each(&self, parts: i64, offset: f64) -> Vec<(String, String)> {
        let length_us = self.span.to_us.saturating_sub(self.span.from_us) as f64 / parts as f64;
        let at = |part: i64| self.span.from_us + ((part as f64 + offset) * length_us) as i64;
        (0..parts).map(|part| moment_texts(at(part))).collect()
    }
}

/// A moment as URLs have it, and as people read it.
fn moment_texts(at_us: i64) -> (String, String) {
    (written(at_us), crate::display::time(at_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_763_712_000_000_000;

    #[test]
    fn the_links_of_a_timeline_keep_what_else_the_page_says() {
        let links = Links {
            path: "/hosts/h".to_owned(),
            parameters: vec![("q", "a b".to_owned())],
            when: When { at_us: Some(NOW_US - 1_800_000_000), ..When::default() },
        };
        let timeline = Timeline::new("h", &links, NOW_US);
        assert_eq!(timeline.ranges[1].1, "/hosts/h?q=a+b&at=2025-11-21T07:30:00Z&range=3h");
        assert_eq!((timeline.ranges[0].2, timeline.ranges[1].2), (true, false));
        assert_eq!(timeline.mark, Some(500.0));
        assert_eq!(timeline.parts().len(), 60);
        assert_eq!(timeline.parts()[0].0, "2025-11-21T07:00:30Z");
        assert_eq!(timeline.labels().last().unwrap().1, "2025-11-21 08:00:00 UTC");
        assert_eq!(links.live(), "/hosts/h?q=a+b");
    }
}
