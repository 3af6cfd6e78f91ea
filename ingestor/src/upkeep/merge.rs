//! Merges adjacent segments into one.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use duckdb::{Connection, InterruptHandle, params};

use super::{pieces::pieces, plan::Plan};
use crate::{
    history::{attach_one, attach_sql},
    segment::{
        FileError, SegmentName, TEMPORARY_EXTENSION, begin_file, finish_file, open_engine, publish_file,
        quote_identifier,
    },
};

/// Beside intake on a small machine; sorting spills what does not fit.
const MEMORY_MIB: u64 = 512;
/// What the new file is attached as.
const CATALOG: &str = "merging";
/// What DuckDB spills while it sorts.
const SPILL_FOLDER: &str = "spill.tmp";

/// A merge failed; what was written of it is gone, and its sources are as before.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// DuckDB failed.
    #[error("cannot merge segments into {name}; is there space in the history folder?")]
    Database {
        /// The segment it would have become.
        name: String,
        /// What DuckDB said.
        source: duckdb::Error,
    },
    /// Not every row arrived; a bug, or a damaged source.
    #[error("the merged segment {name} has {found} rows and its sources {expected}; it was not used")]
    RowsDiffer {
        /// The segment it would have become.
        name: String,
        /// Rows of processes in it.
        found: u64,
        /// Rows of processes in its sources.
        expected: u64,
    },
    /// The plan is empty.
    #[error("there is nothing to merge")]
    Nothing,
    /// The file could not be brought to disk.
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

/// Makes the merged segment; returns its name and its rows of processes. Its sources are left for the caller to retire.
pub(crate) fn merge(
    folder: &Path,
    plan: &Plan,
    interrupt: &Interrupt,
) -> Result<(SegmentName, u64), MergeError> {
    let name = plan.name().ok_or(MergeError::Nothing)?;
    let path = folder.join(name.to_string());
    let temporary = folder.join(format!("{name}.{TEMPORARY_EXTENSION}"));
    let _ = fs::remove_file(&temporary);
    let result = write(folder, &temporary, plan, &name, interrupt);
    interrupt.watch(None);
    let _ = fs::remove_dir_all(folder.join(SPILL_FOLDER));
    let checked =
        result.map_err(|source| MergeError::Database { name: name.to_string(), source }).and_then(|found| {
            let expected = plan.rows();
            if found != expected {
                return Err(MergeError::RowsDiffer { name: name.to_string(), found, expected });
            }
            publish_file(&temporary, &path)?;
            Ok((name, found))
        });
    if checked.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    checked
}

fn write(
    folder: &Path,
    file: &Path,
    plan: &Plan,
    name: &SegmentName,
    interrupt: &Interrupt,
) -> duckdb::Result<u64> {
    let engine = open_engine(MEMORY_MIB, 1, Some(&folder.join(SPILL_FOLDER)))?;
    interrupt.watch(Some(engine.interrupt_handle()));
    let sources: Vec<SegmentName> = plan.sources.iter().map(|source| source.name).collect();
    engine.execute_batch(&attach_sql(folder, &sources))?;
    begin_file(&engine, file, CATALOG, plan.rows())?;
    copy(&engine, &sources)?;
    finish_file(&engine, CATALOG, name)
}

fn copy(engine: &Connection, sources: &[SegmentName]) -> duckdb::Result<()> {
    engine.execute_batch(&include_str!("merge.sql").replace("$catalog", CATALOG))?;
    let of_each: Vec<String> = sources
        .iter()
        .map(|name| format!("SELECT * FROM {}.process", quote_identifier(&name.alias())))
        .collect();
    let processes = include_str!("merge_processes.sql")
        .replace("$catalog", CATALOG)
        .replace("$processes", &of_each.join("\nUNION ALL BY NAME "));
    let samples = include_str!("merge_samples.sql").replace("$catalog", CATALOG);
    let hours = include_str!("hours_of_samples.sql").replace("$catalog", CATALOG);
    for piece in pieces(engine)? {
        let range = params![piece.first_host, piece.last_host, piece.first_pid, piece.last_pid];
        engine.execute(&processes, range)?;
        engine.execute(&samples, range)?;
        engine.execute(&hours, range)?;
    }
    Ok(())
}

/// Reads every value of a segment; fails where one is damaged.
pub(crate) fn read_whole(folder: &Path, name: &SegmentName) -> duckdb::Result<()> {
    let engine = open_engine(MEMORY_MIB, 1, None)?;
    engine.execute_batch(&attach_one(folder, name))?;
    let alias = quote_identifier(&name.alias());
    let tables: Vec<String> = engine
        .prepare("SELECT table_name FROM duckdb_tables() WHERE database_name = ?")?
        .query_map([name.alias()], |row| row.get(0))?
        .collect::<duckdb::Result<_>>()?;
    for table in tables {
        let sql = format!("SELECT count(hash(t)) FROM {alias}.{table} t");
        engine.query_row(&sql, [], |row| row.get::<_, u64>(0))?;
    }
    Ok(())
}
