//! The conversation of one host with its server.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use fleetps_nats::{
    HostName,
    admission::{Enrolled, Hello, Welcome},
    agent_settings::SignedFrame,
    exchange::{Brought, HELD, Heard},
    key,
    signed::{self, Label, SignedRequest},
};
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::{Agent, http::StatusCode};

use super::{REQUEST_TIMEOUT, ServerError, outage::Outage};
use crate::settings_in_force::SettingsInForce;

/// The longest answer: two frames and 16 questions of at most 64 KiB each, whose quotes are written as two letters.
const MAX_ANSWER_BYTES: u64 = 3 << 20;
/// The shortest time between two hellos: admission answers five of a host in a second.
const HELLOS_APART: Duration = Duration::from_millis(250);
/// How often a paused host asks whether it is to go on: as often as it would send otherwise.
const ASK_WHILE_PAUSED: Duration = Duration::from_secs(10);
/// How often another host says what is in force: settings come with the answers to its posts.
const ASK_AGAIN: Duration = Duration::from_secs(300);
/// The longest that a server may tell a host to wait.
const MAX_RETRY_AFTER_S: u64 = 60;

/// The conversation of one host with its server; cheap to clone. Its calls block.
#[derive(Debug, Clone)]
pub struct Session {
    shared: Arc<Shared>,
    /// What is told to the server, and gets what it asks for.
    remote: Option<Arc<dyn SettingsInForce>>,
}

#[derive(Debug)]
struct Shared {
    client: Agent,
    url: String,
    host: HostName,
    /// Read at every request, so that it can be changed.
    nkey_file: PathBuf,
    /// The host's last message in the stream, as far as the server said.
    after: AtomicU64,
    outage: Outage,
}

/// What the server says to a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The stream has it.
    Taken,
    /// It is to be sent again, after this time where the server named one.
    Again(Option<Duration>),
    /// The host is not admitted, as far as the server knows.
    NotAdmitted,
    /// The server never takes it, for this reason.
    Never(String),
}

/// An answer of the server.
struct Said {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Value,
}

impl Session {
    pub(super) fn new(client: Agent, url: String, host: HostName, nkey_file: PathBuf) -> Self {
        let after = AtomicU64::new(0);
        let shared = Shared { client, url, host, nkey_file, after, outage: Outage::default() };
        Self { shared: Arc::new(shared), remote: None }
    }

    /// The same, where the server may ask for settings.
    #[must_use]
    pub(crate) fn with_remote(self, remote: Arc<dyn SettingsInForce>) -> Self {
        Self { remote: Some(remote), ..self }
    }

    /// Tells the server at each change what is in force here, and asks again while nothing is sent, for as long as it is let.
    pub(crate) async fn exchange_settings(self) {
        let Some(remote) = self.remote.clone().filter(|remote| remote.is_controlled()) else { return };
        let mut applied = remote.applied();
        loop {
            // What changes during the hello is told by the next one.
            applied.mark_unchanged();
            let session = self.clone();
            // A panic is on record; the next turn tries again.
            let _ = tokio::task::spawn_blocking(move || session.say_hello()).await;
            let is_paused = applied.borrow().in_force.enabled == Some(false);
            tokio::time::sleep(HELLOS_APART).await;
            let wait = if is_paused { ASK_WHILE_PAUSED } else { ASK_AGAIN };
            let _ = tokio::time::timeout(wait, applied.changed()).await;
        }
    }

    /// Says what is in force here, and takes what is asked.
    fn say_hello(&self) {
        let Some(remote) = &self.remote else { return };
        let applied = remote.applied().borrow().clone();
        match self.hello(&Hello { applied: Some(applied), ..Hello::default() }) {
            Ok(welcome) => remote.take_answer(welcome.settings),
            Err(error) => {
                tracing::debug!(error = fleetps_nats::error_chain(&error), "no answer to the hello")
            }
        }
    }

    /// The server's answer to a hello.
    ///
    /// # Errors
    /// When the server does not answer, or not as fleetps does.
    pub fn hello(&self, hello: &Hello) -> Result<Welcome, ServerError> {
        let body = serde_json::to_vec(hello).unwrap_or_default();
        let said = self.send(signed::HELLO, None, &body)?;
        match said.status {
            StatusCode::OK => Welcome::deserialize(&said.body).map_err(|_| self.unexpected(&said)),
            _ => Err(self.unexpected(&said)),
        }
    }

    /// Brings answers, and hears what is asked; the server may hold back its answer for [`HELD`].
    ///
    /// # Errors
    /// When the server does not answer, or not as fleetps does: an earlier one knows no such requests.
    pub(crate) fn exchange(&self, brought: &Brought) -> Result<Heard, ServerError> {
        let body = serde_json::to_vec(brought).unwrap_or_default();
        let within = if brought.waits { HELD + REQUEST_TIMEOUT } else { REQUEST_TIMEOUT };
        let said = self.send_within(signed::EXCHANGE, None, &body, within)?;
        match said.status {
            StatusCode::OK => Heard::deserialize(&said.body).map_err(|_| self.unexpected(&said)),
            _ => Err(self.unexpected(&said)),
        }
    }

    /// Posts a packed snapshot for those who watch.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) fn post_sharp(&self, message: &Bytes) -> Result<(), ServerError> {
        self.send(signed::SHARP, None, message).map(drop)
    }

    /// The host that speaks.
    pub fn host(&self) -> &HostName {
        &self.shared.host
    }

    /// Asks to be admitted, with an enrolment token where there is one.
    ///
    /// # Errors
    /// When the server does not answer, or not as fleetps does.
    pub fn enrol(&self, token: Option<&str>) -> Result<Enrolled, ServerError> {
        let said = self.send(signed::ENROL, None, json!({ "token": token }).to_string().as_bytes())?;
        Enrolled::deserialize(&said.body["state"]).map_err(|_| self.unexpected(&said))
    }

    /// Posts a packed snapshot; says which one it is by its `run`, `sequence` and `age`.
    ///
    /// # Errors
    /// When the server does not answer; it may have the snapshot all the same.
    pub fn post(
        &self,
        run: &str,
        sequence: u64,
        age: Option<Duration>,
        message: &Bytes,
    ) -> Result<Answer, ServerError> {
        let label = Label { run: run.to_owned(), sequence, age, after: self.shared.after.load(Relaxed) };
        let said = self.send(signed::INGEST, Some(label), message)?;
        Ok(match said.status {
            // A proxy may say 202 of its own.
            StatusCode::ACCEPTED if self.keep_after(&said.body["sequence"]) => {
                self.shared.outage.end(&self.shared.host);
                if let Some(remote) = &self.remote {
                    remote.take_answer(SignedFrame::deserialize(&said.body["settings"]).ok());
                }
                if said.body["rotate"] == true {
                    self.rotate();
                }
                Answer::Taken
            }
            StatusCode::CONFLICT if self.keep_after(&said.body["after"]) => {
                Answer::Again(Some(Duration::ZERO))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Answer::NotAdmitted,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => Answer::Never(said.error()),
            _ => {
                let cause = said.status.canonical_reason().unwrap_or("another status");
                self.report(cause, &self.unexpected(&said).to_string());
                Answer::Again(said.retry_after)
            }
        })
    }

    /// Notes that the server does not take a snapshot: `cause` is a short name to count by, `why` says it in words.
    pub(crate) fn report(&self, cause: &'static str, why: &str) {
        self.shared.outage.report(&self.shared.host, cause, why);
    }

    fn keep_after(&self, sequence: &Value) -> bool {
        let Some(sequence) = sequence.as_u64() else { return false };
        self.shared.after.store(sequence, Relaxed);
        true
    }

    /// Changes this host's key, as after a hello at the broker. What fails is tried again with the next snapshot.
    fn rotate(&self) {
        let changed = crate::host_key::change(&self.shared.nkey_file, |next_key| {
            let hello = serde_json::to_vec(&Hello { next_key: Some(next_key), ..Hello::default() })
                .map_err(io::Error::from)?;
            let said = self.send(signed::HELLO, None, &hello).map_err(io::Error::other)?;
            Ok(Welcome::deserialize(&said.body).is_ok_and(|welcome| welcome.accepted))
        });
        match changed {
            Ok(()) => {
                tracing::info!(host = %self.shared.host, "this host has a new key");
                // Its first use ends the former one.
                if let Err(error) = self.enrol(None) {
                    tracing::debug!(%error, "the new key was not shown yet");
                }
            }
            Err(error) => {
                tracing::warn!(error = fleetps_nats::error_chain(&error), "this host's key was not changed");
            }
        }
    }

    fn send(&self, path: &str, label: Option<Label>, body: &[u8]) -> Result<Said, ServerError> {
        self.send_within(path, label, body, REQUEST_TIMEOUT)
    }

    fn send_within(
        &self,
        path: &str,
        label: Option<Label>,
        body: &[u8],
        within: Duration,
    ) -> Result<Said, ServerError> {
        let Shared { client, url, host, nkey_file, .. } = &*self.shared;
        let key = key::read(nkey_file)?;
        let headers = SignedRequest::new(path, host, &key, label, body).sign(&key);
        let headers = headers.map_err(key::KeyError::from)?;
        let known = self.remote.as_ref().map(|remote| remote.last_revision()).unwrap_or_default();
        let request = client.post(format!("{url}{path}")).config().timeout_global(Some(within)).build();
        let request = request.header("content-type", "application/octet-stream");
        let mut request = request.header(signed::SETTINGS, known.to_string());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let unreachable = |source| ServerError::Unreachable { url: url.clone(), source: Box::new(source) };
        let mut answer = request.send(body).map_err(unreachable)?;
        let retry_after = answer.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = retry_after.map(|seconds: u64| Duration::from_secs(seconds.min(MAX_RETRY_AFTER_S)));
        let text =
            answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec().map_err(unreachable)?;
        // A proxy on the way may answer with a page.
        let body = serde_json::from_slice(&text).unwrap_or_default();
        Ok(Said { status: answer.status(), retry_after, body })
    }

    fn unexpected(&self, said: &Said) -> ServerError {
        ServerError::Answer { url: self.shared.url.clone(), status: said.status.as_u16(), said: said.error() }
    }
}

impl Said {
    /// The error that the server names; it goes to a log or a terminal.
    fn error(&self) -> String {
        let error = self.body["error"].as_str().unwrap_or("it does not answer as fleetps does");
        error.escape_debug().take(300).collect()
    }
}
