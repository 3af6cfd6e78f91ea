//! The DuckDB engine that segments are attached to, and its connections. Each connection serves one question at a time.

use duckdb::Connection;
use parking_lot::Mutex;

use super::{
    HistoryError, MEMORY_MIB,
    attachments::{AttachBounds, Attachments},
    cache::SizedCache,
    read_ahead::{self, SnapshotWindows},
    sample_index::{self, SampleIndexes},
    scope::ScopeTables,
};
use crate::{
    catalog::attach_empty,
    filter::AskedPatterns,
    query::{Budget, Watchdog},
    segment::open_engine,
};

/// Prepared statements that a connection keeps: those of a host's pages, over the segments of some months. DuckDB plans
/// a statement at every execution; a kept one is planned once and not twice. One takes 12 KB, and holds no segment. What a
/// trial writes into its statements, as a threshold or a list of processes, no other question asks: these are not kept.
const STATEMENTS: usize = 1024;

/// What queries may spill to the system's temporary folder: four times their memory. DuckDB would take nine tenths of the
/// disk, which the broker needs.
const SPILLED_MIB: u64 = 4 * MEMORY_MIB;

/// An engine with the segments that are attached to it.
pub(super) struct Engine {
    pub(super) attachments: Attachments,
    /// Makes the connections of questions, which so need not wait for a segment that is attached.
    maker: Mutex<Connection>,
    idle: Mutex<Vec<PooledConnection>>,
    watchdog: Watchdog,
    /// Held by a question that ran out of memory and is asked once more.
    pub(super) large: Mutex<()>,
    /// The regular expressions that are looked for.
    pub(super) patterns: AskedPatterns,
    pub(super) sample_indexes: SampleIndexes,
    pub(super) windows: SnapshotWindows,
}

/// A connection, and what it keeps from one question to the next.
pub(super) struct PooledConnection {
    pub(super) connection: Connection,
    /// The scopes that it has tables of.
    pub(super) scopes: ScopeTables,
}

impl Engine {
    pub(super) fn start(bounds: AttachBounds) -> Result<Self, HistoryError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let first = open_engine(MEMORY_MIB, threads, Some(&std::env::temp_dir()))?;
        first.execute_batch(&format!("SET max_temp_directory_size = '{SPILLED_MIB}MiB'"))?;
        first.execute_batch(&attach_empty())?;
        let patterns = AskedPatterns::of(&first)?;
        Ok(Self {
            patterns,
            maker: Mutex::new(first.try_clone()?),
            attachments: Attachments::new(first, bounds),
            idle: Mutex::default(),
            watchdog: Watchdog::start().map_err(HistoryError::Thread)?,
            large: Mutex::default(),
            sample_indexes: SizedCache::new(sample_index::MAX_BYTES, sample_index::USUAL_COUNT),
            windows: SizedCache::new(read_ahead::MAX_BYTES, read_ahead::USUAL_COUNT),
        })
    }

    /// Does `work` on a connection that is used by nothing else meanwhile, until the deadline of `budget`, at which its queries
    /// are interrupted.
    pub(super) fn with_connection<T>(
        &self,
        budget: &Budget,
        work: impl FnOnce(&mut PooledConnection) -> Result<T, HistoryError>,
    ) -> Result<T, HistoryError> {
        let deadline = budget.deadline();
        deadline.check()?;
        let mut pooled = self.connection()?;
        let interruptible = self.watchdog.watch(deadline, pooled.connection.interrupt_handle());
        let answer = work(&mut pooled);
        drop(interruptible);
        match (answer, deadline.check()) {
            (Ok(answer), Ok(())) => {
                self.idle.lock().push(pooled);
                Ok(answer)
            }
            // An interrupted query says nothing about the files.
            (Err(HistoryError::Query(_)), Err(stopped)) => Err(stopped.into()),
            // The connection is closed: one that failed may be in the middle of something, and one that was interrupted
            // between two queries may not know it yet.
            (answer, _) => answer,
        }
    }

    fn connection(&self) -> duckdb::Result<PooledConnection> {
        let idle = self.idle.lock().pop();
        if let Some(pooled) = idle {
            return Ok(pooled);
        }
        let connection = self.maker.lock().try_clone()?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(PooledConnection { connection, scopes: ScopeTables::default() })
    }
}
