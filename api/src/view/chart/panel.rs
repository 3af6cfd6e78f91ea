//! The History page's charts as it shows them: each with its scale, the breakdown below it, and the table of values.

use fleetps_ingestor::history::{Breakdown, Extent, HostMetrics, HostPoint, Layer, Span};

use super::{
    Chart, Frame,
    hosts::{KINDS, Kind, Line, Unit},
    round_top, round_top_bytes, stack,
};
use crate::display;

/// Characters of a program's name below a breakdown.
const MAX_NAME_CHARACTERS: usize = 40;

/// A chart with what stands around it.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Its name in the page.
    pub id: &'static str,
    /// Its label.
    pub label: &'static str,
    /// The value at its top, with its unit.
    pub top: String,
    /// The chart.
    pub chart: Chart,
    /// The legend, where there are several lines: class and label.
    pub legend: Vec<(&'static str, &'static str)>,
    /// Which programs made it up, where that is known.
    pub breakdown: Option<Stack>,
}

/// A breakdown.
#[derive(Debug, Clone)]
pub struct Stack {
    /// The value at its top, with its unit.
    pub top: String,
    /// The chart.
    pub chart: Chart,
    /// Class, name and mean of each layer, the greatest first, and of all others.
    pub legend: Vec<(String, String, String)>,
}

/// A row of the table of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueRow {
    /// The value's name in JSON.
    pub field: &'static str,
    /// Its label.
    pub label: &'static str,
    /// How it is written, and its unit beside the label.
    pub unit: (&'static str, &'static str),
    /// Its value at the crosshair, and over the span its smallest, mean and greatest.
    pub texts: [String; 4],
}

/// The charts, and the breakdowns of CPU and memory.
pub fn panels(metrics: &HostMetrics, span: Span, breakdowns: [&Breakdown; 2]) -> Vec<Panel> {
    let [cpu, memory] = breakdowns;
    let panel = |kind: &Kind| Panel {
        id: kind.id,
        label: kind.label,
        top: kind.unit.write_in_full(kind.top(metrics)),
        chart: kind.draw(metrics, span),
        legend: if kind.lines.len() > 1 { kind.lines.iter().map(legend).collect() } else { Vec::new() },
        breakdown: match kind.id {
            "cpu" => Stack::of(cpu, span, Unit::Percent),
            "memory" => Stack::of(memory, span, Unit::Bytes),
            _ => None,
        },
    };
    KINDS.iter().map(panel).collect()
}

fn legend(line: &Line) -> (&'static str, &'static str) {
    (line.class, line.label)
}

/// The table of values, with those at `at_us`.
pub fn values(metrics: &HostMetrics, at_us: i64) -> Vec<ValueRow> {
    let at = metrics.points.iter().rfind(|point| point.from_us <= at_us);
    let row = |unit: Unit, line: &Line| {
        let (min, mean, max) = over_all(metrics, line);
        let now = at.and_then(line.read).map(|value| value.mean);
        let texts = [now, min, mean, max].map(|value| unit.write(value));
        ValueRow { field: line.field, label: line.label, unit: (unit.id(), unit.symbol()), texts }
    };
    KINDS.iter().flat_map(|kind| kind.lines.iter().map(move |line| row(kind.unit, line))).collect()
}

/// Smallest, mean and greatest over all points; the mean by samples.
fn over_all(metrics: &HostMetrics, line: &Line) -> (Option<f64>, Option<f64>, Option<f64>) {
    let known: Vec<(f64, Extent)> = metrics
        .points
        .iter()
        .filter_map(|point: &HostPoint| Some((f64::from(point.samples), (line.read)(point)?)))
        .collect();
    let samples: f64 = known.iter().map(|(samples, _)| samples).sum();
    let sum: f64 = known.iter().map(|(samples, value)| samples * value.mean).sum();
    let min = known.iter().map(|(_, value)| value.min).reduce(f64::min);
    let max = known.iter().map(|(_, value)| value.max).reduce(f64::max);
    (min, (samples > 0.0).then(|| sum / samples), max)
}

impl Stack {
    fn of(breakdown: &Breakdown, span: Span, unit: Unit) -> Option<Self> {
        if breakdown.layers.is_empty() {
            return None;
        }
        let greatest = stack::greatest(breakdown);
        let top = if unit == Unit::Bytes { round_top_bytes(greatest) } else { round_top(greatest) };
        let mut legend: Vec<(String, String, String)> = Vec::new();
        for (number, Layer { name, values }) in breakdown.layers.iter().enumerate() {
            let name = display::cut(&display::visible(name), MAX_NAME_CHARACTERS).into_owned();
            legend.push((format!("k{number}"), name, unit.write_short(mean(values))));
        }
        legend.push(("other".to_owned(), "all others".to_owned(), unit.write_short(mean(&breakdown.other))));
        let shapes = stack::shapes(&Frame::whole(span, top), breakdown);
        let chart = Chart { shapes, label: "The programs that used most", stands_alone: false };
        // Percent of one core: several cores together have more than 100 %.
        let top = if unit == Unit::Percent {
            format!("{} % of one core", unit.write(Some(top)))
        } else {
            unit.write_in_full(top)
        };
        Some(Self { top, chart, legend })
    }
}

fn mean(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().copied().flatten().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

impl Unit {
    /// How scripts write it.
    fn id(self) -> &'static str {
        match self {
            Self::Percent => "percent",
            Self::Load => "load",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "rate",
            Self::Count => "count",
        }
    }

    /// The symbol beside a label.
    fn symbol(self) -> &'static str {
        match self {
            Self::Percent => "%",
            Self::Load | Self::Count => "",
            Self::Bytes => "B",
            Self::BytesPerSecond => "B/s",
        }
    }

    fn write(self, value: Option<f64>) -> String {
        match self {
            Self::Percent => display::percent(value),
            Self::Load => display::load(value.map(|value| value as f32)),
            Self::Bytes | Self::BytesPerSecond => display::size(value),
            Self::Count => display::count_or_missing(value.map(|value| value.round().max(0.0) as u64)),
        }
    }

    fn write_short(self, value: Option<f64>) -> String {
        format!("{}{}", self.write(value), if self == Self::Percent { " %" } else { "" })
    }

    fn write_in_full(self, value: f64) -> String {
        match self {
            Self::Percent => format!("{} %", self.write(Some(value))),
            Self::Load | Self::Count => self.write(Some(value)),
            Self::Bytes => display::size_long(Some(value as u64)),
            Self::BytesPerSecond => format!("{}/s", display::size_long(Some(value as u64))),
        }
    }
}
