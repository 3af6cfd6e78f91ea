//! Smallest, mean and greatest of many values.

/// Smallest, mean and greatest sampled value; all the same for one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// The smallest.
    pub min: f64,
    /// The mean: of levels over the samples, of rates over the time.
    pub mean: f64,
    /// The greatest.
    pub max: f64,
}
