//! Lists that may have been cut off.

use super::Resolution;

/// A list that may have been cut off.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing<T> {
    /// The first ones.
    pub items: Vec<T>,
    /// How many there are in all.
    pub total: u64,
    /// How finely the past was kept that it comes from.
    pub resolution: Resolution,
}
