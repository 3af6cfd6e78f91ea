//! Which segments there are now, and `attach.sql`, which tells everybody else.
//!
//! Sealing adds segments and upkeep replaces or retires them; both go through here. A retired segment is no longer in
//! `attach.sql`, but stays on disk for a while, for readers that have just read the old one.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use fleetps_nats::with_causes;

use crate::{
    audit::{AuditFolder, attach_audit_sql},
    error::IngestError,
    history::{Catalog, HistoryError, RowCounts, attach_sql},
    segment::{FileError, SegmentName, TEMPORARY_EXTENSION, current_and_covered, publish_file},
};

/// The file beside the segments that tells everybody how to attach them.
pub const ATTACH_SQL: &str = "attach.sql";

/// A segment and what planning needs to know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shelved {
    pub(crate) name: SegmentName,
    /// Rows of processes.
    pub(crate) rows: u64,
    /// Size of the file.
    pub(crate) bytes: u64,
}

/// The segments of one folder.
#[derive(Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By name, of which the text sorts by level, numbering and sequence.
    segments: BTreeMap<String, Shelved>,
    retired: Vec<(SegmentName, Instant)>,
    set_aside: Vec<SegmentName>,
    /// Whether `attach.sql` says what is here.
    is_published: bool,
}

impl Shelf {
    /// The segments in `folder`. Removes what a crash left; so only for whoever holds the lock on the folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, HistoryError> {
        remove_temporary(folder).map_err(|source| HistoryError::list(folder, source))?;
        // What attach.sql says must hold from anywhere.
        let folder = fs::canonicalize(folder).map_err(|source| HistoryError::list(folder, source))?;
        let state = State::load(&folder)?;
        Ok(Self { folder, state: Mutex::new(state) })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What can be used, in the order of the stream.
    pub(crate) fn segments(&self) -> Vec<Shelved> {
        self.state().current()
    }

    /// The segments that cannot be read.
    pub(crate) fn set_aside(&self) -> Vec<SegmentName> {
        self.state().set_aside.clone()
    }

    /// The latest numbering of a partition, with the highest sequence that a name in it says; set aside or not.
    pub(crate) fn highest(&self, partition: u32) -> Option<(i64, u64)> {
        let state = self.state();
        let names = state.segments.values().map(|shelved| &shelved.name).chain(&state.set_aside);
        let of_partition = names.filter(|name| name.partition == partition);
        of_partition.map(|name| (name.epoch_s, name.last_sequence)).max()
    }

    /// Adds a sealed segment.
    pub(crate) fn add(&self, name: SegmentName, rows: u64) -> Result<(), FileError> {
        self.replace(&[], name, rows)
    }

    /// Adds a merged segment and retires what it was merged from, in one step for whoever reads `attach.sql`.
    pub(crate) fn replace(
        &self,
        sources: &[SegmentName],
        name: SegmentName,
        rows: u64,
    ) -> Result<(), FileError> {
        let path = self.folder.join(name.to_string());
        // The size only matters for planning; the segment must be named in any case.
        let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let mut state = self.state();
        state.put(Shelved { name, rows, bytes });
        state.retire(sources);
        self.publish_locked(&mut state)
    }

    /// Retires segments.
    pub(crate) fn retire(&self, names: &[SegmentName]) -> Result<(), FileError> {
        let mut state = self.state();
        state.retire(names);
        self.publish_locked(&mut state)
    }

    /// Sets a damaged segment aside; what it was merged from takes its place where that is still here.
    pub(crate) fn put_aside(&self, name: SegmentName) -> Result<(), IngestError> {
        let mut state = self.state();
        set_file_aside(&self.folder, &name)?;
        *state = State::load(&self.folder)?;
        Ok(self.publish_locked(&mut state)?)
    }

    /// Makes `attach.sql` say what is here, where it does not yet.
    pub(crate) fn publish(&self) -> Result<(), FileError> {
        let mut state = self.state();
        if state.is_published { Ok(()) } else { self.publish_locked(&mut state) }
    }

    /// Makes `attach.sql` say what is here, after audit segments came or went.
    pub(crate) fn publish_again(&self) -> Result<(), FileError> {
        self.publish_locked(&mut self.state())
    }

    /// Unlinks what was retired more than `delay` ago. Nothing is while `attach.sql` may still name it.
    pub(crate) fn unlink_retired(&self, delay: Duration) {
        let mut state = self.state();
        if !state.is_published {
            return;
        }
        state.retired.retain(|(name, since)| {
            if since.elapsed() < delay {
                return true;
            }
            match fs::remove_file(self.folder.join(name.to_string())) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(segment = %name, error = %error, "cannot remove a segment; trying again later");
                    true
                }
                _ => false,
            }
        });
    }

    fn publish_locked(&self, state: &mut State) -> Result<(), FileError> {
        state.is_published = false;
        let names: Vec<SegmentName> = state.current().iter().map(|shelved| shelved.name).collect();
        let path = self.folder.join(ATTACH_SQL);
        let temporary = path.with_extension(format!("sql.{TEMPORARY_EXTENSION}"));
        let audit = AuditFolder::scan(&self.folder).map(|found| found.current).unwrap_or_default();
        let sql = attach_sql(&self.folder, &names) + "\n" + &attach_audit_sql(&self.folder, &audit);
        fs::write(&temporary, sql).map_err(FileError::at(&temporary))?;
        publish_file(&temporary, &path)?;
        state.is_published = true;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is in the folder. Sets aside what is damaged.
    fn load(folder: &Path) -> Result<Self, HistoryError> {
        loop {
            let catalog = Catalog::scan(folder)?;
            let mut state = Self { set_aside: catalog.damaged, ..Self::default() };
            let mut is_as_scanned = true;
            let mut counts = RowCounts::of(folder)?;
            for segment in catalog.current {
                match counts.read(&segment.name) {
                    Ok(rows) => state.put(Shelved { name: segment.name, rows, bytes: segment.bytes }),
                    Err(error) => {
                        tracing::error!(segment = %segment.name, "set aside: {}", with_causes(&error));
                        state.set_aside.push(segment.name);
                        // One that may not be opened keeps its name: it is not damaged.
                        is_as_scanned &= set_file_aside(folder, &segment.name).is_err();
                    }
                }
            }
            if is_as_scanned {
                // Left by a merge that was done; they may just be in use by a reader.
                state.retired = catalog.covered.into_iter().map(|name| (name, Instant::now())).collect();
                return Ok(state);
            }
        }
    }

    fn put(&mut self, shelved: Shelved) {
        self.segments.insert(shelved.name.to_string(), shelved);
    }

    fn retire(&mut self, names: &[SegmentName]) {
        self.is_published = false;
        for name in names {
            if self.segments.remove(&name.to_string()).is_some() {
                self.retired.push((*name, Instant::now()));
            }
        }
    }

    fn current(&self) -> Vec<Shelved> {
        let names = self.segments.values().map(|shelved| shelved.name).collect();
        let (current, _) = current_and_covered(names);
        current.iter().filter_map(|name| self.segments.get(&name.to_string()).copied()).collect()
    }
}

/// Gives a damaged segment the name of one. Fails where the file cannot even be opened.
fn set_file_aside(folder: &Path, name: &SegmentName) -> Result<(), FileError> {
    let path = folder.join(name.to_string());
    let renamed =
        fs::File::open(&path).and_then(|_| fs::rename(&path, folder.join(name.damaged_file_name())));
    renamed.map_err(FileError::at(&path))
}

/// Removes files that a crash left incomplete.
fn remove_temporary(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_temporary = file_name.ends_with(".tmp") || file_name.ends_with(".tmp.wal");
        if is_temporary {
            tracing::info!(file = %path.display(), "removing what was not complete");
            if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
        }
    }
    Ok(())
}
