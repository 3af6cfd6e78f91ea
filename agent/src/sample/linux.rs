//! Processes on Linux, read from /proc directly.
//!
//! sysinfo, which reads everything else, opens `status`, `stat`, `statm` and `io` of every process in every pass
//! (0.40.1: `get_uid_and_gid_and_tgid` has no way round): measured with 589 processes, 34 ms a pass, where one read of
//! `stat` takes 6.6 ms and holds all that changes, thread count and start time in ticks included. That is the
//! difference between 1.5 and 0.4 % of a core at a sample each second.
//!
//! Opening and closing is more than half of that, so `stat` stays open from pass to pass where the limit of open files
//! allows: 1.8 ms instead of 4.4 ms for 602 processes. An open file belongs to its process, not to the pid. Once the
//! process is gone, reading fails, and the file is opened anew for the process that has the pid then.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::{self, File},
    io::Read,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::PathBuf,
    str::FromStr,
};

use fleetps_nats::snapshot::Process;

use super::{
    cgroup,
    raw::{Facts, ProcessSource, StorageBytes},
};

/// The kernel counts CPU and start times for user space in hundredths of a second (USER_HZ) on every architecture that
/// Rust's standard library runs on.
const TICK_MS: u64 = 10;
/// `stat` has about 300 bytes, at most some 900; `io` about 120.
const SMALL_FILE_BYTES: usize = 4096;
/// The share of this program's open files that may stay open here; the rest is for other parts of the program.
const SHARE_OF_OPEN_FILES: u64 = 4;
/// Each costs the kernel about 5 KB.
const MOST_OPEN_FILES: u64 = 4096;

/// Counting more entries takes over a millisecond, for one process.
const MOST_COUNTED_FILES: usize = 4096;

/// Processes below a /proc folder.
#[derive(Debug)]
pub struct ProcFolder {
    folder: String,
    boot_at_us: i64,
    page_bytes: u64,
    path: String,
    buffer: Vec<u8>,
    open: HashMap<u32, OpenStat>,
    most_open: usize,
    passes: u64,
}

/// A `stat` that stays open.
#[derive(Debug)]
struct OpenStat {
    file: File,
    /// The last pass whose listing had the process.
    seen_in_pass: u64,
}

impl ProcFolder {
    /// Reads from `folder`, usually `/proc`; `boot_at_us` is what start times are counted from.
    pub fn new(folder: &str, boot_at_us: i64) -> Self {
        Self {
            folder: folder.to_owned(),
            boot_at_us,
            page_bytes: rustix::param::page_size() as u64,
            path: String::new(),
            buffer: vec![0; SMALL_FILE_BYTES],
            open: HashMap::new(),
            most_open: most_open_files(),
            passes: 0,
        }
    }

    /// The process's `stat`, from the file that is open already if there is one.
    fn stat(&mut self, pid: u32) -> Option<&[u8]> {
        let mut length = None;
        if let Some(open) = self.open.get_mut(&pid) {
            open.seen_in_pass = self.passes;
            length = open.file.read_at(&mut self.buffer, 0).ok().filter(|length| *length > 0);
            if length.is_none() {
                self.open.remove(&pid);
            }
        }
        if length.is_none() {
            self.set_path(pid, "stat");
            let file = File::open(&self.path).ok()?;
            length = Some(file.read_at(&mut self.buffer, 0).ok()?);
            if self.open.len() < self.most_open {
                let seen_in_pass = self.passes;
                self.open.insert(pid, OpenStat { file, seen_in_pass });
            }
        }
        self.buffer.get(..length?)
    }

    /// The first bytes of a small file of a process; one read is a consistent moment.
    fn small_file(&mut self, pid: u32, name: &str) -> Option<&[u8]> {
        self.set_path(pid, name);
        let length = File::open(&self.path).ok()?.read(&mut self.buffer).ok()?;
        self.buffer.get(..length)
    }

    fn set_path(&mut self, pid: u32, name: &str) {
        use std::fmt::Write;
        self.path.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.path, "{}/{pid}/{name}", self.folder);
    }

    fn whole_file(&mut self, pid: u32, name: &str) -> Option<Vec<u8>> {
        self.set_path(pid, name);
        fs::read(&self.path).ok()
    }

    /// How many files it has open. Since Linux 6.2 the folder's size says so; before, its entries are counted, up to
    /// [`MOST_COUNTED_FILES`]: beyond that it is unknown.
    fn open_files(&mut self, pid: u32) -> Option<u32> {
        self.set_path(pid, "fd");
        match fs::metadata(&self.path).ok()?.len() {
            // On older kernels, or nothing is open.
            0 => {
                let count = fs::read_dir(&self.path).ok()?.take(MOST_COUNTED_FILES + 1).count();
                u32::try_from(count).ok().filter(|_| count <= MOST_COUNTED_FILES)
            }
            size => u32::try_from(size).ok(),
        }
    }

    fn executable(&mut self, pid: u32) -> Option<String> {
        self.set_path(pid, "exe");
        let path: PathBuf = fs::read_link(&self.path).ok()?;
        let text = path.to_string_lossy();
        // The kernel's mark for a file that was replaced or removed since, as after an upgrade.
        Some(text.strip_suffix(" (deleted)").unwrap_or(&text).to_owned())
    }
}

impl ProcessSource for ProcFolder {
    fn count_from(&mut self, boot_at_us: i64) {
        self.boot_at_us = boot_at_us;
    }

    fn read(&mut self, into: &mut Vec<Process>) {
        into.clear();
        self.passes += 1;
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let Some(pid) = pid_of(&entry.file_name()) else { continue };
            let (boot_at_us, page_bytes) = (self.boot_at_us, self.page_bytes);
            // It may end between listing and reading: then it is simply not there.
            let process = self.stat(pid).and_then(|stat| parse_stat(stat, boot_at_us, page_bytes));
            into.extend(process);
        }
        self.open.retain(|_, open| open.seen_in_pass == self.passes);
    }

    fn facts(&mut self, pid: u32) -> Facts {
        let arguments = self.whole_file(pid, "cmdline").map(|bytes| arguments(&bytes)).unwrap_or_default();
        // Whole: what is read last stands behind lists of groups and processors of any length.
        let status = self.whole_file(pid, "status").unwrap_or_default();
        let status = String::from_utf8_lossy(&status);
        let user_id = effective_user(&status);
        let figures = Process {
            voluntary_switches: status_field(&status, "voluntary_ctxt_switches:")
                .and_then(|value| value.trim().parse().ok()),
            open_files: self.open_files(pid),
            ..Process::default()
        };
        let cgroups = self.whole_file(pid, "cgroup").unwrap_or_default();
        let cgroup::Membership { unit, container } = cgroup::parse(&String::from_utf8_lossy(&cgroups));
        Facts { executable: self.executable(pid), arguments, user_id, unit, container, figures }
    }

    fn storage(&mut self, pid: u32) -> Option<StorageBytes> {
        let text = std::str::from_utf8(self.small_file(pid, "io")?).ok()?;
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        Some(StorageBytes { read: value("read_bytes:")?, written: value("write_bytes:")? })
    }
}

fn most_open_files() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let most = limit.map_or(MOST_OPEN_FILES, |limit| (limit / SHARE_OF_OPEN_FILES).min(MOST_OPEN_FILES));
    usize::try_from(most).unwrap_or_default()
}

/// Raises the limit of open files to what the system allows this program. For the agent's own program only: what else
/// might run in another one is not known here.
pub fn allow_more_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it is refused, less stays open, which costs some time and nothing else.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn pid_of(name: &OsStr) -> Option<u32> {
    let bytes = name.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_digit).then(|| number(bytes))?
}

fn number<T: FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Reads /proc/PID/stat. The name stands in parentheses and may hold spaces, parentheses and anything else, so the
/// fields are counted from the last `)`. The numbers below are the field numbers of `man proc_pid_stat` less 3.
fn parse_stat(stat: &[u8], boot_at_us: i64, page_bytes: u64) -> Option<Process> {
    let name_start = stat.iter().position(|byte| *byte == b'(')?;
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let name = stat.get(name_start + 1..name_end)?;
    let rest = stat.get(name_end + 1..)?.trim_ascii();
    let mut fields = rest.split(|byte| *byte == b' ');
    let state = *fields.next()?.first()?;
    let parent_pid: u32 = number(fields.next()?)?;
    let user_ticks: u64 = number(fields.nth(9)?)?;
    let system_ticks: u64 = number(fields.next()?)?;
    let nice = fields.nth(3).and_then(number);
    let threads: u32 = number(fields.next()?)?;
    let start_ticks: u64 = number(fields.nth(1)?)?;
    let virtual_bytes: u64 = number(fields.next()?)?;
    let resident_pages: u64 = number(fields.next()?)?;
    Some(Process {
        pid: number(stat.get(..name_start)?.trim_ascii())?,
        parent_pid: (parent_pid > 0).then_some(parent_pid),
        start_ticks: Some(start_ticks),
        started_at_us: started_at_us(boot_at_us, start_ticks),
        name: String::from_utf8_lossy(name).into_owned(),
        state: state_letter(state),
        threads: Some(threads),
        cpu_time_ms: Some(user_ticks.saturating_add(system_ticks).saturating_mul(TICK_MS)),
        resident_bytes: Some(resident_pages.saturating_mul(page_bytes)),
        virtual_bytes: Some(virtual_bytes),
        nice,
        ..Process::default()
    })
}

/// When a process started by the host's clock.
fn started_at_us(boot_at_us: i64, start_ticks: u64) -> i64 {
    let after_us = start_ticks.saturating_mul(1000 * TICK_MS);
    boot_at_us.saturating_add(i64::try_from(after_us).unwrap_or(i64::MAX))
}

fn state_letter(state: u8) -> char {
    match state {
        b'R' | b'S' | b'D' | b'I' | b'T' | b'Z' | b'X' => char::from(state),
        b't' => 'T',
        b'x' => 'X',
        // Parked kernel threads, and states of kernels before 4.
        b'P' | b'K' | b'W' => 'I',
        _ => '?',
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

/// The effective user's id, as `ps` shows it.
fn effective_user(status: &str) -> Option<String> {
    status_field(status, "Uid:")?.split_whitespace().nth(1).map(str::to_owned)
}

/// The value of a field in /proc/PID/status.
fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name))
}

#[cfg(test)]
#[path = "linux_tests.rs"]
mod tests;
