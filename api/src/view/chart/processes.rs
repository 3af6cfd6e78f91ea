//! The charts of one process.

use fleetps_ingestor::history::{ProcessMetrics, ProcessPoint, Span};

use super::{
    Chart, Frame,
    line::{self, Point},
    round_top, round_top_bytes,
};
use crate::display;

/// A chart with what it is called and what its top means.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Its label.
    pub label: &'static str,
    /// The lines, in the order of their colours: the class, and what it is called where there are several.
    pub legend: &'static [(&'static str, &'static str)],
    /// The greatest value, with its unit.
    pub greatest: String,
    /// The picture.
    pub chart: Chart,
}

/// The kind of a chart.
struct Kind {
    label: &'static str,
    legend: &'static [(&'static str, &'static str)],
    /// The names of the values.
    values: &'static [&'static str],
    top: fn(f64) -> f64,
    text: fn(f64) -> String,
}

const KINDS: [Kind; 4] = [
    Kind {
        label: "CPU, % of one core",
        legend: &[("cpu", "")],
        values: &["cpu_percent"],
        top: round_top,
        text: |value| format!("{} %", display::percent(Some(value))),
    },
    Kind {
        label: "Memory (resident)",
        legend: &[("memory", "")],
        values: &["resident_bytes"],
        top: round_top_bytes,
        text: |value| display::size_long(Some(value as u64)),
    },
    Kind {
        label: "Disk",
        legend: &[("disk", "read"), ("disk second", "written")],
        values: &["read_bytes_per_s", "written_bytes_per_s"],
        top: round_top_bytes,
        text: |value| format!("{}/s", display::size_long(Some(value as u64))),
    },
    Kind {
        label: "Threads",
        legend: &[("count", "")],
        values: &["threads"],
        top: round_top,
        text: |value| display::count(value as u64),
    },
];

/// The charts over `span`, without those that have no values.
pub fn panels(metrics: &ProcessMetrics, span: Span) -> Vec<Panel> {
    KINDS.iter().filter_map(|kind| kind.draw(metrics, span)).collect()
}

impl Kind {
    fn draw(&self, metrics: &ProcessMetrics, span: Span) -> Option<Panel> {
        let lines: Vec<Vec<Point>> = self.values.iter().map(|value| points(metrics, value)).collect();
        if lines.iter().flatten().all(|point| point.value.is_none()) {
            return None;
        }
        let greatest = lines.iter().map(|points| line::greatest(points)).fold(0.0, f64::max);
        let frame = Frame::whole(span, (self.top)(greatest));
        let mut shapes = vec![frame.gaps(&metrics.gaps)];
        for ((class, _), points) in self.legend.iter().zip(&lines) {
            shapes.extend(line::shapes(&frame, class, points, &metrics.gaps, lines.len() == 1));
        }
        let chart = Chart { shapes, label: self.label, stands_alone: false };
        Some(Panel { label: self.label, legend: self.legend, greatest: (self.text)(greatest), chart })
    }
}

fn points(metrics: &ProcessMetrics, value: &str) -> Vec<Point> {
    let point = |point: &ProcessPoint| Point {
        from_us: point.from_us,
        to_us: point.to_us,
        value: point.extent(value),
    };
    metrics.points.iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use fleetps_ingestor::history::Resolution;

    use super::*;

    fn point(at_us: i64, cpu_percent: Option<f64>) -> ProcessPoint {
        let values: Vec<_> = cpu_percent.map(|value| ("cpu_percent", value)).into_iter().collect();
        ProcessPoint::of(at_us, &values)
    }

    #[test]
    fn only_what_was_measured_has_a_chart_and_its_greatest_value_is_said() {
        let metrics = ProcessMetrics {
            resolution: Resolution::Samples,
            points: vec![point(0, Some(10.0)), point(50, None), point(100, Some(42.0))],
            gaps: Vec::new(),
        };
        let panels = panels(&metrics, Span { from_us: 0, to_us: 100 });
        let said: Vec<_> = panels.iter().map(|panel| (panel.label, panel.greatest.as_str())).collect();
        assert_eq!(said, [("CPU, % of one core", "42.0 %")]);
        assert_eq!(
            panels[0].chart.shapes[1].path.matches('M').count(),
            2,
            "a line is broken where nothing is known"
        );
    }
}
