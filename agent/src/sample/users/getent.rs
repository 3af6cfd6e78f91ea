//! The program `getent`, which asks the machine's name services.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::MemfdFlags;

use super::passwd::user;

/// Where it is: in most distributions, and in NixOS and Guix.
const PLACES: [&str; 5] = [
    "/usr/bin/getent",
    "/bin/getent",
    "/usr/local/bin/getent",
    "/run/current-system/sw/bin/getent",
    "/run/current-system/profile/bin/getent",
];
/// Every key was found, or some were not.
const FOUND_ALL: i32 = 0;
const FOUND_SOME: i32 = 2;
/// What is read of its answer: 32 users have about 4 KiB.
const MOST_BYTES: usize = 256 << 10;
/// Time between two looks at whether it has ended: an answer from a cache takes 1 ms.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(50);
/// Programs that do not end although they were killed, as they wait for a mount; no more are started then.
const MOST_LEFT_BEHIND: usize = 4;

/// The program, if there is one.
#[derive(Debug)]
pub(super) struct Program {
    path: Option<PathBuf>,
    limit: Duration,
    left_behind: Vec<Child>,
}

/// What `getent passwd` said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// These users, and no others of those asked for.
    Users(Vec<(String, u32)>),
    /// There is no such program, so there are no other users than those in the file.
    NoProgram,
    /// Nothing in time, or something else went wrong.
    Nothing,
}

impl Program {
    /// The system's.
    pub(super) fn of_system() -> Self {
        let path = PLACES.iter().map(PathBuf::from).find(|path| path.exists());
        Self::at(path, Duration::from_secs(5))
    }

    /// The program at `path`, which may take `limit`.
    pub(super) fn at(path: Option<PathBuf>, limit: Duration) -> Self {
        Self { path, limit, left_behind: Vec::new() }
    }

    /// Asks for users by uid or name. Waits; it is killed when its time is over.
    pub(super) fn ask(&mut self, keys: &[String]) -> Said {
        self.left_behind.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
        let Some(path) = &self.path else { return Said::NoProgram };
        if keys.iter().any(|key| key.starts_with('-')) {
            // An option; no user is called that.
            return Said::Users(Vec::new());
        }
        if self.left_behind.len() >= MOST_LEFT_BEHIND {
            return Said::Nothing;
        }
        // In memory, not through a pipe: whoever else it starts may keep a pipe open.
        let Ok(output) = rustix::fs::memfd_create("getent", MemfdFlags::CLOEXEC).map(File::from) else {
            return Said::Nothing;
        };
        let Ok(stdout) = output.try_clone() else { return Said::Nothing };
        let mut command = Command::new(path);
        command.arg("passwd").args(keys).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::null());
        let Ok(child) = command.spawn() else { return Said::Nothing };
        let status = self.wait(child);
        match status.and_then(|status| status.code()) {
            Some(FOUND_ALL | FOUND_SOME) => Said::Users(users(&output)),
            _ => Said::Nothing,
        }
    }

    /// Waits for its end, or kills it.
    fn wait(&mut self, mut child: Child) -> Option<ExitStatus> {
        let until = Instant::now() + self.limit;
        let mut look = FIRST_LOOK;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < until => {}
                Ok(None) | Err(_) => break,
            }
            thread::sleep(look);
            look = (look * 2).min(LAST_LOOK);
        }
        let _ = child.kill();
        self.left_behind.push(child);
        None
    }
}

fn users(output: &File) -> Vec<(String, u32)> {
    let mut bytes = vec![0; MOST_BYTES];
    let mut length = 0;
    while let Ok(read @ 1..) = output.read_at(&mut bytes[length..], length as u64) {
        length += read;
    }
    bytes[..length].split(|byte| *byte == b'\n').filter_map(user).collect()
}
