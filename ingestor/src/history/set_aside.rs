//! Segments that cannot be read.

use super::Span;

/// A segment that cannot be read. What it holds is missing in every answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// The name of the file.
    pub segment: String,
    /// About which time it held, by the broker's clock.
    pub span: Span,
    /// Why it is missing, in words.
    pub reason: String,
}
