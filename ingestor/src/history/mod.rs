//! The read side: which segments there are (`catalog`), how they become one database (`views`), and queries.
//!
//! Nothing here writes to the history or needs the ingestor: any number of processes may read at any time.

mod answers;
mod catalog;
mod diff;
mod events;
mod host_series;
mod known_runs;
mod moment;
mod search;
mod series;
mod top;
mod views;

use std::{
    io,
    path::{Path, PathBuf},
};

use duckdb::Connection;
use fleetps_nats::with_causes;

pub use answers::*;
pub use catalog::{Catalog, Segment};
pub use diff::diff;
pub(crate) use known_runs::known_runs;
pub use views::attach_sql;

use crate::segment::{SegmentName, open_engine, quote_identifier, quote_text};

/// For queries over segments; more is spilled to the system's temporary folder.
const MEMORY_MIB: u64 = 1024;

/// The history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The folder cannot be listed.
    #[error("cannot list the history folder {folder}; does it exist, and may it be read?")]
    List {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A segment cannot be read.
    #[error("cannot read the segment {name}; if it is damaged, move it out of the folder")]
    Segment {
        /// Its name.
        name: String,
        /// What DuckDB said.
        source: duckdb::Error,
    },
    /// Not there yet.
    #[error("{0} is not there yet")]
    NotYet(&'static str),
    /// DuckDB failed.
    #[error("a query over the history failed")]
    Query(#[from] duckdb::Error),
}

impl HistoryError {
    pub(crate) fn list(folder: &Path, source: io::Error) -> Self {
        Self::List { folder: folder.to_owned(), source }
    }
}

/// The segments of a folder, as they were when it was opened, as one database with a view per table.
pub struct History {
    connection: Connection,
    skipped: Vec<(SegmentName, String)>,
}

impl History {
    /// Attaches every current segment in `folder`, read-only. Those that cannot be read are left out, and named by
    /// [`History::skipped`].
    pub fn open(folder: &Path) -> Result<Self, HistoryError> {
        let folder = std::path::absolute(folder).map_err(|source| HistoryError::list(folder, source))?;
        let catalog = Catalog::scan(&folder)?;
        let connection = open_engine(MEMORY_MIB, Some(&std::env::temp_dir()))?;
        let mut skipped = Vec::new();
        let mut readable = Vec::new();
        for segment in catalog.current {
            match connection.execute_batch(&attach_one(&folder, &segment.name)) {
                Ok(()) => readable.push(segment.name),
                Err(error) => skipped.push((segment.name, with_causes(&error))),
            }
        }
        connection.execute_batch(&attach_sql(&folder, &readable))?;
        Ok(Self { connection, skipped })
    }

    /// Looks at the folder again: attaches segments that are new, lets go of those that are gone. Cheap when nothing is
    /// new; for a task that calls it every second.
    pub fn refresh(&self) -> Result<(), HistoryError> {
        Err(HistoryError::NotYet("refresh"))
    }

    /// Since when the past is kept at which resolution.
    pub fn kept(&self) -> Kept {
        Kept::default()
    }

    /// The segments that cannot be read. Every page and answer about the past says so when there are any.
    pub fn set_aside(&self) -> Vec<SetAside> {
        Vec::new()
    }

    /// The segments that could not be read, and why.
    pub fn skipped(&self) -> &[(SegmentName, String)] {
        &self.skipped
    }

    /// The database: the views `segment`, `gap`, `host_info`, `host_sample`, `filesystem_sample`, `process` and
    /// `process_sample`.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// The statement that attaches one segment.
pub(crate) fn attach_one(folder: &Path, name: &SegmentName) -> String {
    let path = folder.join(name.to_string());
    let alias = quote_identifier(&name.alias());
    format!("ATTACH IF NOT EXISTS {} AS {alias} (READ_ONLY);\n", quote_text(&path.to_string_lossy()))
}

/// The rows of processes in a segment, as it says itself. Reads little, but notices a file that is no segment.
pub(crate) fn read_rows(folder: &Path, name: &SegmentName) -> Result<u64, HistoryError> {
    let read = || {
        let engine = open_engine(MEMORY_MIB, None)?;
        engine.execute_batch(&attach_one(folder, name))?;
        let alias = quote_identifier(&name.alias());
        engine.query_row(&format!("SELECT \"rows\" FROM {alias}.segment"), [], |row| row.get(0))
    };
    read().map_err(|source| HistoryError::Segment { name: name.to_string(), source })
}
