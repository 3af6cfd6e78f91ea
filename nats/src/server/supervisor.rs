//! Keeps nats-server running: one thread starts it, starts it again when it ends or is not well (`runner`), and another
//! asks it how it is (`watch`).
//!
//! The first lives as long as the [`Supervisor`]: on Linux the child asks the kernel to be ended when its parent dies, and
//! for the kernel the parent is the thread that forked.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering, mpsc},
    thread::JoinHandle,
};

use super::{PublicServer, ServerError, config::Files, runner::Runner, shared::Shared};

/// A nats-server that is kept running.
#[derive(Debug)]
pub(super) struct Supervisor {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
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
