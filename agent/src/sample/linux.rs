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
    hash::{DefaultHasher, Hash, Hasher},
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::FileExt},
    },
    str::FromStr,
    time::Duration,
};

use fleetps_nats::snapshot::Process;
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};

use super::{
    raw::{Details, Image, ProcessSource, RawProcess, Wanted},
    reader::DetailReader,
};

/// The flag of the kernel's own threads (`PF_KTHREAD`).
const IS_KERNEL_THREAD: u32 = 0x0020_0000;
/// The kernel counts CPU and start times for user space in hundredths of a second (USER_HZ) on every architecture that
/// Rust's standard library runs on.
const TICK_MS: u64 = 10;
/// `stat` has about 300 bytes, at most some 900.
const SMALL_FILE_BYTES: usize = 4096;
/// The share of this program's open files that may stay open here; the rest is for other parts of the program.
const SHARE_OF_OPEN_FILES: u64 = 4;
/// Each costs the kernel about 5 KB.
const MOST_OPEN_FILES: u64 = 4096;
/// A process's user is looked at in one of this many passes: whoever calls setuid is seen with the second sample.
const OWNER_TURNS: u64 = 2;
/// In the flags of a process: it was forked and runs no program of its own yet (PF_FORKNOEXEC).
const HAS_NOT_CALLED_EXEC: u64 = 0x40;
/// `stat` has 0 or 1 as addresses that may not be seen; nothing lies below 4096.
const LEAST_ADDRESS_DIGITS: usize = 4;
/// Threads that are looked at for one that still runs.
const MOST_TASKS: usize = 64;

/// Processes below a /proc folder.
#[derive(Debug)]
pub(super) struct ProcFolder {
    folder: String,
    /// The same, open.
    open_folder: Option<OwnedFd>,
    details: DetailReader,
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
    pub(super) fn new(folder: &str, boot_at_us: i64) -> Self {
        Self {
            folder: folder.to_owned(),
            open_folder: rustix::fs::open(folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok(),
            details: DetailReader::new(folder),
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

    fn set_path(&mut self, pid: u32, name: &str) {
        use std::fmt::Write;
        self.path.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.path, "{}/{pid}/{name}", self.folder);
    }

    /// The user of a process: the kernel gives its folder to the effective one.
    fn owner(&self, name: &OsStr) -> Option<u32> {
        let (flags, mask) = (AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC, StatxFlags::UID);
        Some(rustix::fs::statx(self.open_folder.as_ref()?, name, flags, mask).ok()?.stx_uid)
    }

    /// Fills in the memory of a process whose main thread has ended: the kernel shows it with the other threads only.
    fn fill_in_memory(&mut self, process: &mut Process) {
        self.set_path(process.pid, "task");
        let Ok(tasks) = fs::read_dir(&self.path) else { return };
        for task in tasks.flatten().take(MOST_TASKS) {
            let read =
                File::open(task.path().join("stat")).and_then(|file| file.read_at(&mut self.buffer, 0));
            let stat = read.ok().and_then(|length| self.buffer.get(..length));
            let thread = stat.and_then(|stat| parse_stat(stat, self.boot_at_us, self.page_bytes));
            if let Some(thread) = thread.filter(|thread| thread.virtual_bytes > Some(0)) {
                (process.resident_bytes, process.virtual_bytes) =
                    (thread.resident_bytes, thread.virtual_bytes);
                return;
            }
        }
    }

    /// The process with this folder; `None` where it ended meanwhile.
    fn process(&mut self, name: &OsStr) -> Option<RawProcess> {
        let pid = pid_of(name)?;
        let (boot_at_us, page_bytes) = (self.boot_at_us, self.page_bytes);
        let is_new = !self.open.contains_key(&pid);
        let stat = self.stat(pid)?;
        let mut process = parse_stat(stat, boot_at_us, page_bytes)?;
        let image = image(stat);
        if process.state == 'Z' && process.threads > Some(1) {
            self.fill_in_memory(&mut process);
        }
        let is_its_turn = self.passes % OWNER_TURNS == u64::from(pid) % OWNER_TURNS;
        let owner = if is_new || is_its_turn { self.owner(name) } else { None };
        Some(RawProcess { process, image, owner })
    }
}

impl ProcessSource for ProcFolder {
    fn count_from(&mut self, boot_at_us: i64) {
        self.boot_at_us = boot_at_us;
    }

    fn read(&mut self, into: &mut Vec<RawProcess>) {
        into.clear();
        self.passes += 1;
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let process = self.process(&entry.file_name());
            into.extend(process);
        }
        self.open.retain(|_, open| open.seen_in_pass == self.passes);
    }

    fn details(&mut self, wanted: &[Wanted], patience: Duration, give: &mut dyn FnMut(Details)) {
        self.details.details(wanted, patience, give);
    }
}

fn most_open_files() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let most = limit.map_or(MOST_OPEN_FILES, |limit| (limit / SHARE_OF_OPEN_FILES).min(MOST_OPEN_FILES));
    usize::try_from(most).unwrap_or_default()
}

/// Raises the limit of open files to what the system allows this program. For the agent's own program only: what else
/// might run in another one is not known here.
pub(super) fn allow_more_open_files() {
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
    let flags: u32 = number(fields.nth(4)?)?;
    let user_ticks: u64 = number(fields.nth(4)?)?;
    let system_ticks: u64 = number(fields.next()?)?;
    let children_user_ticks: u64 = number(fields.next()?)?;
    let children_system_ticks: u64 = number(fields.next()?)?;
    let nice = fields.nth(1).and_then(number);
    let threads: u32 = number(fields.next()?)?;
    let start_ticks: u64 = number(fields.nth(1)?)?;
    let virtual_bytes: u64 = number(fields.next()?)?;
    let resident_pages: u64 = number(fields.next()?)?;
    Some(Process {
        pid: number(stat.get(..name_start)?.trim_ascii())?,
        parent_pid: (parent_pid > 0).then_some(parent_pid),
        start_ticks: Some(start_ticks),
        started_at_us: started_at_us(boot_at_us, start_ticks),
        name: String::from_utf8_lossy(steady(name, flags)).into_owned(),
        state: state_letter(state),
        threads: Some(threads),
        cpu_time_ms: Some(user_ticks.saturating_add(system_ticks).saturating_mul(TICK_MS)),
        resident_bytes: Some(resident_pages.saturating_mul(page_bytes)),
        virtual_bytes: Some(virtual_bytes),
        nice,
        ended_children_cpu_ms: Some(
            children_user_ticks.saturating_add(children_system_ticks).saturating_mul(TICK_MS),
        ),
        ..Process::default()
    })
}

/// When a process started by the host's clock.
fn started_at_us(boot_at_us: i64, start_ticks: u64) -> i64 {
    let after_us = start_ticks.saturating_mul(1000 * TICK_MS);
    boot_at_us.saturating_add(i64::try_from(after_us).unwrap_or(i64::MAX))
}

/// The name of a process without what a worker of the kernel does at the moment: `kworker/u8:2-events_unbound` is
/// `kworker/u8:2`, which does something else in the next. What the kernel does not run keeps any name.
fn steady(name: &[u8], flags: u32) -> &[u8] {
    if flags & IS_KERNEL_THREAD == 0 || !name.starts_with(b"kworker/") {
        return name;
    }
    // Without a processor it is one that a queue has for itself, and the rest is its name: `kworker/R-rcu_gp`.
    let Some(processor_end) = name.iter().position(|byte| *byte == b':') else { return name };
    let work = name.iter().skip(processor_end).position(|byte| matches!(byte, b'-' | b'+'));
    work.and_then(|start| name.get(..processor_end + start)).unwrap_or(name)
}

/// A number that another program in the same process changes: where its code, its stack, its arguments and its
/// environment lie, which the kernel shows to those who may look into the process, and whether it has called exec, which
/// it shows to all. Who may not look in takes the size of its address space, which few programs change often.
fn image(stat: &[u8]) -> Image {
    let Some(name_end) = stat.iter().rposition(|byte| *byte == b')') else { return Image::Unknown };
    let fields = stat[name_end + 1..].trim_ascii().split(|byte| *byte == b' ').zip(3_u32..);
    let (mut exact, mut guess, mut sees_addresses) = (DefaultHasher::new(), DefaultHasher::new(), false);
    for (field, number) in fields {
        match number {
            9 => {
                let has_not_called_exec = self::number::<u64>(field).map(|flags| flags & HAS_NOT_CALLED_EXEC);
                has_not_called_exec.hash(&mut exact);
                has_not_called_exec.hash(&mut guess);
            }
            23 => field.hash(&mut guess),
            // Start and end of the code, start of the stack; of the data; arguments and environment.
            26..=28 | 45 | 46 | 48..=51 => {
                field.hash(&mut exact);
                sees_addresses |= field.len() >= LEAST_ADDRESS_DIGITS;
            }
            _ => {}
        }
    }
    if sees_addresses { Image::Exact(exact.finish()) } else { Image::Guess(guess.finish()) }
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

#[cfg(test)]
#[path = "linux_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "layouts_tests.rs"]
mod layouts;
