//! Brings into a history what another system kept, with its original times.
//!
//! What comes from one database is a numbering of its own beside those of the stream, in a partition that no stream has. Its
//! sequences are the numbers that the database gave its snapshots. So importing the same database again adds only what it
//! has got since, and retention, merging and questions treat it as if it had been stored then.
//!
//! **All of it or nothing of a segment.** Segments are made and merged in a folder of their own beside the history, and
//! renamed into it when they are complete, in the order of their numbers: after a crash the next import goes on behind
//! those that arrived.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use fleetps_nats::{
    HostName, Snapshot,
    lock::{FolderLock, LockError},
};

use crate::{
    catalog::SegmentFolder,
    compaction::{CompactionError, merge_folder},
    events::{Detector, Event, MessagePlace},
    intake::restore_detector,
    segment::{
        FIRST_IMPORTED_PARTITION, FileError, FolderError, SealError, SegmentName, SegmentRows,
        publish_segment, seal,
    },
};

/// Partitions of imports: a million, so that two databases in one history hardly ever share one.
const PARTITIONS: u32 = 1 << 20;
/// Rows of processes in a segment before merging; as many as the ingestor seals at once.
const SEAL_ROWS: usize = 500_000;
/// A fresh segment holds what was stored within an hour.
const HOUR_US: i64 = 3_600_000_000;

/// What is imported could not be brought into the history. What had arrived before stays.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The same is being imported by another process.
    #[error("an import into this history is under way")]
    Lock(#[source] LockError),
    /// A folder cannot be made, read or removed.
    #[error("cannot use {path}; is there space, and is the history writable?")]
    Io {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The history cannot be listed.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A segment cannot be written.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The segments cannot be merged.
    #[error(transparent)]
    Merge(#[from] CompactionError),
    /// A segment cannot be moved into the history.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Which database snapshots come from, in a way that stays the same while the database grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportSource {
    /// Some bits of a digest of what it is: databases with other bits are told apart.
    pub fingerprint: u32,
    /// When its first snapshot was captured, in s since 1970 UTC.
    pub begun_s: i64,
}

/// An import that is under way. Dropped before its end, it leaves the history as it was.
pub struct Import {
    history: PathBuf,
    /// Where segments are made.
    workshop: PathBuf,
    _lock: FolderLock,
    numbering: (u32, i64),
    /// The highest sequence that the history had before.
    stored_sequence: u64,
    last_sequence: u64,
    clock_us: i64,
    detector: Detector,
    rows: Option<SegmentRows>,
    events: Vec<Event>,
    imported: Imported,
}

/// What an import added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Snapshots.
    pub snapshots: u64,
    /// Snapshots that were left alone because the history had them.
    pub known: u64,
}

impl Import {
    /// Begins to import from `source` into the folder `history`, which a running ingestor may use meanwhile.
    ///
    /// # Errors
    /// When another import is under way, or the folder cannot be used.
    pub fn begin(history: &Path, source: ImportSource) -> Result<Self, ImportError> {
        // A start of the ingestor removes what is left of it.
        let folder = history.join("import.tmp");
        let lock = FolderLock::take(&folder).map_err(ImportError::Lock)?;
        let workshop = folder.join("segments");
        match fs::remove_dir_all(&workshop) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&workshop)(error)),
            _ => {}
        }
        fs::create_dir(&workshop).map_err(failed(&workshop))?;
        let numbering = (FIRST_IMPORTED_PARTITION + source.fingerprint % PARTITIONS, source.begun_s.max(0));
        let stored = stored(history, numbering)?;
        let stored_sequence = stored.iter().map(|name| name.last_sequence).max().unwrap_or_default();
        let detector =
            if stored.is_empty() { Detector::default() } else { restore_detector(history, &stored) };
        let clock_us = detector.clock().now_ms.unwrap_or_default().saturating_mul(1000);
        Ok(Self {
            history: history.to_owned(),
            workshop,
            _lock: lock,
            numbering,
            stored_sequence,
            last_sequence: stored_sequence,
            clock_us,
            detector,
            rows: None,
            events: Vec::new(),
            imported: Imported::default(),
        })
    }

    /// The highest number that the history has already; only later ones are taken.
    pub fn stored_sequence(&self) -> u64 {
        self.stored_sequence
    }

    /// Adds the snapshot that its database numbered `sequence`, from 1. They come in the order of their numbers; one that is not
    /// above those before is left alone. It counts as stored when it was captured, or when one before it was, if that was later.
    ///
    /// # Errors
    /// When a segment cannot be written.
    pub fn take(&mut self, sequence: u64, host: &HostName, snapshot: &Snapshot) -> Result<(), ImportError> {
        if sequence <= self.last_sequence {
            self.imported.known += 1;
            return Ok(());
        }
        let captured_us = snapshot.captured_at_us.clamp(0, fleetps_nats::now_us());
        let hour = |at_us: i64| at_us.div_euclid(HOUR_US);
        let is_another_hour = hour(self.clock_us) < hour(captured_us);
        let is_full = self.rows.as_ref().is_some_and(|rows| is_another_hour || rows.is_full(SEAL_ROWS));
        if is_full {
            self.seal()?;
        }
        self.clock_us = self.clock_us.max(captured_us);
        let ((partition, epoch_s), stored_at_us) = (self.numbering, self.clock_us);
        let events = self.detector.snapshot(
            MessagePlace { partition, epoch_s, sequence, stored_at_us },
            host,
            snapshot,
        );
        self.events.extend(events);
        let first_sequence = self.last_sequence + 1;
        let new = || SegmentRows::new(partition, epoch_s, first_sequence, stored_at_us);
        self.rows.get_or_insert_with(new).push(sequence, stored_at_us, host, snapshot);
        self.last_sequence = sequence;
        self.imported.snapshots += 1;
        Ok(())
    }

    fn seal(&mut self) -> Result<(), ImportError> {
        let Some(mut rows) = self.rows.take() else { return Ok(()) };
        rows.set_events(std::mem::take(&mut self.events), self.detector.clock());
        seal(&self.workshop, &mut rows)?;
        Ok(())
    }

    /// Merges what came, and moves it into the history. A reader, and an ingestor that runs, finds it within seconds.
    ///
    /// # Errors
    /// When a segment cannot be written, merged or moved; what was moved stays, and the next import goes on behind it.
    pub fn finish(mut self) -> Result<Imported, ImportError> {
        self.seal()?;
        if self.imported.snapshots > 0 {
            merge_folder(&self.workshop)?;
        }
        for segment in SegmentFolder::scan(&self.workshop)?.current {
            let name = segment.name.to_string();
            publish_segment(&self.workshop.join(&name), &self.history.join(&name))?;
        }
        Ok(self.imported)
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        // What cannot be removed goes at the next import, or the next start of the ingestor.
        let _ = fs::remove_dir_all(&self.workshop);
    }
}

/// The segments of `numbering` that are in the history, also those that cannot be read at present.
fn stored(history: &Path, numbering: (u32, i64)) -> Result<Vec<SegmentName>, FolderError> {
    let folder = SegmentFolder::scan(history)?;
    let current = folder.current.iter().map(|segment| segment.name);
    let unread = folder.skipped.iter().map(|file| file.name).chain(folder.damaged.iter().copied());
    Ok(current.chain(unread).filter(|name| name.numbering() == numbering).collect())
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ImportError {
    let path = path.to_owned();
    move |source| ImportError::Io { path, source }
}
