//! What a metric is.

/// A metric with all its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The name; of a counter without `_total`, of an info without `_info`.
    pub name: &'static str,
    /// The kind.
    pub kind: Kind,
    /// The labels of every series, in order.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// A kind of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows, and begins at zero again when what counts is started anew.
    Counter,
    /// Counts by how large a value was, with the sum of all.
    Histogram,
    /// Always 1; its labels are what it says.
    Info,
}

impl Family {
    /// The name in front of the labels of a series.
    pub fn sample_suffix(&self) -> &'static str {
        match self.kind {
            Kind::Gauge | Kind::Histogram => "",
            Kind::Counter => "_total",
            Kind::Info => "_info",
        }
    }

    /// The unit, where its name ends in one.
    pub fn unit(&self) -> Option<&'static str> {
        // An info has no unit.
        ["seconds", "bytes"].into_iter().find(|unit| {
            self.kind != Kind::Info
                && self.name.strip_suffix(unit).is_some_and(|before| before.ends_with('_'))
        })
    }
}

impl Kind {
    /// The word of both formats for it. The earlier format knows no info.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}
