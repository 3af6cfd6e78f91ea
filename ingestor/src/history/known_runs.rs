//! Which snapshots of each agent's run are stored.

use std::path::Path;

use fleetps_nats::HostName;

use super::{HistoryError, MEMORY_MIB, attach_sql};
use crate::segment::{SegmentName, open_engine};

/// A run of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownRun {
    pub(crate) host: HostName,
    pub(crate) run_id: String,
    /// The highest sequence that is stored.
    pub(crate) sequence: u64,
}

/// The runs in these segments, the latest last.
pub(crate) fn known_runs(folder: &Path, segments: &[SegmentName]) -> Result<Vec<KnownRun>, HistoryError> {
    let engine = open_engine(MEMORY_MIB, 1, None)?;
    engine.execute_batch(&attach_sql(folder, segments))?;
    let mut statement = engine.prepare(include_str!("known_runs.sql"))?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)))?;
    let mut runs = Vec::new();
    for row in rows {
        let (host, run_id, sequence) = row?;
        // Always a host's name, unless somebody else wrote the file.
        if let Ok(host) = host.parse() {
            runs.push(KnownRun { host, run_id, sequence });
        }
    }
    Ok(runs)
}
