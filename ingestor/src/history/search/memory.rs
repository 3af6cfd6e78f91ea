//! The memory of programs, users, units or hosts at a moment: two of them say what grew.

use askama::Template;
use duckdb::params;
use fleetps_nats::{HostName, model::sums};

use super::{NOW, find_moments};
use crate::{
    catalog::{Narrow, Rows},
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

impl History {
    /// The memory of every group of processes as of each host's last snapshot at or before `at_us`, in no order; hosts that had
    /// been silent for long then are left out. Processes are grouped by name where `group` puts nothing together.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn memory_at(
        &self,
        at_us: i64,
        group: TopGroup,
        host: Option<&HostName>,
    ) -> Result<(Vec<MemoryRow>, Resolution), HistoryError> {
        self.ask(|reading| memory_at(reading, at_us, group, host))
    }
}

fn memory_at(
    reading: &Reading<'_>,
    at_us: i64,
    group: TopGroup,
    host: Option<&HostName>,
) -> Result<(Vec<MemoryRow>, Resolution), HistoryError> {
    let segments = reading.state.index.lately(at_us);
    let resolution = coarsest(&segments);
    let Some((first, last)) = find_moments(reading, &segments, at_us)? else {
        return Ok((Vec::new(), resolution));
    };
    let key = match group {
        TopGroup::Process | TopGroup::Name => "name",
        TopGroup::User => "user_name",
        TopGroup::Unit => "unit",
        TopGroup::Host => "host",
    };
    let narrow = Narrow { times: Some((&first, &last)), ..Narrow::default() };
    let sql = render(&MemorySql {
        process_sample: &reading.rows(Rows::SamplesAt(NOW, narrow), &segments)?,
        process_history: &reading.relation("process_history", &segments)?,
        first: &first,
        last: &last,
        of_host: of_host(host),
        key,
    });
    let mut statement = reading.connection.prepare(&sql)?;
    let rows = statement.query_map(params![host.map(HostName::as_str)], |row| {
        Ok(MemoryRow {
            key: row.get(0)?,
            hosts: row.get(1)?,
            processes: row.get(2)?,
            memory_bytes: row.get(3)?,
        })
    })?;
    Ok((rows.collect::<Result<Vec<_>, _>>()?, resolution))
}
