//! Keeps the attached segments those of the folder, without those that cannot be read.

use std::{
    collections::HashMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::RwLock;

use super::{History, HistoryError, Scope, SetAside, State, engine::Engine};
use crate::{
    catalog::{Catalog, Held},
    segment::{Fault, FolderError, RowCounts, SegmentName, verify_segment},
};

/// How DuckDB begins an error that has nothing to do with what is on disk.
const HARMLESS: [&str; 6] = [
    "Binder Error",
    "Catalog Error",
    "Conversion Error",
    "Interrupt Error",
    "Out of Memory Error",
    "Parser Error",
];

/// The first wait before an unreadable segment is tried again; it doubles. A lock is often gone after a moment.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait: what can be read again is back within this.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// Why a segment is missing that has the name of a damaged one.
const FOUND_BEFORE: &str = "the ingestor found it damaged twice and set it aside";

/// A segment that should be attached and cannot be read.
#[derive(Debug, Clone)]
pub(super) struct Aside {
    fault: Fault,
    retry_at: Instant,
    delay: Duration,
}

/// Those segments.
pub(super) type Asides = HashMap<SegmentName, Aside>;

fn put_aside(asides: &mut Asides, name: SegmentName, fault: Fault) {
    let before = asides.remove(&name);
    if before.as_ref().is_none_or(|before| before.fault != fault) {
        tracing::error!(segment = %name, "left out of answers: {fault}");
    }
    let delay = before.map_or(FIRST_RETRY, |before| (before.delay * 2).min(MAX_RETRY));
    asides.insert(name, Aside { fault, retry_at: Instant::now() + delay, delay });
}

/// Looks again at those for which it is time. What is readable again, or gone, is none of them any more.
fn retry(asides: &mut Asides, folder: &Path) {
    let now = Instant::now();
    let due = asides.iter().filter(|(_, aside)| aside.retry_at <= now);
    let due: Vec<SegmentName> = due.map(|(name, _)| *name).collect();
    for name in due {
        // Its beginning may be whole, and what could not be read lie behind it.
        let read = RowCounts::of(folder).read(&name).and_then(|_| verify_segment(folder, &name));
        match read {
            Ok(()) | Err(Fault::Gone) => drop(asides.remove(&name)),
            Err(fault) => put_aside(asides, name, fault),
        }
    }
}

impl History {
    /// Attaches every current segment in `folder`, read-only. Those that cannot be read are left out, and named by
    /// [`History::set_aside`].
    ///
    /// # Errors
    /// When the folder cannot be listed, or DuckDB cannot start.
    pub fn open(folder: &Path) -> Result<Self, HistoryError> {
        let folder = std::path::absolute(folder).map_err(FolderError::at(folder))?;
        let state = Arc::new(RwLock::new(Arc::new(State::new()?)));
        let scope = Arc::new(Scope::everything());
        let history = Self { folder, state, changing: Arc::default(), scope };
        history.refresh()?;
        Ok(history)
    }

    /// Looks at the folder again: attaches segments that are new or can be read again, lets go of those that are gone.
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
        let mut asides = before.asides.clone();
        retry(&mut asides, &self.folder);
        let after = before.with(&self.folder, asides)?;
        if !after.is_like(&before) {
            self.replace(after);
        }
        Ok(())
    }

    /// Makes `after` what questions are asked of from now on.
    fn replace(&self, after: State) {
        let before = self.state();
        let is_kept = |held: &Arc<Held>| after.segments.iter().any(|other| Arc::ptr_eq(held, other));
        let gone: Vec<SegmentName> =
            before.segments.iter().filter(|held| !is_kept(held)).map(|held| held.name).collect();
        let is_same_engine = Arc::ptr_eq(&before.engine, &after.engine);
        // New questions must not name them any more when they are detached.
        *self.state.write() = Arc::new(after);
        if is_same_engine {
            gone.iter().for_each(|name| before.engine.detach(name));
        }
    }

    /// What to do about a question that failed: true when it should be asked again, because a segment that it read cannot
    /// be read now and is left out, or because the segments are others by now.
    pub(super) fn recover(
        &self,
        asked: &Arc<State>,
        mut touched: Vec<SegmentName>,
        error: &duckdb::Error,
    ) -> Result<bool, HistoryError> {
        let _changing = self.changing.lock();
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
        let mut asides = state.asides.clone();
        for name in touched {
            if let Err(fault) = verify_segment(&self.folder, &name) {
                put_aside(&mut asides, name, fault);
            }
        }
        let is_unusable = said.contains("invalidated");
        if asides.len() == state.asides.len() && !is_unusable {
            return Ok(false);
        }
        let fresh = if is_unusable { state.with_new_engine()? } else { State::clone(&state) };
        self.replace(fresh.with(&self.folder, asides)?);
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
        let (segments, damaged, left_out) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { engine, segments, damaged, left_out, asides: Asides::new() })
    }

    fn with_new_engine(&self) -> Result<Self, HistoryError> {
        Ok(Self { engine: Arc::new(Engine::start()?), segments: Vec::new(), ..self.clone() })
    }

    /// Whether both have the same segments, and miss the same for the same reasons and until the same times.
    fn is_like(&self, other: &Self) -> bool {
        let same = |one: &Arc<Held>, other: &Arc<Held>| Arc::ptr_eq(one, other);
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|(one, other)| same(one, other))
            && (&self.damaged, &self.left_out) == (&other.damaged, &other.left_out)
            && self.asides.len() == other.asides.len()
            && self.asides.iter().all(|(name, aside)| {
                other.asides.get(name).is_some_and(|other| other.retry_at == aside.retry_at)
            })
    }

    /// What is in the folder now, without `asides`: attaches what is new, and forgets what is gone.
    fn with(&self, folder: &Path, mut asides: Asides) -> Result<Self, HistoryError> {
        let (mut engine, mut is_new_engine) = (Arc::clone(&self.engine), false);
        let mut attached: HashMap<_, _> =
            self.segments.iter().map(|held| (held.name, Arc::clone(held))).collect();
        loop {
            let catalog = Catalog::scan_without(folder, |name| asides.contains_key(name))?;
            let (mut segments, mut is_whole) = (Vec::new(), true);
            for segment in &catalog.current {
                let name = segment.name;
                match attached
                    .get(&name)
                    .map(Arc::clone)
                    .map_or_else(|| engine.attach(folder, name).map(Arc::new), Ok)
                {
                    Ok(held) => {
                        attached.insert(name, Arc::clone(&held));
                        segments.push(held);
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
                        put_aside(&mut asides, name, fault);
                        is_whole = false;
                    }
                }
            }
            // What an unreadable one was merged from may have to take its place.
            if is_whole {
                let Catalog { damaged, left_out, .. } = catalog;
                return Ok(Self { engine, segments, damaged, left_out, asides });
            }
        }
    }

    /// The segments whose content is missing.
    pub(super) fn missing(&self) -> impl Iterator<Item = SetAside> {
        let asides = self.asides.iter().map(|(name, aside)| SetAside::of(name, aside.fault.to_string()));
        let left_out = self.left_out.iter().map(|file| SetAside {
            segment: file.file_name.clone(),
            ..SetAside::of(&file.name, file.fault.to_string())
        });
        let damaged = self.damaged.iter().map(|name| SetAside::of(name, FOUND_BEFORE.to_owned()));
        asides.chain(left_out).chain(damaged)
    }
}
