//! Bands of a chart: when alerts were open, behind the lines; and the same as a list, for who reads the page.

use fleetps_ingestor::{alerts::Severity, history::Span};

use super::{Chart, Frame, Pen, Shape};
use crate::{
    display,
    url::Url,
    view::{severity, span::Stamp},
};

/// The narrowest band, in units: an alert that was open for seconds is seen in a chart of a month.
const NARROWEST: f64 = 6.0;

/// A time in which an alert was open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Band {
    /// The alert's id.
    pub id: String,
    /// Its rule.
    pub rule: String,
    /// What on the host; empty for the host itself. A text from the host.
    pub instance: String,
    /// How bad it is.
    pub severity: Severity,
    /// Since when, in µs since 1970 UTC.
    pub from_us: i64,
    /// Until when; absent while it is open.
    pub to_us: Option<i64>,
}

/// A band in the list below charts.
#[derive(Debug, Clone)]
pub(crate) struct BandLine {
    /// The alert.
    pub url: Url,
    /// Its rule, and what on the host.
    pub text: String,
    /// The severity's word and colour.
    pub severity: (&'static str, &'static str),
    /// Since when.
    pub from: Stamp,
    /// Until when; absent while it is open.
    pub to: Option<Stamp>,
}

/// Draws bands behind the lines of a chart over `span`.
pub(crate) fn draw(chart: &mut Chart, bands: &[Band], span: Span) {
    let frame = Frame::whole(span, 1.0);
    let shapes = Severity::ALL.into_iter().filter_map(|severity| {
        let mut path = Pen::default();
        for band in bands.iter().filter(|band| band.severity == severity) {
            let (left, right) = (frame.x(band.from_us), frame.x(band.to_us.unwrap_or(span.to_us)));
            let right = right.max(left + NARROWEST);
            path.polygon(&[(left, 0.0), (right, 0.0), (right, frame.height), (left, frame.height)]);
        }
        let class = format!("alert {}", severity.word());
        (!path.text.is_empty()).then_some(Shape { class, path: path.text })
    });
    chart.shapes.splice(0..0, shapes);
}

/// The bands as a list, the latest first.
pub(crate) fn lines(bands: &[Band]) -> Vec<BandLine> {
    let line = |band: &Band| BandLine {
        url: Url::alert(&band.id),
        text: match band.instance.as_str() {
            "" => band.rule.clone(),
            instance => format!("{}: {}", band.rule, display::visible(instance)),
        },
        severity: (band.severity.word(), severity::shade(band.severity)),
        from: Stamp::of(band.from_us),
        to: band.to_us.map(Stamp::of),
    };
    bands.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn band(severity: Severity, from_us: i64, to_us: Option<i64>) -> Band {
        let (id, rule) = ("0a".to_owned(), "busy".to_owned());
        Band { id, rule, instance: "java\u{202e}".to_owned(), severity, from_us, to_us }
    }

    #[test]
    fn a_band_reaches_from_its_beginning_to_its_end_and_is_never_too_narrow_to_see() {
        let mut chart = Chart { shapes: Vec::new(), label: "CPU", stands_alone: false };
        let span = Span { from_us: 0, to_us: 2_000 };
        let bands = [
            band(Severity::Critical, 500, Some(1_000)),
            band(Severity::Info, 100, Some(100)),
            band(Severity::Critical, 1_500, None),
        ];
        draw(&mut chart, &bands, span);
        let shapes: Vec<_> =
            chart.shapes.iter().map(|shape| (shape.class.as_str(), shape.path.as_str())).collect();
        assert_eq!(
            shapes,
            [
                ("alert info", "M100 0h6v400h-6z"),
                ("alert critical", "M500 0h500v400h-500zM1500 0h500v400h-500z")
            ]
        );
        assert!(!lines(&bands)[0].text.contains('\u{202e}'));
    }
}
