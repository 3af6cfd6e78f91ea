//! The charts of one process.

use fleetps_ingestor::history::{ProcessMetrics, ProcessPoint, Span};

use super::{
    Chart, Frame,
    hosts::Unit,
    line::{self, Point},
    panel::LegendLine,
    round_top, round_top_bytes,
};

/// A chart with what stands around it.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    /// Its label.
    pub label: &'static str,
    /// Its lines.
    pub legend: Vec<LegendLine>,
    /// The values at its top, in its middle and at its bottom.
    pub ticks: [String; 3],
    /// The picture.
    pub chart: Chart,
}

/// The kind of a chart.
struct Kind {
    label: &'static str,
    /// The class, the label where there are several, and the value of each line.
    lines: &'static [(&'static str, &'static str, &'static str)],
    unit: Unit,
}

const KINDS: [Kind; 4] = [
    Kind { label: "CPU, % of one core", lines: &[("cpu", "", "cpu_percent")], unit: Unit::Percent },
    Kind { label: "Memory (resident)", lines: &[("memory", "", "resident_bytes")], unit: Unit::Bytes },
    Kind {
        label: "Disk",
        lines: &[("disk", "read", "read_bytes_per_s"), ("disk second", "written", "written_bytes_per_s")],
        unit: Unit::BytesPerSecond,
    },
    Kind { label: "Threads", lines: &[("count", "", "threads")], unit: Unit::Count },
];

/// The charts over `span`, without those that have no values.
pub(crate) fn panels(metrics: &ProcessMetrics, span: Span) -> Vec<Panel> {
    KINDS.iter().filter_map(|kind| kind.draw(metrics, span)).collect()
}

impl Kind {
    fn draw(&self, metrics: &ProcessMetrics, span: Span) -> Option<Panel> {
        let lines: Vec<Vec<Point>> = self.lines.iter().map(|(.., value)| points(metrics, value)).collect();
        if lines.iter().flatten().all(|point| point.value.is_none()) {
            return None;
        }
        let greatest = lines.iter().map(|points| line::greatest(points)).fold(0.0, f64::max);
        let top = match self.unit {
            // Below a KiB, halves of bytes would stand at the axis.
            Unit::Bytes | Unit::BytesPerSecond => round_top_bytes(greatest.max(1024.0)),
            // The middle of whole numbers is one, too.
            Unit::Count => round_top(greatest).max(2.0),
            Unit::Percent | Unit::Load => round_top(greatest),
        };
        let frame = Frame::whole(span, top);
        let mut shapes = vec![frame.grid(), frame.gaps(&metrics.gaps)];
        for ((class, ..), points) in self.lines.iter().zip(&lines) {
            shapes.extend(line::shapes(&frame, class, points, &metrics.gaps, lines.len() == 1));
        }
        let chart = Chart { shapes, label: self.label, stands_alone: false };
        Some(Panel { label: self.label, legend: self.legend(&lines), ticks: self.unit.ticks(top), chart })
    }

    /// The legend, with the last values that are known.
    fn legend(&self, lines: &[Vec<Point>]) -> Vec<LegendLine> {
        let line =
            |((class, label, field), points): (&(&'static str, &'static str, &'static str), &Vec<Point>)| {
                let last = points.iter().rev().find_map(|point| point.value).map(|value| value.mean);
                let (unit, text) = (self.unit.id(), self.unit.write_or_missing(last));
                LegendLine { class, label, field, unit, text }
            };
        self.lines.iter().zip(lines).map(line).collect()
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
        let said: Vec<_> = panels.iter().map(|panel| (panel.label, panel.ticks.join(" "))).collect();
        assert_eq!(said, [("CPU, % of one core", "50.0 % 25.0 % 0.0 %".to_owned())]);
        assert_eq!(panels[0].legend[0].text, "42.0 %");
        assert_eq!(
            panels[0].chart.shapes[2].path.matches('M').count(),
            2,
            "a line is broken where nothing is known"
        );
    }
}
