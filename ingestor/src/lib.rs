//! Turns the stream of snapshots into immutable DuckDB files, and reads them.
//!
//! ```text
//! stream ──▶ intake ──▶ segments ──▶ compaction (merge, downsample, retain) ──▶ segments
//!                          └──▶ catalog ──▶ history (queries)
//! ```
//!
//! `segment` is the format on disk, `catalog` knows which segments exist and publishes that in `attach.sql`. Above it,
//! `intake` fills segments from the stream, `compaction` merges, downsamples and removes them, and `history` reads
//! them, each question within a budget (`query`); these three do not know each other. `alerts` decides from snapshots
//! what needs a person, and `alert_keeper` has it do that on the stream. `sql` answers a person's SQL. `audit` is the
//! format of the audit, `audit_keeper` moves it from the stream to segments of its own. [`run`] runs everything;
//! `history` and `sql` need none of the writers.
//!
//! **Exactly once.** The history is a function of the stream: segments' names say which sequences they hold, and a
//! start resumes after the highest. Nothing is acknowledged, so nothing can be acknowledged too early.

// They panic when the pipe is closed; `fleetps_nats::output` does not.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]
#![warn(unreachable_pub)]

mod alert_keeper;
pub mod alerts;
pub mod audit;
mod audit_keeper;
pub mod backup;
pub mod catalog;
pub mod check;
mod compaction;
pub mod descriptors;
mod error;
pub mod events;
mod fields;
pub mod filter;
pub mod history;
pub mod import;
mod intake;
mod library;
pub mod query;
mod retention_clock;
mod run;
pub mod segment;
mod settings;
pub mod sql;
mod status;
mod stored_events;
mod streams;
mod template;
mod time;

pub use catalog::{ATTACH_SQL, CatalogError};
pub use compaction::{CompactionError, MergeError, check_folder, merge_folder, merge_folder_by, tidy_folder};
pub use error::IngestError;
pub use intake::restore_detector;
pub use library::{WrongLibrary, check_library};
pub use run::run;
pub use settings::{DataSettings, IngestorSettings};
