//! The last uses of sessions and tokens. A use is known here first and written in the background, so that no request
//! waits for the broker, and a session in use does not end while the broker is away.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::sessions::NOTED_EVERY;

/// Uses by the key of a session or token. A clone is of the same ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Uses(Arc<Mutex<HashMap<String, Use>>>);

#[derive(Debug)]
struct Use {
    /// The last one, in µs since 1970 UTC.
    at_us: i64,
    /// When it was last begun to write it down, in µs since 1970 UTC.
    written_at_us: i64,
    /// Whether a write is under way.
    is_being_written: bool,
}

/// A write under way; another one of the same key begins when this is dropped.
pub(super) struct Writing {
    uses: Uses,
    key: String,
}

impl Uses {
    /// Notes a use now. Returns the write that is due, if any: `noted_at_us` is the last written time; a time is
    /// written at most once a minute, and one at a time.
    pub(super) fn note(&self, key: &str, noted_at_us: i64, now_us: i64) -> Option<Writing> {
        let mut uses = self.0.lock();
        let known = uses.entry(key.to_owned()).or_insert(Use {
            at_us: now_us,
            written_at_us: noted_at_us,
            is_being_written: false,
        });
        known.at_us = known.at_us.max(now_us);
        // Also where it was noted at a time to come, because the clock was set back.
        let passed_us = u128::from(now_us.abs_diff(known.written_at_us.max(noted_at_us)));
        let is_due = passed_us >= NOTED_EVERY.as_micros();
        if known.is_being_written || !is_due {
            return None;
        }
        (known.is_being_written, known.written_at_us) = (true, now_us);
        Some(Writing { uses: self.clone(), key: key.to_owned() })
    }

    /// The last use, where one is known here.
    pub(super) fn last_us(&self, key: &str) -> Option<i64> {
        self.0.lock().get(key).map(|known| known.at_us)
    }

    /// Forgets keys that no longer exist.
    pub(super) fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.0.lock().retain(|key, _| is_there(key));
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(known) = self.uses.0.lock().get_mut(&self.key) {
            known.is_being_written = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_US: i64 = 60_000_000;

    #[test]
    fn a_use_is_known_at_once_and_written_once_a_minute_and_one_at_a_time() {
        let uses = Uses::default();
        assert!(uses.note("key", 0, MINUTE_US / 2).is_none(), "it was noted half a minute ago");
        assert_eq!(uses.last_us("key"), Some(MINUTE_US / 2));
        let writing = uses.note("key", 0, MINUTE_US);
        assert!(writing.is_some());
        // However long that takes.
        assert!(uses.note("key", 0, 5 * MINUTE_US).is_none());
        assert_eq!(uses.last_us("key"), Some(5 * MINUTE_US));
        drop(writing);
        assert!(uses.note("key", 0, 5 * MINUTE_US).is_some());
        // It failed, and is tried again in a minute.
        assert!(uses.note("key", 0, 6 * MINUTE_US - 1).is_none());
        uses.keep(|_| false);
        assert_eq!(uses.last_us("key"), None);
    }
}
