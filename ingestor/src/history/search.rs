//! Processes on all hosts at a moment, and one process over its life.

use fleetps_nats::HostName;

use super::{
    History, HistoryError,
    answers::{Found, Listing, ProcessLife},
};
use crate::filter::Filter;

impl History {
    /// The processes that `filter` lets through, on every host, as of its last snapshot at or before `at_us` (hosts that had
    /// been silent for long then are left out), by host and pid; the first `limit`.
    pub fn search(&self, filter: &Filter, at_us: i64, limit: usize) -> Result<Listing<Found>, HistoryError> {
        let _ = (filter, at_us, limit);
        Err(HistoryError::NotYet("search"))
    }

    /// The process with `pid` that started at `started_at_us`, in whichever boot, or the latest with that pid when no start is
    /// given; `None` when none is known.
    pub fn process(
        &self,
        host: &HostName,
        pid: u32,
        started_at_us: Option<i64>,
    ) -> Result<Option<ProcessLife>, HistoryError> {
        let _ = (host, pid, started_at_us);
        Err(HistoryError::NotYet("process"))
    }

    /// The processes of the program `name` on `host`, the latest first; at most `limit`.
    pub fn incarnations(
        &self,
        host: &HostName,
        name: &str,
        limit: usize,
    ) -> Result<Listing<ProcessLife>, HistoryError> {
        let _ = (host, name, limit);
        Err(HistoryError::NotYet("incarnations"))
    }

    /// The last process of the program `name` on each host other than `host`, by host; at most `limit`.
    pub fn elsewhere(
        &self,
        host: &HostName,
        name: &str,
        limit: usize,
    ) -> Result<Listing<ProcessLife>, HistoryError> {
        let _ = (host, name, limit);
        Err(HistoryError::NotYet("elsewhere"))
    }
}
