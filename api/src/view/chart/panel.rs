//! The History page's charts as it shows them: each with its scale, the breakdown below it, and the table of values.

use fleetps_ingestor::history::{Breakdown, Extent, HostMetrics, HostPoint, Layer, Span};

use super::{
    Chart, Frame,
    hosts::{KINDS, Kind, Line, Unit},
    round_top, round_top_bytes, stack,
};
use crate::{display, url::Url};

/// Characters of a program's name below a breakdown.
const MAX_NAME_CHARACTERS: usize = 40;

/// A chart with what stands around it.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    /// Its name in the page.
    pub id: &'static str,
    /// Its label.
    pub label: &'static str,
    /// The values at its top, in its middle and at its bottom.
    pub ticks: [String; 3],
    /// The chart.
    pub chart: Chart,
    /// Its lines.
    pub legend: Vec<LegendLine>,
    /// Which programs made it up, where that is known.
    pub breakdown: Option<Stack>,
}

/// A line in a legend, with its value at the crosshair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LegendLine {
    /// The class of the line.
    pub class: &'static str,
    /// Its label; empty for the only line of a chart.
    pub label: &'static str,
    /// The value's name in JSON.
    pub field: &'static str,
    /// How scripts write it.
    pub unit: &'static str,
    /// The value, with its unit.
    pub text: String,
}

/// A breakdown.
#[derive(Debug, Clone)]
pub(crate) struct Stack {
    /// The values at its top, in its middle and at its bottom.
    pub ticks: [String; 3],
    /// The chart.
    pub chart: Chart,
    /// How scripts write its values.
    pub unit: &'static str,
    /// The bounds of the parts that its layers have values of, in ms since 1970 UTC.
    pub bounds: String,
    /// Its layers, the greatest first, and all others.
    pub legend: Vec<StackLayer>,
}

/// A layer in the legend of a breakdown.
#[derive(Debug, Clone)]
pub(crate) struct StackLayer {
    /// Its class.
    pub class: String,
    /// The program.
    pub name: String,
    /// The program's processes; absent for all others.
    pub href: Option<Url>,
    /// Its mean.
    pub mean: String,
    /// The value of each part of the span, in order, for the crosshair; "-" where it is not known.
    pub values: String,
}

/// A row of the table of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ValueRow {
    /// The value's name in JSON.
    pub field: &'static str,
    /// Its label.
    pub label: &'static str,
    /// How it is written, and its unit beside the label.
    pub unit: (&'static str, &'static str),
    /// Its value at the crosshair, and over the span its smallest, mean and greatest.
    pub texts: [String; 4],
}

/// The charts with their values at `at_us`, and the breakdowns of CPU and memory, whose programs are at `href`.
pub(crate) fn panels(
    metrics: &HostMetrics,
    (span, at_us): (Span, i64),
    breakdowns: [&Breakdown; 2],
    href: impl Fn(&str) -> Url,
) -> Vec<Panel> {
    let [cpu, memory] = breakdowns;
    let panel = |kind: &Kind| Panel {
        id: kind.id,
        label: kind.label,
        ticks: kind.unit.ticks(kind.top(metrics)),
        chart: kind.draw(metrics, span),
        legend: legend(kind, metrics, at_us),
        breakdown: match kind.id {
            "cpu" => Stack::of(cpu, span, Unit::Percent, &href),
            "memory" => Stack::of(memory, span, Unit::Bytes, &href),
            _ => None,
        },
    };
    KINDS.iter().map(panel).collect()
}

fn legend(kind: &Kind, metrics: &HostMetrics, at_us: i64) -> Vec<LegendLine> {
    let at = metrics.points.iter().rfind(|point| point.from_us <= at_us);
    let line = |line: &Line| LegendLine {
        class: line.class,
        label: if kind.lines.len() > 1 { line.label } else { "" },
        field: line.field,
        unit: kind.unit.id(),
        text: kind.unit.write_or_missing(at.and_then(|point| line.value(point)).map(|value| value.mean)),
    };
    kind.lines.iter().map(line).collect()
}

/// The table of values, with those at `at_us`.
pub(crate) fn values(metrics: &HostMetrics, at_us: i64) -> Vec<ValueRow> {
    let at = metrics.points.iter().rfind(|point| point.from_us <= at_us);
    let row = |unit: Unit, line: &Line| {
        let (min, mean, max) = over_all(metrics, line);
        let now = at.and_then(|point| line.value(point)).map(|value| value.mean);
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
        .filter_map(|point: &HostPoint| Some((f64::from(point.samples), line.value(point)?)))
        .collect();
    let samples: f64 = known.iter().map(|(samples, _)| samples).sum();
    let sum: f64 = known.iter().map(|(samples, value)| samples * value.mean).sum();
    let min = known.iter().map(|(_, value)| value.min).reduce(f64::min);
    let max = known.iter().map(|(_, value)| value.max).reduce(f64::max);
    (min, (samples > 0.0).then(|| sum / samples), max)
}

impl Stack {
    fn of(breakdown: &Breakdown, span: Span, unit: Unit, href: &impl Fn(&str) -> Url) -> Option<Self> {
        if breakdown.layers.is_empty() {
            return None;
        }
        let greatest = stack::greatest(breakdown);
        let top = if unit == Unit::Bytes { round_top_bytes(greatest) } else { round_top(greatest) };
        let layer = |(number, Layer { name, values }): (usize, &Layer)| StackLayer {
            class: format!("k{number}"),
            name: display::cut(&display::visible(name), MAX_NAME_CHARACTERS).into_owned(),
            href: Some(href(name)),
            mean: unit.write_short(mean(values)),
            values: listed(values),
        };
        let mut legend: Vec<StackLayer> = breakdown.layers.iter().enumerate().map(layer).collect();
        legend.push(StackLayer {
            class: "other".to_owned(),
            name: "all others".to_owned(),
            href: None,
            mean: unit.write_short(mean(&breakdown.other)),
            values: listed(&breakdown.other),
        });
        let frame = Frame::whole(span, top);
        let mut shapes = vec![frame.grid()];
        shapes.extend(stack::shapes(&frame, breakdown));
        let chart = Chart { shapes, label: "The programs that used most", stands_alone: false };
        let bounds: Vec<String> = breakdown.bounds_us.iter().map(|us| (us / 1_000).to_string()).collect();
        let (ticks, unit, bounds) = (unit.ticks(top), unit.id(), bounds.join(" "));
        Some(Self { ticks, chart, unit, bounds, legend })
    }
}

/// Values as an attribute has them: in order, with blanks between.
fn listed(values: &[Option<f64>]) -> String {
    let text = |value: &Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    values.iter().map(text).collect::<Vec<_>>().join(" ")
}

fn mean(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().copied().flatten().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

impl Unit {
    /// The values at the top, in the middle and at the bottom of a chart that reaches up to `top`.
    pub(super) fn ticks(self, top: f64) -> [String; 3] {
        [top, top / 2.0, 0.0].map(|value| self.write_in_full(value))
    }

    /// How scripts write it.
    pub(super) fn id(self) -> &'static str {
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

    /// A value with its unit, where it is known.
    pub(super) fn write_or_missing(self, value: Option<f64>) -> String {
        value.map_or_else(|| display::MISSING.to_owned(), |value| self.write_in_full(value))
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
