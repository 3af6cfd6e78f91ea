//! The audit as segments of its own: who did what, for longer than the broker keeps it.
//!
//! `segment` makes the files, `name` is what they are called, `folder` which there are. `search` reads them, `verify` follows
//! the chain. `crate::audit_keeper` moves entries from the stream to segments.
//!
//! **Beside the other segments, not in them:** a person who may see the hosts' past may not see the audit. So one set
//! of files can be attached without the other.
//!
//! **The position is in the names,** as with the other segments: after a start it resumes after the highest sequence. A
//! stream that was recreated, or lost its end, numbers anew; its entries are kept as another numbering.

mod folder;
mod name;
mod search;
mod segment;
mod verify;

use std::path::Path;

pub use folder::{AuditFolder, SkippedAuditFile};
pub use name::AuditName;
pub use search::{AuditAnswer, AuditQuery, AuditSearchError, search};
pub use segment::{AuditFileError, seal};
pub(crate) use segment::{last_link, merge};
pub use verify::{Break, Chain, Verified, verify};

use askama::Template;
use duckdb::Connection;

use crate::{
    segment::{Fault, attach_file, attach_statement, open_engine, quote_identifier, verify_file},
    template::render,
};

/// For attaching a segment, which reads its tables' descriptions.
const MEMORY_MIB: u64 = 64;

/// The action of the entry that says which entries were removed for their age.
pub(crate) const REMOVED: &str = "audit.remove";

/// An attached database in memory with the same table, empty: the view exists when there are no segments.
const EMPTY: &str = "fleetps_empty_audit";

/// The table of an audit segment.
#[derive(Template)]
#[template(path = "audit/schema.sql")]
struct SchemaSql<'a> {
    /// The attached database it goes to.
    catalog: &'a str,
}

/// The statement that makes the table in the attached database `catalog`.
fn schema_in(catalog: &str) -> String {
    render(&SchemaSql { catalog })
}

/// The statements that attach the audit segments `names` of `folder` (an absolute path) and make the view `audit`.
pub fn attach_audit_sql(folder: &Path, names: &[AuditName]) -> String {
    let mut sql = attach_empty();
    for name in names {
        sql += &attach_one(folder, name);
    }
    sql + &view(names)
}

fn attach_empty() -> String {
    format!("ATTACH IF NOT EXISTS ':memory:' AS {EMPTY};\n{}", schema_in(EMPTY))
}

fn attach_one(folder: &Path, name: &AuditName) -> String {
    attach_statement(&folder.join(name.to_string()), &name.alias())
}

/// Attaches one segment.
fn attach(connection: &Connection, folder: &Path, name: &AuditName) -> Result<(), Fault> {
    attach_file(connection, &folder.join(name.to_string()), &name.alias())
}

/// Reads every value of a segment.
pub(crate) fn verify_segment(folder: &Path, name: &AuditName) -> Result<(), Fault> {
    verify_file(&folder.join(name.to_string()), &name.alias())
}

/// Whether a segment can be attached.
pub(crate) fn is_attachable(folder: &Path, name: &AuditName) -> bool {
    let attached = open_engine(MEMORY_MIB, 1, None).map(|engine| attach(&engine, folder, name));
    matches!(attached, Ok(Ok(())))
}

fn view(names: &[AuditName]) -> String {
    let mut sql = format!("CREATE OR REPLACE VIEW audit AS FROM {EMPTY}.audit");
    for name in names {
        sql += &format!("\nUNION ALL BY NAME FROM {}.audit", quote_identifier(&name.alias()));
    }
    sql + ";\n"
}
