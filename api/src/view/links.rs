//! Addresses of hosts and processes.

use fleetps_ingestor::history::Identity;

use super::{query, when};
use crate::display;

/// The page of a process of the host whose page is `path`: a pid alone would mean another one after it was used again.
pub fn process(path: &str, pid: u32, started_at_us: i64) -> String {
    format!("{path}/processes/{pid}?started={}", display::time_exact(started_at_us))
}

/// The page of a process.
pub fn of(identity: &Identity) -> String {
    process(&format!("/hosts/{}", identity.host), identity.pid, identity.started_at_us)
}

/// A host as it was at a moment.
pub fn host_at(host: &str, at_us: i64) -> String {
    format!("/hosts/{host}?at={}", when::written(at_us))
}

/// The CSV form of a list, for a spreadsheet.
pub fn csv(path: &str, mut parameters: Vec<(&'static str, String)>) -> String {
    parameters.push(("format", "csv".to_owned()));
    query::url(path, &parameters)
}

/// A text as the filter language has it: in quotes, those within it doubled.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
