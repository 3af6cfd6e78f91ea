//! How busy every host was, minute by minute.

use askama::Template;
use duckdb::params;
use fleetps_nats::HostName;

use super::{History, HistoryError, Span};
use crate::template::render;

/// The greatest CPU use of a host in one minute.
#[derive(Debug, Clone, PartialEq)]
pub struct CpuPeak {
    /// The host.
    pub host: HostName,
    /// When the minute began, in µs since 1970 UTC, by the host's clock.
    pub minute_us: i64,
    /// In percent of all cores together.
    pub cpu_percent: f32,
}

/// The CPU peaks of all hosts.
#[derive(Template)]
#[template(path = "history/peaks.sql")]
struct PeaksSql<'a> {
    host_sample: &'a str,
}

impl History {
    /// The CPU peaks of every minute within `span`, of all hosts; minutes without a sample are left out.
    ///
    /// # Errors
    /// When a query fails.
    pub fn cpu_peaks(&self, span: Span) -> Result<Vec<CpuPeak>, HistoryError> {
        let (from_ms, to_ms) = span.bounded().bounds_ms();
        self.ask(|reading| {
            let samples = reading.relation("host_sample", &reading.overlapping(None, span))?;
            let sql = render(&PeaksSql { host_sample: &samples });
            let mut statement = reading.connection.prepare(&sql)?;
            let rows = statement.query_map(params![from_ms, to_ms], |row| {
                Ok((row.get::<_, String>("host")?, row.get("minute_us")?, row.get("peak_percent")?))
            })?;
            let (mut peaks, mut count) = (Vec::new(), reading.count_rows());
            for row in rows {
                count.add(1)?;
                let (host, minute_us, cpu_percent) = row?;
                // Always a host's name, unless another program wrote the file.
                if let Ok(host) = host.parse() {
                    peaks.push(CpuPeak { host, minute_us, cpu_percent });
                }
            }
            Ok(peaks)
        })
    }
}
