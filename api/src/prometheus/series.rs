//! Labels and series of values, one for each step.

use std::{collections::BTreeMap, sync::Arc};

use super::{ast::Grouping, parse::NAME};

/// Labels by name. Values are hostile.
pub(crate) type Labels = BTreeMap<&'static str, Arc<str>>;

/// A series: its labels, and a value for each step; absent where there is none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    pub(crate) values: Vec<Option<f64>>,
}

impl Series {
    /// Whether it has no value at any step.
    pub(super) fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }
}

/// The labels of the group that a series belongs to; the metric's name is of none.
pub(super) fn grouped(labels: &Labels, grouping: &Grouping) -> Labels {
    let is_kept = |label: &str| match grouping {
        Grouping::By(by) => by.iter().any(|known| known == label),
        Grouping::Without(without) => label != NAME && !without.iter().any(|known| known == label),
    };
    let kept = labels.iter().filter(|(label, _)| is_kept(label));
    kept.map(|(label, value)| (*label, Arc::clone(value))).collect()
}

/// The same labels without the metric's name, which an operation does not keep.
pub(super) fn without_name(mut labels: Labels) -> Labels {
    labels.remove(NAME);
    labels
}
