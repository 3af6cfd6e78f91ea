//! Which control key is trusted: the one that the host's file pins, until a command of one that follows it was believed.
//!
//! An older key then has no say any more, also in the next run of the helper, which keeps what it trusts in a file. The note
//! counts only for the key that it was made for: whoever writes another one into the host's file decides anew.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use fleetps_nats::file;
use serde::{Deserialize, Serialize};

/// What is trusted.
#[derive(Debug)]
pub(super) struct Trust {
    /// Where it is kept; absent where this run has no folder of its own, and so forgets it at its end.
    file: Option<PathBuf>,
    known: Mutex<Option<Note>>,
}

/// That a key that follows the pinned one is trusted in its place: the public halves.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Note {
    pinned: String,
    trusted: String,
}

impl Trust {
    /// What is kept in `file`. A note that cannot be read is none: the pinned key, and those that follow it, are trusted then.
    pub(super) fn kept_in(file: Option<PathBuf>) -> Self {
        let bytes = file.as_ref().and_then(|file| file::read(file).ok());
        let known = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { file, known: Mutex::new(known) }
    }

    /// The key that is trusted where the host's file pins `pinned`.
    pub(super) fn of(&self, pinned: &str) -> String {
        let known = self.known();
        let noted = known.as_ref().filter(|note| note.pinned == pinned);
        noted.map_or(pinned, |note| &note.trusted).to_owned()
    }

    /// A frame of `key` was believed where the host's file pins `pinned`.
    pub(super) fn believed(&self, pinned: &str, key: &str) {
        if self.of(pinned) == key {
            return;
        }
        let note = Note { pinned: pinned.to_owned(), trusted: key.to_owned() };
        tracing::info!(key, "commands are signed with a key that follows the one that was trusted until now");
        if let Some(path) = &self.file {
            let text = serde_json::to_vec(&note).unwrap_or_default();
            let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
            if let Err(error) = folder.and_then(|()| file::replace(path, &text)) {
                tracing::warn!(path = %path.display(), %error, "which control key is trusted is not kept for the next run");
            }
        }
        *self.known() = Some(note);
    }

    /// Plain data: a panic elsewhere leaves nothing half done in it.
    fn known(&self) -> MutexGuard<'_, Option<Note>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
