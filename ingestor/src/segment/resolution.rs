//! How finely the past was kept.

/// How finely the past was kept where an answer comes from; of several, the coarsest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    /// Every sample.
    Samples,
    /// The last sample of every minute.
    Minutes,
    /// Sums of every hour; no process tables.
    Hours,
}
