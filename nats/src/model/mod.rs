//! The model: every figure and fact of a process and of a host, each declared once, and the rules for what follows from
//! them.
//!
//! [`process`], [`host`], [`filesystem`] and [`interface`] are the declarations. A line there gives a field its type,
//! unit, column on disk, filter word, table column and heading in terminals. The structs of a snapshot follow from it,
//! and so do the lists on the wire, the columns of the history, the filter's fields, the page's columns and the JSON.
//! To add a figure, add a line there, with `.since` the next schema version, and fill it in where it is read: the
//! agent's Linux reader, its portable reader and the simulator. A host's figure with `.over_time()` is in every answer
//! about a span too.
//!
//! The rules are read by live pages, filters, history and events alike. [`rate`] is the one for counters, [`derived`]
//! has ages and memory in percent, [`sums`] adds up processes, [`SnapshotPair`] puts two consecutive snapshots of a
//! host together, and [`staleness`] says whether a host is up, silent or down. A query of the history cannot call Rust,
//! so each rule that one needs also writes itself as SQL, beside the Rust. A test of `ingestor` asks DuckDB and Rust
//! the same questions and compares.

mod bounded;
mod columns;
pub mod derived;
mod field;
pub mod filesystem;
pub mod host;
pub mod interface;
mod pair;
mod places;
pub mod process;
pub mod rate;
mod record;
pub mod snapshot;
pub mod staleness;
pub mod sums;
pub mod table;
mod value;

pub use field::{Field, FieldRole, Kind, PageColumn, Rate, Scale, Stored, Unit, complete_since};
pub use pair::{ProcessRates, ProcessView, SnapshotPair};
pub use staleness::{HostState, Spacing};
pub use value::{FieldValue, Value};
