//! Charts: SVG drawn on the server, coloured by the page's classes, stretched to the page's width.
//!
//! A chart is a box of [`WIDTH`] × [`HEIGHT`] units with `shapes` in it. `line` makes the shapes of a value over time
//! (the mean as a line, the band between smallest and greatest behind it, so that a spike of one sample is never lost),
//! `stack` those of a breakdown. A time without snapshots is a gap in both. `bands` draws
//! when alerts were open. `hosts` lists the charts of a host, `panel`
//! is the frame around them on a page.

pub(crate) mod bands;
pub(crate) mod hosts;
pub(crate) mod line;
pub(crate) mod panel;
pub(crate) mod processes;
pub(crate) mod stack;

use askama::Template;
use fleetps_ingestor::history::Span;

/// Units across: about two for each pixel of a wide page.
pub(crate) const WIDTH: f64 = 2000.0;
/// Units from bottom to top.
pub(crate) const HEIGHT: f64 = 400.0;
/// Equal parts between the times below a chart: [`timeline::labels`](super::timeline::labels) has one more.
pub(crate) const TIMES: i32 = 6;

/// A chart.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/chart.svg")]
pub(crate) struct Chart {
    /// The shapes, from the back to the front.
    pub shapes: Vec<Shape>,
    /// The description, for screen readers.
    pub label: &'static str,
    /// Whether it stands alone, as an image, and so has to bring its colours along.
    pub stands_alone: bool,
}

/// A chart's SVG is inserted into pages unescaped: its own template has escaped its texts.
impl askama::filters::HtmlSafe for Chart {}

/// A path, and the class that colours it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Classes.
    pub class: String,
    /// The path.
    pub path: String,
}

/// Where times and values are in the box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Frame {
    /// From the left edge to the right.
    pub span: Span,
    /// The value at the top; the bottom is zero.
    pub top: f64,
    /// Where the box begins, in units from the top of the chart: several can be above one another.
    pub offset: f64,
    /// Its height in units.
    pub height: f64,
}

impl Frame {
    /// The whole chart.
    pub(crate) fn whole(span: Span, top: f64) -> Self {
        Self { span, top, offset: 0.0, height: HEIGHT }
    }

    /// Where a time is, from the left.
    pub(crate) fn x(&self, time_us: i64) -> f64 {
        let length_us = self.span.to_us.saturating_sub(self.span.from_us).max(1);
        let into_us = time_us.saturating_sub(self.span.from_us);
        (into_us as f64 / length_us as f64 * WIDTH).clamp(0.0, WIDTH)
    }

    /// Where a value is, from the top.
    pub(crate) fn y(&self, value: f64) -> f64 {
        let share = if self.top > 0.0 { value / self.top } else { 0.0 };
        self.offset + self.height * (1.0 - share.clamp(0.0, 1.0))
    }

    /// The light grid of a whole chart: at each of the times that are written below it, and at quarters of its height.
    pub(crate) fn grid(&self) -> Shape {
        let at = |part: i32, of: i32, length: f64| (length * f64::from(part) / f64::from(of)).round();
        let rows = (1..4).map(|part| format!("M0 {}h{WIDTH}", at(part, 4, HEIGHT)));
        let columns = (1..TIMES).map(|part| format!("M{} 0v{HEIGHT}", at(part, TIMES, WIDTH)));
        Shape { class: "grid".to_owned(), path: rows.chain(columns).collect() }
    }

    /// The shapes of the gaps: where nothing came from the host.
    pub(crate) fn gaps(&self, gaps: &[Span]) -> Shape {
        let mut path = Pen::default();
        for gap in gaps {
            let (left, right) = (self.x(gap.from_us), self.x(gap.to_us));
            let (top, bottom) = (self.offset, self.offset + self.height);
            path.polygon(&[(left, top), (right, top), (right, bottom), (left, bottom)]);
        }
        Shape { class: "gap".to_owned(), path: path.text }
    }
}

/// A round value that is not below `greatest`, for the top of a chart: 1, 2 or 5 times a power of ten.
pub(crate) fn round_top(greatest: f64) -> f64 {
    if !greatest.is_finite() || greatest <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(greatest.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|top| *top >= greatest)
        .unwrap_or(greatest)
}

/// A power of two that is not below `greatest`, for the top of a chart of bytes.
pub(crate) fn round_top_bytes(greatest: f64) -> f64 {
    if greatest.is_finite() { greatest.max(1.0).log2().ceil().exp2() } else { 1.0 }
}

/// Writes paths in whole units and small steps, which are shortest.
#[derive(Debug, Default)]
struct Pen {
    text: String,
    at: (i64, i64),
}

impl Pen {
    fn go_to(&mut self, point: (f64, f64)) {
        self.at = whole(point);
        self.text += &format!("M{} {}", self.at.0, self.at.1);
    }

    fn line_to(&mut self, point: (f64, f64)) {
        let to = whole(point);
        let (right, down) = (to.0 - self.at.0, to.1 - self.at.1);
        self.at = to;
        self.text += &match (right, down) {
            (0, 0) => return,
            (right, 0) => format!("h{right}"),
            (0, down) => format!("v{down}"),
            (right, down) => format!("l{right} {down}"),
        };
    }

    fn lines(&mut self, points: &[(f64, f64)]) {
        for (number, point) in points.iter().enumerate() {
            if number == 0 { self.go_to(*point) } else { self.line_to(*point) }
        }
    }

    fn polygon(&mut self, points: &[(f64, f64)]) {
        self.lines(points);
        if !points.is_empty() {
            self.text.push('z');
        }
    }
}

fn whole((x, y): (f64, f64)) -> (i64, i64) {
    (x.round() as i64, y.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tops_are_round_and_not_below_the_greatest_value() {
        for (greatest, top) in
            [(0.0, 1.0), (0.3, 0.5), (1.0, 1.0), (1.1, 2.0), (37.0, 50.0), (51.0, 100.0), (f64::NAN, 1.0)]
        {
            assert!((round_top(greatest) - top).abs() < 1e-9, "{greatest}");
        }
        assert_eq!(round_top_bytes(3_000_000.0), 4_194_304.0);
        assert_eq!(round_top_bytes(0.0), 1.0);
    }

    #[test]
    fn what_lies_outside_a_frame_is_drawn_at_its_edge() {
        let frame = Frame::whole(Span { from_us: 0, to_us: 100 }, 50.0);
        assert_eq!((frame.x(-5), frame.x(50), frame.x(i64::MAX)), (0.0, 1000.0, 2000.0));
        assert_eq!((frame.y(0.0), frame.y(25.0), frame.y(900.0), frame.y(-1.0)), (400.0, 200.0, 0.0, 400.0));
        assert!(frame.grid().path.starts_with("M0 100h2000M0 200h2000M0 300h2000M333 0v400"));
        let gaps = frame.gaps(&[Span { from_us: 10, to_us: 20 }]);
        assert_eq!(gaps.path, "M200 0h200v400h-200z");
    }
}
