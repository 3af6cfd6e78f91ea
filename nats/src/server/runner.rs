//! The thread that runs nats-server: starts it, waits until it greets, starts it again.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant, SystemTime},
};

use super::{
    PublicServer, ServerError,
    child::{ServerProcess, Signal},
    config::Files,
    greeting,
    store::{Store, UnfinishedStream},
    supervisor::{Restart, Shared, reached_by},
};
use crate::{admission::BrokerLog, file};

/// It is ready in about 10 ms, and on a busy machine within seconds …
const START_TIMEOUT: Duration = Duration::from_secs(45);
/// … but a store whose index was lost is read first, a tenth as fast as any disk is.
const READ_BYTES_PER_S: u64 = 10 << 20;
/// How often the child is looked at: a crash is noticed, and the restart begins, within this.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
/// The first wait before a server that ended is started again; it doubles, so that one that cannot start does not spin.
const FIRST_RESTART_DELAY: Duration = Duration::from_millis(500);
/// The longest wait: what it waits for (a port, room on the disk, a program) is used within this.
const MAX_RESTART_DELAY: Duration = Duration::from_secs(8);
/// A server that ran for this long was well, so that its end is no reason to wait for long.
const STEADY: Duration = Duration::from_secs(60);
/// How long a port that was this server's before may be taken until another is used: a server that was killed with its
/// parent gives it back in a moment.
const PORT_PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether a port is free again, and whether a starting server greets.
const LOOK: Duration = Duration::from_millis(5);
/// A server that ends or hangs this often in a row while it reads its store goes on without what it was reading.
const MAX_FAILED_STARTS: u32 = 2;

/// The environment variable from which the configuration takes the server's name. A flag would make every reload fail, because
/// nats-server compares its name with that of the configuration alone.
const NAME_VARIABLE: &str = "FLEETPS_SERVER_NAME";

/// When the certificate and its key were changed; `None` without TLS.
type CertificateState = Option<[Option<SystemTime>; 2]>;

/// What the thread works with.
pub(super) struct Runner {
    pub(super) program: PathBuf,
    pub(super) files: Files,
    pub(super) public: Option<PublicServer>,
    pub(super) shared: Arc<Shared>,
}

/// Why a server did not start.
enum Failure {
    /// It ended by itself, with a code, or hung while it was reading its store; the stream that it was at, where it said so.
    Store(String, Option<UnfinishedStream>),
    /// Anything else.
    Other(String),
}

impl Runner {
    /// Runs the server until it is to stop. Says on `ready` which port it got, or why it did not start; then it ends.
    pub(super) fn run(&self, ready: &mpsc::SyncSender<Result<u16, ServerError>>) {
        let started =
            self.first_port().and_then(|port| self.start_insistently(port).map(|child| (child, port)));
        let (mut child, port) = match started {
            Ok(started) => started,
            Err(problem) => {
                let _ = ready.send(Err(ServerError::Start { problem, log: self.files.log.clone() }));
                return;
            }
        };
        let remembered = self.files.remembered_port();
        if let Err(error) = file::replace(&remembered, port.to_string().as_bytes()) {
            tracing::error!(path = %remembered.display(), %error, "the broker's port cannot be remembered; commands on this machine may not find it");
        }
        let _ = ready.send(Ok(port));
        let mut certificate = self.certificate_state();
        let mut delay = FIRST_RESTART_DELAY;
        loop {
            let started = Instant::now();
            self.shared.is_up.store(true, Ordering::Release);
            let why = self.watch(&mut child, &mut certificate);
            self.shared.is_up.store(false, Ordering::Release);
            if self.is_stopping() {
                return child.stop();
            }
            self.end(&mut child, why);
            if started.elapsed() > STEADY {
                delay = FIRST_RESTART_DELAY;
            }
            match self.start_again(port, &mut delay) {
                Some(started) => child = started,
                None => return,
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.shared.stop.is_cancelled()
    }

    /// Waits; false when it is time to stop.
    fn wait(&self, delay: Duration) -> bool {
        let deadline = Instant::now() + delay;
        while !self.is_stopping() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::park_timeout(left.min(WATCH_INTERVAL));
        }
        false
    }

    /// Starts it until it runs; `None` when it is to stop.
    fn start_again(&self, port: u16, delay: &mut Duration) -> Option<ServerProcess> {
        loop {
            if !self.wait(*delay) {
                return None;
            }
            *delay = (*delay * 2).min(MAX_RESTART_DELAY);
            self.shared.restarts.fetch_add(1, Ordering::AcqRel);
            // Whatever was wanted of the one before is done.
            self.shared.take_wanted();
            match self.start_insistently(port) {
                Ok(child) => {
                    tracing::warn!(pid = child.id(), "nats-server runs again");
                    self.shared.health.set_problem(None);
                    return Some(child);
                }
                Err(_) if self.is_stopping() => return None,
                Err(problem) => self
                    .shared
                    .health
                    .set_problem(Some(format!("nats-server cannot be started again: {problem}"))),
            }
        }
    }

    /// Ends the child where it still runs, and says why it is started again.
    fn end(&self, child: &mut ServerProcess, why: Option<Restart>) {
        let problem = match why {
            Some(Restart { why, hangs }) => {
                tracing::error!(pid = child.id(), "nats-server is ended, to be started again: {why}");
                if hangs {
                    child.kill()
                } else {
                    child.stop()
                }
                why
            }
            None => {
                let status = child.ended().map_or_else(String::new, |status| format!(" with {status}"));
                let said = child.last_words();
                let said = if said.is_empty() { said } else { format!("; its last words:\n{said}") };
                format!("nats-server ended unexpectedly{status}{said}")
            }
        };
        self.shared.health.set_problem(Some(format!("{problem}; it is being started again")));
    }

    /// Returns when the child has ended, when it is wanted to (and why), or when it is to be stopped. Has it read its
    /// certificate again when that changed.
    fn watch(&self, child: &mut ServerProcess, certificate: &mut CertificateState) -> Option<Restart> {
        while !self.is_stopping() && child.ended().is_none() {
            std::thread::park_timeout(WATCH_INTERVAL);
            if let Some(restart) = self.shared.take_wanted() {
                return Some(restart);
            }
            let now = self.certificate_state();
            if now != *certificate {
                *certificate = now;
                self.reload(child);
            }
        }
        None
    }

    /// When the files of the certificate were changed.
    fn certificate_state(&self) -> CertificateState {
        let tls = self.public.as_ref()?.tls.as_ref()?;
        let changed = |file: &PathBuf| fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
        Some([changed(&tls.certificate), changed(&tls.key)])
    }

    /// Has the server read its files again, when they are right; open connections stay.
    fn reload(&self, child: &mut ServerProcess) {
        match self.check_config() {
            Ok(()) => {
                child.signal(Signal::Reload);
                tracing::info!("nats-server reads its certificate again");
            }
            Err(said) => {
                self.shared.unusable_certificates.fetch_add(1, Ordering::AcqRel);
                tracing::error!("the broker's certificate from before stays in use: {said}");
            }
        }
    }

    /// Has the program read its configuration, and the files that it names; what it said where they are not right.
    fn check_config(&self) -> Result<(), String> {
        let mut check = Command::new(&self.program);
        check.arg("-t").arg("-c").arg(&self.files.config).env(NAME_VARIABLE, "fleetps");
        let checked = check.output();
        let output = checked.map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    /// The port for the first start: the one that was asked for, else the one from before, else a free one.
    fn first_port(&self) -> Result<u16, String> {
        let asked = self.public.as_ref().map(|public| public.listen.port()).filter(|port| *port != 0);
        let remembered =
            || file::read_text(&self.files.remembered_port()).ok().and_then(|text| text.trim().parse().ok());
        let Some(port) = asked.or_else(remembered) else { return self.free_port() };
        match self.until_free(port) {
            // Nobody elsewhere knows it.
            Err(_) if self.public.is_none() => self.free_port(),
            checked => checked.map(|()| port),
        }
    }

    /// Waits a while for somebody else to give `port` back.
    fn until_free(&self, port: u16) -> Result<(), String> {
        let deadline = Instant::now() + PORT_PATIENCE;
        loop {
            match TcpListener::bind((self.listen_ip(), port)) {
                Ok(_) => return Ok(()),
                Err(_) if Instant::now() < deadline && !self.is_stopping() => std::thread::sleep(LOOK),
                Err(error) => {
                    return Err(format!("it cannot listen on {}:{port} ({error})", self.listen_ip()));
                }
            }
        }
    }

    fn free_port(&self) -> Result<u16, String> {
        let free = TcpListener::bind((self.listen_ip(), 0)).and_then(|listener| listener.local_addr());
        free.map(|address| address.port()).map_err(|error| format!("it gets no port: {error}"))
    }

    /// Starts the server; where that fails again and again while it reads its store, without what it cannot read.
    fn start_insistently(&self, port: u16) -> Result<ServerProcess, String> {
        let mut failed = 0;
        loop {
            match self.start_child(port) {
                Ok(child) => return Ok(child),
                Err(Failure::Other(problem)) => return Err(problem),
                Err(Failure::Store(problem, stream)) => {
                    failed += 1;
                    if failed >= MAX_FAILED_STARTS {
                        Store::of(&self.files).set_aside(&problem, stream.as_ref(), &self.shared.health)?;
                        failed = 0;
                    } else if !self.wait(FIRST_RESTART_DELAY) {
                        return Err(problem);
                    }
                }
            }
        }
    }

    /// Starts the server on `port`, and waits until it greets.
    fn start_child(&self, port: u16) -> Result<ServerProcess, Failure> {
        self.until_free(port).map_err(Failure::Other)?;
        Store::of(&self.files).clear_the_way(&self.shared.health);
        // By its name it is told from whoever else may listen there by now.
        let name = format!("fleetps-{:016x}", fastrand::u64(..));
        let mut log = BrokerLog::from_its_end(&self.files.log);
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(&self.files.config).env(NAME_VARIABLE, &name);
        command.args(["--addr", &self.listen_ip().to_string(), "--port", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let spawned = ServerProcess::spawn(&mut command);
        let mut child = spawned
            .map_err(|error| Failure::Other(format!("{} cannot be run: {error}", self.program.display())))?;
        self.shared.pid.store(child.id(), Ordering::Release);
        let greeted = self.wait_for_greeting(&mut child, port, &name);
        // The first look may only have found the file.
        let said: Vec<String> = [log.lines(), log.lines()].into_iter().flatten().flatten().collect();
        match greeted {
            Ok(()) => {
                Store::of(&self.files).tell(&said, &self.shared.health);
                Ok(child)
            }
            Err(problem) => Err(self.failure(&mut child, problem, &said)),
        }
    }

    /// Whether it was the store that kept it from starting: its configuration is right and its folder can be written, and it
    /// ended by itself and spoke of JetStream last, or hangs over a stream.
    fn failure(&self, child: &mut ServerProcess, problem: String, said: &[String]) -> Failure {
        let stream = UnfinishedStream::last_in(said);
        let bad: Vec<&str> = said.iter().map(String::as_str).filter(|line| is_bad(line)).collect();
        let problem = if bad.is_empty() { problem } else { format!("{problem}\n{}", bad.join("\n")) };
        if let Err(error) = Store::of(&self.files).try_writing() {
            return Failure::Other(format!("{problem}; its store cannot be written ({error})"));
        }
        let has_code = child.ended().and_then(|status| status.code()).is_some_and(|code| code != 0);
        let ended = has_code && bad.last().is_some_and(|line| line.contains("JetStream"));
        let hangs = child.was_killed() && stream.is_some();
        match (ended || hangs) && !self.is_stopping() && self.check_config().is_ok() {
            true => Failure::Store(problem, stream),
            false => Failure::Other(problem),
        }
    }

    fn listen_ip(&self) -> IpAddr {
        self.public.as_ref().map_or(Ipv4Addr::LOCALHOST.into(), |public| public.listen.ip())
    }

    fn wait_for_greeting(&self, child: &mut ServerProcess, port: u16, name: &str) -> Result<(), String> {
        let patience = START_TIMEOUT + Duration::from_secs(Store::of(&self.files).bytes() / READ_BYTES_PER_S);
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = child.ended() {
                return Err(format!("it ended with {status}: {}", child.last_words()));
            }
            if self.is_stopping() {
                child.stop();
                return Err("it is to stop".to_owned());
            }
            if greeting::server_name(reached_by(self.listen_ip()), port).as_deref() == Some(name) {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        child.kill();
        Err(format!("it does not listen after {} s", patience.as_secs()))
    }
}

fn is_bad(line: &str) -> bool {
    ["[WRN]", "[ERR]", "[FTL]"].iter().any(|level| line.contains(level))
}
