//! Which process, over its whole life.

use fleetps_nats::HostName;

/// Which process: a pid alone is used again and again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Its host.
    pub host: HostName,
    /// The boot of its host.
    pub boot_id: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started_at_us: i64,
}
