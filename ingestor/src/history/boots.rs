//! Boots of a host as numbers, so that millions of samples can refer to them.

use std::{collections::HashMap, mem::size_of};

/// Numbers for the boots that were met. By hash: a host may say of each of its snapshots that it is of another.
#[derive(Debug, Default)]
pub(super) struct Boots(HashMap<String, u32>);

impl Boots {
    /// The number of a boot, which may be new.
    pub(super) fn number(&mut self, boot_id: &str) -> u32 {
        if let Some(number) = self.known(boot_id) {
            return number;
        }
        let number = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.insert(boot_id.to_owned(), number);
        number
    }

    /// The number of a known boot.
    pub(super) fn known(&self, boot_id: &str) -> Option<u32> {
        self.0.get(boot_id).copied()
    }

    /// The boots by their numbers.
    pub(super) fn names(&self) -> HashMap<u32, &str> {
        self.0.iter().map(|(boot_id, number)| (*number, boot_id.as_str())).collect()
    }

    /// Their memory.
    pub(super) fn bytes(&self) -> usize {
        self.0.keys().map(|boot_id| size_of::<(String, u32)>() + boot_id.len()).sum()
    }
}
