//! One host at a moment, as pages show it: its summary with its latest two snapshots.

use std::sync::Arc;

use fleetps_nats::{Snapshot, model::SnapshotPair};

use super::Summary;

/// One host at one moment, decoded.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The host's summary.
    pub summary: Arc<Summary>,
    /// Its snapshot, with the one before it.
    pub pair: SnapshotPair,
}

impl Moment {
    /// The same for a person who may not see command lines.
    pub fn without_command_lines(self) -> Self {
        Self { pair: self.pair.edited(withhold_command_lines), ..self }
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &Snapshot {
        self.pair.latest()
    }
}

/// Takes the command lines off, as if the host had not sent them.
pub(crate) fn withhold_command_lines(snapshot: &mut Snapshot) {
    snapshot.processes.iter_mut().for_each(|process| process.command_line = None);
}
