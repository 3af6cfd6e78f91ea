//! One process over its life, and others of the same program.

use askama::Template;
use duckdb::{Params, Row, params};
use fleetps_nats::{
    HostName,
    model::{
        FieldRole,
        process::{PROCESS, TICK_US},
    },
    snapshot::Process,
};

use super::{
    History, HistoryError, Identity, Listing,
    host_index::Held,
    reading::{Reading, coarsest},
};
use crate::{
    catalog::SegmentIndex,
    fields::{self, read},
    template::render,
};

/// No pid is given twice within this time, and no boot time differs by more unless the clock was set.
pub const SAME_START_US: u64 = 2_000_000;

/// One process over its life.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessLife {
    /// Which process.
    pub identity: Identity,
    /// As it was last seen; what changes with every sample is absent.
    pub process: Process,
    /// The first snapshot that has it.
    pub first_seen_us: i64,
    /// The last snapshot that has it.
    pub last_seen_us: i64,
    /// Whether a later snapshot of its host is known, so that it has exited.
    pub has_exited: bool,
}

/// Processes over their lives.
#[derive(Template)]
#[template(path = "history/lives.sql")]
struct LivesSql<'a> {
    process: &'a str,
    /// The condition of a process.
    which: &'a str,
    /// A further clause, or nothing.
    only: &'a str,
    /// The order, and a limit.
    order: &'a str,
}

/// A selection of processes, as parts of `lives.sql`.
struct Lives<'a> {
    segments: Vec<&'a SegmentIndex>,
    which: String,
    only: &'static str,
    order: String,
}

impl History {
    /// The process with `pid` that started at `started_at_us`, in whichever boot, or the latest with that pid when no start is
    /// given; `None` when none is known. A start may have been told before the host's clock was corrected.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn process(
        &self,
        host: &HostName,
        pid: u32,
        started_at_us: Option<i64>,
    ) -> Result<Option<ProcessLife>, HistoryError> {
        self.ask(|reading| {
            let segments = of_host(reading, host);
            let host_info = reading.relation("host_info", &segments)?;
            let lives = Lives {
                segments,
                which: started_at(&host_info),
                only: "",
                order: "abs(epoch_us(started_at) - coalesce($3::HUGEINT, epoch_us(started_at))), \
                     last_seen DESC, start_ticks DESC LIMIT 1"
                    .to_owned(),
            };
            let found = lives.find(reading, params![host.as_str(), pid, started_at_us])?;
            Ok(found.items.into_iter().next())
        })
    }

    /// The processes of the program `name` on `host` that started before `before_us` and have exited, the latest first; at
    /// most `limit`.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn incarnations(
        &self,
        host: &HostName,
        name: &str,
        before_us: i64,
        limit: usize,
    ) -> Result<Listing<ProcessLife>, HistoryError> {
        self.ask(|reading| {
            let lives = Lives {
                segments: of_host(reading, host),
                which: "host = $1 AND name = $2 AND epoch_us(started_at) < $3::BIGINT".to_owned(),
                only: "AND epoch_us(last_seen) < $4::BIGINT",
                order: format!("started_at DESC, last_seen DESC, pid DESC LIMIT {limit}"),
            };
            let last_us = reading.last_us(host).unwrap_or(i64::MIN);
            lives.find(reading, params![host.as_str(), name, before_us, last_us])
        })
    }

    /// The last process of the program `name` on each host other than `host`, by host; at most `limit`. Several programs may
    /// have one name: where a host has had a process with this command line, it is the last of those.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn elsewhere(
        &self,
        host: &HostName,
        name: &str,
        command_line: Option<&str>,
        limit: usize,
    ) -> Result<Listing<ProcessLife>, HistoryError> {
        self.ask(|reading| {
            let lives = Lives {
                segments: reading.segments().collect(),
                which: "host <> $1 AND name = $2".to_owned(),
                only: "QUALIFY row_number() OVER (PARTITION BY host ORDER BY \
                     command_line IS NOT DISTINCT FROM $3::VARCHAR DESC, last_seen DESC, started_at DESC, pid) = 1",
                order: format!("host LIMIT {limit}"),
            };
            lives.find(reading, params![host.as_str(), name, command_line])
        })
    }
}

/// The condition of the process $2 of the host $1 that started at $3, if that is given: about then, or as many ticks after a
/// boot that the host told of. A start is derived from the boot, which moves when the clock is corrected.
fn started_at(host_info: &str) -> String {
    format!(
        "host = $1 AND pid = $2 AND ($3::BIGINT IS NULL OR abs(epoch_us(started_at) - $3::HUGEINT) <= {SAME_START_US} \
         OR start_ticks IN (SELECT ($3::HUGEINT - epoch_us(boot_at)) // {TICK_US} FROM {host_info} \
         WHERE host = $1 AND ($3::HUGEINT - epoch_us(boot_at)) % {TICK_US} = 0))"
    )
}

fn of_host<'a>(reading: &Reading<'a>, host: &HostName) -> Vec<&'a SegmentIndex> {
    reading.state.index.of_host(host).iter().map(Held::segment).collect()
}

impl Lives<'_> {
    fn find(&self, reading: &Reading<'_>, values: impl Params) -> Result<Listing<ProcessLife>, HistoryError> {
        let process = &reading.relation("process", &self.segments)?;
        let sql = render(&LivesSql { process, which: &self.which, only: self.only, order: &self.order });
        let mut statement = reading.connection.prepare(&sql)?;
        let rows = statement.query_map(values, |row| Ok((row.get("total")?, life(row)?)))?;
        let rows = rows.collect::<Result<Vec<(u64, Option<ProcessLife>)>, _>>()?;
        let total = rows.first().map_or(0, |(total, _)| *total);
        let mut items: Vec<ProcessLife> = rows.into_iter().filter_map(|(_, life)| life).collect();
        for life in &mut items {
            let last_us = reading.last_us(&life.identity.host);
            life.has_exited = last_us.is_some_and(|last_us| last_us > life.last_seen_us);
        }
        Ok(Listing { items, total, resolution: coarsest(&self.segments) })
    }
}

/// Absent if the row's host is not a host name, which only another program can have written.
fn life(row: &Row<'_>) -> duckdb::Result<Option<ProcessLife>> {
    let mut process = Process { state: '?', ..Process::default() };
    let all = PROCESS.iter().enumerate().filter(|(_, field)| field.role != FieldRole::Figure);
    read(row, all, |place, value| process.set(place, value))?;
    let Ok(host) = row.get::<_, String>("host")?.parse::<HostName>() else { return Ok(None) };
    let boot_id: String = row.get("boot_id")?;
    let identity = Identity::of(&host, &boot_id, &process);
    let (first_seen_us, last_seen_us) = (row.get("first_seen_us")?, row.get("last_seen_us")?);
    Ok(Some(ProcessLife { identity, process, first_seen_us, last_seen_us, has_exited: false }))
}
