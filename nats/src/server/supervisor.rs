//! Keeps nats-server running: one thread starts it, starts it again when it ends or is not well (`runner`), and another
//! asks it how it is (`watch`).
//!
//! The first lives as long as the [`Supervisor`]: on Linux the child asks the kernel to be ended when its parent dies, and
//! for the kernel the parent is the thread that forked.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
};

use tokio_util::sync::CancellationToken;

use super::{PublicServer, ServerError, ServerHealth, config::Files, runner::Runner};

/// A nats-server that is kept running.
#[derive(Debug)]
pub(super) struct Supervisor {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the two threads and the supervisor tell each other.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Ends everything.
    pub(super) stop: CancellationToken,
    /// The process id of the server that was started last.
    pub(super) pid: AtomicU32,
    /// Whether it has greeted and was not found to have ended.
    pub(super) is_up: AtomicBool,
    /// How often it was started again.
    pub(super) restarts: AtomicU64,
    /// How often the certificate's files had changed and could not be used.
    pub(super) unusable_certificates: AtomicU64,
    /// How it is, for readiness.
    pub(super) health: ServerHealth,
    wanted: Mutex<Option<Restart>>,
}

/// That the server is to be ended and started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Restart {
    /// Why.
    pub(super) why: String,
    /// Whether it does not listen any more, so that asking it to end is of no use.
    pub(super) hangs: bool,
}

impl Shared {
    pub(super) fn new(health: ServerHealth, stop: CancellationToken) -> Self {
        Self { health, stop, ..Self::default() }
    }

    /// Has the server started again.
    pub(super) fn want(&self, restart: Restart) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(restart);
    }

    /// What was wanted since.
    pub(super) fn take_wanted(&self) -> Option<Restart> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Supervisor {
    /// Starts the server and returns when it listens.
    pub(super) fn start(
        program: PathBuf,
        files: Files,
        public: Option<PublicServer>,
        shared: Shared,
    ) -> Result<Self, ServerError> {
        let shared = Arc::new(shared);
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

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn pid(&self) -> u32 {
        self.shared.pid.load(Ordering::Acquire)
    }

    pub(super) fn restarts(&self) -> u64 {
        self.shared.restarts.load(Ordering::Acquire)
    }

    pub(super) fn unusable_certificates(&self) -> u64 {
        self.shared.unusable_certificates.load(Ordering::Acquire)
    }

    /// Stops the server and waits until it has ended.
    pub(super) fn stop(&mut self) {
        self.shared.stop.cancel();
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
