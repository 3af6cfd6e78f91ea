//! Processes on all hosts at a moment.

use duckdb::{Row, params_from_iter};
use fleetps_nats::{
    HostName,
    model::{Spacing, derived, rate, staleness},
    snapshot::Process,
};

use super::{
    History, HistoryError, Identity, Listing,
    reading::{Reading, coarsest},
};
use crate::{
    catalog::{Held, Rows},
    filter::{Deadline, Filter, SqlCondition},
    time::{at, floor_ms},
};

/// A process that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Which.
    pub identity: Identity,
    /// When the snapshot was captured.
    pub captured_at_us: i64,
    /// The process as it was.
    pub process: Process,
    /// Installed memory of its host.
    pub memory_total_bytes: Option<u64>,
    /// Bytes read per second.
    pub read_per_s: Option<f64>,
    /// Bytes written per second.
    pub written_per_s: Option<f64>,
}

impl History {
    /// The processes that `filter` lets through, on every host, as of its last snapshot at or before `at_us` (hosts that had
    /// been silent for long then are left out), by host and pid; the first `limit`. Ends at `deadline`.
    ///
    /// # Errors
    /// When the history cannot be read, or the deadline came first.
    pub fn search(
        &self,
        filter: &Filter,
        at_us: i64,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<Listing<Found>, HistoryError> {
        let condition = filter.sql();
        self.ask(|reading| {
            let _interruptible = deadline.watch(reading.connection.interrupt_handle());
            // Between looking and watching, somebody may have left.
            deadline.check()?;
            let found = condition.ask(&reading.state.engine.patterns, deadline, |condition_text| {
                find(reading, &condition, condition_text, at_us, limit)
            });
            // What failed because it was broken off says nothing about the files.
            found.map_err(|error| deadline.check().err().map_or(error, HistoryError::from))
        })
    }
}

fn find(
    reading: &Reading<'_>,
    condition: &SqlCondition,
    condition_text: &str,
    at_us: i64,
    limit: usize,
) -> Result<Listing<Found>, HistoryError> {
    let segments = lately(reading, at_us);
    let Some((first, last)) = find_moments(reading, &segments, at_us)? else {
        return Ok(Listing { total: 0, items: Vec::new(), resolution: coarsest(&segments) });
    };
    let samples = Rows::SamplesAt("moments", Some((&first, &last)));
    // What was searched for goes in last, so that nothing in it is taken for a place to fill in.
    let sql = include_str!("processes.sql")
        .replace("$limit", &limit.to_string())
        .replace("$process_sample", &reading.rows(samples, &segments))
        .replace("$process", &reading.relation("process", &segments))
        .replace("$first", &first)
        .replace("$last", &last)
        .replace("$memory_percent", &derived::sql_memory_percent("resident_bytes", "memory_total_bytes"))
        .replace("$read_per_s", &rate::sql_per_second("read_since", "elapsed_ms"))
        .replace("$written_per_s", &rate::sql_per_second("written_since", "elapsed_ms"))
        .replace("$age_s", &derived::sql_age_s("captured_at", "started_at"))
        .replace("$condition", condition_text);
    let mut statement = reading.connection.prepare(&sql)?;
    let rows = statement.query_map(params_from_iter(&condition.values), found)?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    Ok(Listing {
        total: rows.first().map_or(0, |(total, _)| *total),
        items: rows.into_iter().filter_map(|(_, found)| found).collect(),
        resolution: coarsest(&segments),
    })
}

/// Makes the table `moments`, which belongs to the connection; returns the first and the last of them, as SQL, or `None` if
/// there are none. DuckDB leaves out what is not between them only when it is told so.
fn find_moments(
    reading: &Reading<'_>,
    segments: &[&Held],
    at_us: i64,
) -> duckdb::Result<Option<(String, String)>> {
    let sql = include_str!("moments.sql")
        .replace("$at_ms", &floor_ms(at_us).to_string())
        .replace("$silent_after_ms", &staleness::sql_silent_after_ms(&["interval_ms", "spacing_ms"]))
        .replace("$samples", &samples_with_spacing(reading, segments));
    reading.connection.execute_batch(&sql)?;
    let bounds = "SELECT epoch_ms(min(captured_at)), epoch_ms(max(captured_at)) FROM moments";
    let (first_ms, last_ms): (Option<i64>, Option<i64>) =
        reading.connection.query_row(bounds, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let sql = |ms: i64| at(&ms.to_string());
    Ok(first_ms.map(sql).zip(last_ms.map(sql)))
}

/// The segments with the last two process tables of each host up to a moment.
fn lately<'a>(reading: &Reading<'a>, at_us: i64) -> Vec<&'a Held> {
    let mut all: Vec<(&HostName, i64, &Held)> = Vec::new();
    for held in reading.segments() {
        let before = held.all_tables().filter(|(_, range)| range.first_us <= at_us);
        all.extend(before.map(|(host, range)| (host, range.last_us, held)));
    }
    // Those that go on beyond the moment come first of each host: where in them it lies is not known.
    all.sort_unstable_by_key(|(host, last_us, _)| (*host, std::cmp::Reverse(*last_us)));
    let of_host = all.chunk_by(|(a, ..), (b, ..)| a == b);
    let mut latest: Vec<&Held> = of_host
        .flat_map(|rows| {
            let beyond = rows.iter().take_while(|(_, last_us, _)| *last_us > at_us).count();
            rows.iter().take(beyond + 2).map(|(.., held)| *held)
        })
        .collect();
    latest.sort_unstable_by_key(|held| std::ptr::from_ref(*held));
    latest.dedup_by(|a, b| std::ptr::eq(*a, *b));
    latest
}

/// The samples of hosts, each with the [`Spacing`] of its segment.
fn samples_with_spacing(reading: &Reading<'_>, segments: &[&Held]) -> String {
    let of = |spacing: Spacing| {
        let is_it = |held: &&&Held| held.resolution().spacing() == spacing;
        let segments: Vec<&Held> = segments.iter().filter(is_it).copied().collect();
        let samples = reading.relation("host_sample", &segments);
        format!("SELECT *, {} AS spacing_ms FROM {samples}", spacing.least_ms())
    };
    format!("({} UNION ALL BY NAME {})", of(Spacing::EverySample), of(Spacing::OneAMinute))
}

/// How many were found in all, and one of them; absent if the row is not of a host, which only somebody else can have
/// written.
fn found(row: &Row<'_>) -> duckdb::Result<(u64, Option<Found>)> {
    let process = Process {
        pid: row.get(3)?,
        started_at_us: row.get(4)?,
        parent_pid: row.get(6)?,
        name: row.get(7)?,
        executable: row.get(8)?,
        command_line: row.get(9)?,
        user_name: row.get(10)?,
        state: row.get::<_, String>(11)?.chars().next().unwrap_or('?'),
        threads: row.get(12)?,
        cpu_percent: row.get(13)?,
        cpu_time_ms: row.get(14)?,
        resident_bytes: row.get(15)?,
        virtual_bytes: row.get(16)?,
        read_bytes: row.get(17)?,
        written_bytes: row.get(18)?,
        unit: row.get(19)?,
        container: row.get(20)?,
    };
    let Ok(host) = row.get::<_, String>(1)?.parse() else { return Ok((row.get(0)?, None)) };
    let identity =
        Identity { host, boot_id: row.get(2)?, pid: process.pid, started_at_us: process.started_at_us };
    let found = Found {
        identity,
        captured_at_us: row.get(5)?,
        process,
        memory_total_bytes: row.get(21)?,
        read_per_s: row.get(22)?,
        written_per_s: row.get(23)?,
    };
    Ok((row.get(0)?, Some(found)))
}
