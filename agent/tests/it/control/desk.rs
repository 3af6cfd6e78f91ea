//! A helper with a settings file of its own, and what asks it as the agent does.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command as Program, Stdio},
    sync::Arc,
    time::Duration,
};

use fleetps_agent::control::{Helper, HelperOptions, Listener};
use fleetps_nats::{
    agent_settings::{ControlKey, SignedFrame},
    command::{Answer, Ask, Command, CommandId, ProcessId, Progress, Reason, Signal, Stage, Ticket, What},
};
use nkeys::KeyPair;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::support::{host, within};

/// Long enough for every command here.
pub const VALID_MS: u64 = 60_000;

/// A helper that runs, until it is dropped.
pub struct Desk {
    pub key: ControlKey,
    pub socket: PathBuf,
    options: HelperOptions,
    running: Option<(CancellationToken, JoinHandle<()>)>,
    folder: tempfile::TempDir,
}

impl Desk {
    /// A helper on a host whose file has these lines in `[control]`.
    pub fn start(rules: &str) -> Self {
        Self::start_with(rules, |_| {})
    }

    /// The same with other options.
    pub fn start_with(rules: &str, change: impl Fn(&mut HelperOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (config, socket) = (folder.path().join("agent.toml"), folder.path().join("socket"));
        let mut options = HelperOptions::new(&config);
        change(&mut options);
        let mut desk =
            Self { key: ControlKey::from(KeyPair::new_operator()), socket, options, running: None, folder };
        desk.write(rules);
        desk.restart();
        desk
    }

    /// Writes the settings file anew.
    pub fn write(&self, rules: &str) {
        let (host, key) = (host(), self.key.public());
        let text = format!("host = \"{host}\"\n[remote]\ncontrol_key = \"{key}\"\n[control]\n{rules}\n");
        fs::write(self.config(), text).unwrap();
        fs::set_permissions(self.config(), fs::Permissions::from_mode(0o644)).unwrap();
    }

    pub fn config(&self) -> &Path {
        &self.options.config
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends this run of the helper, if there is one, and starts another.
    pub fn restart(&mut self) {
        self.stop();
        let listener = Listener::bind(&self.socket).unwrap();
        let (helper, stop) = (Arc::new(Helper::new(self.options.clone())), CancellationToken::new());
        self.running = Some((stop.clone(), tokio::spawn(listener.serve(helper, stop))));
    }

    pub fn stop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.cancel();
            task.abort();
        }
    }

    /// Asks as the agent does, and returns the answer.
    pub async fn ask(&self, ask: &Ask) -> Answer {
        self.ask_bytes(&ask.to_bytes()).await.expect("the helper closed the connection")
    }

    /// Sends these bytes as a line; `None` where the helper does not answer them.
    pub async fn ask_bytes(&self, bytes: &[u8]) -> Option<Answer> {
        let asking = async {
            let mut stream = UnixStream::connect(&self.socket).await.unwrap();
            // The helper may have closed it already.
            let _ = stream.write_all(bytes).await;
            let _ = stream.write_all(b"\n").await;
            let mut line = Vec::new();
            let _ = BufReader::new(stream).read_until(b'\n', &mut line).await;
            (!line.is_empty()).then(|| Answer::read(&line).unwrap())
        };
        within(asking).await
    }

    pub async fn ticket(&self) -> Ticket {
        match self.ask(&Ask::Ticket).await {
            Answer::Ticket { ticket, .. } => ticket,
            answer => panic!("{answer:?}"),
        }
    }

    /// A command with a new ticket.
    pub async fn command(&self, what: What) -> Command {
        command(self.ticket().await, what)
    }

    pub fn sign(&self, command: &Command) -> Ask {
        Ask::Run { frame: command.sign(&host(), &self.key).unwrap() }
    }

    pub fn frame(&self, command: &Command) -> SignedFrame {
        command.sign(&host(), &self.key).unwrap()
    }

    /// Sends a command, and returns how it ended.
    pub async fn run(&self, what: What) -> Progress {
        let command = self.command(what).await;
        let first = self.ask(&self.sign(&command)).await;
        self.end(command.id, first).await
    }

    /// How a command ends whose first answer was `first`.
    pub async fn end(&self, id: CommandId, first: Answer) -> Progress {
        let mut answer = first;
        loop {
            match answer {
                Answer::Stage(progress) if progress.stage.is_final() => return progress,
                Answer::Stage(progress) => {
                    answer = self.ask(&Ask::Wait { id: id.clone(), known: Some(progress.stage) }).await;
                }
                answer => panic!("{answer:?}"),
            }
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.stop();
    }
}

pub fn command(ticket: Ticket, what: What) -> Command {
    Command {
        id: CommandId::new().unwrap(),
        ticket,
        valid_ms: VALID_MS,
        what,
        who: "ann".to_owned(),
        why: "a test".to_owned(),
        audit: None,
    }
}

/// The stage and the reason of a progress.
pub fn outcome(progress: &Progress) -> (Stage, Option<Reason>) {
    (progress.stage, progress.reason)
}

/// The rule for all processes of the user who runs the test.
pub fn own_processes() -> String {
    format!("enabled = true\nsignals = [\"* user:{}\"]", rustix::process::geteuid().as_raw())
}

/// A process that is ended with the test.
pub struct Running(pub Child);

impl Running {
    /// One that sleeps.
    pub fn sleeping() -> Self {
        Self(Program::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap())
    }

    /// A shell that notes each signal of USR1 and USR2 in `file`, after it said "ready" there.
    pub fn noting(file: &Path) -> Self {
        let script = r#"trap 'echo one >> "$0"' USR1; trap 'echo two >> "$0"' USR2; echo ready >> "$0"
            while :; do sleep 0.02; done"#;
        Self(Program::new("sh").args(["-c", script]).arg(file).stdin(Stdio::null()).spawn().unwrap())
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn identity(&self) -> ProcessId {
        identity(self.pid())
    }

    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The process that has this pid now.
pub fn identity(pid: u32) -> ProcessId {
    ProcessId { boot_id: boot_id(), pid, start_ticks: start_ticks(pid).unwrap() }
}

pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned()
}

/// When the process that has this pid started.
pub fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

pub fn signal(signal: Signal, process: ProcessId) -> What {
    What::Signal { signal, process }
}

/// How many lines of the file say `word`.
pub fn noted(file: &Path, word: &str) -> usize {
    fs::read_to_string(file).unwrap_or_default().lines().filter(|line| *line == word).count()
}

/// Waits for a condition, as `support::until`, with time for others.
pub async fn until(what: &str, condition: impl FnMut() -> bool) {
    crate::support::until(what, condition).await;
}

/// A moment, for what must be older than that.
pub async fn after(time: Duration) {
    let began = std::time::Instant::now();
    until("time goes on", || began.elapsed() > time).await;
}
