//! A host's load over time.

use duckdb::params;
use fleetps_nats::HostName;

use super::{History, HistoryError};

/// A host at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesPoint {
    /// When, in µs since 1970 UTC, by the host's clock.
    pub captured_at_us: i64,
    /// CPU use, in percent of all cores together.
    pub cpu_percent: Option<f32>,
    /// Memory in use.
    pub memory_used_bytes: Option<u64>,
    /// Installed memory.
    pub memory_total_bytes: Option<u64>,
}

impl History {
    /// The samples of `host` captured from `from_us` up to but not including `to_us` (µs since 1970 UTC), in order.
    pub fn host_series(
        &self,
        host: &HostName,
        from_us: i64,
        to_us: i64,
    ) -> Result<Vec<SeriesPoint>, HistoryError> {
        let mut statement = self.connection().prepare(include_str!("host_series.sql"))?;
        let rows = statement.query_map(params![host.as_str(), from_us, to_us], |row| {
            Ok(SeriesPoint {
                captured_at_us: row.get(0)?,
                cpu_percent: row.get(1)?,
                memory_used_bytes: row.get(2)?,
                memory_total_bytes: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
