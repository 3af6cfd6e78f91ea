//! Keeps the attached segments those of the folder, without the damaged ones.

use std::{collections::HashMap, path::Path, sync::Arc};

use fleetps_nats::with_causes;
use parking_lot::RwLock;

use super::{
    Catalog, History, HistoryError, Scope, State,
    engine::{Attaching, Engine},
    held::Held,
};
use crate::{
    segment::SegmentName,
    upkeep::{find_damage, is_damage},
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

/// Why a segment is set aside that has the name of a damaged one.
const FOUND_BEFORE: &str = "the ingestor found it damaged";

impl History {
    /// Attaches every current segment in `folder`, read-only. Those that cannot be read are left out, and named by
    /// [`History::set_aside`].
    ///
    /// # Errors
    /// When the folder cannot be listed, or DuckDB cannot start.
    pub fn open(folder: &Path) -> Result<Self, HistoryError> {
        let folder = std::path::absolute(folder).map_err(|source| HistoryError::list(folder, source))?;
        let state = Arc::new(RwLock::new(Arc::new(State::new()?)));
        let scope = Arc::new(Scope::everything());
        let history = Self { folder, state, changing: Arc::default(), scope };
        history.refresh()?;
        Ok(history)
    }

    /// Looks at the folder again: attaches segments that are new, lets go of those that are gone. Cheap when nothing is
    /// new; for a task that calls it every second.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn refresh(&self) -> Result<(), HistoryError> {
        let _changing = self.changing.lock();
        self.refresh_alone()
    }

    /// The same for whoever holds the lock.
    fn refresh_alone(&self) -> Result<(), HistoryError> {
        let catalog = Catalog::scan(&self.folder)?;
        let names: Vec<_> = catalog.current.iter().map(|segment| segment.name).collect();
        let before = self.state();
        if !names.iter().eq(before.known.iter()) || catalog.damaged != before.damaged {
            let before = State { damaged: catalog.damaged, ..State::clone(&before) };
            let after = before.with(&self.folder, names);
            let gone = before.segments.iter().filter(|held| !after.knows(&held.name)).map(|held| held.name);
            let gone: Vec<SegmentName> = gone.collect();
            // New questions must not name them any more when they are detached.
            *self.state.write() = Arc::new(after);
            gone.iter().for_each(|name| before.engine.detach(name));
        }
        Ok(())
    }

    /// What to do about a question that failed: true when it should be asked again, because a segment that it read was
    /// damaged and is set aside now, or because the segments are others by now.
    pub(super) fn recover(
        &self,
        asked: &Arc<State>,
        mut touched: Vec<SegmentName>,
        error: &duckdb::Error,
    ) -> Result<bool, HistoryError> {
        let _changing = self.changing.lock();
        self.refresh_alone()?;
        if !Arc::ptr_eq(asked, &self.state()) {
            return Ok(true);
        }
        let said = error.to_string();
        if HARMLESS.iter().any(|kind| said.starts_with(kind)) {
            return Ok(false);
        }
        touched.sort_unstable_by_key(ToString::to_string);
        touched.dedup();
        let damaged: Vec<_> = touched
            .into_iter()
            .filter_map(|name| Some((name, with_causes(&find_damage(&self.folder, &name)?))))
            .collect();
        let is_unusable = said.contains("invalidated");
        if damaged.is_empty() && !is_unusable {
            return Ok(false);
        }
        let mut state = State::clone(&self.state());
        for (name, reason) in damaged {
            state.put_aside(name, reason);
        }
        if is_unusable {
            state = State { segments: Vec::new(), engine: Arc::new(Engine::start()?), ..state };
            let names = state.known.clone();
            state = state.with(&self.folder, names);
        }
        *self.state.write() = Arc::new(state);
        Ok(true)
    }
}

impl State {
    fn new() -> Result<Self, HistoryError> {
        let engine = Arc::new(Engine::start()?);
        let (known, segments, damaged) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { engine, known, segments, damaged, set_aside: HashMap::new() })
    }

    fn knows(&self, name: &SegmentName) -> bool {
        self.known.contains(name)
    }

    /// The same with these segments: attaches those that are new, and forgets those that are not named.
    fn with(&self, folder: &Path, names: Vec<SegmentName>) -> Self {
        let attached: HashMap<_, _> = self.segments.iter().map(|held| (held.name, held)).collect();
        let set_aside = self.set_aside.iter().filter(|(name, _)| names.contains(name) && self.knows(name));
        let set_aside = set_aside.map(|(name, about)| (*name, about.clone()));
        let found_before =
            self.damaged.iter().map(|name| (*name, Held::set_aside(name, FOUND_BEFORE.to_owned())));
        let mut state = Self {
            engine: Arc::clone(&self.engine),
            known: Vec::new(),
            segments: Vec::new(),
            damaged: self.damaged.clone(),
            set_aside: set_aside.chain(found_before).collect(),
        };
        for name in names {
            if let Some(held) = attached.get(&name) {
                state.segments.push(Arc::clone(held));
            } else if !state.set_aside.contains_key(&name) {
                match state.engine.attach(folder, name) {
                    Attaching::Attached(held) => state.segments.push(Arc::new(held)),
                    Attaching::Gone => continue,
                    Attaching::Failed(error) => {
                        state.put_aside(name, with_causes(&error));
                        if !is_damage(&error) {
                            // Not known, it is tried again at the next look.
                            continue;
                        }
                    }
                }
            }
            state.known.push(name);
        }
        state
    }

    fn put_aside(&mut self, name: SegmentName, reason: String) {
        tracing::error!(segment = %name, "set aside: {reason}");
        self.segments.retain(|held| held.name != name);
        self.set_aside.insert(name, Held::set_aside(&name, reason));
        self.engine.detach(&name);
    }
}
