//! Writes the index log; only for the holder of the lock on the folder.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use duckdb::Connection;
use fleetps_nats::error_chain;

use super::{
    FileStamp, INDEX_LOG, IndexLogReader, MAX_FILE_BYTES, RecordHead, SegmentIndex, file_head, raw_record,
    record,
};
use crate::{
    catalog::views::{attach_empty, needs_empty},
    segment::{Fault, RowCounts, SegmentName, TEMPORARY_EXTENSION},
};

/// Outdated records that the file may have, beside one for each segment: two hours of fresh segments.
const SPARE_RECORDS: usize = 256;

/// The log of one folder, and what it says.
#[derive(Debug, Default)]
pub(crate) struct IndexLog {
    folder: PathBuf,
    /// The last record of each file name, and the rows that it says.
    known: HashMap<String, (FileStamp, u64)>,
    /// In the file.
    records: usize,
    bytes: u64,
    /// As many records cause the file to be written anew.
    most_records: usize,
    /// Whether nothing may be appended: there is no file, or its end is not whole.
    is_broken: bool,
}

impl IndexLog {
    /// The log of `folder`, as far as it can be read.
    pub(crate) fn open(folder: &Path) -> Self {
        let mut log = Self { folder: folder.to_owned(), ..Self::default() };
        let mut reader = IndexLogReader::default();
        let is_whole = reader.records(folder, |record| {
            let RecordHead { file_name, stamp, rows } = record.head;
            log.known.insert(file_name.to_owned(), (stamp, rows));
            log.records += 1;
        });
        (log.bytes, log.is_broken) = (reader.offset(), !is_whole);
        log.forget_gone();
        log
    }

    /// How many rows of processes a segment has, if the log knows the file as it is.
    pub(crate) fn known_rows(&self, name: SegmentName) -> Option<u64> {
        let file_name = name.to_string();
        let (stamp, rows) = self.known.get(&file_name)?;
        FileStamp::of(&self.folder.join(&file_name)).is_ok_and(|now| now == *stamp).then_some(*rows)
    }

    /// Opens a segment to count its rows of processes. One that the log does not know becomes known.
    pub(crate) fn open_segment(
        &mut self,
        counts: &mut RowCounts<'_>,
        name: SegmentName,
    ) -> Result<u64, Fault> {
        let file_name = name.to_string();
        let stamp = FileStamp::of(&self.folder.join(&file_name))?;
        if self.known.get(&file_name).is_some_and(|(known, _)| *known == stamp) {
            return counts.read(&name);
        }
        let (rows, index) = counts.read_with(&name, |connection| Ok(load(connection, name)))?;
        match index {
            Ok(index) => self.add(&RecordHead { file_name: &file_name, stamp, rows }, &index),
            // Its rows can be counted, so it is not doubted here: readers see for themselves.
            Err(error) => tracing::debug!(segment = %name, "not in {INDEX_LOG}: {}", error_chain(&error)),
        }
        Ok(rows)
    }

    pub(super) fn add(&mut self, head: &RecordHead<'_>, index: &SegmentIndex) {
        self.known.insert(head.file_name.to_owned(), (head.stamp, head.rows));
        let Some(record) = record(head, index) else { return };
        let added = self.make_room().and_then(|()| self.append(&record));
        if let Err(error) = added {
            self.is_broken = true;
            tracing::warn!(%error, "cannot write {INDEX_LOG}; the next start takes longer");
        }
    }

    fn append(&mut self, record: &[u8]) -> io::Result<()> {
        self.records += 1;
        if self.bytes + record.len() as u64 > MAX_FILE_BYTES {
            return Ok(());
        }
        let mut file = OpenOptions::new().append(true).open(self.folder.join(INDEX_LOG))?;
        // In one call, so that a reader sees the record or its beginning, and no other one behind it.
        file.write_all(record)?;
        self.bytes += record.len() as u64;
        Ok(())
    }

    /// Writes the file anew where that is necessary.
    fn make_room(&mut self) -> io::Result<()> {
        if self.is_broken || self.records >= self.most_records {
            self.forget_gone();
            self.write_anew()?;
        }
        Ok(())
    }

    /// Forgets the segments whose files are gone.
    fn forget_gone(&mut self) {
        let Self { folder, known, .. } = self;
        known.retain(|file_name, _| folder.join(file_name).symlink_metadata().is_ok());
        self.most_records = 2 * self.known.len() + SPARE_RECORDS;
    }

    /// Writes the records of known segments to a new file, which takes the place of the one that is there.
    fn write_anew(&mut self) -> io::Result<()> {
        let path = self.folder.join(INDEX_LOG);
        let temporary = path.with_extension(format!("index.{TEMPORARY_EXTENSION}"));
        // A new file: something else with that name, such as a pipe, would be waited for.
        let _ = fs::remove_file(&temporary);
        let head = file_head(generation());
        let mut file = BufWriter::new(File::create_new(&temporary)?);
        file.write_all(&head)?;
        let (mut records, mut bytes, mut problem) = (0, head.len() as u64, None);
        let mut missing = self.known.clone();
        IndexLogReader::default().records(&self.folder, |record| {
            let RecordHead { file_name, stamp, rows } = record.head;
            let is_last = missing.get(file_name) == Some(&(stamp, rows));
            let is_wanted = problem.is_none() && is_last;
            let Some(raw) = raw_record(record.body).filter(|_| is_wanted) else { return };
            missing.remove(file_name);
            (records, bytes) = (records + 1, bytes + raw.len() as u64);
            problem = file.write_all(&raw).err();
        });
        problem.map_or(Ok(()), Err)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?;
        fs::rename(&temporary, &path)?;
        (self.records, self.bytes, self.is_broken) = (records, bytes, false);
        Ok(())
    }
}

/// What a segment holds, read by an engine that was made for it.
fn load(connection: &Connection, name: SegmentName) -> duckdb::Result<SegmentIndex> {
    if needs_empty(&name) {
        connection.execute_batch(&attach_empty())?;
    }
    SegmentIndex::load(connection, name)
}

/// Another number for each file: readers see by it that there is a new one.
fn generation() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or_default() ^ u64::from(std::process::id()).rotate_left(32)
}
