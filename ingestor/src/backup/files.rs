//! Files: which there are, their checksums, and copies that survive a power failure.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read, Write},
    path::{Component, Path},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::BackupError;
use crate::segment::TEMPORARY_EXTENSION;

/// Read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it lies in the data folder and in the backup, with `/` between folders.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its checksum.
    pub sha256: String,
}

/// Whether a path of a manifest stays within its folder.
pub(super) fn is_plain(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// Copies `from`/`path` to `to`/`path`, permissions included, unless it is there already. Returns the file's entry, and
/// whether it was copied.
pub(super) fn copy(from: &Path, to: &Path, path: &str) -> Result<(Entry, bool), BackupError> {
    let (source, target) = (from.join(path), to.join(path));
    // The source is only read twice where there is something to compare with.
    if let Ok(there) = measure(to, path)
        && measure(from, path)? == there
    {
        return Ok((there, false));
    }
    if let Some(folder) = target.parent() {
        make_private_folder(folder)?;
    }
    let mut file = File::open(&source).map_err(BackupError::at(&source))?;
    let permissions = file.metadata().map_err(BackupError::at(&source))?.permissions();
    let (bytes, sha256) = write(&target, &mut file, Some(permissions))?;
    Ok((Entry { path: path.to_owned(), bytes, sha256 }, true))
}

/// The size and checksum of `folder`/`path`.
pub(super) fn measure(folder: &Path, path: &str) -> Result<Entry, BackupError> {
    let full = folder.join(path);
    let hashed = File::open(&full).and_then(|mut file| pass_on(&mut file, &mut io::sink()));
    let (bytes, sha256) = hashed.map_err(BackupError::at(&full))?;
    Ok(Entry { path: path.to_owned(), bytes, sha256 })
}

/// Writes what `source` holds as the file `target`, as a whole or not at all; for its owner only, unless other
/// `permissions` are given. Returns its size and checksum.
pub(super) fn write(
    target: &Path,
    source: &mut dyn Read,
    permissions: Option<Permissions>,
) -> Result<(u64, String), BackupError> {
    let mut temporary = target.as_os_str().to_owned();
    temporary.push(".");
    temporary.push(TEMPORARY_EXTENSION);
    let temporary = Path::new(&temporary);
    let written = write_whole(temporary, source, permissions).map_err(BackupError::at(temporary));
    if written.is_err() {
        let _ = fs::remove_file(temporary);
    }
    let written = written?;
    fs::rename(temporary, target).map_err(BackupError::at(target))?;
    Ok(written)
}

fn write_whole(
    path: &Path,
    source: &mut dyn Read,
    permissions: Option<Permissions>,
) -> io::Result<(u64, String)> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = pass_on(source, &mut file)?;
    if let Some(permissions) = permissions {
        file.set_permissions(permissions)?;
    }
    file.sync_all()?;
    Ok(written)
}

/// Reads `source` to its end into `target`; returns its size and checksum.
fn pass_on(source: &mut dyn Read, target: &mut dyn Write) -> io::Result<(u64, String)> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut bytes, mut hasher) = (0, Sha256::new());
    loop {
        let read = match source.read(&mut chunk) {
            Ok(0) => return Ok((bytes, hex(&hasher.finalize()))),
            Ok(read) => chunk.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        target.write_all(read)?;
        hasher.update(read);
        bytes += read.len() as u64;
    }
}

/// Makes `folder` for its owner only: it will hold keys and command lines.
pub(super) fn make_private_folder(folder: &Path) -> Result<(), BackupError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(BackupError::at(folder))
}

/// Makes the names in `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), BackupError> {
    // Windows cannot open a folder, and makes renames durable by itself.
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(BackupError::at(folder))
    } else {
        Ok(())
    }
}

/// All files below `folder`, as paths from there with `/` between folders, in order; only those that `wanted` takes,
/// which is asked about folders as well.
pub(super) fn list(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<String>, BackupError> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(inner) = folders.pop() {
        let path = folder.join(&inner);
        for entry in fs::read_dir(&path).map_err(BackupError::at(&path))? {
            let entry = entry.map_err(BackupError::at(&path))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let name = if inner.is_empty() { name } else { format!("{inner}/{name}") };
            let kind = entry.file_type().map_err(BackupError::at(&path))?;
            if !wanted(&name) {
                continue;
            }
            match () {
                () if kind.is_dir() => folders.push(name),
                () if kind.is_file() => found.push(name),
                // Links and sockets are not fleetps's.
                () => {}
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
