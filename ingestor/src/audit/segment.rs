//! Making audit segments: of entries, and of other audit segments.

use std::{fs, path::Path};

use askama::Template;
use duckdb::{Connection, Row, params};
use fleetps_nats::audit::{AuditEntry, Chained, Link};

use super::{AuditName, EMPTY, attach, attach_empty, schema_in};
use crate::{
    segment::{
        Fault, FileError, TEMPORARY_EXTENSION, attach_new, open_engine, publish_segment, quote_identifier,
    },
    template::render,
};

/// For some ten thousand entries of at most 5 KiB at a time.
const MEMORY_MIB: u64 = 256;
/// The name of the attached new file.
const CATALOG: &str = "sealing_audit";

/// An audit segment cannot be made or read; a partial file is removed.
#[derive(Debug, thiserror::Error)]
pub enum AuditFileError {
    /// DuckDB failed.
    #[error("cannot use the audit segment {name}; is it whole, and is there space in the history folder?")]
    Database {
        /// Its name.
        name: String,
        /// DuckDB's error.
        source: duckdb::Error,
    },
    /// A segment cannot be read.
    #[error("the audit segment {name} cannot be used: {fault}")]
    Unreadable {
        /// Its name.
        name: String,
        /// The cause.
        fault: Fault,
    },
    /// The file could not be synced to disk.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is nothing to make it of.
    #[error("an audit segment without entries was to be made; that is a bug, please report it")]
    Nothing,
}

impl AuditFileError {
    pub(super) fn of(name: &AuditName) -> impl Fn(duckdb::Error) -> Self {
        let name = name.to_string();
        move |source| Self::Database { name: name.clone(), source }
    }

    fn unreadable(name: &AuditName, fault: Fault) -> Self {
        Self::Unreadable { name: name.to_string(), fault }
    }
}

/// Seals `entries`, which follow each other, as a segment in `folder`. When this returns its name, it survives a power
/// failure. `epoch_s` is when the numbering of the stream began, in seconds since 1970 UTC.
///
/// # Errors
/// When it cannot be written.
pub fn seal(folder: &Path, epoch_s: i64, entries: &[Chained]) -> Result<AuditName, AuditFileError> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
        return Err(AuditFileError::Nothing);
    };
    let name = AuditName {
        epoch_s,
        first_sequence: first.sequence,
        last_sequence: last.sequence,
        first_at_s: first.entry.at_us.div_euclid(1_000_000),
    };
    make(folder, name, |engine| append(engine, CATALOG, epoch_s, entries).map_err(AuditFileError::of(&name)))
}

/// Makes one segment of `sources`, neighbours in order, which are left as they are.
pub(crate) fn merge(folder: &Path, sources: &[AuditName]) -> Result<AuditName, AuditFileError> {
    let name = AuditName::merged(sources).ok_or(AuditFileError::Nothing)?;
    make(folder, name, |engine| {
        for source in sources {
            attach(engine, folder, source).map_err(|fault| AuditFileError::unreadable(source, fault))?;
            let rows = format!("FROM {}.audit ORDER BY sequence", quote_identifier(&source.alias()));
            let copied = engine.execute_batch(&format!("INSERT INTO {CATALOG}.audit BY NAME {rows}"));
            copied.map_err(AuditFileError::of(&name))?;
        }
        Ok(())
    })
}

fn make(
    folder: &Path,
    name: AuditName,
    fill: impl FnOnce(&Connection) -> Result<(), AuditFileError>,
) -> Result<AuditName, AuditFileError> {
    let temporary = folder.join(format!("{name}.{TEMPORARY_EXTENSION}"));
    // Left by an attempt that failed where not even removing worked.
    let _ = fs::remove_file(&temporary);
    let write = || {
        let failed = AuditFileError::of(&name);
        let engine = open_engine(MEMORY_MIB, 1, None).map_err(&failed)?;
        attach_new(&engine, &temporary, CATALOG, 0).map_err(&failed)?;
        let schema = format!("BEGIN; {}", schema_in(CATALOG));
        engine.execute_batch(&schema).map_err(&failed)?;
        fill(&engine)?;
        let complete = format!("COMMIT; CHECKPOINT {CATALOG}; DETACH {CATALOG}");
        engine.execute_batch(&complete).map_err(&failed)
    };
    let written: Result<(), AuditFileError> = write();
    let published = written.and_then(|()| Ok(publish_segment(&temporary, &folder.join(name.to_string()))?));
    if published.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    published.map(|()| name)
}

/// An engine over audit segments, with `entries` that are in none yet; the segments that cannot be read are left out
/// and named.
pub(super) fn open(
    folder: &Path,
    names: &[AuditName],
    epoch_s: i64,
    entries: &[Chained],
) -> duckdb::Result<(Connection, Vec<AuditName>)> {
    let engine = open_engine(MEMORY_MIB, 1, Some(&std::env::temp_dir()))?;
    engine.execute_batch(&attach_empty())?;
    append(&engine, EMPTY, epoch_s, entries)?;
    let is_readable = |name: &AuditName| attach(&engine, folder, name).is_ok();
    let (readable, unreadable): (Vec<_>, Vec<_>) = names.iter().copied().partition(is_readable);
    engine.execute_batch(&super::view(&readable))?;
    Ok((engine, unreadable))
}

/// Adds an entry.
#[derive(Template)]
#[template(path = "audit/insert.sql")]
struct InsertSql<'a> {
    catalog: &'a str,
}

fn append(engine: &Connection, catalog: &str, epoch_s: i64, entries: &[Chained]) -> duckdb::Result<()> {
    let mut insert = engine.prepare(&render(&InsertSql { catalog }))?;
    for Chained { sequence, previous, hash, entry } in entries {
        let AuditEntry { at_us, who, from, action, host, what, outcome } = entry;
        let address = from.map(|address| address.to_string());
        let host = host.as_ref().map(|host| host.as_str());
        insert.execute(params![
            epoch_s,
            sequence,
            at_us,
            who,
            address,
            action,
            host,
            what,
            outcome.as_str(),
            previous,
            hash
        ])?;
    }
    Ok(())
}

/// The columns of an entry.
pub(super) const COLUMNS: &str = "sequence, epoch_us(occurred_at) AS at_us, who, address, action, host, what, outcome, previous_hash, hash";

/// A row of [`COLUMNS`]; `None` where it has values that fleetps never writes.
pub(super) fn entry_of(row: &Row<'_>) -> duckdb::Result<Option<Chained>> {
    let (address, host): (Option<String>, Option<String>) = (row.get("address")?, row.get("host")?);
    let outcome: String = row.get("outcome")?;
    let parsed = || {
        let from = address.map(|address| address.parse()).transpose().ok()?;
        let host = host.map(|host| host.parse()).transpose().ok()?;
        Some((from, host, outcome.parse().ok()?))
    };
    let Some((from, host, outcome)) = parsed() else { return Ok(None) };
    let entry = AuditEntry {
        at_us: row.get("at_us")?,
        who: row.get("who")?,
        from,
        action: row.get("action")?,
        host,
        what: row.get("what")?,
        outcome,
    };
    Ok(Some(Chained {
        sequence: row.get("sequence")?,
        previous: row.get("previous_hash")?,
        hash: row.get("hash")?,
        entry,
    }))
}

/// The last entry in a segment.
pub(crate) fn last_link(folder: &Path, name: &AuditName) -> Result<Link, AuditFileError> {
    let failed = AuditFileError::of(name);
    let engine = open_engine(MEMORY_MIB, 1, None).map_err(&failed)?;
    attach(&engine, folder, name).map_err(|fault| AuditFileError::unreadable(name, fault))?;
    let alias = quote_identifier(&name.alias());
    let sql = format!("SELECT sequence, hash FROM {alias}.audit ORDER BY sequence DESC LIMIT 1");
    let link = |row: &Row<'_>| Ok(Link { sequence: row.get("sequence")?, hash: row.get("hash")? });
    engine.query_row(&sql, [], link).map_err(&failed)
}
