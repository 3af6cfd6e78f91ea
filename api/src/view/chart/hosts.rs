//! The charts of one host: its timeline, and the History page's.

use fleetps_ingestor::history::{Extent, HostMetrics, HostPoint, Span};

use super::{
    Chart, Frame, HEIGHT, Shape,
    line::{self, Point},
    round_top, round_top_bytes,
};

/// Units between the two halves of a timeline.
const BETWEEN: f64 = 24.0;

/// How the values of a chart are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Percent of all cores, or of all memory.
    Percent,
    /// A load average.
    Load,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// A count.
    Count,
}

/// A line of a chart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// The name of its value: see [`HostPoint::names`].
    pub field: &'static str,
    /// Its label.
    pub label: &'static str,
    /// Its class.
    pub class: &'static str,
}

impl Line {
    /// Its value in one part of the span.
    pub(crate) fn value(&self, point: &HostPoint) -> Option<Extent> {
        point.extent(self.field)
    }
}

/// A chart with the lines in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// Its name in the page.
    pub id: &'static str,
    /// Its label.
    pub label: &'static str,
    /// How its values are written.
    pub unit: Unit,
    /// Its lines.
    pub lines: &'static [Line],
}

/// The charts of the History page, in its order.
pub(crate) const KINDS: [Kind; 6] = [
    Kind {
        id: "cpu",
        label: "CPU",
        unit: Unit::Percent,
        lines: &[Line { field: "cpu_percent", label: "CPU", class: "cpu" }],
    },
    Kind {
        id: "memory",
        label: "Memory",
        unit: Unit::Bytes,
        lines: &[Line { field: "memory_used_bytes", label: "Memory used", class: "memory" }],
    },
    Kind {
        id: "load",
        label: "Load",
        unit: Unit::Load,
        lines: &[
            Line { field: "load_1", label: "Load, 1 min", class: "cpu" },
            Line { field: "load_5", label: "Load, 5 min", class: "cpu second" },
            Line { field: "load_15", label: "Load, 15 min", class: "cpu third" },
        ],
    },
    Kind {
        id: "disk",
        label: "Disk",
        unit: Unit::BytesPerSecond,
        lines: &[
            Line { field: "disk_read_bytes_per_s", label: "Disk read", class: "disk" },
            Line { field: "disk_written_bytes_per_s", label: "Disk written", class: "disk second" },
        ],
    },
    Kind {
        id: "network",
        label: "Network",
        unit: Unit::BytesPerSecond,
        lines: &[
            Line { field: "network_received_bytes_per_s", label: "Received", class: "disk" },
            Line { field: "network_sent_bytes_per_s", label: "Sent", class: "disk second" },
        ],
    },
    Kind {
        id: "processes",
        label: "Processes",
        unit: Unit::Count,
        lines: &[Line { field: "process_count", label: "Processes", class: "count" }],
    },
];

/// The values of a line at all points.
pub(crate) fn points(metrics: &HostMetrics, line: &Line) -> Vec<Point> {
    let point =
        |point: &HostPoint| Point { from_us: point.from_us, to_us: point.to_us, value: line.value(point) };
    metrics.points.iter().map(point).collect()
}

impl Kind {
    /// The value at the top of its chart: all of what there is of CPU and memory, a round one otherwise.
    pub(crate) fn top(&self, metrics: &HostMetrics) -> f64 {
        let values = self.lines.iter().map(|line| line::greatest(&points(metrics, line)));
        let greatest = values.fold(0.0, f64::max);
        match self.unit {
            Unit::Percent => 100.0,
            Unit::Bytes => memory_total_bytes(metrics).unwrap_or_else(|| round_top_bytes(greatest)),
            Unit::BytesPerSecond => round_top_bytes(greatest),
            Unit::Load | Unit::Count => round_top(greatest),
        }
    }

    /// Its chart.
    pub(crate) fn draw(&self, metrics: &HostMetrics, span: Span) -> Chart {
        let frame = Frame::whole(span, self.top(metrics));
        let mut shapes = vec![frame.grid(), frame.gaps(&metrics.gaps)];
        for line in self.lines {
            let points = points(metrics, line);
            shapes.extend(line::shapes(&frame, line.class, &points, &metrics.gaps, self.lines.len() == 1));
        }
        Chart { shapes, label: self.label, stands_alone: false }
    }
}

/// Installed memory, the most there was in the span.
fn memory_total_bytes(metrics: &HostMetrics) -> Option<f64> {
    let totals = metrics.points.iter().filter_map(HostPoint::memory_total_bytes);
    totals.max().filter(|bytes| *bytes > 0).map(|bytes| bytes as f64)
}

/// The picture of a timeline: CPU above memory, each in its half.
pub(crate) fn timeline(metrics: &HostMetrics, span: Span) -> Chart {
    let height = (HEIGHT - BETWEEN) / 2.0;
    let [cpu_kind, memory_kind, ..] = &KINDS;
    let mut shapes: Vec<Shape> = vec![Frame::whole(span, 1.0).gaps(&metrics.gaps)];
    for (kind, offset) in [(cpu_kind, 0.0), (memory_kind, height + BETWEEN)] {
        let frame = Frame { span, top: kind.top(metrics), offset, height };
        for line in kind.lines {
            let points = points(metrics, line);
            shapes.extend(line::shapes(&frame, line.class, &points, &metrics.gaps, true));
        }
    }
    Chart { shapes, label: "CPU and memory over time", stands_alone: true }
}
