//! Segments: the files that the history consists of.
//!
//! A segment is a DuckDB file with the tables of `schema.sql` and a name (`name`) that says which sequences of the
//! stream it holds. `rows` collects what goes into one (`strings` and `programs` keep what repeats), `columns` lays it out for
//! DuckDB, `seal` makes the file. A process is stored as `spans` in which nothing changed, in other units than it is read in:
//! `fields::packed_figures` packs rows that come from other segments. Starts and captures are stored so that they pack well
//! (`started`, `paced`).
//!
//! **A segment with its final name is complete and never written again.** It is written under a temporary name,
//! checkpointed, synced to disk and renamed, and the folder is synced. So after any crash the folder holds whole
//! segments and perhaps a temporary file, which the next start removes.
//!
//! **The names are the manifest.** The ingestor resumes after the highest sequence in a name. A segment whose range lies
//! inside another's is ignored, so a merge takes effect with its one rename. A large fleet's segments are divided by hosts
//! into `shard`s, each a segment of its own; the merge that divides takes effect with its last rename (`current`).
//!
//! **A segment that cannot be read is left out**, named with the reason, and retried (`fault`). It covers nothing
//! meanwhile, so its sources take its place where they still exist. The position in the stream is still taken from its
//! name, so that nothing of the stream is stored a second time. Only a segment found damaged twice, minutes apart, gets
//! `.damaged` behind its name; `fleetps history check --restore` takes that away where it can be read after all. `verify`
//! reads a file whole, `verify_log` remembers when.
//!
//! **An epoch is one numbering of the stream.** A stream that was deleted and recreated, or that lost its end in a
//! power failure, numbers anew; names carry the time when the numbering began.

mod attach;
mod columns;
mod current;
mod fault;
mod file;
mod level;
mod name;
mod paced;
mod process_row;
mod programs;
mod resolution;
mod row;
mod row_counts;
mod rows;
mod seal;
mod shard;
mod spans;
mod started;
mod strings;
mod verify;
mod verify_log;

pub(crate) use attach::{attach_file, attach_segment, attach_statement, detach_statement, file_bytes};
pub(crate) use current::Resolved;
pub use fault::Fault;
pub use file::{FileError, FolderError};
pub(crate) use file::{
    TEMPORARY_EXTENSION, attach_new, begin_file, finish_file, make_read_only, open_engine, publish_file,
    publish_segment, quote_identifier, quote_text,
};
pub use level::Level;
pub use name::{FIRST_IMPORTED_PARTITION, SegmentName};
pub(crate) use name::{TIME_FORMAT, parse_time};
pub(crate) use paced::{STORED as STORED_TIMES, sql_read as sql_read_times, sql_stored as sql_stored_times};
pub use resolution::Resolution;
pub(crate) use row_counts::RowCounts;
pub use rows::SegmentRows;
pub use seal::{SealError, seal};
pub use shard::Shard;
pub(crate) use started::{
    STORED as STORED_START, sql_read as sql_read_start, sql_stored as sql_stored_start,
};
pub(crate) use verify::{verify_file, verify_segment};
pub(crate) use verify_log::VerifyLog;

use askama::Template;
use fleetps_nats::model::{
    complete_since,
    filesystem::{self, FILESYSTEM},
    host::{self, AGENT, HOST, HOST_INFO},
    interface::{self, INTERFACE},
    process::PROCESS,
};

use crate::{fields, template::render};

/// The tables of a segment.
#[derive(Template)]
#[template(path = "segment/schema.sql")]
struct SchemaSql<'a> {
    /// The attached database they go to.
    catalog: &'a str,
    /// Whether they take as few bytes as they can. Else every column can be written as it is read.
    is_packed: bool,
}

/// The samples of processes, from spans and captures.
#[derive(Template)]
#[template(path = "segment/samples.sql")]
struct SamplesSql<'a> {
    spans: &'a str,
    captures: &'a str,
    wanted: &'a str,
}

/// The version of the tables: of `schema.sql`, or of the newest field if that is later.
pub const SCHEMA_VERSION: u32 = latest([
    TABLES_VERSION,
    complete_since(&PROCESS),
    complete_since(&HOST),
    complete_since(&HOST_INFO),
    complete_since(&AGENT),
    complete_since(&FILESYSTEM),
    complete_since(&INTERFACE),
]);
/// Grows with every change of `schema.sql` itself.
const TABLES_VERSION: u32 = 12;
/// Since then, a segment may have some of the hosts alone. A version that knows no shards must not take one for the whole, and
/// to it these segments are of a later version. Segments with all hosts were never of this one.
pub(crate) const SHARDS_SINCE_VERSION: u32 = 11;
/// The version of segments that have some of the hosts.
pub const SHARDED_VERSION: u32 = latest([SCHEMA_VERSION, SHARDS_SINCE_VERSION]);
/// Since then, a segment has the interfaces of hosts.
pub(crate) const INTERFACES_SINCE_VERSION: u32 = 7;
/// Since then, a segment has the events of its messages. Those of before are told by its samples (`history::events`).
pub(crate) const EVENTS_SINCE_VERSION: u32 = 6;
/// Since then, processes have `start_ticks`, and there is `process_earlier`.
pub(crate) const TICKS_SINCE_VERSION: u32 = 7;

const fn latest<const N: usize>(versions: [u32; N]) -> u32 {
    let (mut latest, mut place) = (0, 0);
    while place < N {
        if versions[place] > latest {
            latest = versions[place];
        }
        place += 1;
    }
    latest
}

/// The statements that make the tables of a segment in the attached database `catalog`.
pub(crate) fn schema_in(catalog: &str) -> String {
    render(&SchemaSql { catalog, is_packed: true })
}

/// The same where every column is stored as it is read.
pub(crate) fn plain_schema_in(catalog: &str) -> String {
    render(&SchemaSql { catalog, is_packed: false })
}

impl SchemaSql<'_> {
    /// The columns that say when a process started.
    fn start(&self) -> String {
        match self.is_packed {
            true => started::sql_definitions(),
            false => "start_ticks BIGINT,\n    started_at TIMESTAMP".to_owned(),
        }
    }

    /// The columns that say when a span was captured.
    fn captured(&self) -> String {
        match self.is_packed {
            true => paced::sql_definitions(),
            false => "first_captured_at TIMESTAMP_MS,\n    last_captured_at TIMESTAMP_MS".to_owned(),
        }
    }

    /// The samples of processes in one file.
    fn samples() -> String {
        let in_one_file = |table| format!("(SELECT 0 AS file, * FROM {table})");
        let (spans, captures) = (in_one_file("process_span"), in_one_file("capture"));
        samples_sql(&spans, &captures, &captures)
    }
}

/// The query for samples of processes, of these spans and `captures` (each with a column `file`); those that were captured
/// in `wanted`.
pub(crate) fn samples_sql(spans: &str, captures: &str, wanted: &str) -> String {
    render(&SamplesSql { spans, captures, wanted })
}

/// The value of `segment.writer`.
pub(crate) fn writer() -> String {
    format!("fleetps-ingestor {}", env!("CARGO_PKG_VERSION"))
}
