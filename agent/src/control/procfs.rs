//! One process, as /proc says, and the boot. Everything here can be read without any right over the process.

use std::{
    collections::BTreeSet,
    fs,
    os::fd::{AsRawFd, OwnedFd},
    sync::Mutex,
    time::Duration,
};

use crate::sample::{UserNames, Users, membership};

/// The flag of the kernel's own threads (`PF_KTHREAD`).
const IS_KERNEL_THREAD: u32 = 0x0020_0000;
/// How long a name service may take; a user whose name is not known is known by number.
const NAMES_WITHIN: Duration = Duration::from_secs(1);

/// A process's line in /proc/PID/stat, as far as it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    /// Its name.
    pub name: String,
    /// The letter of its state.
    pub state: char,
    /// Whether it is the kernel's own.
    pub is_kernel: bool,
    /// When it started, in ticks since the boot.
    pub start_ticks: u64,
}

impl Stat {
    /// The process that has this pid now.
    pub(super) fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Reads `pid (name) state ppid pgrp session tty tpgid flags …`; a name may have brackets and spaces.
    fn parse(stat: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(stat);
        let (name, rest) = text.split_once('(')?.1.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let flags: u32 = fields.get(6)?.parse().ok()?;
        Some(Self {
            name: harmless(name),
            state: fields.first()?.chars().next()?,
            is_kernel: flags & IS_KERNEL_THREAD != 0,
            start_ticks: fields.get(19)?.parse().ok()?,
        })
    }

    /// Whether it has ended and only waits for its parent.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Its state in words.
    pub(super) fn words(&self) -> &'static str {
        match self.state {
            'R' => "R running",
            'S' => "S sleeping",
            'D' => "D waiting for disk",
            'T' => "T stopped",
            't' => "t traced",
            'Z' => "Z ended, its parent has not taken note",
            'X' | 'x' => "X ended",
            'I' => "I idle",
            'P' => "P parked",
            _ => "?",
        }
    }
}

/// A text of a process or a service, which may hold anything, without what moves a terminal's cursor.
pub(super) fn harmless(text: &str) -> String {
    let of_text =
        |character: char| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character };
    text.chars().map(of_text).collect()
}

/// The boot, as in snapshots.
pub(super) fn boot_id() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

/// The systemd unit that a process runs in.
pub(super) fn unit(pid: u32) -> Option<String> {
    membership(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?).unit
}

/// The uid of a process, if it is the same for all that counts: real, effective, saved and for files.
pub(super) fn only_uid(pid: u32) -> Option<u32> {
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let uids = numbers(&status, "Uid:");
    uids.first().copied().filter(|first| uids.len() == 4 && uids.iter().all(|uid| uid == first))
}

/// Whether the pids of a process are those that /proc has here: it is in no pid namespace below.
pub(super) fn shares_pids(pid: u32) -> bool {
    let status = fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
    numbers(&status, "NSpid:") == [pid]
}

/// The pid that the process of a pidfd has; `None` once it is gone for good.
pub(super) fn pid_of_pidfd(pidfd: &OwnedFd) -> Option<u32> {
    let info = fs::read(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    // -1 where it is gone, which is no number here.
    numbers(&info, "Pid:").first().copied()
}

/// The numbers in the line of a status file that begins with `name`. The name of the process stands in a line before, and has
/// no line feeds that the kernel has not escaped.
fn numbers(status: &[u8], name: &str) -> Vec<u32> {
    let text = String::from_utf8_lossy(status);
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_ascii_whitespace().map_while(|number| number.parse().ok()).collect()
}

/// Knows users by number. Waits for a name service at most a second.
#[derive(Debug)]
pub(super) struct UserBook(Mutex<Users>);

impl UserBook {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Users::new(&[])))
    }

    /// The number and the name of a user.
    pub(super) fn names(&self, uid: u32) -> BTreeSet<String> {
        let mut users = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let uid = uid.to_string();
        users.refresh();
        users.name_or_id(&uid);
        users.settle(NAMES_WITHIN);
        [users.name_or_id(&uid), uid].into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_a_process_is_called() {
        let line = |name: &str, flags: u32| {
            format!("7 ({name}) S 1 7 7 0 -1 {flags} 1 2 3 4 5 6 7 8 20 0 1 0 4711 100 5").into_bytes()
        };
        for name in ["a", "a b", "a) R 1 (b", ")", "("] {
            let stat = Stat::parse(&line(name, 0)).unwrap();
            assert_eq!((stat.name.as_str(), stat.state, stat.start_ticks), (name, 'S', 4711), "{name}");
            assert!(!stat.is_kernel);
        }
        assert_eq!(Stat::parse(&line("a\x1b[2J", 0)).unwrap().name, "a\u{fffd}[2J");
        assert!(Stat::parse(&line("kworker/0:1", 0x0420_8060)).unwrap().is_kernel);
        for text in ["", "7", "7 (a", "7 (a) S", "7 (a) S 1 7 7 0 -1 x 1 2 3 4 5 6 7 8 20 0 1 0 4711"] {
            assert_eq!(Stat::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn this_process_is_seen_as_it_is() {
        let pid = std::process::id();
        let stat = Stat::of(pid).unwrap();
        assert!(!stat.is_kernel && !stat.has_ended() && stat.start_ticks > 0);
        assert_eq!(only_uid(pid), Some(rustix::process::geteuid().as_raw()));
        assert!(shares_pids(pid));
        assert_eq!(boot_id().unwrap().len(), 36);
        assert!(UserBook::new().names(0).contains("root"));
    }
}
