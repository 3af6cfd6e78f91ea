//! How full the disk under a folder is. The history grows for years, and other programs fill the same disk.

use std::{
    fmt, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::units;

/// From here on it is said that a disk is filling up: at this share there is still time to do something about it.
pub const WARN_PERCENT: u64 = 85;
/// The last part of a disk is left to the broker, so that what comes in can be kept while the history waits for room: one
/// part in 20 of a small disk …
const RESERVE_PART: u64 = 20;
/// … and at most this of a large one: an hour of 10,000 hosts.
const MAX_RESERVE_BYTES: u64 = 1 << 30;
/// The size of the file written to probe a store: less room is of no use to a broker that gets messages of up to 1 MiB.
const PROBE_BYTES: usize = 2 << 20;

/// How full a file system was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Its size, without the superuser's reserve.
    pub total_bytes: u64,
    /// The bytes that this user may still write.
    pub free_bytes: u64,
    /// Whether no further file can be made, however small.
    pub is_out_of_files: bool,
    /// Whether it is mounted to be read only.
    pub is_read_only: bool,
}

/// A problem of a disk, as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskProblem {
    folder: PathBuf,
    text: String,
}

impl fmt::Display for DiskProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the disk of {} {}", self.folder.display(), self.text)
    }
}

impl Disk {
    /// The disk on which `folder` lies, or will lie once it is made; `None` where the system does not say.
    #[cfg(unix)]
    pub fn of(folder: &Path) -> Option<Self> {
        let existing = folder.ancestors().find(|folder| folder.exists())?;
        let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
        let said = rustix::fs::statvfs(existing).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(said.f_frsize);
        let used = said.f_blocks.saturating_sub(said.f_bfree);
        Some(Self {
            total_bytes: bytes(used.saturating_add(said.f_bavail)),
            free_bytes: bytes(said.f_bavail),
            // File systems that make inodes as they need them say 0 of both.
            is_out_of_files: said.f_files > 0 && said.f_favail == 0,
            is_read_only: said.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        })
    }

    /// The disk on which `folder` lies; not asked on this system.
    #[cfg(not(unix))]
    pub fn of(_folder: &Path) -> Option<Self> {
        None
    }

    /// How much of it is used, in percent, rounded down.
    pub fn used_percent(&self) -> u64 {
        let used = u128::from(self.total_bytes.saturating_sub(self.free_bytes));
        u64::try_from(used * 100 / u128::from(self.total_bytes.max(1))).unwrap_or(100)
    }

    /// This many percent of it.
    pub fn part(&self, percent: u64) -> u64 {
        self.total_bytes / 100 * percent
    }

    /// The part of it that is left to the broker.
    pub fn reserve_bytes(&self) -> u64 {
        (self.total_bytes / RESERVE_PART).min(MAX_RESERVE_BYTES)
    }

    /// Whether less than the reserve is free.
    pub fn is_at_its_reserve(&self) -> bool {
        self.free_bytes < self.reserve_bytes()
    }
}

/// A problem of the disk under `folder` that a person should solve soon.
pub fn warning(folder: &Path) -> Option<DiskProblem> {
    let disk = Disk::of(folder)?;
    let text = if disk.is_read_only {
        "is mounted to be read only".to_owned()
    } else if disk.is_out_of_files {
        "has no inodes left, so no file can be made on it".to_owned()
    } else if disk.used_percent() >= WARN_PERCENT {
        let (used, free) = (disk.used_percent(), units::format_bytes(disk.free_bytes));
        format!("is {used} % full ({free} are free); free some of it, or keep less")
    } else {
        return None;
    };
    Some(DiskProblem { folder: folder.to_owned(), text })
}

/// How the files begin that are written to try a folder. One that a killed program left may be removed.
pub(crate) const PROBE_PREFIX: &str = ".probe-";

/// Writes a file of 2 MiB into `folder` and removes it: whether something can be kept there now.
///
/// # Errors
/// What the system said: no space, no inodes, a quota, a failing disk, one that is read only.
pub fn try_writing(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // Several threads may try the same folder at once.
    let path = folder.join(format!("{PROBE_PREFIX}{:016x}", fastrand::u64(..)));
    let written = fs::File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0; PROBE_BYTES])?;
        file.sync_all()
    });
    // Also where writing failed, there may be a file.
    let removed = fs::remove_file(&path);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: Disk =
        Disk { total_bytes: 1000 << 20, free_bytes: 155 << 20, is_out_of_files: false, is_read_only: false };

    #[test]
    fn a_disk_is_full_by_parts() {
        assert_eq!(DISK.used_percent(), 84);
        assert!(!DISK.is_at_its_reserve());
        assert!(Disk { free_bytes: 49 << 20, ..DISK }.is_at_its_reserve());
        let large = Disk { total_bytes: 1 << 43, free_bytes: (1 << 30) - 1, ..DISK };
        assert!(large.is_at_its_reserve() && large.used_percent() == 99);
        assert_eq!(Disk { total_bytes: 0, free_bytes: 0, ..DISK }.used_percent(), 0);
    }

    #[test]
    fn trying_to_write_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        try_writing(&folder.path().join("a/b")).unwrap();
        assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 0);
        fs::write(folder.path().join("file"), "").unwrap();
        try_writing(&folder.path().join("file")).unwrap_err();
    }
}
