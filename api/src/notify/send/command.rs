//! A program on the server: off unless the server's own settings name it, so no record in the broker can run anything.
//!
//! It gets the webhook's JSON on its standard input and no secrets: no shell, an almost empty environment, a process group
//! of its own, which is killed when its time is over. Exit status 0 means delivered; anything else is tried again.

use std::{
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStderr, ChildStdin, Command as Process},
};

use super::webhook;
use crate::notify::{
    channel::{self, BadChannel, Command},
    failure::{Failure, Sent},
    notification::Notification,
};

/// Arguments at most.
const MAX_ARGUMENTS: usize = 32;
/// What is read of the program's errors, for the reason.
const MAX_ERROR_BYTES: u64 = 4 << 10;
/// How long the rest of its errors may take after its end.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);
/// Where programs look for others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether a command can be kept.
pub(super) fn check(command: &Command) -> Result<(), BadChannel> {
    channel::short("program", &command.program)?;
    if !command.program.starts_with('/') {
        return Err(BadChannel::new("program", "expected an absolute path, as in /usr/local/bin/page"));
    }
    if command.arguments.len() > MAX_ARGUMENTS {
        return Err(BadChannel::new("arguments", format!("are more than {MAX_ARGUMENTS}")));
    }
    command.arguments.iter().try_for_each(|argument| match argument.as_str() {
        "" => Ok(()),
        argument => channel::short("arguments", argument),
    })
}

/// Why a program is not run: the server's settings do not allow it, or it is not there.
pub(super) fn obstacle(command: &Command, allowed: &[PathBuf]) -> Option<String> {
    let program = &command.program;
    if !allowed.iter().any(|allowed| allowed.as_os_str() == program.as_str()) {
        return Some(format!(
            "{program} is none of the programs that `notify.programs` in the server's settings allows"
        ));
    }
    let is_there = std::path::Path::new(program).is_file();
    (!is_there).then(|| format!("{program} is not there on the machine of the server"))
}

/// Runs the program and waits for its end.
pub(super) async fn run(
    command: &Command,
    allowed: &[PathBuf],
    notification: &Notification,
    limit: Duration,
) -> Result<Sent, Failure> {
    if !allowed.iter().any(|program| program.as_os_str() == command.program.as_str()) {
        return Err(Failure::lasting(format!(
            "{} is none of the programs that `notify.programs` in the server's settings allows",
            command.program
        )));
    }
    let mut process = Process::new(&command.program);
    process
        .args(&command.arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    #[cfg(unix)]
    process.process_group(0);
    let spawned = process.spawn();
    let mut child =
        spawned.map_err(|error| Failure::passing(format!("cannot start {}: {error}", command.program)))?;
    let group = Group::of(&child);
    let message = webhook::body(notification);
    let ended = tokio::time::timeout(limit, talk(&mut child, group, &message)).await;
    match ended {
        Ok(Ok((status, _))) if status.success() => Ok(Sent::default()),
        Ok(Ok((status, errors))) => {
            let errors = String::from_utf8_lossy(&errors);
            Err(Failure::passing(format!("{} ended with {status}: {}", command.program, errors.trim())))
        }
        Ok(Err(error)) => Err(Failure::passing(format!("cannot run {}: {error}", command.program))),
        Err(_) => Err(Failure::passing(format!(
            "{} did not end within {} s and was killed",
            command.program,
            limit.as_secs()
        ))),
    }
}

/// Writes the message, reads the first errors and waits for the end. A program that does not read is no failure. What it
/// started and left behind is killed with it.
async fn talk(child: &mut Child, group: Group, message: &[u8]) -> std::io::Result<(ExitStatus, Vec<u8>)> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let mut errors = Vec::new();
    let status = {
        let streams = async {
            tokio::join!(write(stdin, message), read_first(stderr, &mut errors));
        };
        let ended = async {
            let status = child.wait().await;
            drop(group);
            status
        };
        tokio::pin!(streams, ended);
        tokio::select! {
            status = &mut ended => {
                // Nobody is left who could write, unless in a group of its own.
                let _rest = tokio::time::timeout(OUTPUT_TIMEOUT, streams).await;
                status?
            }
            () = &mut streams => ended.await?,
        }
    };
    Ok((status, errors))
}

async fn write(stdin: Option<ChildStdin>, message: &[u8]) {
    if let Some(mut stdin) = stdin {
        let _closed = stdin.write_all(message).await;
    }
}

/// Keeps the first of what is said, and reads on, so that the program never waits for a reader.
async fn read_first(stderr: Option<ChildStderr>, errors: &mut Vec<u8>) {
    let Some(mut stderr) = stderr else { return };
    let _end = (&mut stderr).take(MAX_ERROR_BYTES).read_to_end(errors).await;
    let _end = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
}

/// The process group of a program, killed with everything in it when this is dropped.
struct Group(#[cfg(unix)] Option<rustix::process::Pid>);

#[cfg(unix)]
impl Group {
    fn of(child: &Child) -> Self {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        Self(pid.and_then(rustix::process::Pid::from_raw))
    }
}

#[cfg(unix)]
impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may be empty already.
            let _empty = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(not(unix))]
impl Group {
    fn of(_child: &Child) -> Self {
        Self()
    }
}
