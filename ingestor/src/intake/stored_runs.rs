//! Which snapshots of each agent's run are stored.

use std::path::Path;

use askama::Template;
use duckdb::Connection;
use fleetps_nats::HostName;

use crate::{
    catalog::{Rows, attach_empty, relation},
    segment::{Fault, SegmentName, attach_segment, detach_statement, open_engine, verify_segment},
    template::render,
};

/// The history keeps times to the millisecond; this is the last µs of one.
const REST_OF_MS_US: i64 = 999;

/// A run of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownRun {
    pub(crate) host: HostName,
    /// `None` stands for all runs of a host that has over a thousand in one segment.
    pub(crate) run_id: Option<String>,
    /// The highest sequence that is stored.
    pub(crate) sequence: u64,
    /// When the broker took its last snapshot at the latest, in µs since 1970 UTC.
    pub(crate) stored_at_us: i64,
}

/// For reading the runs of one segment at a time; a day of 20 hosts takes some MB.
const MEMORY_MIB: u64 = 1024;

/// A segment that could not be read, and why.
type Unreadable = (SegmentName, Fault);

/// The runs in `segments`, the latest last, and the segments that could not be read for it.
pub(crate) fn known_runs(
    folder: &Path,
    segments: &[SegmentName],
) -> duckdb::Result<(Vec<KnownRun>, Vec<Unreadable>)> {
    let (mut engine, mut runs, mut faults) = (start_engine()?, Vec::new(), Vec::new());
    for name in segments {
        match runs_in(&engine, folder, name) {
            Ok(of_segment) => runs.extend(of_segment),
            Err(fault) => {
                // Read by itself it may say more; and the engine may be unusable now.
                faults.push((*name, verify_segment(folder, name).err().unwrap_or(fault)));
                engine = start_engine()?;
            }
        }
    }
    runs.sort_by_key(|run| run.stored_at_us);
    Ok((runs, faults))
}

fn start_engine() -> duckdb::Result<Connection> {
    let engine = open_engine(MEMORY_MIB, 1, None)?;
    engine.execute_batch(&attach_empty())?;
    Ok(engine)
}

/// The last sequence of each run.
#[derive(Template)]
#[template(path = "intake/stored_runs.sql")]
struct StoredRunsSql<'a> {
    host_sample: &'a str,
}

fn runs_in(engine: &Connection, folder: &Path, name: &SegmentName) -> Result<Vec<KnownRun>, Fault> {
    attach_segment(engine, folder, name)?;
    let read = || -> duckdb::Result<Vec<KnownRun>> {
        let sql = render(&StoredRunsSql { host_sample: &relation(Rows::Of("host_sample"), [name]) });
        let mut statement = engine.prepare(&sql)?;
        let rows = statement.query_map([], |row| {
            let host: String = row.get("host")?;
            Ok((host, row.get("run_id")?, row.get("last_sequence")?, row.get("stored_at_us")?))
        })?;
        // Always a host's name, unless another program wrote the file.
        let run = |(host, run_id, sequence, stored_at_us): (String, _, _, i64)| {
            let stored_at_us = stored_at_us.saturating_add(REST_OF_MS_US);
            Some(KnownRun { host: host.parse().ok()?, run_id, sequence, stored_at_us })
        };
        Ok(rows.collect::<duckdb::Result<Vec<_>>>()?.into_iter().filter_map(run).collect())
    };
    let runs = read().map_err(|error| Fault::of(&error))?;
    engine.execute_batch(&detach_statement(&name.alias())).map_err(|error| Fault::of(&error))?;
    Ok(runs)
}
