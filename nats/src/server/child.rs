//! The server's process: how its life depends on this one, its signals, and its last log lines.

use std::{
    collections::VecDeque,
    io::{self, Read},
    process::{Child, ChildStderr, Command, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// It stops in about 30 ms; a busy one writes its state first.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// It is gone in a moment, unless the system itself waits for a disk.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// The most that is kept of its standard error: the end of a Go stack trace, or twenty lines.
const LAST_WORDS_BYTES: usize = 4096;

/// A running nats-server. What it writes to its error output is read for as long as it lives, because a full pipe would
/// block it; the end of that is kept. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct ServerProcess {
    child: Child,
    was_killed: bool,
    last_words: Arc<Mutex<VecDeque<u8>>>,
}

impl ServerProcess {
    /// Starts `command`, which ends when this thread does.
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        tie_to_this_thread(command);
        let mut child = command.spawn()?;
        let last_words = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(stderr) = child.stderr.take() {
            let kept = Arc::clone(&last_words);
            let reader = std::thread::Builder::new().name("nats-stderr".to_owned());
            reader.spawn(move || drain(stderr, &kept))?;
        }
        Ok(Self { child, was_killed: false, last_words })
    }

    /// The process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended; `None` while it runs.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The last whole lines of its standard error.
    pub(super) fn last_words(&self) -> String {
        let kept = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept.iter().copied().collect::<Vec<u8>>()).trim().to_owned()
    }

    /// Asks it to end, and ends it after a while.
    pub(super) fn stop(&mut self) {
        self.signal(Signal::End);
        if !self.ends_within(STOP_TIMEOUT) {
            tracing::warn!("nats-server did not stop within {} s; killing it", STOP_TIMEOUT.as_secs());
            self.kill();
        }
    }

    /// Ends it at once, also where it is stopped or hangs.
    pub(super) fn kill(&mut self) {
        self.was_killed = self.ended().is_none();
        let _ = self.child.kill();
        if !self.ends_within(KILL_TIMEOUT) {
            tracing::error!(pid = self.id(), "nats-server cannot be killed; does its disk still answer?");
        }
    }

    /// Whether it had to be killed.
    pub(super) fn was_killed(&self) -> bool {
        self.was_killed
    }

    fn ends_within(&mut self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Asks it for that.
    #[cfg(unix)]
    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let signal = match signal {
            Signal::End => rustix::process::Signal::TERM,
            Signal::Reload => rustix::process::Signal::HUP,
        };
        if let Some(pid) = pid {
            // The child has not been waited for, so the id is still its own.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// On other systems a certificate is read again only at the next start.
    #[cfg(not(unix))]
    pub(super) fn signal(&mut self, signal: Signal) {
        if matches!(signal, Signal::End) {
            let _ = self.child.kill();
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A request to the server.
#[derive(Clone, Copy)]
pub(super) enum Signal {
    /// To end.
    End,
    /// To read its configuration and certificate again.
    Reload,
}

/// Reads all there is until the other end is closed, and keeps the end of it.
fn drain(mut stderr: ChildStderr, kept: &Mutex<VecDeque<u8>>) {
    let mut piece = [0; 1024];
    loop {
        match stderr.read(&mut piece) {
            Ok(0) => return,
            Ok(length) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(piece.iter().take(length));
                let too_many = kept.len().saturating_sub(LAST_WORDS_BYTES);
                kept.drain(..too_many);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Makes the child end when this thread ends, however it ends, and keeps the terminal's Ctrl-C from it: it is stopped
/// last, when everything has been stored. It is killed and not asked, because one that is stopped or hangs would stay and
/// keep the port and the store from the next; what it has acknowledged is in its files.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "the parent-death signal can only be set between fork and exec")]
fn tie_to_this_thread(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
    let parent = rustix::process::getpid();
    // SAFETY: the closure makes two system calls and allocates nothing, as is required between fork and exec.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
            if rustix::process::getppid() != Some(parent) {
                return Err(std::io::Error::other("the parent is gone"));
            }
            Ok(())
        });
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
fn tie_to_this_thread(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(not(unix))]
fn tie_to_this_thread(_command: &mut Command) {}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_chatty_child_is_never_blocked_and_its_last_words_are_kept() {
        let mut command = Command::new("sh");
        // Sixteen times what a pipe holds.
        command.args(["-c", "head -c 1000000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 7"]);
        let mut process = ServerProcess::spawn(command.stderr(Stdio::piped())).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while process.ended().is_none() || !process.last_words().ends_with("the end") {
            assert!(Instant::now() < deadline, "it is blocked: {:?}", process.last_words());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(process.ended().unwrap().code(), Some(7));
        assert!(process.last_words().len() <= LAST_WORDS_BYTES);
    }
}
