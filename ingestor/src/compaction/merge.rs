//! Makes one segment of others: merges neighbours, and drops rows that are no longer kept. Or several, each with some of the
//! hosts: one after the other, so none takes more memory than a merge that makes one.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use duckdb::{Connection, InterruptHandle, params};
use fleetps_nats::HostName;

use super::{
    chunks::{Chunk, chunks},
    plan::{Form, Plan},
    shares::{Keep, Trim},
    templates::{
        CATALOG, CapturesSql, FactsOfChunkSql, FactsSql, HostsSql, HoursOfSpansSql, HoursSql,
        KeptBeyondShareSql, ProcessesSql, SnapshotsOfHoursSql, SnapshotsOfMinutesSql, SnapshotsSql,
        SourceSpanSql, SpansSql,
    },
};
use crate::{
    catalog::{Rows, attach_sql, relation},
    segment::{
        FileError, Level, SegmentName, Shard, TEMPORARY_EXTENSION, begin_file, finish_file, open_engine,
        publish_segment, quote_text,
    },
    stored_events::last_clock,
    template::render,
};

/// Beside intake on a small machine; sorting spills what does not fit.
const MEMORY_MIB: u64 = 512;
/// DuckDB would join the captures of a host with themselves before it comes to spans: 17 times as long, and beyond
/// the memory that there is.
const JOINS_AS_WRITTEN: &str = "SET disabled_optimizers = 'join_order'";
/// DuckDB's spill files while it sorts.
const SPILL_FOLDER: &str = "spill.tmp";

/// A merge failed; its partial file is removed, and its sources are unchanged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// DuckDB failed.
    #[error("cannot merge segments into {name}; is there space in the history folder?")]
    Database {
        /// The segment it would have become.
        name: String,
        /// DuckDB's error.
        source: duckdb::Error,
    },
    /// Not every row arrived; a bug, or a damaged source.
    #[error("the merged segment {name} has {found} {what}, and should have {expected}; it was not used")]
    RowsDiffer {
        /// The segment it would have become.
        name: String,
        /// The name of the count.
        what: &'static str,
        /// The count in the new file.
        found: u64,
        /// The count in the sources.
        expected: u64,
    },
    /// The plan is empty.
    #[error("there is nothing to merge")]
    Nothing,
    /// The file could not be synced to disk.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Lets another thread break off a merge.
#[derive(Default)]
pub(crate) struct Interrupt(Mutex<Option<Arc<InterruptHandle>>>);

impl Interrupt {
    /// Breaks off the merge that is running, if any.
    pub(crate) fn interrupt(&self) {
        if let Some(handle) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            handle.interrupt();
        }
    }

    fn watch(&self, handle: Option<Arc<InterruptHandle>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = handle;
    }
}

/// Makes the segments of a plan; returns their names and rows. Its sources are left for the caller to retire.
pub(crate) fn merge(
    folder: &Path,
    plan: &Plan,
    interrupt: &Interrupt,
) -> Result<Vec<(SegmentName, u64)>, MergeError> {
    make(folder, plan, None, &plan.names(), interrupt)
}

/// Writes a segment again with less of some hosts; returns its name and its rows.
pub(super) fn trim(
    folder: &Path,
    trim: &Trim,
    interrupt: &Interrupt,
) -> Result<Vec<(SegmentName, u64)>, MergeError> {
    let plan = Plan::of(trim.source.name.level, &[trim.source]);
    make(folder, &plan, Some(trim), &[trim.source.name.written_again()], interrupt)
}

/// Makes the segments `names`. None has its final name before all are complete and what they hold together is checked.
fn make(
    folder: &Path,
    plan: &Plan,
    trim: Option<&Trim>,
    names: &[SegmentName],
    interrupt: &Interrupt,
) -> Result<Vec<(SegmentName, u64)>, MergeError> {
    let made = write_all(folder, (plan, trim), names, interrupt).and_then(|written| {
        Written::check(&written, plan, trim, names)?;
        for name in names {
            publish_segment(&temporary(folder, name), &folder.join(name.to_string()))?;
        }
        Ok(names.iter().copied().zip(written.iter().map(|written| written.rows)).collect())
    });
    if made.is_err() {
        for name in names {
            let _ = fs::remove_file(temporary(folder, name));
        }
    }
    made
}

/// Where a segment is written until it is complete.
fn temporary(folder: &Path, name: &SegmentName) -> PathBuf {
    folder.join(format!("{name}.{TEMPORARY_EXTENSION}"))
}

fn write_all(
    folder: &Path,
    (plan, trim): (&Plan, Option<&Trim>),
    names: &[SegmentName],
    interrupt: &Interrupt,
) -> Result<Vec<Written>, MergeError> {
    let first = names.first().ok_or(MergeError::Nothing)?;
    let failed = |name: &SegmentName| {
        let name = name.to_string();
        move |source| MergeError::Database { name, source }
    };
    let hosts = if plan.divides() { hosts(folder, plan).map_err(failed(first))? } else { Vec::new() };
    let mut all = Vec::new();
    for name in names {
        let _ = fs::remove_file(temporary(folder, name));
        let written = write(folder, (plan, trim), name, &hosts, interrupt);
        interrupt.watch(None);
        let _ = fs::remove_dir_all(folder.join(SPILL_FOLDER));
        all.push(written.map_err(failed(name))?);
    }
    Ok(all)
}

/// The written rows of a segment, in counts that show whether something is missing.
#[derive(Debug, Default)]
struct Written {
    /// As `segment.rows` has it.
    rows: u64,
    /// The number of samples in the hourly sums.
    samples: u64,
    /// The number that should be in them.
    expected_samples: u64,
    /// The number of snapshots.
    snapshots: u64,
    /// The number in the sources.
    expected_snapshots: u64,
    /// The number of events.
    events: u64,
    /// The number in the sources.
    expected_events: u64,
}

impl Written {
    /// Checks what the segments `names` hold together. What is expected is counted before it is divided, so each says the
    /// same of it.
    fn check(
        written: &[Self],
        plan: &Plan,
        trim: Option<&Trim>,
        names: &[SegmentName],
    ) -> Result<(), MergeError> {
        let (Some(first), Some(name)) = (written.first(), names.first()) else {
            return Err(MergeError::Nothing);
        };
        let sum = |count: fn(&Self) -> u64| written.iter().map(count).sum::<u64>();
        let is = |what, found: u64, expected: u64| match found == expected {
            true => Ok(()),
            false => Err(MergeError::RowsDiffer { name: name.to_string(), what, found, expected }),
        };
        is("samples in its sums", sum(|written| written.samples), first.expected_samples)?;
        is("events", sum(|written| written.events), first.expected_events)?;
        let has_all_samples = plan.form() == Form::Whole && trim.is_none() && plan.level != Level::Rollup;
        if has_all_samples {
            is("rows", sum(|written| written.rows), plan.rows())?;
            is("snapshots", sum(|written| written.snapshots), first.expected_snapshots)?;
        }
        Ok(())
    }
}

fn write(
    folder: &Path,
    (plan, trim): (&Plan, Option<&Trim>),
    name: &SegmentName,
    hosts: &[String],
    interrupt: &Interrupt,
) -> duckdb::Result<Written> {
    let engine = open_engine(MEMORY_MIB, 1, Some(&folder.join(SPILL_FOLDER)))?;
    interrupt.watch(Some(engine.interrupt_handle()));
    let sources: Vec<SegmentName> = plan.sources.iter().map(|source| source.name).collect();
    engine.execute_batch(&attach_sql(folder, &sources))?;
    let kept = KeptRows::of(trim, plan.divides().then_some(name.shard));
    kept.restrict(&engine, &sources, hosts)?;
    engine.execute_batch(JOINS_AS_WRITTEN)?;
    begin_file(&engine, &temporary(folder, name), CATALOG, plan.expected_rows())?;
    copy(&engine, plan, trim)?;
    let count = |sql: &str| engine.query_row(sql, [], |row| row.get::<_, u64>(0));
    let number = |table: &str| count(&format!("SELECT count(*) FROM {CATALOG}.{table}"));
    // Of all shards.
    let expected = |table: &str| {
        let rows = relation(Rows::Of(table), &sources);
        count(&format!("SELECT count(*) FROM {rows} WHERE {}", without_hosts(trim)))
    };
    let sum = "SELECT coalesce(sum(samples), 0)::UBIGINT FROM";
    Ok(Written {
        samples: count(&format!("{sum} {CATALOG}.process_hour"))?,
        expected_samples: match plan.has_no_sums() {
            true => plan.rows(),
            false => count(&format!("{sum} all_rows_of_process_hour"))?,
        },
        snapshots: number("host_sample")?,
        expected_snapshots: expected("host_sample")?,
        events: number("event")?,
        expected_events: expected("event")?,
        rows: finish_file(&engine, CATALOG, name, last_clock(&engine, &sources)?)?,
    })
}

/// The hosts in the fresh sources of a plan. A process or a sum there has a snapshot.
fn hosts(folder: &Path, plan: &Plan) -> duckdb::Result<Vec<String>> {
    let engine = open_engine(MEMORY_MIB, 1, None)?;
    let sources: Vec<SegmentName> = plan.sources.iter().map(|source| source.name).collect();
    engine.execute_batch(&attach_sql(folder, &sources))?;
    let sql = "SELECT DISTINCT host FROM (SELECT host FROM host_sample UNION ALL SELECT host FROM host_info \
        UNION ALL SELECT host FROM event)";
    let mut statement = engine.prepare(sql)?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// A condition that leaves out the rows of hosts of which nothing is kept.
fn without_hosts(trim: Option<&Trim>) -> String {
    match trim {
        Some(trim) if trim.keep == Keep::Nothing => format!("host NOT IN ({})", quoted(&trim.hosts)),
        _ => "true".to_owned(),
    }
}

/// Which rows of its sources become a segment.
struct KeptRows {
    /// The shard, where the sources are divided.
    shard: Option<Shard>,
    /// The condition of their hosts.
    of_hosts: String,
}

/// The tables with rows of hosts that are copied under their own names.
const TABLES_OF_HOSTS: [&str; 7] = [
    "event",
    "host_info",
    "host_sample",
    "filesystem_sample",
    "interface_sample",
    "process_span",
    "process_hour",
];

impl KeptRows {
    fn of(trim: Option<&Trim>, shard: Option<Shard>) -> Self {
        let of_hosts = match shard {
            Some(_) => "host IN (FROM shard_host)".to_owned(),
            None => without_hosts(trim),
        };
        Self { shard, of_hosts }
    }

    /// Makes views over the rows, in place of those over all rows where some hosts are left out. `hosts` are all of them.
    fn restrict(&self, engine: &Connection, sources: &[SegmentName], hosts: &[String]) -> duckdb::Result<()> {
        let view = |name: &str, table: &str, condition: &str| {
            let rows = relation(Rows::Of(table), sources);
            engine.execute_batch(&format!("CREATE TEMP VIEW {name} AS FROM {rows} WHERE {condition}"))
        };
        if let Some(shard) = self.shard {
            engine.execute_batch("CREATE TEMP TABLE shard_host (host VARCHAR)")?;
            let mut appender = engine.appender_to_catalog_and_db("shard_host", "temp", "main")?;
            for host in hosts.iter().filter(|host| shard.has(host)) {
                appender.append_row(params![host])?;
            }
            appender.flush()?;
            // What is of no host is in one shard alone.
            let is_first = Shard::all(shard.count()).next() == Some(shard);
            view("gap", "gap", if is_first { "true" } else { "false" })?;
        }
        for table in ["capture", "process_history", "process_hour"] {
            view(&format!("all_rows_of_{table}"), table, &self.of_hosts)?;
        }
        if self.of_hosts != "true" {
            TABLES_OF_HOSTS.iter().try_for_each(|table| view(table, table, &self.of_hosts))?;
        }
        Ok(())
    }
}

/// Names of hosts as a list in SQL.
fn quoted(hosts: &[HostName]) -> String {
    hosts.iter().map(|host| quote_text(host.as_str())).collect::<Vec<_>>().join(", ")
}

fn copy(engine: &Connection, plan: &Plan, trim: Option<&Trim>) -> duckdb::Result<()> {
    let run = |sql: &str| engine.execute_batch(sql);
    run(&render(&HostsSql))?;
    let is_in_kept = "(host, captured_at) IN (SELECT (host, captured_at) FROM kept)";
    let (snapshots, is_kept) = match plan.form() {
        Form::Whole => match trim.filter(|trim| trim.keep != Keep::Nothing) {
            None => (render(&SnapshotsSql), "true"),
            Some(Trim { hosts, keep, .. }) => {
                let (hosts, keeps_minutes) = (quoted(hosts), *keep == Keep::Minutes);
                run(&render(&KeptBeyondShareSql { hosts, keeps_minutes }))?;
                (render(&SnapshotsOfMinutesSql), is_in_kept)
            }
        },
        Form::Minutes => {
            run(include_str!("sql/kept.sql"))?;
            (render(&SnapshotsOfMinutesSql), is_in_kept)
        }
        Form::Hours => {
            run(include_str!("sql/kept.sql"))?;
            (render(&SnapshotsOfHoursSql), "false")
        }
    };
    run(&snapshots)?;
    run(&render(&CapturesSql { is_kept }))?;
    let source_span = match engine.query_row("SELECT count(*) FROM interleaved", [], |row| row.get(0))? {
        0_u64 => "CREATE TEMP VIEW source_span AS FROM process_span".to_owned(),
        _ => render(&SourceSpanSql),
    };
    run(&source_span)?;
    run(&render(&FactsSql))?;
    for chunk in chunks(engine)? {
        copy_chunk(engine, plan, &chunk)?;
    }
    Ok(())
}

/// Copies the processes of a chunk of hosts and pids.
fn copy_chunk(engine: &Connection, plan: &Plan, chunk: &Chunk) -> duckdb::Result<()> {
    let of_chunk = params![chunk.first_host, chunk.last_host, chunk.first_pid, chunk.last_pid];
    engine.execute(&render(&ProcessesSql), of_chunk)?;
    engine.execute_batch(include_str!("sql/changes.sql"))?;
    engine.execute_batch(&render(&FactsOfChunkSql))?;
    let changes: u64 = engine.query_row("SELECT count(*) FROM change", [], |row| row.get(0))?;
    let has_changes = changes > 0;
    let hours = match plan.has_no_sums() {
        true => render(&HoursOfSpansSql { has_changes }),
        false => render(&HoursSql { has_changes }),
    };
    engine.execute(&hours, of_chunk)?;
    if plan.form() != Form::Hours {
        engine.execute(&render(&SpansSql), of_chunk)?;
    }
    Ok(())
}
