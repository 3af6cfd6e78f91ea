//! Which process, over its whole life.

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
};

use fleetps_nats::{HostName, snapshot::Process};

/// Which process: a pid alone is used again and again. Two are the same where host, boot, pid and start are; when that was
/// by the host's clock may be corrected.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its host.
    pub host: HostName,
    /// The boot of its host.
    pub boot_id: String,
    /// Its process id.
    pub pid: u32,
    /// Its start as the system counts it, as in [`Process::start`].
    pub start: i64,
    /// When it started by its host's clock, in µs since 1970 UTC.
    pub started_at_us: i64,
}

impl Identity {
    /// The identity of `process` in a boot of `host`.
    pub fn of(host: &HostName, boot_id: &str, process: &Process) -> Self {
        let (pid, start) = process.key();
        let started_at_us = process.started_at_us;
        Self { host: host.clone(), boot_id: boot_id.to_owned(), pid, start, started_at_us }
    }

    fn key(&self) -> (&HostName, &str, u32, i64) {
        (&self.host, &self.boot_id, self.pid, self.start)
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Identity {}

impl PartialOrd for Identity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Identity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}
