//! Open files. Connections, segments and the broker's client share one limit of the process, and DuckDB aborts the
//! program when it gets none. So the limit is raised once, at the start, and large users leave the others their part.

/// The open files that this process may have, after its soft limit was raised to the hard one; absent where there is no
/// limit. A managed nats-server inherits it.
#[cfg(unix)]
pub fn raise_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files could not be raised to the hard limit");
    }
    limit()
}

/// The open files that this process may have now; absent where there is no limit.
#[cfg(unix)]
pub(crate) fn limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// Other systems are assumed to have the default limit.
#[cfg(not(unix))]
pub fn raise_limit() -> Option<u64> {
    limit()
}

/// The same.
#[cfg(not(unix))]
pub(crate) fn limit() -> Option<u64> {
    Some(USUAL)
}

/// The systems' default limit.
#[cfg(not(unix))]
const USUAL: u64 = 1_024;
