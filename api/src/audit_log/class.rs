//! The audit class of a route. Each route states it, so that none is forgotten.

/// The audit class of a route: which of its requests are audited, besides refused ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditClass {
    /// Looks at command lines, where the route shows them, and exports.
    Looks,
    /// The same, and the searched text.
    Searches,
    /// Every request: each is a change.
    Changes,
    /// Failed changes; the handler audits successful ones itself, with the values before and after.
    FailedChanges,
    /// Refusals only: the handler audits everything else itself, with more.
    ByHandler,
}
