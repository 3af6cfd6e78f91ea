//! Reads what is read rarely of one process below a /proc folder.
//!
//! First what the kernel always answers (`belonging`), then what may wait for as long as the process is stuck:
//! `cmdline` needs the lock of its memory map, which a page fault on a dead network mount keeps; `io` the lock of `exec`;
//! and looking at an executable asks the file system that it is on.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::MetadataExt,
};

use fleetps_nats::snapshot::Process;

use super::{
    cgroup,
    raw::{Facts, StorageBytes},
};

/// Counting more entries takes over a millisecond, for one process.
const MOST_COUNTED_FILES: usize = 4096;
/// Threads that are looked at for one that still runs.
const MOST_TASKS: usize = 64;
/// The kernel allows arguments of some MiB by default; a program that claims more costs no more memory than this.
const MOST_BYTES: u64 = 8 << 20;
const KIB: u64 = 1024;
/// The signal that says that a child has ended; as a bit of the masks in `status`.
const CHILD_SIGNAL_BIT: u64 = 1 << 16;
/// The kernel's mark for a file that was deleted or replaced, as by an upgrade.
const DELETED: &str = " (deleted)";

/// Reads facts; one for each thread.
#[derive(Debug, Clone)]
pub(super) struct FactReader {
    folder: String,
    path: String,
    /// The folder of the process at hand, below `folder`.
    of_process: String,
}

impl FactReader {
    /// Reads from `folder`, usually `/proc`.
    pub(super) fn new(folder: &str) -> Self {
        Self { folder: folder.to_owned(), path: String::new(), of_process: String::new() }
    }

    /// Everything but the arguments: user, control group, figures, and the executable as the kernel names it.
    pub(super) fn belonging(&mut self, pid: u32) -> Facts {
        let status = self.status(pid);
        let number = |name| field(&status, name).and_then(|value| value.trim().parse::<u64>().ok());
        let kilobytes = |name| {
            let value = field(&status, name)?.trim().strip_suffix("kB")?;
            value.trim().parse::<u64>().ok()
        };
        let shared =
            || Some(kilobytes("RssFile:")?.saturating_add(kilobytes("RssShmem:")?).saturating_mul(KIB));
        let figures = Process {
            voluntary_switches: number("voluntary_ctxt_switches:"),
            open_files: self.open_files(),
            shared_bytes: shared(),
            ..Process::default()
        };
        let cgroups = self.whole_file("cgroup").unwrap_or_default();
        let cgroup::Membership { unit, container, pod } = cgroup::parse(&String::from_utf8_lossy(&cgroups));
        let ignored = field(&status, "SigIgn:").and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        Facts {
            executable: self.executable(),
            user_id: effective_user(&status),
            unit: unit.filter(|_| !is_in_other_namespace(&status)),
            container,
            pod,
            ignores_children: ignored.is_some_and(|mask| mask & CHILD_SIGNAL_BIT != 0),
            figures,
            ..Facts::default()
        }
    }

    /// Adds the arguments, and whether the executable was deleted, to the facts of the process just looked at.
    pub(super) fn complete(&mut self, facts: &mut Facts) {
        let cmdline = self.whole_file("cmdline");
        facts.arguments = Some(cmdline.map(|bytes| arguments(&bytes)).unwrap_or_default());
        let Some(path) = &facts.executable else { return };
        let deleted = path.strip_suffix(DELETED).filter(|_| !self.is_the_executable(path)).map(str::to_owned);
        facts.executable_deleted = Some(deleted.is_some());
        if deleted.is_some() {
            facts.executable = deleted;
        }
    }

    /// The bytes that it read and wrote; `None` when that may not be read.
    pub(super) fn storage(&mut self, pid: u32) -> Option<StorageBytes> {
        self.of_process = pid.to_string();
        let bytes = self.whole_file("io")?;
        let text = std::str::from_utf8(&bytes).ok()?;
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        Some(StorageBytes { read: value("read_bytes:")?, written: value("write_bytes:")? })
    }

    /// `status` whole: what is read last stands behind lists of groups and processors of any length. Of a process whose
    /// main thread has ended, it is that of another thread: the main one has forgotten everything.
    fn status(&mut self, pid: u32) -> String {
        self.of_process = pid.to_string();
        let status = self.small_text("status");
        if !is_ended(&status) || field(&status, "Threads:").is_none_or(|threads| threads.trim() == "1") {
            return status;
        }
        let tasks = fs::read_dir(self.path_of("task")).into_iter().flatten().flatten();
        let others = tasks.take(MOST_TASKS).filter_map(|task| task.file_name().into_string().ok());
        for task in others {
            self.of_process = format!("{pid}/task/{task}");
            let other = self.small_text("status");
            if !other.is_empty() && !is_ended(&other) {
                return other;
            }
        }
        self.of_process = pid.to_string();
        status
    }

    fn small_text(&mut self, name: &str) -> String {
        let bytes = self.whole_file(name).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How many files it has open. Since Linux 6.2 the folder's size says so; before, its entries are counted, up to
    /// [`MOST_COUNTED_FILES`]: beyond that it is unknown.
    fn open_files(&mut self) -> Option<u32> {
        let path = self.path_of("fd");
        match fs::metadata(path).ok()?.len() {
            // On older kernels, or nothing is open.
            0 => {
                let count = fs::read_dir(path).ok()?.take(MOST_COUNTED_FILES + 1).count();
                u32::try_from(count).ok().filter(|_| count <= MOST_COUNTED_FILES)
            }
            size => u32::try_from(size).ok(),
        }
    }

    /// Whether `path`, as the process sees it, is the file that the process runs.
    fn is_the_executable(&mut self, path: &str) -> bool {
        let identity = |path: &str| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
        let running = identity(self.path_of("exe"));
        self.path_of("root");
        self.path.push_str(path);
        running.is_some() && running == identity(&self.path)
    }

    fn executable(&mut self) -> Option<String> {
        Some(fs::read_link(self.path_of("exe")).ok()?.to_string_lossy().into_owned())
    }

    fn whole_file(&mut self, name: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.path_of(name)).ok()?.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    fn path_of(&mut self, name: &str) -> &str {
        use std::fmt::Write;
        self.path.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.path, "{}/{}/{name}", self.folder, self.of_process);
        &self.path
    }
}

/// The arguments, which end in zero bytes. Programs that rewrite their command line leave one long argument padded with
/// more of them.
fn arguments(cmdline: &[u8]) -> Vec<String> {
    let end = cmdline.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if end == 0 {
        return Vec::new();
    }
    cmdline[..end].split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

/// Whether its thread has ended and waits to be asked for.
fn is_ended(status: &str) -> bool {
    field(status, "State:")
        .is_some_and(|state| matches!(state.trim().as_bytes().first(), Some(b'Z' | b'X' | b'x')))
}

/// The effective user's id, as `ps` shows it.
fn effective_user(status: &str) -> Option<String> {
    field(status, "Uid:")?.split_whitespace().nth(1).map(str::to_owned)
}

/// Whether it has a pid in another namespace besides that of this /proc.
fn is_in_other_namespace(status: &str) -> bool {
    field(status, "NSpid:").is_some_and(|pids| pids.split_whitespace().count() > 1)
}

/// The value of a field in /proc/PID/status.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_end_in_zero_bytes_and_padding_is_dropped() {
        assert_eq!(arguments(b""), Vec::<String>::new());
        assert_eq!(arguments(b"\0\0"), Vec::<String>::new());
        assert_eq!(arguments(b"a\0\0b\0"), ["a", "", "b"]);
        assert_eq!(arguments(b"nginx: worker\0\0\0\0"), ["nginx: worker"]);
        assert_eq!(arguments(b"a\xffb\0"), ["a\u{fffd}b"]);
    }
}
