//! Signals to one process, which is named by a pidfd from before it is looked at until it is signalled.
//!
//! The pidfd is opened first. It stands for the process that has the pid then, and for no other ever. What was reused before is
//! caught by the comparison of boot, pid and start; where the pid is reused afterwards, sending fails, because the process of the
//! pidfd is gone.

use std::{io, os::fd::OwnedFd, time::Duration};

use fleetps_nats::command::{ProcessId, Reason, Sight, Signal};
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal},
};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    procfs::{self, Stat, UserBook},
    refusal::Refusal,
};
use crate::policy::ProcessSubject;

/// A process that is the one meant, and stays it.
#[derive(Debug)]
pub(super) struct Held {
    pid: u32,
    stat: Stat,
    pidfd: OwnedFd,
}

impl Held {
    /// Takes hold of a process.
    ///
    /// # Errors
    /// When there is none, it is another one, or the kernel cannot name it.
    pub(super) fn of(process: &ProcessId) -> Result<Self, Refusal> {
        let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| no_process(process.pid))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| not_opened(process.pid, error))?;
        let here = procfs::boot_id();
        if here.as_deref() != Some(process.boot_id.as_str()) {
            let detail = format!("this is the boot {}", here.as_deref().unwrap_or("without an id"));
            return Err(Refusal::new(Reason::OtherProcess, detail));
        }
        let stat = Stat::of(process.pid).ok_or_else(|| no_process(process.pid))?;
        if stat.start_ticks != process.start_ticks {
            let Stat { name, start_ticks, .. } = &stat;
            let detail =
                format!("process {} is now {name}, which started at tick {start_ticks}", process.pid);
            return Err(Refusal::new(Reason::OtherProcess, detail));
        }
        if stat.has_ended() {
            let detail =
                format!("process {} ({}) has ended; its parent has not taken note", process.pid, stat.name);
            return Err(Refusal::new(Reason::NoSuchProcess, detail));
        }
        Ok(Self { pid: process.pid, stat, pidfd })
    }

    /// What the policy decides about, without what is fleetps's own. Waits for the name of the user.
    pub(super) fn subject(&self, signal: Signal, users: &UserBook) -> ProcessSubject {
        ProcessSubject {
            signal,
            pid: self.pid,
            name: self.stat.name.clone(),
            user: procfs::only_uid(self.pid).map(|uid| users.names(uid)).unwrap_or_default(),
            unit: procfs::unit(self.pid),
            is_kernel: self.stat.is_kernel,
            own: None,
        }
    }

    /// Whether it is still there, so that what was read of its pid meanwhile is its own: the pid is given to no other process
    /// before this one is gone for good.
    ///
    /// # Errors
    /// When it has ended.
    pub(super) fn is_still_there(&self) -> Result<(), Refusal> {
        let has_pid = procfs::pid_of_pidfd(&self.pidfd) == Some(self.pid);
        let is_there = has_pid && Stat::of(self.pid).is_some_and(|now| !now.has_ended());
        let ended = || Refusal::new(Reason::NoSuchProcess, format!("process {} has just ended", self.pid));
        is_there.then_some(()).ok_or_else(ended)
    }

    /// Its name, as the kernel has it.
    pub(super) fn name(&self) -> &str {
        &self.stat.name
    }

    /// Sends the signal.
    ///
    /// # Errors
    /// When the process has ended, or this user may not.
    pub(super) fn send(&self, signal: Signal) -> Result<(), Refusal> {
        pidfd_send_signal(&self.pidfd, number(signal)).map_err(|error| match error {
            Errno::SRCH => no_process(self.pid),
            Errno::PERM => Refusal::new(Reason::Denied, "the control helper has no CAP_KILL"),
            Errno::INVAL => {
                Refusal::new(Reason::OtherNamespace, "the process is in no pid namespace below this one")
            }
            Errno::NOSYS => Refusal::new(Reason::NoPidfd, "pidfd_send_signal is missing"),
            error => Refusal::internal(format!("pidfd_send_signal: {error}")),
        })
    }

    /// Waits for its end; `false` where it is still there after `patience`.
    ///
    /// # Errors
    /// When the end cannot be waited for.
    #[allow(deprecated, reason = "the new one is unsafe, which an owned descriptor makes unnecessary")]
    pub(super) async fn ends_within(self, patience: Duration) -> io::Result<bool> {
        let pidfd = AsyncFd::with_interest(self.pidfd, Interest::READABLE)?;
        match tokio::time::timeout(patience, pidfd.readable()).await {
            Ok(readable) => readable.map(|_| true),
            Err(_) => Ok(false),
        }
    }
}

/// How a process is now.
pub(super) fn look(process: &ProcessId) -> Sight {
    let here = procfs::boot_id();
    let stat = Stat::of(process.pid).filter(|_| here.as_deref() == Some(process.boot_id.as_str()));
    match stat.filter(|stat| stat.start_ticks == process.start_ticks) {
        Some(stat) => Sight {
            exists: !stat.has_ended(),
            state: stat.words().to_owned(),
            main_pid: Some(process.pid),
            detail: stat.name,
            ..Sight::default()
        },
        None => Sight { state: "ended".to_owned(), ..Sight::default() },
    }
}

fn no_process(pid: u32) -> Refusal {
    Refusal::new(Reason::NoSuchProcess, format!("there is no process {pid}"))
}

/// No fallback to a number: what cannot be named safely is not signalled.
fn not_opened(pid: u32, error: Errno) -> Refusal {
    match error {
        Errno::SRCH => no_process(pid),
        Errno::INVAL | Errno::NOENT => {
            Refusal::new(Reason::NoSuchProcess, format!("{pid} is a thread and no process"))
        }
        Errno::NOSYS | Errno::PERM | Errno::NODEV => {
            Refusal::new(Reason::NoPidfd, format!("pidfd_open: {error}"))
        }
        error => Refusal::internal(format!("pidfd_open: {error}")),
    }
}

fn number(signal: Signal) -> rustix::process::Signal {
    use rustix::process::Signal as Number;
    match signal {
        Signal::Term => Number::TERM,
        Signal::Kill => Number::KILL,
        Signal::Hup => Number::HUP,
        Signal::Int => Number::INT,
        Signal::Quit => Number::QUIT,
        Signal::Usr1 => Number::USR1,
        Signal::Usr2 => Number::USR2,
        Signal::Stop => Number::STOP,
        Signal::Cont => Number::CONT,
    }
}
