//! Turns the stream of snapshots into immutable DuckDB files, and reads them.
//!
//! ```text
//! stream ──▶ intake ──▶ segments ──▶ upkeep (merge, retain) ──▶ segments
//!                          └──▶ history (catalog, queries)
//! ```
//!
//! `segment` is the format on disk, `intake` fills segments from the stream, `catalog` knows which there are and says so
//! in `attach.sql`, `upkeep` merges and removes them, `audit` keeps who did what in segments of its own, `history` reads
//! them, `sql` lets anybody ask them anything. [`run`] runs it all; `history` and `sql` need none of the rest.
//!
//! **Exactly once.** What is stored is a function of the stream: segments' names say which sequences they hold, and a
//! start goes on after the highest. Nothing is acknowledged, so nothing can be acknowledged too early.

// They panic where nobody reads any more; `fleetps_nats::output` does not.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod audit;
mod audit_keeper;
pub mod backup;
pub mod catalog;
pub mod check;
pub mod descriptors;
mod error;
mod fields;
pub mod filter;
pub mod history;
mod intake;
mod library;
mod retention_clock;
mod run;
pub mod segment;
mod settings;
pub mod sql;
mod status;
mod streams;
mod time;
mod upkeep;

pub use catalog::{ATTACH_SQL, CatalogError};
pub use error::IngestError;
pub use library::{WrongLibrary, check_library};
pub use run::run;
pub use settings::{DataSettings, IngestorSettings};
pub use upkeep::{CompactionError, MergeError, check_folder, merge_folder, tidy_folder};
