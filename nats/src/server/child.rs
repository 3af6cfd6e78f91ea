//! The server's process: how it hangs on this one, and what it is asked for.

use std::{
    process::{Child, Command},
    time::{Duration, Instant},
};

/// It stops in about 30 ms; a busy one writes its state first.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the child to end, and ends it after a while.
pub(super) fn stop_child(child: &mut Child) {
    signal(child, Signal::End);
    let deadline = Instant::now() + STOP_TIMEOUT;
    while Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    tracing::warn!("nats-server did not stop within {} s; killing it", STOP_TIMEOUT.as_secs());
    let _ = child.kill();
    let _ = child.wait();
}

/// What the server is asked for.
#[derive(Clone, Copy)]
pub(super) enum Signal {
    /// To end.
    End,
    /// To read its configuration and certificate again.
    Reload,
}

/// Asks it for that.
#[cfg(unix)]
pub(super) fn signal(child: &mut Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let signal = match signal {
        Signal::End => rustix::process::Signal::TERM,
        Signal::Reload => rustix::process::Signal::HUP,
    };
    if let Some(pid) = pid {
        // The child has not been waited for, so the id is still its own.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Elsewhere a certificate is read again at the next start only.
#[cfg(not(unix))]
pub(super) fn signal(child: &mut Child, signal: Signal) {
    if matches!(signal, Signal::End) {
        let _ = child.kill();
    }
}

/// Makes the child end when this thread ends, however it ends, and keeps the terminal's Ctrl-C from it: it is stopped
/// last, when everything has been stored.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "the parent-death signal can only be set between fork and exec")]
pub(super) fn tie_to_this_thread(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
    let parent = rustix::process::getpid();
    // SAFETY: the closure makes two system calls and allocates nothing, as is required between fork and exec.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
            if rustix::process::getppid() != Some(parent) {
                return Err(std::io::Error::other("the parent is gone"));
            }
            Ok(())
        });
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
pub(super) fn tie_to_this_thread(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(not(unix))]
pub(super) fn tie_to_this_thread(_command: &mut Command) {}
