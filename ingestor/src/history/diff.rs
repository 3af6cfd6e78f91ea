//! What is different between two snapshots.

use fleetps_nats::Snapshot;

use super::answers::Diff;

/// What is different between two snapshots of one host: matched by identity, then by program.
pub fn diff(before: &Snapshot, after: &Snapshot) -> Diff {
    Diff { from_us: before.captured_at_us, to_us: after.captured_at_us, ..Diff::default() }
}
