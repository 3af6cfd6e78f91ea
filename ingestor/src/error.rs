//! Why an ingestor cannot run. What goes wrong while it runs is retried, and said in its status.

use fleetps_nats::{bucket::BucketError, lock::LockError, stream::StreamError};

use crate::segment::FolderError;

/// An ingestor cannot run.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The history folder cannot be locked, or another process holds it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The streams cannot be made or read.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Which hosts may speak cannot be read.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// DuckDB cannot start, or fails at the history that is there.
    #[error("a query over the history failed")]
    Query(#[from] duckdb::Error),
    /// The history folder cannot be listed.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A thread or the message_decoder could not be started.
    #[error("cannot start: {what}")]
    Start {
        /// The thing that cannot start.
        what: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// A thread ended by a panic.
    #[error("the {0} thread failed; that is a bug, please report it with the log")]
    Panicked(&'static str),
}
