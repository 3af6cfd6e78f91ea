//! The memory of programs, users, units or hosts at a moment: two of them say what grew.

use askama::Template;
use duckdb::params;
use fleetps_nats::{HostName, model::sums};

use super::{NOW, find_moments};
use crate::{
    catalog::{Narrow, Rows, SegmentIndex},
    history::{
        History, HistoryError, Resolution, TopGroup,
        reading::{Reading, coarsest},
        silence::of_host,
    },
    template::render,
};

/// The memory of a group of processes.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryRow {
    /// The group: a name, user, unit or host; absent where there is none. Hostile.
    pub key: Option<String>,
    /// On how many hosts.
    pub hosts: u64,
    /// How many processes.
    pub processes: u64,
    /// Their memory, with what processes of one host share counted once.
    pub memory_bytes: f64,
}

/// Makes the rows.
#[derive(Template)]
#[template(path = "history/search/memory.sql")]
struct MemorySql<'a> {
    process_sample: &'a str,
    process_history: &'a str,
    /// The first of `moments`, as SQL.
    first: &'a str,
    /// The last of `moments`, as SQL.
    last: &'a str,
    /// The condition of the host.
    of_host: &'static str,
    /// The column that names a group.
    key: &'static str,
}

/// The memory of groups of processes at two moments.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemoryBetween {
    /// Of the hosts that are known of both moments, at the earlier one; in no order.
    pub before: Vec<MemoryRow>,
    /// The same at the later one.
    pub after: Vec<MemoryRow>,
    /// Hosts that are known of the later moment only, by name: what runs on them has not grown. Hostile.
    pub came: Vec<String>,
    /// Hosts that are known of the earlier moment only, by name. Hostile.
    pub went: Vec<String>,
    /// How finely both moments are kept.
    pub resolution: Resolution,
}

impl History {
    /// The memory of every group of processes at two moments, as of each host's last snapshot at or before them; hosts that had
    /// been silent for long then are not known of that moment. Processes are grouped by name where `group` puts nothing
    /// together.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn memory_between(
        &self,
        (from_us, to_us): (i64, i64),
        group: TopGroup,
        host: Option<&HostName>,
    ) -> Result<MemoryBetween, HistoryError> {
        self.ask(|reading| memory_between(reading, (from_us, to_us), group, host))
    }
}

/// A moment whose table `moments` was made: its segments, and the ends of the table.
type Moments<'a> = (Vec<&'a SegmentIndex>, Option<(String, String)>);

fn memory_between(
    reading: &Reading<'_>,
    (from_us, to_us): (i64, i64),
    group: TopGroup,
    host: Option<&HostName>,
) -> Result<MemoryBetween, HistoryError> {
    let find = |at_us: i64| -> Result<Moments<'_>, HistoryError> {
        let segments = reading.state.index.lately(at_us);
        let ends = find_moments(reading, &segments, at_us)?;
        Ok((segments, ends))
    };
    let later = find(to_us)?;
    reading.connection.execute_batch("CREATE OR REPLACE TEMP TABLE moments_later AS FROM moments")?;
    let earlier = find(from_us)?;
    reading.connection.execute_batch(
        "CREATE OR REPLACE TEMP TABLE at_both AS \
         SELECT DISTINCT host FROM moments SEMI JOIN moments_later USING (host)",
    )?;
    let [came, went] = [("moments_later", "moments"), ("moments", "moments_later")]
        .map(|(there, not_there)| only_in(reading, there, not_there, host));
    let before = memory_at(reading, &earlier, group, host)?;
    reading.connection.execute_batch("CREATE OR REPLACE TEMP TABLE moments AS FROM moments_later")?;
    Ok(MemoryBetween {
        before,
        after: memory_at(reading, &later, group, host)?,
        came: came?,
        went: went?,
        resolution: coarsest(&earlier.0).max(coarsest(&later.0)),
    })
}

/// The hosts in one table of moments that are not in the other, by name.
fn only_in(
    reading: &Reading<'_>,
    there: &str,
    not_there: &str,
    host: Option<&HostName>,
) -> Result<Vec<String>, HistoryError> {
    let sql = format!(
        "SELECT DISTINCT host FROM {there} ANTI JOIN {not_there} USING (host) WHERE {} ORDER BY host",
        of_host(host)
    );
    let mut statement = reading.connection.prepare(&sql)?;
    let rows = statement.query_map(params![host.map(HostName::as_str)], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The groups of processes in `moments`, of the hosts in `at_both`.
fn memory_at(
    reading: &Reading<'_>,
    (segments, ends): &Moments<'_>,
    group: TopGroup,
    host: Option<&HostName>,
) -> Result<Vec<MemoryRow>, HistoryError> {
    let Some((first, last)) = ends else { return Ok(Vec::new()) };
    let key = match group {
        TopGroup::Process | TopGroup::Name => "name",
        TopGroup::User => "user_name",
        TopGroup::Unit => "unit",
        TopGroup::Host => "host",
    };
    let narrow = Narrow { times: Some((first, last)), ..Narrow::default() };
    let sql = render(&MemorySql {
        process_sample: &reading.rows(Rows::SamplesAt(NOW, narrow), segments)?,
        process_history: &reading.relation("process_history", segments)?,
        first,
        last,
        of_host: of_host(host),
        key,
    });
    let mut statement = reading.connection.prepare(&sql)?;
    let rows = statement.query_map(params![host.map(HostName::as_str)], |row| {
        Ok(MemoryRow {
            key: row.get("key")?,
            hosts: row.get("hosts")?,
            processes: row.get("processes")?,
            memory_bytes: row.get("memory_bytes")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
