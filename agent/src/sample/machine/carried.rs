//! What an agent's counters owe to devices that are gone, kept over its restarts.

use std::path::{Path, PathBuf};

use fleetps_nats::file;
use serde::{Deserialize, Serialize};

use super::workers::{Slot, Workers};

const FILE_NAME: &str = "counters.json";

/// What the totals have beyond the counters of the devices that are there; received and sent, read and written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Beyond {
    boot_id: String,
    pub(super) network: [i64; 2],
    pub(super) disks: [i64; 2],
}

/// The file that keeps it, which may lie on a folder that hangs.
pub(super) struct Carried {
    file: PathBuf,
    boot_id: String,
    reading: Slot<Beyond>,
    writing: Slot<()>,
    /// What the file has, as far as is known.
    kept: Option<Beyond>,
}

impl Carried {
    /// The file in the agent's state folder. What it has of another boot counts for nothing.
    pub(super) fn new(state_folder: &Path, boot_id: &str, lists: &Workers) -> Self {
        let (file, boot_id) = (state_folder.join(FILE_NAME), boot_id.to_owned());
        let reading = Slot::default();
        let (path, boot) = (file.clone(), boot_id.clone());
        reading.ask(lists, move || read(&path, &boot));
        Self { file, boot_id, reading, writing: Slot::default(), kept: None }
    }

    /// Whether the file was read.
    pub(super) fn is_settled(&self) -> bool {
        self.reading.answered_at().is_some()
    }

    /// What an earlier run left; once.
    pub(super) fn take_earlier(&mut self) -> Option<Beyond> {
        if self.kept.is_some() {
            return None;
        }
        self.kept = self.reading.answer();
        self.kept.clone()
    }

    /// Keeps it, where it changed.
    pub(super) fn keep(&mut self, lists: &Workers, network: [i64; 2], disks: [i64; 2]) {
        let now = Beyond { boot_id: self.boot_id.clone(), network, disks };
        let is_new = self.kept.as_ref().is_some_and(|kept| *kept != now);
        if !is_new || self.writing.pending_since().is_some() {
            return;
        }
        self.kept = Some(now.clone());
        let path = self.file.clone();
        // Where the folder cannot be written, `boot` has said so; counters then begin with what is there.
        self.writing.ask(lists, move || {
            let _ = serde_json::to_vec(&now).map(|bytes| file::replace(&path, &bytes));
        });
    }
}

fn read(path: &Path, boot_id: &str) -> Beyond {
    let kept: Option<Beyond> = file::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let nothing = || Beyond { boot_id: boot_id.to_owned(), ..Beyond::default() };
    kept.filter(|kept| kept.boot_id == boot_id).unwrap_or_else(nothing)
}
