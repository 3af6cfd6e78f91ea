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
    fn bounds(self, range: HostRange) -> Option<(i64, i64)> {
        match self {
            Self::Any => Some((range.first_us, range.last_us)),
            Self::WithTable => range.tables_us,
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
        for (held, first_us, last_us) in self.bounds(host, which) {
            if first_us > at_us {
                continue;
            }
            let captured_us = if last_us <= at_us {
                last_us
            } else {
                self.within(held, host, include_str!("latest.sql"), at_us, which)?.unwrap_or(first_us)
            };
            // Of two at the same time, the one that was stored later.
            if best.is_none_or(|best| captured_us >= best.captured_us) {
                best = Some(Place { captured_us, held });
            }
        }
        Ok(best)
    }

    /// The first snapshot of `host` that was captured after `at_us`.
    pub(super) fn next(
        &self,
        host: &HostName,
        at_us: i64,
        which: Which,
    ) -> Result<Option<i64>, HistoryError> {
        let mut best: Option<i64> = None;
        for (held, first_us, last_us) in self.bounds(host, which) {
            if last_us <= at_us {
                continue;
            }
            let captured_us = if first_us > at_us {
                first_us
            } else {
                self.within(held, host, include_str!("next.sql"), at_us, which)?.unwrap_or(last_us)
            };
            best = Some(best.map_or(captured_us, |best| best.min(captured_us)));
        }
        Ok(best)
    }

    /// The first and the last such snapshot of `host` in each segment that has one.
    fn bounds(
        &self,
        host: &HostName,
        which: Which,
    ) -> impl Iterator<Item = (&'a Held, i64, i64)> + use<'a, '_> {
        let host = host.clone();
        self.segments().filter_map(move |held| {
            let (first_us, last_us) = which.bounds(held.range(&host)?)?;
            Some((held, first_us, last_us))
        })
    }

    fn within(
        &self,
        held: &Held,
        host: &HostName,
        sql: &str,
        at_us: i64,
        which: Which,
    ) -> Result<Option<i64>, HistoryError> {
        let sql = sql.replace("$host_sample", &self.relation("host_sample", &[held]));
        let params = params![host.as_str(), floor_ms(at_us), which == Which::Any];
        Ok(self.connection.query_row(&sql, params, |row| row.get(0))?)
    }
}
