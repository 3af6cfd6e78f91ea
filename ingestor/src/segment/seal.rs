//! Makes the file of a fresh segment.

use std::path::Path;

use arrow::error::ArrowError;
use duckdb::{Appender, Connection};

use super::{
    SegmentName, SegmentRows,
    columns::BATCH_ROWS,
    file::{FileError, TEMPORARY_EXTENSION, begin_file, finish_file, open_engine, publish_segment},
};

/// Memory for one segment, however large: DuckDB writes out what it has of a row group.
const MEMORY_MIB: u64 = 1024;
/// What the file is attached as while it is written.
const CATALOG: &str = "sealing";

/// A segment could not be sealed; its partial file is removed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// DuckDB failed.
    #[error("cannot write the segment {name}; is there space in the history folder?")]
    Database {
        /// The segment.
        name: String,
        /// What DuckDB said.
        source: duckdb::Error,
    },
    /// The rows could not be laid out.
    #[error("cannot lay out the segment {name}")]
    Layout {
        /// The segment.
        name: String,
        /// The cause.
        source: ArrowError,
    },
    /// The file could not be synced to disk.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What the steps inside say; the name is added where they end.
enum Problem {
    Database(duckdb::Error),
    Layout(ArrowError),
}

impl From<duckdb::Error> for Problem {
    fn from(error: duckdb::Error) -> Self {
        Self::Database(error)
    }
}

impl From<ArrowError> for Problem {
    fn from(error: ArrowError) -> Self {
        Self::Layout(error)
    }
}

/// Seals `rows` as a fresh segment in `folder`: when this returns a name, the segment survives a power failure. Sorts
/// the rows, as merged segments are, which packs them better.
pub fn seal(folder: &Path, rows: &mut SegmentRows) -> Result<SegmentName, SealError> {
    let name = rows.name();
    let path = folder.join(name.to_string());
    let temporary = folder.join(format!("{name}.{TEMPORARY_EXTENSION}"));
    // Left by an attempt that failed where not even removing worked.
    let _ = std::fs::remove_file(&temporary);
    let written = write(&temporary, rows, &name).map_err(|problem| match problem {
        Problem::Database(source) => SealError::Database { name: name.to_string(), source },
        Problem::Layout(source) => SealError::Layout { name: name.to_string(), source },
    });
    let published = written.and_then(|()| Ok(publish_segment(&temporary, &path)?));
    if published.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    published.map(|()| name)
}

fn write(file: &Path, rows: &mut SegmentRows, name: &SegmentName) -> Result<(), Problem> {
    let engine = open_engine(MEMORY_MIB, 1, None)?;
    begin_file(&engine, file, CATALOG, rows.len() as u64)?;
    append(&engine, rows)?;
    finish_file(&engine, CATALOG, name, rows.clock)?;
    Ok(())
}

fn append(engine: &Connection, rows: &mut SegmentRows) -> Result<(), Problem> {
    let appender = |table| engine.appender_to_catalog_and_db(table, CATALOG, "main");
    let each = |mut appender: Appender<'_>, batches: &mut dyn Iterator<Item = Result<_, ArrowError>>| {
        for batch in batches {
            appender.append_record_batch(batch?)?;
        }
        appender.flush()?;
        Ok::<(), Problem>(())
    };
    let (ranks, program_places) = (rows.names.ranks(), rows.programs.places());
    let captures = rows.captures(&ranks);
    let paces = rows.paces(&captures);
    rows.make_spans((&ranks, &program_places), &captures);
    let rank = |host: u32| ranks.get(host as usize).copied();
    let mut snapshots: Vec<_> = rows.snapshots.iter().collect();
    snapshots.sort_by_key(|row| (rank(row.host), row.snapshot.captured_at_us));
    let mut filesystems: Vec<_> = rows.filesystems.iter().collect();
    filesystems.sort_by(|a, b| {
        let place = |row: &super::row::FilesystemRow| (rank(row.host), row.captured_at_us);
        place(a).cmp(&place(b)).then_with(|| a.filesystem.mount.cmp(&b.filesystem.mount))
    });
    let mut interfaces: Vec<_> = rows.interfaces.iter().collect();
    interfaces.sort_by(|a, b| {
        let place = |row: &super::row::InterfaceRow| (rank(row.host), row.captured_at_us);
        place(a).cmp(&place(b)).then_with(|| a.interface.name.cmp(&b.interface.name))
    });
    let mut processes: Vec<_> = rows.processes.iter().collect();
    processes.sort_unstable_by_key(|(key, _)| (rank(key.host), key.pid, key.start));
    let mut events: Vec<_> = rows.events.iter().collect();
    events.sort_by_key(|event| (event.at_us, event.place));
    each(appender("event")?, &mut events.chunks(BATCH_ROWS).map(|chunk| rows.event_batch(chunk)))?;
    each(appender("gap")?, &mut rows.gaps.chunks(BATCH_ROWS).map(|chunk| rows.gap_batch(chunk)))?;
    each(appender("host_info")?, &mut rows.infos.chunks(BATCH_ROWS).map(|chunk| rows.info_batch(chunk)))?;
    each(
        appender("host_sample")?,
        &mut snapshots.chunks(BATCH_ROWS).map(|chunk| rows.snapshot_batch(chunk)),
    )?;
    each(
        appender("filesystem_sample")?,
        &mut filesystems.chunks(BATCH_ROWS).map(|chunk| rows.filesystem_batch(chunk)),
    )?;
    each(
        appender("interface_sample")?,
        &mut interfaces.chunks(BATCH_ROWS).map(|chunk| rows.interface_batch(chunk)),
    )?;
    each(appender("process")?, &mut processes.chunks(BATCH_ROWS).map(|chunk| rows.process_batch(chunk)))?;
    let mut earlier: Vec<_> =
        rows.processes.iter().flat_map(|(key, row)| row.earlier.iter().map(move |row| (key, row))).collect();
    earlier.sort_unstable_by_key(|(key, row)| (rank(key.host), key.pid, key.start, row.facts_since_us));
    each(
        appender("process_earlier")?,
        &mut earlier.chunks(BATCH_ROWS).map(|chunk| rows.earlier_batch(chunk)),
    )?;
    each(appender("capture")?, &mut captures.chunks(BATCH_ROWS).map(|chunk| rows.capture_batch(chunk)))?;
    each(
        appender("process_span")?,
        &mut rows.runs.chunks(BATCH_ROWS).map(|chunk| rows.span_batch(chunk, &paces)),
    )
}
