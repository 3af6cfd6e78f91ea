//! The rows of a segment's tables before they are written. Hosts and boots are places among its strings.

use fleetps_nats::{
    Snapshot,
    snapshot::{FilesystemSample, HostInfo, InterfaceSample},
};

use crate::fields::StoredFigures;

/// A hole in the stream.
#[derive(Debug)]
pub(super) struct GapRow {
    pub(super) first_sequence: u64,
    pub(super) last_sequence: u64,
    pub(super) noticed_at_us: i64,
    pub(super) reason: &'static str,
}

/// What a host was from some time on.
#[derive(Debug)]
pub(super) struct InfoRow {
    pub(super) host: u32,
    pub(super) captured_at_us: i64,
    pub(super) os_host_name: String,
    pub(super) agent_version: String,
    pub(super) info: HostInfo,
}

/// A snapshot without its lists.
#[derive(Debug)]
pub(super) struct SnapshotRow {
    pub(super) host: u32,
    pub(super) boot: u32,
    pub(super) stream_sequence: u64,
    pub(super) stored_at_us: i64,
    /// Everything else; its lists are empty, they have rows of their own.
    pub(super) snapshot: Snapshot,
}

/// A file system in a snapshot.
#[derive(Debug)]
pub(super) struct FilesystemRow {
    pub(super) host: u32,
    pub(super) captured_at_us: i64,
    pub(super) filesystem: FilesystemSample,
}

/// An interface in a snapshot.
#[derive(Debug)]
pub(super) struct InterfaceRow {
    pub(super) host: u32,
    pub(super) captured_at_us: i64,
    pub(super) interface: InterfaceSample,
}

/// The identity of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ProcessKey {
    pub(super) host: u32,
    pub(super) boot: u32,
    pub(super) pid: u32,
    pub(super) start: i64,
}

/// A process, as it was in one or more of its host's snapshots. Between them are none but late ones.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RunRow {
    pub(super) key: ProcessKey,
    /// [`ProcessRow::first_program`](super::process_row::ProcessRow::first_program).
    pub(super) program: u32,
    /// In how many snapshots.
    pub(super) snapshots: u32,
    pub(super) first_captured_at_us: i64,
    pub(super) last_captured_at_us: i64,
    pub(super) figures: StoredFigures,
}
