//! A value over time: the mean as a line, the area below it, and the band between its extremes.

use fleetps_ingestor::history::{Extent, Span};

use super::{Frame, Pen, Shape};

/// A value in one part of a span.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// When the first sample of this part was captured.
    pub from_us: i64,
    /// When the last one was.
    pub to_us: i64,
    /// The value; absent where it is not known.
    pub value: Option<Extent>,
}

impl Point {
    /// Where it is drawn.
    fn middle_us(&self) -> i64 {
        self.from_us + self.to_us.saturating_sub(self.from_us) / 2
    }
}

/// The greatest of the values.
pub(crate) fn greatest(points: &[Point]) -> f64 {
    points.iter().filter_map(|point| point.value).map(|value| value.max).fold(0.0, f64::max)
}

/// The shapes of `points`, with `class` and the classes `band`, `area`, `line`. A line is broken where a value is
/// unknown and over each of `gaps`. `filled` also fills the area below the line.
pub(crate) fn shapes(
    frame: &Frame,
    class: &str,
    points: &[Point],
    gaps: &[Span],
    filled: bool,
) -> Vec<Shape> {
    let runs = runs(points, gaps);
    let (mut band, mut area, mut line) = (Pen::default(), Pen::default(), Pen::default());
    for run in &runs {
        let means = corners(frame, run, |value| value.mean);
        if run.iter().any(|(_, value)| value.max > value.min) {
            let mut around = corners(frame, run, |value| value.max);
            around.extend(corners(frame, run, |value| value.min).into_iter().rev());
            band.polygon(&around);
        }
        if let (true, Some(first), Some(last)) = (filled, means.first(), means.last()) {
            let floor = frame.y(0.0);
            let mut below = means.clone();
            below.extend([(last.0, floor), (first.0, floor)]);
            area.polygon(&below);
        }
        line.lines(&means);
    }
    let shape = |kind: &str, pen: Pen| Shape { class: format!("{kind} {class}"), path: pen.text };
    let all = [shape("area", area), shape("band", band), shape("line", line)];
    all.into_iter().filter(|shape| !shape.path.is_empty()).collect()
}

type Run<'a> = Vec<(&'a Point, Extent)>;

/// Neighbours that belong together.
fn runs<'a>(points: &'a [Point], gaps: &[Span]) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'a>> = Vec::new();
    let mut before: Option<&Point> = None;
    for point in points {
        let goes_on = before.is_some_and(|before| {
            let between = (before.middle_us(), point.middle_us());
            !gaps.iter().any(|gap| gap.from_us < between.1 && gap.to_us > between.0)
        });
        before = point.value.is_some().then_some(point);
        let Some(value) = point.value else { continue };
        match runs.last_mut().filter(|_| goes_on) {
            Some(run) => run.push((point, value)),
            None => runs.push(vec![(point, value)]),
        }
    }
    runs
}

/// The corners of a run; one that is alone has the width of its part, so that it can be seen.
fn corners(frame: &Frame, run: &Run<'_>, value: impl Fn(&Extent) -> f64) -> Vec<(f64, f64)> {
    if let [(point, extent)] = run.as_slice() {
        let y = frame.y(value(extent));
        let left = frame.x(point.from_us);
        return vec![(left, y), (frame.x(point.to_us).max(left + 1.0), y)];
    }
    run.iter().map(|(point, extent)| (frame.x(point.middle_us()), frame.y(value(extent)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at_us: i64, values: Option<(f64, f64, f64)>) -> Point {
        let value = values.map(|(min, mean, max)| Extent { min, mean, max });
        Point { from_us: at_us, to_us: at_us, value }
    }

    fn draw(points: &[Point], gaps: &[Span], filled: bool) -> Vec<(String, String)> {
        let frame = Frame::whole(Span { from_us: 0, to_us: 100 }, 100.0);
        let shapes = shapes(&frame, "cpu", points, gaps, filled);
        shapes.into_iter().map(|shape| (shape.class, shape.path)).collect()
    }

    #[test]
    fn a_spike_of_one_sample_stays_in_the_band_around_the_mean() {
        let points = [
            point(0, Some((10.0, 10.0, 10.0))),
            point(50, Some((5.0, 20.0, 90.0))),
            point(100, Some((10.0, 10.0, 10.0))),
        ];
        assert_eq!(
            draw(&points, &[], false),
            [
                ("band cpu".into(), "M0 360l1000 -320l1000 320l-1000 20l-1000 -20z".into()),
                ("line cpu".into(), "M0 360l1000 -40l1000 40".into())
            ]
        );
        assert_eq!(greatest(&points), 90.0);
    }

    #[test]
    fn a_line_is_broken_by_gaps_and_by_what_is_not_known() {
        let known = |at_us| point(at_us, Some((50.0, 50.0, 50.0)));
        let points = [known(0), known(10), known(40), point(50, None), known(60), known(70)];
        let gap = Span { from_us: 11, to_us: 39 };
        let drawn = draw(&points, &[gap], true);
        assert_eq!(drawn[0].1, "M0 200h200v200h-200zM800 200h1v200h-1zM1200 200h200v200h-200z");
        assert_eq!(drawn[1].1, "M0 200h200M800 200h1M1200 200h200");
        assert_eq!(draw(&[], &[gap], true), []);
    }
}
