//! Which segments are attached to an engine: those that questions use now, and the ones that were used last.
//!
//! A question pins a segment, which attaches it where it is not, and lets go of it when it ends. Attaching goes over one
//! connection of its own, so a question that needs nothing new waits for no other. A pinned segment is never detached.
//! DuckDB plans a statement anew whose database was attached again, so prepared statements hold no segment.

use std::{collections::HashMap, path::Path, sync::Arc};

use duckdb::Connection;
use fleetps_nats::error_chain;
use parking_lot::Mutex;

use super::HistoryError;
use crate::{
    catalog::SegmentIndex,
    descriptors,
    query::Deadline,
    segment::{Fault, SegmentName, attach_segment, detach_statement},
};

/// Segments that stay attached while no question uses them, at 0.5 MB each. A page of one host uses one to three; an
/// hour of a fleet of 10,000 hosts lies in some 200. Attaching one takes 1.3 ms.
const KEPT: usize = 256;
/// The most at any time: a gigabyte, and as many open files. A question about everything that there is of 1,400 hosts.
const MOST: usize = 2_048;
/// Segments that are let go of when one is attached, so that it takes no longer after a question that used many.
const DETACHED_AT_ONCE: usize = 2;

/// How many segments may be attached.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttachBounds {
    /// While no question uses them.
    pub(super) kept: usize,
    /// In all.
    pub(super) most: usize,
}

impl AttachBounds {
    /// For this process. Connections may take half of the files that it may open, and DuckDB ends the program where there is
    /// none left: three eighths are for segments.
    pub(super) fn of_this_process() -> Self {
        let share = descriptors::limit().map_or(u64::MAX, |limit| limit / 8 * 3);
        let most = usize::try_from(share).unwrap_or(MOST).clamp(1, MOST);
        Self { kept: KEPT.min(most.div_ceil(2)), most }
    }
}

/// Keeps a segment attached as long as there is one.
pub(super) type Pin = Arc<()>;

/// Why a segment is not attached.
pub(super) enum Unattached {
    /// Its file cannot be read.
    Fault(Fault),
    /// Questions use as many as there may be.
    Full,
}

impl From<Fault> for Unattached {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The segments that are attached to one engine.
pub(super) struct Attachments {
    /// Attaches and detaches.
    attacher: Mutex<Connection>,
    slots: Mutex<Slots>,
    pub(super) bounds: AttachBounds,
}

#[derive(Default)]
struct Slots {
    by_name: HashMap<SegmentName, Slot>,
    /// Counts uses.
    clock: u64,
}

struct Slot {
    pin: Pin,
    /// When it was used last, by the clock of uses.
    used: u64,
    /// Whether the file has been removed or replaced: nothing that begins now may use it.
    is_gone: bool,
}

impl Slot {
    /// A pin is only cloned under the lock of the slots, so what is free there stays so.
    fn is_free(&self) -> bool {
        Arc::strong_count(&self.pin) == 1
    }
}

impl Slots {
    fn pin(&mut self, name: &SegmentName) -> Option<Pin> {
        self.clock += 1;
        let slot = self.by_name.get_mut(name).filter(|slot| !slot.is_gone)?;
        slot.used = self.clock;
        Some(Arc::clone(&slot.pin))
    }

    fn insert(&mut self, name: SegmentName) -> Pin {
        self.clock += 1;
        let pin = Pin::default();
        let slot = Slot { pin: Arc::clone(&pin), used: self.clock, is_gone: false };
        self.by_name.insert(name, slot);
        pin
    }

    /// Takes out a segment that nothing uses: one that is gone, or the least recently used where there are more than `kept`.
    fn take_free(&mut self, kept: usize) -> Option<SegmentName> {
        let is_over = self.by_name.len() > kept;
        let free = self.by_name.iter().filter(|(_, slot)| slot.is_free() && (is_over || slot.is_gone));
        let name = *free.min_by_key(|(_, slot)| (!slot.is_gone, slot.used))?.0;
        self.by_name.remove(&name);
        Some(name)
    }
}

impl Attachments {
    /// None yet. `attacher` is a connection of the engine that nothing else uses.
    pub(super) fn new(attacher: Connection, bounds: AttachBounds) -> Self {
        Self { attacher: Mutex::new(attacher), slots: Mutex::default(), bounds }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.lock().by_name.len()
    }

    /// Keeps a segment attached, and attaches it where it is not.
    pub(super) fn pin(
        &self,
        folder: &Path,
        name: &SegmentName,
        deadline: &Deadline,
    ) -> Result<Result<Pin, Unattached>, HistoryError> {
        if let Some(pin) = self.slots.lock().pin(name) {
            return Ok(Ok(pin));
        }
        let attacher = deadline.lock(&self.attacher)?;
        // Another question may have attached it meanwhile.
        if let Some(pin) = self.slots.lock().pin(name) {
            return Ok(Ok(pin));
        }
        self.make_room(&attacher);
        if self.len() >= self.bounds.most {
            return Ok(Err(Unattached::Full));
        }
        Ok(self.attach(&attacher, folder, name).map_err(Unattached::Fault))
    }

    /// Looks at what a segment holds. On a fault it does not stay attached.
    pub(super) fn load(&self, folder: &Path, name: SegmentName) -> Result<SegmentIndex, Fault> {
        let attacher = self.attacher.lock();
        self.make_room(&attacher);
        let _pin = self.attach(&attacher, folder, &name)?;
        SegmentIndex::load(&attacher, name).map_err(|error| {
            self.slots.lock().by_name.remove(&name);
            detach(&attacher, &name);
            Fault::of(&error)
        })
    }

    /// Nothing that begins now uses these any more; they are detached when nothing else does.
    pub(super) fn forget(&self, names: &[SegmentName]) {
        let mut slots = self.slots.lock();
        for name in names {
            if let Some(slot) = slots.by_name.get_mut(name) {
                slot.is_gone = true;
            }
        }
    }

    /// Detaches what is over the bound, and what is gone.
    pub(super) fn trim(&self) {
        loop {
            // Not all under one lock: questions wait for it.
            let attacher = self.attacher.lock();
            let Some(name) = self.slots.lock().take_free(self.bounds.kept) else { return };
            detach(&attacher, &name);
        }
    }

    fn make_room(&self, attacher: &Connection) {
        for _ in 0..DETACHED_AT_ONCE {
            let Some(name) = self.slots.lock().take_free(self.bounds.kept.saturating_sub(1)) else { return };
            detach(attacher, &name);
        }
    }

    fn attach(&self, attacher: &Connection, folder: &Path, name: &SegmentName) -> Result<Pin, Fault> {
        // One that is gone, and in use: its questions find the new file under its name.
        if self.slots.lock().by_name.remove(name).is_some() {
            detach(attacher, name);
        }
        attach_segment(attacher, folder, name)?;
        Ok(self.slots.lock().insert(*name))
    }
}

fn detach(attacher: &Connection, name: &SegmentName) {
    if let Err(error) = attacher.execute_batch(&detach_statement(&name.alias())) {
        tracing::warn!(segment = %name, "cannot be detached: {}", error_chain(&error));
    }
}

#[cfg(test)]
#[path = "attachments_tests.rs"]
mod tests;
