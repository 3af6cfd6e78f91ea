//! Keeps nats-server running: starts it, waits until it listens, starts it again if it ends, stops it on demand.
//!
//! All of it on one thread that lives as long as the [`Supervisor`]: on Linux the child asks the kernel to be ended
//! when its parent dies, and for the kernel the parent is the thread that forked.

use std::{
    fs,
    io::Read,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use super::{
    PublicServer, ServerError,
    child::{Signal, signal, stop_child, tie_to_this_thread},
    config::Files,
};
use crate::file;

/// It is ready in about 10 ms; a store of many gigabytes is checked first and takes seconds.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the child is looked at: a crash is noticed, and the restart begins, within this.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
/// How long to wait before a server that ended is started again, so that one that cannot start does not spin.
const RESTART_DELAY: Duration = Duration::from_millis(500);

/// A nats-server that is kept running.
#[derive(Debug)]
pub(super) struct Supervisor {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    pid: AtomicU32,
    unusable_certificates: AtomicU64,
}

impl Supervisor {
    /// Starts the server and returns when it listens.
    pub(super) fn start(
        program: PathBuf,
        files: Files,
        public: Option<PublicServer>,
    ) -> Result<Self, ServerError> {
        let shared = Arc::new(Shared::default());
        let (ready, is_ready) = mpsc::sync_channel(1);
        let runner = Runner { program, files: files.clone(), public, shared: Arc::clone(&shared) };
        let thread = std::thread::Builder::new()
            .name("nats-server".to_owned())
            .spawn(move || runner.run(&ready))
            .map_err(ServerError::file(&files.config))?;
        let stopped =
            || ServerError::Start { problem: "its thread ended".to_owned(), log: files.log.clone() };
        let port = is_ready.recv().map_err(|_| stopped())??;
        Ok(Self { port, shared, thread: Some(thread) })
    }

    /// The port it listens on.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn pid(&self) -> u32 {
        self.shared.pid.load(Ordering::Acquire)
    }

    pub(super) fn unusable_certificates(&self) -> u64 {
        self.shared.unusable_certificates.load(Ordering::Acquire)
    }

    /// Stops the server and waits until it has ended.
    pub(super) fn stop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The address by which this machine reaches what listens on `ip`.
pub(super) fn reached_by(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// When the certificate and its key were changed; `None` without TLS.
type CertificateState = Option<[Option<SystemTime>; 2]>;

/// What the thread works with.
struct Runner {
    program: PathBuf,
    files: Files,
    public: Option<PublicServer>,
    shared: Arc<Shared>,
}

impl Runner {
    fn run(&self, ready: &mpsc::SyncSender<Result<u16, ServerError>>) {
        // A remembered port that somebody else has taken by now is given up, unless it was asked for.
        let asked = self.public.as_ref().map(|public| public.listen.port()).filter(|port| *port != 0);
        let remembered =
            file::read_text(&self.files.remembered_port()).ok().and_then(|text| text.trim().parse().ok());
        let first = match asked.or(remembered) {
            Some(port) if asked.is_some() => self.start_child(Some(port)),
            Some(port) => self.start_child(Some(port)).or_else(|_| self.start_child(None)),
            None => self.start_child(None),
        };
        let (mut child, port) = match first {
            Ok(started) => started,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let _ = fs::write(self.files.remembered_port(), port.to_string());
        let _ = ready.send(Ok(port));
        let mut certificate = self.certificate_state();
        loop {
            self.watch(&mut child, &mut certificate);
            if self.shared.stopping.load(Ordering::Acquire) {
                return stop_child(&mut child);
            }
            child = loop {
                tracing::warn!("nats-server ended unexpectedly; starting it again");
                std::thread::park_timeout(RESTART_DELAY);
                if self.shared.stopping.load(Ordering::Acquire) {
                    return;
                }
                match self.start_child(Some(port)) {
                    Ok((child, _)) => break child,
                    Err(error) => tracing::error!(error = %error, "nats-server cannot be started again"),
                }
            };
        }
    }

    /// Returns when the child has ended or is to be stopped. Has it read its certificate again when that changed.
    fn watch(&self, child: &mut Child, certificate: &mut CertificateState) {
        while !self.shared.stopping.load(Ordering::Acquire) && matches!(child.try_wait(), Ok(None)) {
            std::thread::park_timeout(WATCH_INTERVAL);
            let now = self.certificate_state();
            if now != *certificate {
                *certificate = now;
                self.reload(child);
            }
        }
    }

    /// When the files of the certificate were changed.
    fn certificate_state(&self) -> CertificateState {
        let tls = self.public.as_ref()?.tls.as_ref()?;
        let changed = |file: &PathBuf| fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
        Some([changed(&tls.certificate), changed(&tls.key)])
    }

    /// Has the server read its files again, when they are right; open connections stay.
    fn reload(&self, child: &mut Child) {
        let checked = Command::new(&self.program).arg("-t").arg("-c").arg(&self.files.config).output();
        match checked {
            Ok(output) if output.status.success() => {
                signal(child, Signal::Reload);
                tracing::info!("nats-server reads its certificate again");
            }
            Ok(output) => {
                self.shared.unusable_certificates.fetch_add(1, Ordering::AcqRel);
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                tracing::error!("the broker's certificate from before stays in use: {said}");
            }
            Err(error) => tracing::error!(%error, "the broker's certificate could not be checked"),
        }
    }

    /// Starts the server on `port`, or a free one, and waits until it listens.
    fn start_child(&self, port: Option<u16>) -> Result<(Child, u16), ServerError> {
        let failed = |problem: String| ServerError::Start { problem, log: self.files.log.clone() };
        self.forget_old_ports();
        let mut command = Command::new(&self.program);
        command
            .arg("--config")
            .arg(&self.files.config)
            .args(["--addr", &self.listen_ip().to_string(), "--port"])
            .arg(port.map_or("-1".to_owned(), |port| port.to_string()))
            .arg("--ports_file_dir")
            .arg(&self.files.ports)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        tie_to_this_thread(&mut command);
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        self.shared.pid.store(child.id(), Ordering::Release);
        match self.wait_until_ready(&mut child) {
            Ok(port) => Ok((child, port)),
            Err(problem) => {
                stop_child(&mut child);
                Err(failed(problem))
            }
        }
    }

    fn listen_ip(&self) -> IpAddr {
        self.public.as_ref().map_or(Ipv4Addr::LOCALHOST.into(), |public| public.listen.ip())
    }

    fn wait_until_ready(&self, child: &mut Child) -> Result<u16, String> {
        let ports_file = self.files.ports.join(format!("nats-server_{}.ports", child.id()));
        let ports_file_exe = self.files.ports.join(format!("nats-server.exe_{}.ports", child.id()));
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = child.try_wait() {
                let mut said = String::new();
                if let Some(stderr) = &mut child.stderr {
                    let _ = stderr.take(4096).read_to_string(&mut said);
                }
                return Err(format!("it ended with {status}: {}", said.trim()));
            }
            // The file is not written at once: until it holds a whole address, it is read again.
            let text = fs::read_to_string(&ports_file).or_else(|_| fs::read_to_string(&ports_file_exe));
            if let Some(port) = text.ok().as_deref().and_then(client_port)
                && listens(reached_by(self.listen_ip()), port)
            {
                return Ok(port);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(format!("it does not listen after {} s", START_TIMEOUT.as_secs()))
    }

    /// A killed server leaves its ports file behind, and a later one may get its process id.
    fn forget_old_ports(&self) {
        let Ok(entries) = fs::read_dir(&self.files.ports) else { return };
        for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            if path.extension().is_some_and(|extension| extension == "ports") {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Reads the port from `{"nats": ["nats://127.0.0.1:38471"], …}`.
fn client_port(ports_json: &str) -> Option<u16> {
    let ports: serde_json::Value = serde_json::from_str(ports_json).ok()?;
    ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
}

/// Whether the server greets on this port.
fn listens(ip: IpAddr, port: u16) -> bool {
    let greets = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from((ip, port)), Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting)?;
        Ok(&greeting == b"INFO")
    };
    greets().unwrap_or(false)
}
