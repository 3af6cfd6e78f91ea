//! Whether a backup could be restored: every file is as it was copied, and its content can be read.

use std::{collections::BTreeMap, fs, path::Path};

use fleetps_nats::error_chain;
use serde_json::Value;

use super::{BackupError, Manifest, state, take::HISTORY, verify};
use crate::{audit, catalog::SegmentFolder, history::History, segment::quote_identifier};

/// Reads all of `backup` and writes nothing: the checksum of each file, the records of the broker, every value of every
/// segment, and the chain of the audit.
///
/// # Errors
/// Names the first file that is not as it was copied, or cannot be used.
pub fn check(backup: &Path) -> Result<Manifest, BackupError> {
    let manifest = verify(backup)?;
    let in_state = |path: &str| Path::new(path).starts_with(state::FOLDER);
    for entry in manifest.files.iter().filter(|entry| in_state(&entry.path)) {
        let path = backup.join(&entry.path);
        let bytes = fs::read(&path).map_err(BackupError::at(&path))?;
        serde_json::from_slice::<BTreeMap<String, Value>>(&bytes)
            .map_err(|error| damaged(&path, &format!("is no bucket ({error})")))?;
    }
    let history = backup.join(HISTORY);
    if history.is_dir() {
        read_history(&history)?;
        audit::verify(&history, &[]).map_err(|error| {
            damaged(&history, &format!("has an audit that is not whole ({})", error_chain(&error)))
        })?;
    }
    Ok(manifest)
}

fn damaged(path: &Path, problem: &str) -> BackupError {
    BackupError::Damaged { path: path.to_owned(), problem: problem.to_owned() }
}

/// Reads every value of every segment, which DuckDB checks against its own checksums: a file that was damaged before it was
/// copied is copied as it was.
fn read_history(folder: &Path) -> Result<(), BackupError> {
    let unreadable = |path: &Path, error: &duckdb::Error| {
        damaged(path, &format!("cannot be read ({})", error_chain(error)))
    };
    let open = History::open(folder)?;
    // Files quarantined before the backup are known to be missing.
    let known: Vec<_> = SegmentFolder::scan(folder)?.damaged.iter().map(ToString::to_string).collect();
    if let Some(other) = open.missing_segments().iter().find(|other| !known.contains(&other.segment)) {
        return Err(damaged(&folder.join(&other.segment), &format!("cannot be opened: {}", other.reason)));
    }
    let database = open.database().map_err(|error| damaged(folder, &error_chain(&error)))?;
    let sql = "SELECT database_name, table_name FROM duckdb_tables() WHERE NOT internal";
    let tables = || -> duckdb::Result<Vec<(String, String)>> {
        database
            .prepare(sql)?
            .query_map([], |row| Ok((row.get("database_name")?, row.get("table_name")?)))?
            .collect()
    };
    for (catalog, table) in tables().map_err(|error| unreadable(folder, &error))? {
        // Not count: DuckDB knows that a hash is never NULL, and would read nothing.
        let (catalog, table) = (quote_identifier(&catalog), quote_identifier(&table));
        let sql = format!("SELECT bit_xor(hash(t)) FROM {catalog}.{table} t");
        let read = database.query_row(&sql, [], |row| row.get::<_, Option<u64>>(0));
        read.map_err(|error| unreadable(folder, &error))?;
    }
    Ok(())
}
