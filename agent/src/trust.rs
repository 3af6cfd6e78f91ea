//! Which control key is trusted: the one that the host's file pins, until something of one that follows it was believed.
//!
//! An older key then has no say any more, also in the next run, for which what is trusted is kept in a file. The note counts
//! only for the key that it was made for: whoever writes another one into the host's file decides anew. The agent and the
//! control helper each have one of their own.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use fleetps_nats::file;
use serde::{Deserialize, Serialize};

/// What is trusted.
#[derive(Debug)]
pub(crate) struct Trust {
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
    /// Nothing is known but what is pinned, until [`read`](Self::read).
    pub(crate) fn kept_in(file: Option<PathBuf>) -> Self {
        Self { file, known: Mutex::default() }
    }

    /// Reads what an earlier run kept. A note that cannot be read is none: the pinned key, and those that follow it, are trusted
    /// then. Blocks, as files may.
    pub(crate) fn read(&self) {
        let bytes = self.file.as_ref().and_then(|file| file::read(file).ok());
        let kept = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut known = self.known();
        // What came before this was read may be of a key that is older than the kept one.
        *known = kept.or(known.take());
    }

    /// The key that is trusted where the host's file pins `pinned`.
    pub(crate) fn of(&self, pinned: &str) -> String {
        trusted(self.known().as_ref(), pinned).to_owned()
    }

    /// Something of `key` was believed, because `trusted` was trusted where the host's file pins `pinned`. Whether that is news,
    /// which is to be [kept](Self::keep); not where another has become trusted meanwhile.
    pub(crate) fn believed(&self, pinned: &str, was_trusted: &str, key: &str) -> bool {
        let mut known = self.known();
        let is_news = trusted(known.as_ref(), pinned) == was_trusted && was_trusted != key;
        if is_news {
            tracing::info!(key, "trusting the control key that follows the one that was trusted until now");
            *known = Some(Note { pinned: pinned.to_owned(), trusted: key.to_owned() });
        }
        is_news
    }

    /// Keeps what is trusted for the next run. Blocks, as files may.
    pub(crate) fn keep(&self) {
        let note = self.known().clone();
        let (Some(path), Some(note)) = (&self.file, note) else { return };
        let text = serde_json::to_vec(&note).unwrap_or_default();
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        if let Err(error) = folder.and_then(|()| file::replace(path, &text)) {
            tracing::warn!(path = %path.display(), %error, "which control key is trusted is not kept for the next run");
        }
    }

    /// Plain data: a panic elsewhere leaves nothing half done in it.
    fn known(&self) -> MutexGuard<'_, Option<Note>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn trusted<'a>(known: Option<&'a Note>, pinned: &'a str) -> &'a str {
    known.filter(|note| note.pinned == pinned).map_or(pinned, |note| &note.trusted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_key_is_trusted_in_the_next_run_too_and_not_where_the_file_pins_another() {
        let folder = tempfile::tempdir().unwrap();
        let run = || {
            let trust = Trust::kept_in(Some(folder.path().join("state/trusted-key.json")));
            trust.read();
            trust
        };
        let first = run();
        assert_eq!(first.of("a"), "a");
        assert!(!first.believed("a", "a", "a") && first.believed("a", "a", "b"));
        // It was opened while the older one was trusted.
        assert!(!first.believed("a", "a", "c"));
        first.keep();
        let next = run();
        assert_eq!((next.of("a"), next.of("z")), ("b".to_owned(), "z".to_owned()));
        fs::write(folder.path().join("state/trusted-key.json"), "{").unwrap();
        assert_eq!(run().of("a"), "a");
    }
}
