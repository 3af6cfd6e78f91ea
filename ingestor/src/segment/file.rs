//! Making a DuckDB file durable, and the settings that every DuckDB engine of the ingestor has.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use askama::Template;
use duckdb::{Config, Connection, params};

use super::{Level, SegmentName, schema_in, writer};
use crate::{events::StreamClock, template::render};

/// The extension of incomplete files.
pub(crate) const TEMPORARY_EXTENSION: &str = "tmp";

/// The oldest DuckDB that reads the files. The formats of 1.5 and 2.0 save nothing (measured to the byte), and would
/// shut out users of older versions; the format of 1.2 packs texts 1 % worse.
const STORAGE_VERSION: &str = "v1.4.0";

/// For small segments: a file takes about a block for each of 80 columns, so that one with ten rows has 140 KB.
const SMALL_BLOCK_BYTES: u32 = 16 << 10;
/// For all others: the smallest in which DuckDB packs numbers (in smaller ones they stay as they are: 15 bytes a row instead
/// of 10). Its own 256 KiB leave half a block empty in every table, 2 % of 20 million rows, and a question about few rows
/// reads whole blocks of all its columns.
const BLOCK_BYTES: u32 = 64 << 10;
/// From here on the larger blocks make the smaller file.
const BLOCKS_FROM_ROWS: u64 = 50_000;

/// The statement that adds the row of the table `segment`.
#[derive(Template)]
#[template(path = "segment/segment_row.sql")]
struct SegmentRowSql<'a> {
    catalog: &'a str,
}

/// A file of the history cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}; is there space, and is the folder writable?")]
pub struct FileError {
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { path, source }
    }
}

/// A folder of the history cannot be listed.
#[derive(Debug, thiserror::Error)]
#[error("cannot list the history folder {folder}; does it exist, and may it be read?")]
pub struct FolderError {
    folder: PathBuf,
    source: io::Error,
}

impl FolderError {
    pub(crate) fn at(folder: &Path) -> impl Fn(io::Error) -> Self + Copy {
        move |source| Self { folder: folder.to_owned(), source }
    }
}

/// A DuckDB engine without a database of its own: files are attached to it. It fetches no extensions and takes at
/// most `memory_mib`; what it cannot hold goes to `spill`, or fails where that is `None`. It works on `threads` processors.
///
/// One engine for one piece of work: a failed checkpoint makes an engine unusable.
pub(crate) fn open_engine(
    memory_mib: u64,
    threads: usize,
    spill: Option<&Path>,
) -> duckdb::Result<Connection> {
    let config = Config::default()
        .enable_autoload_extension(false)?
        .threads(i64::try_from(threads).unwrap_or(1))?
        .max_memory(&format!("{memory_mib}MiB"))?
        .with("temp_directory", spill.map(|folder| folder.to_string_lossy()).unwrap_or_default())?;
    Connection::open_in_memory_with_flags(config)
}

/// Attaches a new database file as `catalog` and begins filling it with the tables of a segment, for about `rows` rows
/// of processes.
pub(crate) fn begin_file(engine: &Connection, file: &Path, catalog: &str, rows: u64) -> duckdb::Result<()> {
    attach_new(engine, file, catalog, rows)?;
    engine.execute_batch(&format!("BEGIN; {}", schema_in(catalog)))
}

/// Attaches a new, empty database file as `catalog`, for about `rows` rows.
pub(crate) fn attach_new(engine: &Connection, file: &Path, catalog: &str, rows: u64) -> duckdb::Result<()> {
    let path = quote_text(&file.to_string_lossy());
    let block_bytes = if rows < BLOCKS_FROM_ROWS { SMALL_BLOCK_BYTES } else { BLOCK_BYTES };
    engine.execute_batch(&format!(
        "ATTACH {path} AS {catalog} (BLOCK_SIZE {block_bytes}, STORAGE_VERSION '{STORAGE_VERSION}')"
    ))
}

/// Adds the row that says what the file is, and completes it. Returns its rows, as `segment.rows` counts
/// them. `clock` is the time of the stream after the last of its messages.
pub(crate) fn finish_file(
    engine: &Connection,
    catalog: &str,
    name: &SegmentName,
    clock: StreamClock,
) -> duckdb::Result<u64> {
    let count = match name.level {
        Level::Rollup => format!("SELECT count(*) FROM {catalog}.process_hour"),
        _ => format!("SELECT coalesce(sum(snapshots), 0)::UBIGINT FROM {catalog}.process_span"),
    };
    let rows: u64 = engine.query_row(&count, [], |row| row.get(0))?;
    engine.execute(
        &render(&SegmentRowSql { catalog }),
        params![
            name.partition,
            name.epoch_s,
            name.first_sequence,
            name.last_sequence,
            name.level.as_str(),
            rows,
            name.schema_version,
            writer(),
            clock.now_ms,
            clock.counted_from_ms
        ],
    )?;
    engine.execute_batch(&format!("COMMIT; CHECKPOINT {catalog}; DETACH {catalog}"))?;
    Ok(rows)
}

/// Brings a complete file to disk and gives it its final name.
pub(crate) fn publish_file(temporary: &Path, path: &Path) -> Result<(), FileError> {
    let sync = |path: &Path| File::open(path)?.sync_all();
    sync(temporary).map_err(FileError::at(temporary))?;
    std::fs::rename(temporary, path).map_err(FileError::at(path))?;
    let Some(folder) = path.parent() else { return Ok(()) };
    // Windows cannot open a folder, and makes renames durable by itself.
    if cfg!(unix) { sync(folder).map_err(FileError::at(folder)) } else { Ok(()) }
}

/// Brings a complete segment to disk, as a file that is only read, and gives it its final name.
pub(crate) fn publish_segment(temporary: &Path, path: &Path) -> Result<(), FileError> {
    make_read_only(temporary).map_err(FileError::at(temporary))?;
    publish_file(temporary, path)
}

/// Takes everybody's permission to write a file: a program that opens a segment to write locks it, and a merge or a
/// start in that moment could not read it. Elsewhere than on Unix such a file could not be removed, and stays as it is.
pub(crate) fn make_read_only(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let metadata = std::fs::metadata(path)?;
        let mode = metadata.permissions().mode();
        if metadata.is_file() && mode & 0o222 != 0 {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode & 0o7555))?;
        }
    }
    Ok(())
}

/// `text` as an SQL string.
pub(crate) fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `text` as an SQL identifier.
pub(crate) fn quote_identifier(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_inside_are_doubled() {
        assert_eq!(quote_text("it's"), "'it''s'");
        assert_eq!(quote_identifier("a\"b"), "\"a\"\"b\"");
    }
}
