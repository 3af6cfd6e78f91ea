//! How finely the past was kept.

use fleetps_nats::model::Spacing;

/// How finely the past was kept where an answer comes from; of several, the coarsest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    /// Every sample.
    #[default]
    Samples,
    /// The last sample of every minute.
    Minutes,
    /// Sums of every hour; no process tables.
    Hours,
}

impl Resolution {
    /// How close together process tables are kept.
    pub(crate) fn spacing(self) -> Spacing {
        match self {
            Self::Samples => Spacing::EverySample,
            Self::Minutes | Self::Hours => Spacing::OneAMinute,
        }
    }
}
