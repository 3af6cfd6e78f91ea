//! Makes one segment of others: merges neighbours, and drops rows that are no longer kept.

use std::{
    fs,
    path::Path,
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
    events::StreamClock,
    segment::{
        FileError, Level, SegmentName, TEMPORARY_EXTENSION, begin_file, finish_file, open_engine,
        publish_segment, quote_text,
    },
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

/// Makes the segment of a plan; returns its name and its rows. Its sources are left for the caller to retire.
pub(crate) fn merge(
    folder: &Path,
    plan: &Plan,
    interrupt: &Interrupt,
) -> Result<(SegmentName, u64), MergeError> {
    let name = plan.name().ok_or(MergeError::Nothing)?;
    make(folder, plan, None, name, interrupt)
}

/// Writes a segment again with less of some hosts; returns its name and its rows.
pub(super) fn trim(
    folder: &Path,
    trim: &Trim,
    interrupt: &Interrupt,
) -> Result<(SegmentName, u64), MergeError> {
    let plan = Plan { level: trim.source.name.level, sources: vec![trim.source] };
    make(folder, &plan, Some(trim), trim.source.name.written_again(), interrupt)
}

fn make(
    folder: &Path,
    plan: &Plan,
    trim: Option<&Trim>,
    name: SegmentName,
    interrupt: &Interrupt,
) -> Result<(SegmentName, u64), MergeError> {
    let path = folder.join(name.to_string());
    let temporary = folder.join(format!("{name}.{TEMPORARY_EXTENSION}"));
    let _ = fs::remove_file(&temporary);
    let result = write(folder, &temporary, (plan, trim), &name, interrupt);
    interrupt.watch(None);
    let _ = fs::remove_dir_all(folder.join(SPILL_FOLDER));
    let checked = result.map_err(|source| MergeError::Database { name: name.to_string(), source }).and_then(
        |written| {
            written.check(plan, trim, &name)?;
            publish_segment(&temporary, &path)?;
            Ok((name, written.rows))
        },
    );
    if checked.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    checked
}

/// The written rows, in counts that show whether something is missing.
struct Written {
    /// As `segment.rows` has it.
    rows: u64,
    /// The number of samples in the hourly sums.
    samples: u64,
    /// The number that should be in them.
    expected_samples: u64,
    /// The number of events.
    events: u64,
    /// The number in the sources.
    expected_events: u64,
}

impl Written {
    fn check(&self, plan: &Plan, trim: Option<&Trim>, name: &SegmentName) -> Result<(), MergeError> {
        let rows_differ = |what, found, expected| {
            Err(MergeError::RowsDiffer { name: name.to_string(), what, found, expected })
        };
        if self.samples != self.expected_samples {
            return rows_differ("samples in its sums", self.samples, self.expected_samples);
        }
        if self.events != self.expected_events {
            return rows_differ("events", self.events, self.expected_events);
        }
        let has_all_samples = plan.form() == Form::Whole && trim.is_none() && plan.level != Level::Rollup;
        if has_all_samples && self.rows != plan.rows() {
            return rows_differ("rows", self.rows, plan.rows());
        }
        Ok(())
    }
}

fn write(
    folder: &Path,
    file: &Path,
    (plan, trim): (&Plan, Option<&Trim>),
    name: &SegmentName,
    interrupt: &Interrupt,
) -> duckdb::Result<Written> {
    let engine = open_engine(MEMORY_MIB, 1, Some(&folder.join(SPILL_FOLDER)))?;
    interrupt.watch(Some(engine.interrupt_handle()));
    let sources: Vec<SegmentName> = plan.sources.iter().map(|source| source.name).collect();
    engine.execute_batch(&attach_sql(folder, &sources))?;
    for table in ["capture", "process_history", "process_hour"] {
        let rows = relation(Rows::Of(table), &sources);
        let of_hosts = without_hosts(trim);
        engine.execute_batch(&format!(
            "CREATE TEMP VIEW all_rows_of_{table} AS FROM {rows} WHERE {of_hosts}"
        ))?;
    }
    leave_out(&engine, trim, &sources)?;
    engine.execute_batch(JOINS_AS_WRITTEN)?;
    begin_file(&engine, file, CATALOG, plan.expected_rows())?;
    copy(&engine, plan, trim)?;
    let count = |sql: &str| engine.query_row(sql, [], |row| row.get::<_, u64>(0));
    let sum = "SELECT coalesce(sum(samples), 0)::UBIGINT FROM";
    Ok(Written {
        samples: count(&format!("{sum} {CATALOG}.process_hour"))?,
        expected_samples: match plan.has_no_sums() {
            true => plan.rows(),
            false => count(&format!("{sum} all_rows_of_process_hour"))?,
        },
        events: count(&format!("SELECT count(*) FROM {CATALOG}.event"))?,
        expected_events: count("SELECT count(*) FROM event")?,
        rows: finish_file(&engine, CATALOG, name, last_clock(&engine, &sources)?)?,
    })
}

/// The time of the stream after the last message of `sources`, which are in its order.
fn last_clock(engine: &Connection, sources: &[SegmentName]) -> duckdb::Result<StreamClock> {
    let Some(last) = sources.last() else { return Ok(StreamClock::default()) };
    let segment = relation(Rows::Of("segment"), [last]);
    let sql = format!("SELECT epoch_ms(last_stored_at), epoch_ms(silence_from) FROM {segment}");
    engine.query_row(&sql, [], |row| Ok(StreamClock { now_ms: row.get(0)?, counted_from_ms: row.get(1)? }))
}

/// A condition that leaves out the rows of hosts of which nothing is kept.
fn without_hosts(trim: Option<&Trim>) -> String {
    match trim {
        Some(trim) if trim.keep == Keep::Nothing => format!("host NOT IN ({})", quoted(&trim.hosts)),
        _ => "true".to_owned(),
    }
}

/// Takes the place of the views over all rows where nothing is kept of some hosts.
fn leave_out(engine: &Connection, trim: Option<&Trim>, sources: &[SegmentName]) -> duckdb::Result<()> {
    if trim.is_none_or(|trim| trim.keep != Keep::Nothing) {
        return Ok(());
    }
    let tables = [
        "event",
        "host_info",
        "host_sample",
        "filesystem_sample",
        "interface_sample",
        "process_span",
        "process_hour",
    ];
    for table in tables {
        let (rows, of_hosts) = (relation(Rows::Of(table), sources), without_hosts(trim));
        engine.execute_batch(&format!("CREATE TEMP VIEW {table} AS FROM {rows} WHERE {of_hosts}"))?;
    }
    Ok(())
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
