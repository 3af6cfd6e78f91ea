//! Opens a file of the history, read-only. A problem of the file becomes a [`Fault`] here, and the files beside it go
//! on. Files that are attached in other ways (`attach.sql`, merges) were opened here before.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use duckdb::Connection;

use super::{Fault, SegmentName, quote_identifier, quote_text};

/// DuckDB's headers before the first block: three of 4 KiB. A shorter file is cut off.
const HEADER_BYTES: usize = 3 * 4096;

/// The statement that attaches the database file at `path` as `alias`, read-only.
pub(crate) fn attach_statement(path: &Path, alias: &str) -> String {
    let (path, alias) = (quote_text(&path.to_string_lossy()), quote_identifier(alias));
    format!("ATTACH IF NOT EXISTS {path} AS {alias} (READ_ONLY);\n")
}

/// The statement that detaches `alias`.
pub(crate) fn detach_statement(alias: &str) -> String {
    format!("DETACH DATABASE IF EXISTS {};\n", quote_identifier(alias))
}

/// Attaches the database file at `path` as `alias`, read-only. Looks at it first, because DuckDB would wait for a pipe.
pub(crate) fn attach_file(connection: &Connection, path: &Path, alias: &str) -> Result<(), Fault> {
    look(path)?;
    let attached = connection.execute_batch(&attach_statement(path, alias));
    attached.map_err(|error| fault_of(path, &error))
}

/// Attaches a segment of `folder` and compares what it says of itself with its name. Returns its rows of processes, as
/// `segment.rows` counts them. On a fault nothing stays attached.
pub(crate) fn attach_segment(
    connection: &Connection,
    folder: &Path,
    name: &SegmentName,
) -> Result<u64, Fault> {
    let (path, alias) = (folder.join(name.to_string()), name.alias());
    attach_file(connection, &path, &alias)?;
    let checked = Content::read(connection, &alias).map_err(|error| fault_of(&path, &error));
    checked.and_then(|content| content.check(name)).inspect_err(|_| {
        // An unreadable file may not detach either; the engine's owner then replaces the engine.
        let _ = connection.execute_batch(&detach_statement(&alias));
    })
}

/// Checks that the path is a regular file, and that its beginning can be read.
fn look(path: &Path) -> Result<(), Fault> {
    let bytes = file_bytes(path)?;
    let mut file = File::open(path).map_err(|error| Fault::of_io(&error))?;
    match file.read_exact(&mut [0; HEADER_BYTES]) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Fault::Damaged(format!("it ends after {bytes} bytes")))
        }
        read => read.map_err(|error| Fault::of_io(&error)),
    }
}

/// The size of a file, if it is one; a link to a file counts as that.
pub(crate) fn file_bytes(path: &Path) -> Result<u64, Fault> {
    let metadata = fs::metadata(path).map_err(|error| match path.is_symlink() {
        true => Fault::Unavailable(format!("it is a link that leads to no file: {error}")),
        false => Fault::of_io(&error),
    })?;
    if metadata.is_file() { Ok(metadata.len()) } else { Err(Fault::not_a_file()) }
}

/// The fault behind an error of DuckDB that read the file at `path` alone.
pub(super) fn fault_of(path: &Path, error: &duckdb::Error) -> Fault {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Fault::Gone,
        _ => Fault::of(error),
    }
}

/// A segment's row about itself; columns that an earlier version did not write are absent.
struct Content {
    epoch_s: Option<i64>,
    first_sequence: Option<u64>,
    last_sequence: Option<u64>,
    rows: u64,
    schema_version: u32,
}

impl Content {
    fn read(connection: &Connection, alias: &str) -> duckdb::Result<Self> {
        let sql = format!(
            "SELECT epoch(stream_created)::BIGINT AS epoch_s, first_sequence, last_sequence, \"rows\", schema_version FROM {}.segment",
            quote_identifier(alias)
        );
        connection.query_row(&sql, [], |row| {
            Ok(Self {
                epoch_s: row.get("epoch_s")?,
                first_sequence: row.get("first_sequence")?,
                last_sequence: row.get("last_sequence")?,
                rows: row.get("rows")?,
                schema_version: row.get("schema_version")?,
            })
        })
    }

    /// Its rows, if it is what its name says.
    fn check(&self, name: &SegmentName) -> Result<u64, Fault> {
        if self.schema_version > name.schema_version {
            let version = self.schema_version;
            return Err(Fault::OtherVersion(format!("its content has version {version} of the schema")));
        }
        let differs = self.epoch_s.is_some_and(|epoch_s| epoch_s != name.epoch_s)
            || self.first_sequence.is_some_and(|first| first != name.first_sequence)
            || self.last_sequence.is_some_and(|last| last != name.last_sequence);
        match differs {
            true => Err(Fault::OtherVersion("its content belongs to a segment of another name".to_owned())),
            false => Ok(self.rows),
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
#[path = "attach_tests.rs"]
mod tests;
