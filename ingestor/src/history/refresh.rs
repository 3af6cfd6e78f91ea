//! Keeps the attached segments in step with the folder, without those that cannot be read.

use std::{collections::HashMap, path::Path, sync::Arc, time::Instant};

use parking_lot::RwLock;

use super::{History, HistoryError, MissingSegment, Scope, State, engine::Engine, host_index::HostIndex};
use crate::{
    catalog::{SegmentFolder, SegmentIndex, UnreadableSegments, read_again},
    query::Budget,
    segment::{Fault, FolderError, RowCounts, SegmentName, verify_segment},
};

/// The beginnings of DuckDB's errors that have nothing to do with the files.
const HARMLESS: [&str; 5] =
    ["Binder Error", "Catalog Error", "Conversion Error", "INTERRUPT Error", "Parser Error"];

/// Why a segment is missing that has the name of a damaged one.
const FOUND_BEFORE: &str = "the ingestor found it damaged twice and set it aside";

/// The log message about a segment that cannot be read.
const LEFT_OUT: &str = "left out of answers";

/// Tries those again whose time has come, and forgets those that can be read or are gone.
fn retry(unreadable: &mut UnreadableSegments, folder: &Path) {
    for segment in unreadable.due(Instant::now()) {
        match read_again(folder, &segment.name) {
            Ok(()) | Err(Fault::Gone) => unreadable.remove(&segment.name),
            Err(fault) => unreadable.add(LEFT_OUT, segment.name, fault),
        }
    }
}

impl History {
    /// Attaches every current segment in `folder`, read-only. Those that cannot be read are left out, and named by
    /// [`History::missing_segments`].
    ///
    /// # Errors
    /// When the folder cannot be listed, or DuckDB cannot start.
    pub fn open(folder: &Path) -> Result<Self, HistoryError> {
        let folder = std::path::absolute(folder).map_err(FolderError::at(folder))?;
        let state = Arc::new(RwLock::new(Arc::new(State::new()?)));
        let scope = Arc::new(Scope::everything());
        let budget = Budget::unlimited();
        let history = Self { folder, state, changing: Arc::default(), scope, budget };
        history.refresh()?;
        Ok(history)
    }

    /// Lists the folder again: attaches segments that are new or readable again, and detaches those that are gone.
    /// Cheap when nothing is new; for a task that calls it every second.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn refresh(&self) -> Result<(), HistoryError> {
        let _changing = self.changing.lock();
        self.refresh_alone()
    }

    /// The same for the holder of the lock.
    fn refresh_alone(&self) -> Result<(), HistoryError> {
        let before = self.state();
        let mut unreadable = before.unreadable.clone();
        retry(&mut unreadable, &self.folder);
        let after = before.with(&self.folder, unreadable)?;
        if !after.is_like(&before) {
            self.replace(after);
        }
        Ok(())
    }

    /// Makes `after` what questions are asked of from now on.
    fn replace(&self, after: State) {
        let before = self.state();
        let is_kept = |segment: &Arc<SegmentIndex>| {
            after.index.segments().iter().any(|other| Arc::ptr_eq(segment, other))
        };
        let gone: Vec<SegmentName> = before
            .index
            .segments()
            .iter()
            .filter(|segment| !is_kept(segment))
            .map(|segment| segment.name)
            .collect();
        let is_same_engine = Arc::ptr_eq(&before.engine, &after.engine);
        // New questions must not name them any more when they are detached.
        *self.state.write() = Arc::new(after);
        if is_same_engine {
            gone.iter().for_each(|name| before.engine.detach(name));
        }
    }

    /// Handles a failed question: true when it should be asked again, because a segment that it read is now left out as
    /// unreadable, or because the segments changed.
    pub(super) fn recover(
        &self,
        asked: &Arc<State>,
        mut touched: Vec<SegmentName>,
        error: &duckdb::Error,
    ) -> Result<bool, HistoryError> {
        let _changing = self.budget.deadline().lock(&self.changing)?;
        self.refresh_alone()?;
        let state = self.state();
        if !Arc::ptr_eq(asked, &state) {
            return Ok(true);
        }
        let said = error.to_string();
        if HARMLESS.iter().any(|kind| said.starts_with(kind)) {
            return Ok(false);
        }
        touched.sort_unstable_by_key(ToString::to_string);
        touched.dedup();
        let mut unreadable = state.unreadable.clone();
        for name in touched {
            // Reading a file takes a second for each gigabyte.
            self.budget.deadline().check()?;
            if let Err(fault) = verify_segment(&self.folder, &name) {
                unreadable.add(LEFT_OUT, name, fault);
            }
        }
        let is_unusable = said.contains("invalidated");
        if unreadable.len() == state.unreadable.len() && !is_unusable {
            return Ok(false);
        }
        let fresh = if is_unusable { state.with_new_engine()? } else { State::clone(&state) };
        self.replace(fresh.with(&self.folder, unreadable)?);
        Ok(true)
    }
}

/// Whether an engine of its own can read a segment.
fn is_readable(folder: &Path, name: &SegmentName) -> bool {
    RowCounts::of(folder).read(name).is_ok()
}

impl State {
    fn new() -> Result<Self, HistoryError> {
        let engine = Arc::new(Engine::start()?);
        let (index, unreadable) = (HostIndex::default(), UnreadableSegments::default());
        Ok(Self { engine, index, damaged: Vec::new(), skipped: Vec::new(), unreadable })
    }

    fn with_new_engine(&self) -> Result<Self, HistoryError> {
        Ok(Self { engine: Arc::new(Engine::start()?), index: HostIndex::default(), ..self.clone() })
    }

    /// Whether both have the same segments, and miss the same for the same reasons and until the same times.
    fn is_like(&self, other: &Self) -> bool {
        let same = |one: &Arc<SegmentIndex>, other: &Arc<SegmentIndex>| Arc::ptr_eq(one, other);
        let (ours, theirs) = (self.index.segments(), other.index.segments());
        ours.len() == theirs.len()
            && ours.iter().zip(theirs).all(|(one, other)| same(one, other))
            && (&self.damaged, &self.skipped) == (&other.damaged, &other.skipped)
            && self.unreadable == other.unreadable
    }

    /// The folder's present segments, without `unreadable`: attaches new ones, and drops those that are gone.
    fn with(&self, folder: &Path, mut unreadable: UnreadableSegments) -> Result<Self, HistoryError> {
        let (mut engine, mut is_new_engine) = (Arc::clone(&self.engine), false);
        let mut attached: HashMap<_, _> =
            self.index.segments().iter().map(|segment| (segment.name, Arc::clone(segment))).collect();
        loop {
            let listed = SegmentFolder::scan_without(folder, |name| unreadable.has(name))?;
            let (mut segments, mut is_whole) = (Vec::new(), true);
            for segment in &listed.current {
                let name = segment.name;
                match attached
                    .get(&name)
                    .map(Arc::clone)
                    .map_or_else(|| engine.attach(folder, name).map(Arc::new), Ok)
                {
                    Ok(segment) => {
                        attached.insert(name, Arc::clone(&segment));
                        segments.push(segment);
                    }
                    // It was removed since the folder was listed; what replaces it will be listed next time.
                    Err(Fault::Gone) => {}
                    // By itself it can be read, so it is the engine that cannot be used.
                    Err(_) if !is_new_engine && is_readable(folder, &name) => {
                        attached.clear();
                        (engine, is_new_engine) = (Arc::new(Engine::start()?), true);
                        is_whole = false;
                        break;
                    }
                    Err(fault) => {
                        unreadable.add(LEFT_OUT, name, fault);
                        is_whole = false;
                    }
                }
            }
            // The sources of an unreadable segment may have to take its place.
            if is_whole {
                let SegmentFolder { damaged, skipped, .. } = listed;
                let index = self.index.with(segments);
                return Ok(Self { engine, index, damaged, skipped, unreadable });
            }
        }
    }

    /// The segments whose content is missing.
    pub(super) fn missing(&self) -> impl Iterator<Item = MissingSegment> {
        let unreadable = self
            .unreadable
            .iter()
            .map(|segment| MissingSegment::of(&segment.name, segment.fault.to_string()));
        let skipped = self.skipped.iter().map(|file| MissingSegment {
            segment: file.file_name.clone(),
            ..MissingSegment::of(&file.name, file.fault.to_string())
        });
        let damaged = self.damaged.iter().map(|name| MissingSegment::of(name, FOUND_BEFORE.to_owned()));
        unreadable.chain(skipped).chain(damaged)
    }
}
