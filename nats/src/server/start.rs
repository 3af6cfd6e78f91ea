//! One start of nats-server: its port, the wait for its greeting, and what is done where its store prevents the start.

use std::{
    net::{IpAddr, Ipv4Addr, TcpListener},
    process::{Command, Stdio},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{
    child::ServerProcess,
    greeting,
    local::reached_by,
    runner::{FIRST_RESTART_DELAY, NAME_VARIABLE, Runner},
    store::{Store, UnfinishedStream},
};
use crate::{admission::BrokerLog, file};

/// It is ready in about 10 ms, and on a busy machine within seconds …
const START_TIMEOUT: Duration = Duration::from_secs(45);
/// … but a store whose index was lost is read first, a tenth as fast as any disk is.
const READ_BYTES_PER_S: u64 = 10 << 20;
/// How long a port that was this server's before may be taken until another is used: a server that was killed with its
/// parent gives it back in a moment.
const PORT_PATIENCE: Duration = Duration::from_secs(5);
/// How often to check whether a port is free again, and whether a starting server greets.
const LOOK: Duration = Duration::from_millis(5);
/// A server that ends or hangs this often in a row while it reads its store goes on without what it was reading.
const MAX_FAILED_STARTS: u32 = 2;

/// Why a server did not start.
enum Failure {
    /// It ended by itself, with a code, or hung while it was reading its store; the stream that it was at, where it said so.
    Store(String, Option<UnfinishedStream>),
    /// Anything else.
    Other(String),
}

impl Runner {
    /// The port for the first start: the requested one, else the previous one, else a free one.
    pub(super) fn first_port(&self) -> Result<u16, String> {
        let asked = self.public.as_ref().map(|public| public.listen.port()).filter(|port| *port != 0);
        let remembered =
            || file::read_text(&self.files.remembered_port()).ok().and_then(|text| text.trim().parse().ok());
        let Some(port) = asked.or_else(remembered) else { return self.free_port() };
        match self.until_free(port) {
            // No other machine knows this port.
            Err(_) if self.public.is_none() => self.free_port(),
            checked => checked.map(|()| port),
        }
    }

    /// Waits a while until another program releases `port`.
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
    pub(super) fn start_insistently(&self, port: u16) -> Result<ServerProcess, String> {
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
        // The name tells it from another server that may listen there by now.
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
