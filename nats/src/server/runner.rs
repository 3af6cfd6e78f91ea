//! The thread that runs nats-server: starts it, waits until it greets, starts it again.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant, SystemTime},
};

use super::{
    PublicServer, ServerError,
    child::{ServerProcess, Signal},
    config::Files,
    shared::{Restart, Shared},
};
use crate::file;

/// How often the child is checked: a crash is noticed, and the restart begins, within this.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
/// The first wait before a server that ended is started again; it doubles, so that one that cannot start does not spin.
pub(super) const FIRST_RESTART_DELAY: Duration = Duration::from_millis(500);
/// The longest wait: what it waits for (a port, room on the disk, a program) is used within this.
const MAX_RESTART_DELAY: Duration = Duration::from_secs(8);
/// A server that ran for this long was well, so that its end is no reason to wait for long.
const STEADY: Duration = Duration::from_secs(60);

/// The environment variable from which the configuration takes the server's name. A flag would make every reload fail,
/// because nats-server compares its name with the configuration's alone.
pub(super) const NAME_VARIABLE: &str = "FLEETPS_SERVER_NAME";

/// When the certificate and its key were changed; `None` without TLS.
type CertificateState = Option<[Option<SystemTime>; 2]>;

/// The state of the thread.
pub(super) struct Runner {
    pub(super) program: PathBuf,
    pub(super) files: Files,
    pub(super) public: Option<PublicServer>,
    pub(super) shared: Arc<Shared>,
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

    pub(super) fn is_stopping(&self) -> bool {
        self.shared.stop.is_cancelled()
    }

    /// Waits; false when it is time to stop.
    pub(super) fn wait(&self, delay: Duration) -> bool {
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
            // A restart wanted of the earlier process is done by this.
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

    /// Waits until the child exits, a restart is wanted (returns the reason), or it is to be stopped. Has it read its
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
                tracing::error!("the broker keeps its previous certificate: {said}");
            }
        }
    }

    /// Has the program read its configuration, and the files that it names; what it said where they are not right.
    pub(super) fn check_config(&self) -> Result<(), String> {
        let mut check = Command::new(&self.program);
        check.arg("-t").arg("-c").arg(&self.files.config).env(NAME_VARIABLE, "fleetps");
        let checked = check.output();
        let output = checked.map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
