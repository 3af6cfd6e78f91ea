//! What monitoring systems ask: figures in buckets of time, and the same in plain SQL.

use duckdb::{Connection, params};
use fleetps_ingestor::history::{Grid, HostFigure, Hosts, ProgramFigure, ProgramQuery, ProgramReading};
use fleetps_nats::HostName;

use crate::{
    make::DAY_US,
    questions::{Questions, Times, times},
};

const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;
/// Hosts with their plain names.
const PLAIN_HOST: &str = "SELECT time_bucket(INTERVAL 1 minute, captured_at), avg(cpu_percent) FROM host_sample \
    WHERE host = $1 AND captured_at >= make_timestamp_ms($2) AND captured_at < make_timestamp_ms($3) GROUP BY 1";
const PLAIN_PROGRAM: &str = "SELECT hour, sum(cpu_time_last_ms - cpu_time_first_ms) FROM process_hour AS hours \
    WHERE hour >= make_timestamp_ms($2) AND hour < make_timestamp_ms($3) \
    AND (host, boot_id, pid, start_ticks) IN (SELECT (host, boot_id, pid, start_ticks) FROM process WHERE name = $1) \
    GROUP BY 1";

impl Questions<'_> {
    fn until(&mut self, length_us: i64) -> i64 {
        self.moment(length_us) / 1000
    }

    fn one_host(&mut self) -> (HostName, Hosts) {
        let host = self.host();
        (host.clone(), std::iter::once(host).collect())
    }

    /// The CPU of a host over a day, a bucket a minute.
    pub fn host_day(&mut self) -> Times {
        let history = self.history;
        let cpu = HostFigure::of("cpu_percent").unwrap();
        times(200, || {
            let ((_, hosts), to_ms) = (self.one_host(), self.until(DAY_US));
            let grid =
                Grid { begin_ms: to_ms - 24 * HOUR_MS, width_ms: MINUTE_MS, count: 1440, reach_ms: 180_000 };
            history.host_figures(&hosts, grid, cpu).unwrap();
        })
    }

    /// The same, of its bytes received per second.
    pub fn host_day_rate(&mut self) -> Times {
        let history = self.history;
        let received = HostFigure::of("network_received_bytes").unwrap();
        times(200, || {
            let ((_, hosts), to_ms) = (self.one_host(), self.until(DAY_US));
            let grid =
                Grid { begin_ms: to_ms - 24 * HOUR_MS, width_ms: MINUTE_MS, count: 1440, reach_ms: 180_000 };
            history.host_figures(&hosts, grid, received).unwrap();
        })
    }

    /// The same in plain SQL.
    pub fn host_day_in_sql(&mut self, database: &Connection) -> Times {
        times(50, || {
            let ((host, _), to_ms) = (self.one_host(), self.until(DAY_US));
            rows(database, PLAIN_HOST, host.as_str(), (to_ms - 24 * HOUR_MS, to_ms)).unwrap();
        })
    }

    /// The CPU time of a program in each hour of `days` days: on one host, or on all.
    pub fn program_hours(&mut self, days: i64, is_of_all: bool) -> Times {
        let history = self.history;
        let (mut end_ms, query) = (self.held.to_us / 1000 / HOUR_MS * HOUR_MS, program("nginx"));
        times(20, || {
            let hosts = if is_of_all { Hosts::All } else { self.one_host().1 };
            // Another one each time.
            end_ms -= HOUR_MS;
            let grid = Grid {
                begin_ms: end_ms - days * 24 * HOUR_MS,
                width_ms: HOUR_MS,
                count: days * 24,
                reach_ms: HOUR_MS,
            };
            history.program_figures(&hosts, grid, &query).unwrap();
            history.host_figures(&hosts, grid, HostFigure::TimeOfTables).unwrap();
        })
    }

    /// The same in plain SQL, of all hosts.
    ///
    /// # Errors
    /// When DuckDB does not have the memory for it, as it may with very many processes.
    pub fn program_hours_in_sql(&mut self, days: i64, database: &Connection) -> duckdb::Result<Times> {
        let end_ms = self.held.to_us / 1000 / HOUR_MS * HOUR_MS;
        let ask = || rows(database, PLAIN_PROGRAM, "nginx", (end_ms - days * 24 * HOUR_MS, end_ms));
        ask()?;
        Ok(times(5, || ask().unwrap()))
    }
}

fn program(name: &str) -> ProgramQuery {
    ProgramQuery {
        figure: ProgramFigure::CpuTime,
        names: Some(vec![name.to_owned()]),
        users: None,
        units: None,
        reading: ProgramReading::GrowthOfHours,
    }
}

fn rows(database: &Connection, sql: &str, text: &str, (from_ms, to_ms): (i64, i64)) -> duckdb::Result<()> {
    let mut statement = database.prepare(sql)?;
    let mut found = statement.query(params![text, from_ms, to_ms])?;
    while found.next()?.is_some() {}
    Ok(())
}
