//! `/etc/passwd`, read as bytes: a line that makes no sense is lost by itself.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A file with 50,000 users has about this size; those beyond are asked of `getent`.
const MOST_BYTES: u64 = 4 << 20;
/// The longest name; `useradd` allows 32 bytes, directories more.
const MOST_NAME_BYTES: usize = 256;
/// The uid that stands for none.
const NO_UID: u32 = u32::MAX;
/// It is read again at least this often: not every file system changes times.
const READ_AGAIN: Duration = Duration::from_secs(60);

/// The users in a file.
#[derive(Debug)]
pub(super) struct Passwd {
    path: PathBuf,
    version: Option<Version>,
    read_at: Option<Instant>,
    names: HashMap<u32, String>,
    uids: HashMap<String, u32>,
}

/// Device, inode, size and time of the last change.
type Version = (u64, u64, u64, i64, i64);

impl Passwd {
    /// Nothing is read yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, version: None, read_at: None, names: HashMap::new(), uids: HashMap::new() }
    }

    /// Reads the file if it has changed. One that cannot be read is as it was.
    pub(super) fn refresh(&mut self) {
        let version = version(&self.path).ok();
        let is_old = self.read_at.is_none_or(|read_at| read_at.elapsed() >= READ_AGAIN);
        if version == self.version && !is_old {
            return;
        }
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
        if read.is_ok() {
            (self.names, self.uids) = (HashMap::new(), HashMap::new());
            for (name, uid) in bytes.split(|byte| *byte == b'\n').filter_map(user) {
                // The first line with a name or number counts, as it does for the C library.
                self.names.entry(uid).or_insert_with(|| name.clone());
                self.uids.entry(name).or_insert(uid);
            }
            (self.version, self.read_at) = (version, Some(Instant::now()));
        }
    }

    /// The name of a user.
    pub(super) fn name(&self, uid: u32) -> Option<&str> {
        self.names.get(&uid).map(String::as_str)
    }

    /// The uid of a user.
    pub(super) fn uid(&self, name: &str) -> Option<u32> {
        self.uids.get(name).copied()
    }
}

fn version(path: &Path) -> io::Result<Version> {
    let file = std::fs::metadata(path)?;
    Ok((file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
}

/// Name and uid in a line `name:password:uid:…`. Comments, and lines that ask for users of NIS (`+`), have no uid.
pub(super) fn user(line: &[u8]) -> Option<(String, u32)> {
    let mut fields = line.trim_ascii_start().split(|byte| *byte == b':');
    let name = fields.next().filter(|name| !name.is_empty() && name.len() <= MOST_NAME_BYTES)?;
    let uid = fields.nth(1).filter(|uid| !uid.is_empty() && uid.iter().all(u8::is_ascii_digit))?;
    let uid = std::str::from_utf8(uid).ok()?.parse().ok().filter(|uid| *uid != NO_UID)?;
    let is_user = !matches!(name.first(), Some(b'#' | b'+' | b'-'));
    is_user.then(|| (String::from_utf8_lossy(name).into_owned(), uid))
}
