//! What the access log keeps of the requests to a route. Each route says it, so that none is forgotten.

/// What is written down of the requests to a route, besides those that were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditClass {
    /// Looks at command lines, where the route shows them, and exports.
    Looks,
    /// The same, and what was searched for.
    Searches,
    /// Every request: each is a change.
    Changes,
    /// Changes that failed; the handler writes down those that are done, with what was and became.
    FailedChanges,
    /// Nothing: the handler writes everything down, with more.
    ByHandler,
}
