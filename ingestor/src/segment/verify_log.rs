//! When each file of the history was last read whole, kept in a small file beside them, so that a start does not read
//! the whole history again. If this file is lost, the history is read once more, and nothing else happens.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use fleetps_nats::file;

/// Each file is read whole this often.
const READ_EVERY_S: i64 = 7 * 24 * 3600;
/// The largest file that is believed: a hundred bytes for each of 100,000 segments.
const MAX_BYTES: u64 = 10 << 20;

/// When each file was last read whole, in seconds since 1970 UTC.
#[derive(Debug)]
pub(crate) struct VerifyLog {
    path: PathBuf,
    read_at_s: BTreeMap<String, i64>,
}

impl VerifyLog {
    /// Reads the log in `path`; an empty one, where that cannot be read.
    pub(crate) fn load(path: PathBuf) -> Self {
        let read_at_s = read(&path).unwrap_or_else(|problem| {
            tracing::warn!(file = %path.display(), "{problem}; every file of the history is read again");
            BTreeMap::new()
        });
        Self { path, read_at_s }
    }

    /// The next of `names` to read: those that never were first, then those that were read longest ago.
    pub(crate) fn next(&mut self, names: &[String], now_s: i64) -> Option<String> {
        let next = names.iter().min_by_key(|name| self.age_began(name, now_s))?;
        let is_due = self.age_began(next, now_s).is_none_or(|at_s| now_s - at_s >= READ_EVERY_S);
        is_due.then(|| next.clone())
    }

    /// When a file was read; `None` for a time to come, which a clock that was wrong left.
    fn age_began(&self, name: &str, now_s: i64) -> Option<i64> {
        self.read_at_s.get(name).copied().filter(|at_s| *at_s <= now_s)
    }

    /// Remembers that `name` was read at `now_s`, and forgets every name not among `names`.
    pub(crate) fn remember(&mut self, name: String, names: &[String], now_s: i64) {
        self.read_at_s.insert(name, now_s);
        self.read_at_s.retain(|known, _| names.contains(known));
        if let Err(error) = self.write() {
            tracing::debug!(file = %self.path.display(), %error, "cannot be written");
        }
    }

    fn write(&self) -> std::io::Result<()> {
        file::replace(&self.path, &serde_json::to_vec(&self.read_at_s)?)
    }
}

fn read(path: &Path) -> Result<BTreeMap<String, i64>, String> {
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Ok(metadata) if !metadata.is_file() => return Err("it is no file".to_owned()),
        _ => {}
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| format!("it is damaged: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn each_file_is_read_once_and_again_a_week_later_also_over_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("verified.json");
        let all = names(&["a", "b"]);
        for (name, now_s) in [("a", 100), ("b", 101)] {
            let mut log = VerifyLog::load(path.clone());
            assert_eq!(log.next(&all, now_s).as_deref(), Some(name));
            log.remember(name.to_owned(), &all, now_s);
        }
        let mut log = VerifyLog::load(path);
        assert_eq!(log.next(&all, 99 + READ_EVERY_S), None);
        assert_eq!(log.next(&all, 100 + READ_EVERY_S).as_deref(), Some("a"));
        // A clock that was ahead does not put it off.
        assert_eq!(log.next(&all, 50).as_deref(), Some("a"));
    }

    #[test]
    fn what_is_gone_is_forgotten_and_what_is_damaged_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("verified.json");
        let mut log = VerifyLog::load(path.clone());
        for name in ["a", "b", "c"] {
            log.remember(name.to_owned(), &names(&[name]), 1);
        }
        assert_eq!(VerifyLog::load(path.clone()).read_at_s.len(), 1);
        for damaged in ["", "{", "[]", "{\"c\": \"x\"}", "\u{0}"] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(VerifyLog::load(path.clone()).next(&names(&["c"]), 2).as_deref(), Some("c"));
        }
    }
}
