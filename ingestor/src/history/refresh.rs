//! Keeps the list of segments in step with the folder, without those that cannot be read.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::RwLock;

use super::{
    History, HistoryError, MissingSegment, Scope, State, attachments::AttachBounds, engine::Engine,
    host_index::HostIndex,
};
use crate::{
    catalog::{
        HostNames, IndexLogReader, SegmentFile, SegmentFolder, SegmentIndex, UnreadableSegments, read_again,
    },
    query::Budget,
    segment::{Fault, FolderError, RowCounts, SegmentName, verify_segment},
};

/// A folder that was listed this soon after it changed may have changed once more without another time: file systems keep
/// times as coarse as 2 s.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// The folder is listed at least this often: the times of a network's folder may lag behind.
const LIST_EVERY: Duration = Duration::from_secs(60);

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

/// How far a folder was followed.
#[derive(Debug, Default)]
pub(super) struct Following {
    log: IndexLogReader,
    listed: Option<Listed>,
}

/// When a folder was listed that then had nothing to look at again.
#[derive(Debug)]
struct Listed {
    at: Instant,
    /// When files had come or gone last.
    modified: SystemTime,
}

impl Following {
    /// Whether the folder is surely as it was when it was listed.
    pub(super) fn is_up_to_date(&self, folder: &Path) -> bool {
        let Some(Listed { at, modified }) = &self.listed else { return false };
        at.elapsed() < LIST_EVERY && modified_at(folder).is_some_and(|now| now == *modified)
    }

    /// Remembers a listing that was begun when the folder was `modified`.
    fn note(&mut self, modified: Option<SystemTime>, after: &State) {
        let is_settled = |modified: &SystemTime| modified.elapsed().is_ok_and(|age| age >= SETTLED_AFTER);
        // Whether these can be read may change without a trace in the folder.
        let is_final = after.unreadable.len() == 0 && after.skipped.is_empty();
        let modified = modified.filter(|modified| is_final && is_settled(modified));
        self.listed = modified.map(|modified| Listed { at: Instant::now(), modified });
    }
}

fn modified_at(folder: &Path) -> Option<SystemTime> {
    fs::metadata(folder).and_then(|metadata| metadata.modified()).ok()
}

impl History {
    /// Reads which segments there are in `folder`. Those that cannot be read are left out, and named by
    /// [`History::missing_segments`].
    ///
    /// # Errors
    /// When the folder cannot be listed, or DuckDB cannot start.
    pub fn open(folder: &Path) -> Result<Self, HistoryError> {
        Self::open_bounded(folder, AttachBounds::of_this_process())
    }

    /// The same with other bounds of attached segments.
    pub(super) fn open_bounded(folder: &Path, bounds: AttachBounds) -> Result<Self, HistoryError> {
        let folder = std::path::absolute(folder).map_err(FolderError::at(folder))?;
        let state = Arc::new(RwLock::new(Arc::new(State::new(bounds)?)));
        let scope = Arc::new(Scope::everything());
        let budget = Budget::unlimited();
        let history = Self { folder, state, following: Arc::default(), scope, budget };
        history.refresh()?;
        Ok(history)
    }

    /// Follows the folder: takes up segments that are new or readable again, and drops those that are gone. Costs next to
    /// nothing when nothing changed; for a task that calls it every second.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn refresh(&self) -> Result<(), HistoryError> {
        let mut following = self.following.lock();
        if !following.is_up_to_date(&self.folder) {
            self.list_again(&mut following)?;
        }
        self.state().engine.attachments.trim();
        Ok(())
    }

    fn list_again(&self, following: &mut Following) -> Result<(), HistoryError> {
        let modified = modified_at(&self.folder);
        let before = self.state();
        let mut unreadable = before.unreadable.clone();
        retry(&mut unreadable, &self.folder);
        let after = before.with(&self.folder, &mut following.log, unreadable)?;
        following.note(modified, &after);
        if !after.is_like(&before) {
            self.replace(after);
        }
        Ok(())
    }

    /// Makes `after` what questions are asked of from now on.
    fn replace(&self, after: State) {
        let before = self.state();
        let kept: HashSet<_> = after.index.segments().iter().map(Arc::as_ptr).collect();
        let gone = before.index.segments().iter().filter(|segment| !kept.contains(&Arc::as_ptr(segment)));
        let gone: Vec<SegmentName> = gone.map(|segment| segment.name).collect();
        // New questions must not name them any more when they are detached.
        *self.state.write() = Arc::new(after);
        before.engine.attachments.forget(&gone);
    }

    /// Handles a question for which a segment could not be attached; it is to be asked again.
    pub(super) fn leave_out(
        &self,
        asked: &Arc<State>,
        name: SegmentName,
        fault: Fault,
    ) -> Result<(), HistoryError> {
        let mut following = self.budget.deadline().lock(&self.following)?;
        self.list_again(&mut following)?;
        let state = self.state();
        if !Arc::ptr_eq(asked, &state) || fault == Fault::Gone {
            return Ok(());
        }
        let mut unreadable = state.unreadable.clone();
        // By itself it can be read, so it is the engine that cannot be used.
        let is_readable = is_readable(&self.folder, &name);
        let next = if is_readable { state.with_new_engine()? } else { State::clone(&state) };
        if !is_readable {
            unreadable.add(LEFT_OUT, name, fault);
        }
        self.replace(next.with(&self.folder, &mut following.log, unreadable)?);
        Ok(())
    }

    /// Handles a failed question: true when it should be asked again, because a segment that it read is now left out as
    /// unreadable, or because the segments changed.
    pub(super) fn recover(
        &self,
        asked: &Arc<State>,
        mut touched: Vec<SegmentName>,
        error: &duckdb::Error,
    ) -> Result<bool, HistoryError> {
        let mut following = self.budget.deadline().lock(&self.following)?;
        self.list_again(&mut following)?;
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
        self.replace(fresh.with(&self.folder, &mut following.log, unreadable)?);
        Ok(true)
    }
}

/// The segments whose content is known.
struct KnownSegments<'a> {
    index: &'a HostIndex,
    by_name: HashMap<SegmentName, Arc<SegmentIndex>>,
    /// Absent until a segment is added.
    names: Option<HostNames>,
}

impl<'a> KnownSegments<'a> {
    fn of(index: &'a HostIndex) -> Self {
        let by_name = index.segments().iter().map(|segment| (segment.name, Arc::clone(segment))).collect();
        Self { index, by_name, names: None }
    }

    fn add(&mut self, segment: SegmentIndex) {
        let names = self.names.get_or_insert_with(|| self.index.names());
        self.by_name.insert(segment.name, Arc::new(segment.sharing(names)));
    }

    /// Adds what the log says of the others in `current`.
    fn read_log(&mut self, folder: &Path, log: &mut IndexLogReader, current: &[SegmentFile]) {
        let is_new = |name: &SegmentName| !self.by_name.contains_key(name);
        let new: HashSet<SegmentName> = current.iter().map(|segment| segment.name).filter(is_new).collect();
        if !new.is_empty() {
            log.read(folder, |name| new.contains(name), |segment| self.add(segment));
        }
    }

    /// Looks into a segment that is not known. Where only the engine cannot read it, another one takes its place, once.
    fn load(
        &mut self,
        (before, engine): (&Arc<Engine>, &mut Arc<Engine>),
        folder: &Path,
        name: SegmentName,
    ) -> Result<Result<(), Fault>, HistoryError> {
        let mut loaded = engine.attachments.load(folder, name);
        let is_doubtful = matches!(&loaded, Err(fault) if *fault != Fault::Gone);
        if is_doubtful && Arc::ptr_eq(before, engine) && is_readable(folder, &name) {
            *engine = Arc::new(Engine::start(engine.attachments.bounds)?);
            loaded = engine.attachments.load(folder, name);
        }
        Ok(loaded.map(|segment| self.add(segment)))
    }
}

/// Whether an engine of its own can read a segment.
fn is_readable(folder: &Path, name: &SegmentName) -> bool {
    RowCounts::of(folder).read(name).is_ok()
}

impl State {
    fn new(bounds: AttachBounds) -> Result<Self, HistoryError> {
        let engine = Arc::new(Engine::start(bounds)?);
        let (index, unreadable) = (HostIndex::default(), UnreadableSegments::default());
        Ok(Self { engine, index, damaged: Vec::new(), skipped: Vec::new(), unreadable })
    }

    fn with_new_engine(&self) -> Result<Self, HistoryError> {
        Ok(Self { engine: Arc::new(Engine::start(self.engine.attachments.bounds)?), ..self.clone() })
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

    /// The folder's present segments, without `unreadable`: looks into new ones, and drops those that are gone.
    fn with(
        &self,
        folder: &Path,
        log: &mut IndexLogReader,
        mut unreadable: UnreadableSegments,
    ) -> Result<Self, HistoryError> {
        let (mut engine, mut known) = (Arc::clone(&self.engine), KnownSegments::of(&self.index));
        loop {
            let SegmentFolder { current, damaged, skipped, .. } =
                SegmentFolder::scan_without(folder, |name| unreadable.has(name))?;
            known.read_log(folder, log, &current);
            let mut is_whole = true;
            for SegmentFile { name, .. } in &current {
                if known.by_name.contains_key(name) {
                    continue;
                }
                match known.load((&self.engine, &mut engine), folder, *name)? {
                    // It was removed since the folder was listed; what replaces it will be listed next time.
                    Ok(()) | Err(Fault::Gone) => {}
                    Err(fault) => {
                        unreadable.add(LEFT_OUT, *name, fault);
                        is_whole = false;
                    }
                }
            }
            // The sources of an unreadable segment may have to take its place.
            if is_whole {
                let segments = current.iter().filter_map(|segment| known.by_name.get(&segment.name));
                let index = self.index.with(segments.map(Arc::clone).collect());
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
