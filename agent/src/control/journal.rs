//! What a unit wrote last to the journal of systemd, for the person who restarted it. All of it is hostile.

use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
};

use super::procfs::harmless;

/// It takes tens of milliseconds; on a slow disk it may take longer, and a person waits for the end of the command.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// How long after the end of a job it is read, and read again while it has nothing: what a process writes comes to the journal over
/// another way than systemd's word that the job is done, within milliseconds mostly.
const BEHIND: Duration = Duration::from_millis(100);
/// How long it may have nothing. systemd itself writes a line about each job, unless it is told not to.
const NOTHING_FOR: Duration = Duration::from_secs(1);
/// The last of what is read: more than all lines that are told.
const KEPT_BYTES: usize = 64 << 10;

/// The program of systemd that reads the journal. Its files have no interface that is as stable.
const PROGRAM: &str = "journalctl";

/// The program that reads the journal. It is started without a shell, and with no text of a person but the name of a unit, which
/// has no character that means something to it.
#[derive(Debug, Clone)]
pub(super) struct Journal(pub PathBuf);

impl Default for Journal {
    fn default() -> Self {
        Self(PathBuf::from(PROGRAM))
    }
}

impl Journal {
    /// The last `lines` that `unit` wrote, or systemd of it, since a moment. An error in words where they cannot be read.
    pub(super) async fn tail(
        &self,
        unit: &str,
        lines: usize,
        since: SystemTime,
    ) -> Result<Vec<String>, String> {
        if lines == 0 {
            return Ok(Vec::new());
        }
        let began = Instant::now();
        loop {
            tokio::time::sleep(BEHIND).await;
            let written = self.read_once(unit, lines, since).await?;
            if !written.is_empty() || began.elapsed() > NOTHING_FOR {
                return Ok(written);
            }
        }
    }

    async fn read_once(&self, unit: &str, lines: usize, since: SystemTime) -> Result<Vec<String>, String> {
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut command = Command::new(&self.0);
        command.args(["--quiet", "--no-pager", "--output=cat"]);
        command.arg(format!("--lines={lines}"));
        command.arg(format!("--since=@{}.{:06}", since.as_secs(), since.subsec_micros()));
        command.arg(format!("--unit={unit}"));
        command.env("LC_ALL", "C").env("SYSTEMD_COLORS", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let reading = tokio::time::timeout(READ_WITHIN, read(command));
        let written =
            reading.await.map_err(|_| format!("journalctl takes longer than {READ_WITHIN:?}"))??;
        let written = String::from_utf8_lossy(&written);
        let all: Vec<&str> = written.lines().collect();
        Ok(all.iter().skip(all.len().saturating_sub(lines)).map(|line| harmless(line)).collect())
    }
}

/// What a program writes to its standard output.
async fn read(mut command: Command) -> Result<Vec<u8>, String> {
    let mut child = command.spawn().map_err(|error| format!("journalctl cannot be started: {error}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (written, complained) = tokio::join!(last(stdout), last(stderr));
    let status = child.wait().await.map_err(|error| error.to_string())?;
    match status.success() {
        true => Ok(written),
        false => {
            let complained = String::from_utf8_lossy(&complained);
            Err(complained.lines().last().map_or_else(|| format!("journalctl: {status}"), harmless))
        }
    }
}

/// The last bytes of a stream, to its end.
async fn last(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let (mut kept, mut chunk) = (Vec::new(), vec![0; 16 << 10]);
    let Some(mut stream) = stream else { return kept };
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        kept.extend_from_slice(chunk.get(..read).unwrap_or_default());
        kept.drain(..kept.len().saturating_sub(KEPT_BYTES));
    }
    kept
}
