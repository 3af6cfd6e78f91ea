//! Processes on all hosts at a moment.

mod memory;
mod order;
mod templates;

use duckdb::{Row, params_from_iter};
use fleetps_nats::{
    HostName,
    model::{ProcessRates, Spacing, process::PROCESS},
    snapshot::Process,
};

pub use self::memory::{MemoryBetween, MemoryRow};
pub use self::order::{FoundBy, FoundKey, FoundOrder};
use self::templates::{FoundSql, MatchedSql, MomentsSql, ProcessesSql};
use super::{
    History, HistoryError, Identity, Listing,
    reading::{Reading, coarsest},
};
use crate::{
    catalog::{Narrow, Rows, SegmentIndex},
    fields::read,
    filter::{Filter, SqlCondition},
    template::render,
    time::{at, floor_ms},
};

/// Of `moments`, those that are looked at, without those before them.
const NOW: &str = "(FROM moments WHERE captured_at = now_at)";

/// A process that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Which process.
    pub identity: Identity,
    /// When the snapshot was captured.
    pub captured_at_us: i64,
    /// How old it was, in µs.
    pub age_us: i64,
    /// The process as it was.
    pub process: Process,
    /// Installed memory of its host.
    pub memory_total_bytes: Option<u64>,
    /// The growth per second of its counters.
    pub rates: ProcessRates,
}

/// What a search could not look at: processes that hosts left out of their snapshots, and texts that they shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Omitted {
    /// Hosts that left out or shortened any.
    pub hosts: u64,
    /// Processes that were left out.
    pub processes_left_out: u64,
    /// Processes with a shortened text.
    pub texts_shortened: u64,
}

impl Omitted {
    /// What one host omitted from a snapshot.
    pub fn of(processes_left_out: u32, texts_shortened: u32) -> Self {
        Self {
            hosts: u64::from(processes_left_out > 0 || texts_shortened > 0),
            processes_left_out: processes_left_out.into(),
            texts_shortened: texts_shortened.into(),
        }
    }

    /// Adds what others omitted.
    pub fn add(&mut self, other: Self) {
        self.hosts += other.hosts;
        self.processes_left_out += other.processes_left_out;
        self.texts_shortened += other.texts_shortened;
    }
}

/// The answer to a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Searched {
    /// The processes that were found.
    pub listing: Listing<Found>,
    /// On how many hosts all of them are.
    pub hosts: u64,
    /// What could not be searched.
    pub omitted: Omitted,
}

impl History {
    /// The processes that `filter` lets through, on every host, as of its last snapshot at or before `at_us` (hosts that had
    /// been silent for long then are left out), by host and pid; the first `limit`.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn search(&self, filter: &Filter, at_us: i64, limit: usize) -> Result<Searched, HistoryError> {
        self.search_in_order(filter, at_us, FoundOrder::default(), limit)
    }

    /// The same in another order.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn search_in_order(
        &self,
        filter: &Filter,
        at_us: i64,
        order: FoundOrder,
        limit: usize,
    ) -> Result<Searched, HistoryError> {
        let condition = filter.sql();
        self.ask(|reading| {
            let (patterns, deadline) = (&reading.state.engine.patterns, reading.budget.deadline());
            condition.ask(patterns, deadline, |condition_text| {
                find(reading, filter, (&condition, condition_text), at_us, (order, limit))
            })
        })
    }
}

/// A search while it is answered, at the `moments` of this connection.
struct Search<'a, 'b> {
    reading: &'a Reading<'b>,
    segments: Vec<&'b SegmentIndex>,
    /// The first and the last of the moments, as SQL.
    ends: (String, String),
    /// What stands behind `ORDER BY`.
    order: String,
}

fn find(
    reading: &Reading<'_>,
    filter: &Filter,
    (condition, condition_text): (&SqlCondition, &str),
    at_us: i64,
    (order, limit): (FoundOrder, usize),
) -> Result<Searched, HistoryError> {
    let segments = reading.state.index.lately(at_us);
    let listing = Listing { total: 0, items: Vec::new(), resolution: coarsest(&segments) };
    let none = Searched { listing, hosts: 0, omitted: Omitted::default() };
    let Some(ends) = find_moments(reading, &segments, at_us)? else { return Ok(none) };
    let search = Search { reading, segments, ends, order: order.sql() };
    let has_rates = filter.asks_for_rates() || order.asks_for_rates();
    let (total, hosts) = search.match_all((condition, condition_text), limit, has_rates)?;
    let items = if total > 0 { search.matched()? } else { Vec::new() };
    Ok(Searched { listing: Listing { total, items, ..none.listing }, hosts, omitted: omitted(reading)? })
}

impl Search<'_, '_> {
    /// Makes the table `matched`; how many processes were let through, on how many hosts.
    fn match_all(
        &self,
        (condition, condition_text): (&SqlCondition, &str),
        limit: usize,
        has_rates: bool,
    ) -> Result<(u64, u64), HistoryError> {
        let moments = if has_rates { "moments" } else { NOW };
        let process_history = self.reading.relation("process_history", &self.segments)?;
        let found = &self.found(moments, None, &process_history, has_rates)?;
        let sql = render(&MatchedSql { found, condition: condition_text, order: &self.order, limit });
        let connection = self.reading.connection;
        connection.execute(&sql, params_from_iter(&condition.values))?;
        let counts = "SELECT coalesce(any_value(total), 0)::UBIGINT AS total, \
            coalesce(any_value(hosts), 0)::UBIGINT AS hosts FROM matched";
        Ok(connection.query_row(counts, [], |row| Ok((row.get("total")?, row.get("hosts")?)))?)
    }

    /// The processes of the table `matched`, in order; and drops it.
    fn matched(&self) -> Result<Vec<Found>, HistoryError> {
        let history = self.reading.relation("process_history", &self.segments)?;
        let history = format!("(FROM {history} SEMI JOIN matched USING (host, boot_id, pid, start_ticks))");
        let found_sql = &self.found("moments", Some("matched"), &history, true)?;
        let connection = self.reading.connection;
        let mut statement =
            connection.prepare(&render(&ProcessesSql { found: found_sql, order: &self.order }))?;
        let rows = statement.query_map([], found)?.collect::<Result<Vec<_>, _>>()?;
        connection.execute_batch("DROP TABLE matched")?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// The relation `found`, of all `processes` or of those in a table.
    fn found(
        &self,
        moments: &str,
        processes: Option<&str>,
        process_history: &str,
        has_rates: bool,
    ) -> Result<String, HistoryError> {
        let (first, last) = (self.ends.0.as_str(), self.ends.1.as_str());
        let narrow = Narrow { times: Some((first, last)), processes };
        let process_sample = &self.reading.rows(Rows::SamplesAt(moments, narrow), &self.segments)?;
        Ok(render(&FoundSql { process_sample, process_history, first, last, has_rates }))
    }
}

/// What the hosts in the table `moments` omitted.
fn omitted(reading: &Reading<'_>) -> duckdb::Result<Omitted> {
    let sql = "SELECT count(*) FILTER (processes_left_out > 0 OR texts_shortened > 0) AS hosts, \
        coalesce(sum(processes_left_out), 0)::UBIGINT AS processes_left_out, \
        coalesce(sum(texts_shortened), 0)::UBIGINT AS texts_shortened \
        FROM moments WHERE captured_at = now_at";
    reading.connection.query_row(sql, [], |row| {
        Ok(Omitted {
            hosts: row.get("hosts")?,
            processes_left_out: row.get("processes_left_out")?,
            texts_shortened: row.get("texts_shortened")?,
        })
    })
}

/// Makes the table `moments` on this connection; returns its first and last time, as SQL, or `None` if it is empty.
/// DuckDB skips rows outside these times only when it gets them as constants.
fn find_moments(
    reading: &Reading<'_>,
    segments: &[&SegmentIndex],
    at_us: i64,
) -> Result<Option<(String, String)>, HistoryError> {
    let samples = &samples_with_spacing(reading, segments)?;
    let sql = render(&MomentsSql { at_ms: floor_ms(at_us), samples });
    reading.connection.execute_batch(&sql)?;
    let bounds =
        "SELECT epoch_ms(min(captured_at)) AS first_ms, epoch_ms(max(captured_at)) AS last_ms FROM moments";
    let (first_ms, last_ms): (Option<i64>, Option<i64>) =
        reading.connection.query_row(bounds, [], |row| Ok((row.get("first_ms")?, row.get("last_ms")?)))?;
    let sql = |ms: i64| at(&ms.to_string());
    Ok(first_ms.map(sql).zip(last_ms.map(sql)))
}

/// The samples of hosts, each with the [`Spacing`] of its segment.
fn samples_with_spacing(reading: &Reading<'_>, segments: &[&SegmentIndex]) -> Result<String, HistoryError> {
    let of = |spacing: Spacing| -> Result<String, HistoryError> {
        let is_it = |segment: &&&SegmentIndex| segment.resolution().spacing() == spacing;
        let segments: Vec<&SegmentIndex> = segments.iter().filter(is_it).copied().collect();
        let samples = reading.relation("host_sample", &segments)?;
        Ok(format!("SELECT *, {} AS spacing_ms FROM {samples}", spacing.least_ms()))
    };
    Ok(format!("({} UNION ALL BY NAME {})", of(Spacing::EverySample)?, of(Spacing::OneAMinute)?))
}

/// One match; absent if the row's host is not a host name, which only another program can have written.
fn found(row: &Row<'_>) -> duckdb::Result<Option<Found>> {
    let mut process = Process::default();
    read(row, PROCESS.iter().enumerate(), |place, value| process.set(place, value))?;
    let Ok(host) = row.get::<_, String>("host")?.parse::<HostName>() else { return Ok(None) };
    let boot_id: String = row.get("boot_id")?;
    let rate = |place: usize| row.get(PROCESS.get(place)?.rate?.column).ok().flatten();
    let found = Found {
        identity: Identity::of(&host, &boot_id, &process),
        captured_at_us: row.get("captured_at_us")?,
        age_us: row.get("age_us")?,
        process,
        memory_total_bytes: row.get("memory_total_bytes")?,
        rates: ProcessRates::of(rate),
    };
    Ok(Some(found))
}
