//! Counts of requests by what became of them.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

/// Counts by a short name; a clone counts the same. The names are in this program, so there are few.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Counts {
    /// One more.
    pub fn count(&self, name: &'static str) {
        *self.0.lock().entry(name).or_default() += 1;
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().clone()
    }
}
