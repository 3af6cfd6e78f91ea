//! The files in which nats-server keeps its streams. Where they are damaged, it logs that and goes on without the
//! unreadable part. Where it cannot start with them, they are moved aside.

use std::{
    fs::{self, FileType},
    io,
    path::{Path, PathBuf},
};

use super::{ServerHealth, config::Files};
use crate::disk;

/// Log texts that mean a loss in the store, and not merely a slow read. There is no other source: the broker tells no
/// client.
const LOSSES: [&str; 6] =
    ["metafile", "checksum file", "corrupt", "could not locate", "Error recreating", "Can't start JetStream"];
/// The folders of a store are nested: `jetstream`, an account, `streams`, a stream, and `msgs` or `obs` in it. Down to
/// the stream there are only folders.
const FOLDERS_DOWN_TO: usize = 4;
/// As far down as a store is looked through.
const MAX_DEPTH: usize = 8;
/// Log lines reported after a start, at most.
const MAX_TOLD: usize = 4;

/// The store of a server.
#[derive(Debug, Clone)]
pub(super) struct Store {
    folder: PathBuf,
    log: PathBuf,
}

impl Store {
    pub(super) fn of(files: &Files) -> Self {
        Self { folder: files.store().to_owned(), log: files.log.clone() }
    }

    /// Whether something can be kept there now.
    pub(super) fn try_writing(&self) -> io::Result<()> {
        disk::try_writing(&self.folder)
    }

    /// Moves aside what prevents a start: a file where a folder must be, and anything that is neither, for which a
    /// server would wait for ever. It could not begin a new stream in its place.
    pub(super) fn clear_the_way(&self, health: &ServerHealth) {
        self.clear(&self.folder, 0, health);
    }

    fn clear(&self, path: &Path, depth: usize, health: &ServerHealth) {
        let Ok(metadata) = fs::symlink_metadata(path) else { return };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if depth == 1 && metadata.is_file() && name.starts_with(disk::PROBE_PREFIX) {
            let _ = fs::remove_file(path);
            return;
        }
        if !is_in_place(metadata.file_type(), depth) {
            // The folder itself may be a link that somebody made on purpose.
            if depth > 0 || !path.is_dir() {
                let moved = self.move_aside(path);
                health.note(match moved {
                    Ok(place) => format!(
                        "{} is not what a broker has there; it was moved to {}",
                        path.display(),
                        place.display()
                    ),
                    Err(error) => {
                        format!("{} cannot be moved out of the broker's way: {error}", path.display())
                    }
                });
                return;
            }
        }
        let entries = if depth < MAX_DEPTH { fs::read_dir(path).ok() } else { None };
        for entry in entries.into_iter().flatten().flatten() {
            self.clear(&entry.path(), depth + 1, health);
        }
    }

    /// Where it is kept: beside the store.
    fn move_aside(&self, path: &Path) -> io::Result<PathBuf> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let time = crate::now_us();
        let place = self.folder.with_file_name(format!("{name}.damaged-{time}"));
        fs::rename(path, &place).map(|()| place)
    }

    /// How much there is to be read at a start.
    pub(super) fn bytes(&self) -> u64 {
        bytes_in(&self.folder, 0)
    }

    /// Tells what of these lines of the log says that something is lost.
    pub(super) fn tell(&self, lines: &[String], health: &ServerHealth) {
        let lost: Vec<&str> =
            lines.iter().map(|line| without_time(line)).filter(|line| is_loss(line)).collect();
        for line in lost.iter().take(MAX_TOLD) {
            health.note(format!("nats-server found its store damaged at its start: {line}"));
        }
        if lost.len() > MAX_TOLD {
            let (more, log) = (lost.len() - MAX_TOLD, self.log.display());
            health.note(format!("nats-server said {more} more of its damaged store, in {log}"));
        }
    }

    /// Puts `stream`, or the whole store where it is not known, aside, where it is kept: the next start begins without it.
    pub(super) fn set_aside(
        &self,
        problem: &str,
        stream: Option<&UnfinishedStream>,
        health: &ServerHealth,
    ) -> Result<(), String> {
        let (path, what) = match stream {
            Some(UnfinishedStream { account, name }) => (
                self.folder.join("jetstream").join(account).join("streams").join(name),
                format!("the stream {name}"),
            ),
            None => (self.folder.clone(), "its store".to_owned()),
        };
        let place = self
            .move_aside(&path)
            .map_err(|error| format!("{problem}\n{} cannot be moved aside: {error}", path.display()))?;
        health.note(format!(
            "nats-server could not start over {what}, which was moved to {} and is kept; it is begun anew, without what was \
             there: snapshots that were not stored yet, or users and hosts (`fleetps restore` has those of a backup). Where \
             fleetps was running meanwhile, start it again. The server said: {problem}",
            place.display()
        ));
        Ok(())
    }
}

/// A stream that the server was reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnfinishedStream {
    account: String,
    name: String,
}

impl UnfinishedStream {
    /// The one that these lines of the log say last that it was begun, and not that it was finished.
    pub(super) fn last_in(lines: &[String]) -> Option<Self> {
        let quoted = |line: &str| line.split('\'').nth(1).map(str::to_owned);
        let mut begun = Vec::new();
        for line in lines {
            if line.contains("Starting restore for stream") {
                begun.push(quoted(line));
            } else if line.contains("Restored ") {
                begun.retain(|stream| *stream != quoted(line));
            }
        }
        let (account, name) = begun.last()?.as_deref()?.split_once(" > ")?;
        // They become parts of a path.
        let is_plain = |text: &str| !text.is_empty() && !text.contains(['/', '\\']) && !text.starts_with('.');
        (is_plain(account) && is_plain(name))
            .then(|| Self { account: account.to_owned(), name: name.to_owned() })
    }
}

fn bytes_in(folder: &Path, depth: usize) -> u64 {
    if depth > MAX_DEPTH {
        return 0;
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        Some(if metadata.is_dir() { bytes_in(&entry.path(), depth + 1) } else { metadata.len() })
    });
    sizes.sum()
}

fn is_in_place(kind: FileType, depth: usize) -> bool {
    kind.is_dir() || (kind.is_file() && depth > FOLDERS_DOWN_TO)
}

fn is_loss(line: &str) -> bool {
    // A stream without its state file is read in full, which takes longer.
    !line.contains("state file") && LOSSES.iter().any(|word| line.contains(word))
}

/// The line without process id, date and time, so that the same is the same.
fn without_time(line: &str) -> &str {
    line.find("[WRN]").or_else(|| line.find("[ERR]")).and_then(|place| line.get(place..)).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_at_which_a_server_hangs_is_known_by_its_log() {
        let lines = |text: &[&str]| text.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let log = lines(&[
            "[7] 2026/11/27 22:09:52.87 [INF]   Starting restore for stream 'FLEET > KV_users'",
            "[7] 2026/11/27 22:09:52.88 [INF]   Restored 3 messages for stream 'FLEET > KV_users' in 1ms",
            "[7] 2026/11/27 22:09:52.88 [INF]   Starting restore for stream 'FLEET > SNAP'",
        ]);
        let stream = UnfinishedStream { account: "FLEET".to_owned(), name: "SNAP".to_owned() };
        assert_eq!(UnfinishedStream::last_in(&log), Some(stream));
        assert_eq!(UnfinishedStream::last_in(&log[..2]), None);
        let hostile = lines(&["[INF]   Starting restore for stream '.. > ../../x'"]);
        assert_eq!(UnfinishedStream::last_in(&hostile), None);
    }
}
