//! Why a question in SQL cannot be answered for another reason than what it says.

use super::limits::MAX_SEEN_ROWS;
use crate::segment::FolderError;

/// The engine cannot start.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    /// The history cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// DuckDB failed.
    #[error("DuckDB cannot be prepared for the question")]
    DuckDb(#[from] duckdb::Error),
    /// DuckDB took a setting and did not keep it.
    #[error("DuckDB cannot be locked: {0}; the question was not asked")]
    Open(String),
    /// What is asked about is in more segments than are attached at once.
    #[error("this is about {needed} segments of the history, and at most {most} are attached for a question")]
    TooManySegments {
        /// How many it is in.
        needed: usize,
        /// How many may be attached.
        most: usize,
    },
    /// What may be seen is too much.
    #[error(
        "the hosts that you may see have more than {MAX_SEEN_ROWS} rows of processes in a minute, too many to ask about \
         in SQL; whoever may see everything can"
    )]
    TooMuch,
}
