//! The snapshots next to a moment, wherever they are. What comes first and last is decided by when it was captured.

use duckdb::params;
use fleetps_nats::HostName;

use super::{
    HistoryError,
    held::{Held, HostRange},
    reading::{Reading, floor_ms},
};

/// Where a snapshot is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// When it was captured, in µs since 1970 UTC.
    pub(super) captured_us: i64,
    /// The time to the next, as it was set then.
    pub(super) interval_us: i64,
    /// The segment that holds it.
    pub(super) held: &'a Held,
}

/// Which snapshots are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// All.
    Any,
    /// Those with a process table.
    WithTable,
}

impl Which {
    fn range(self, held: &Held, host: &HostName) -> Option<HostRange> {
        match self {
            Self::Any => held.range(host),
            Self::WithTable => held.tables(host),
        }
    }
}

impl<'a> Reading<'a> {
    /// The last snapshot of `host` that was captured at `at_us` or before.
    pub(super) fn latest(
        &self,
        host: &HostName,
        at_us: i64,
        which: Which,
    ) -> Result<Option<Place<'a>>, HistoryError> {
        let mut best: Option<Place<'a>> = None;
        for held in self.segments() {
            let Some(range) = which.range(held, host).filter(|range| range.first_us <= at_us) else {
                continue;
            };
            let (captured_us, interval_us) = if range.last_us <= at_us {
                (range.last_us, range.interval_us)
            } else {
                let sql = include_str!("latest.sql")
                    .replace("$host_sample", &self.relation("host_sample", &[held]));
                let values = params![host.as_str(), floor_ms(at_us), which == Which::Any];
                self.connection.query_row(&sql, values, |row| Ok((row.get(0)?, row.get(1)?)))?
            };
            // Of two at the same time, the one that was stored later.
            if best.is_none_or(|best| captured_us >= best.captured_us) {
                best = Some(Place { captured_us, interval_us, held });
            }
        }
        Ok(best)
    }

    /// When the first snapshot of `host` was captured that was captured after `at_us`.
    pub(super) fn next(
        &self,
        host: &HostName,
        at_us: i64,
        which: Which,
    ) -> Result<Option<i64>, HistoryError> {
        let mut best: Option<i64> = None;
        for held in self.segments() {
            let Some(range) = which.range(held, host).filter(|range| range.last_us > at_us) else { continue };
            let captured_us = if range.first_us > at_us {
                range.first_us
            } else {
                let sql =
                    include_str!("next.sql").replace("$host_sample", &self.relation("host_sample", &[held]));
                let values = params![host.as_str(), floor_ms(at_us), which == Which::Any];
                self.connection.query_row(&sql, values, |row| row.get(0))?
            };
            best = Some(best.map_or(captured_us, |best| best.min(captured_us)));
        }
        Ok(best)
    }
}
