//! The one way to reach a broker.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_nats::{Auth, AuthError, Client, ConnectErrorKind, ConnectOptions, Event};
use tokio::sync::Notify;

use crate::{
    HostName, TlsOptions,
    key::{self, KeyError},
    settings::Flag,
    subject,
};

/// Notices a half-open connection within three of these; the library's default of 60 s would take minutes.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Commands (not bytes) that the client takes while it is disconnected; small, because it sends them later even when
/// the caller gave up, which would publish a snapshot twice.
const CLIENT_CAPACITY: usize = 64;
/// The longest wait between two attempts to reconnect.
const MAX_RECONNECT_DELAY_MS: u64 = 8_000;
/// The first wait; it doubles with every attempt, and each is drawn at random below that, so that a fleet does not
/// come back all at once.
const FIRST_RECONNECT_DELAY_MS: u64 = 100;

/// Where a broker that was set up by hand listens by default.
pub const DEFAULT_BROKER: &str = "nats://127.0.0.1:4222";

crate::settings! {
    /// Which broker is used, and with which key. [`TlsOptions`] says how the connection is protected.
    #[derive(Eq)]
    pub struct BrokerSettings in "" {
        /// Address of the broker, as in nats://fleet.example.com:4222.
        ///
        /// `fleetps` runs a broker of its own where this is left out.
        #[flag(Flag::takes("nats", "URL"))]
        pub nats: Option<String> = None;
        /// File with the key for that broker (an nkey seed).
        #[flag(Flag::takes("nkey", "FILE"))]
        pub nkey: Option<PathBuf> = None;
    }
}

impl BrokerSettings {
    /// The broker that is named, else the one at [`DEFAULT_BROKER`].
    pub fn broker(&self, wire: &TlsOptions) -> Broker {
        let url = self.nats.clone().unwrap_or_else(|| DEFAULT_BROKER.to_owned());
        Broker { url, nkey_file: self.nkey.clone(), wire: wire.clone() }
    }
}

/// The name of the client, and the broker's address.
#[derive(Debug, Clone)]
pub struct Broker {
    /// The broker's address, as in `nats://127.0.0.1:4222`.
    pub url: String,
    /// The file with this part's nkey seed; `None` for a broker without authentication.
    pub nkey_file: Option<PathBuf>,
    /// How the way to it is kept safe.
    pub wire: TlsOptions,
}

/// The broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The broker is on another machine, and the connection would be in plaintext.
    #[error(
        "the broker at {url} is on another machine, and the way there is not over TLS: command lines would cross the \
         network as they are. Either name the authority that its certificate is signed by, with --ca FILE, or say \
         --plaintext"
    )]
    Plaintext {
        /// Its address.
        url: String,
    },
    /// A certificate was given without its private key, or the key without the certificate.
    #[error("a certificate needs its key: give both --cert FILE and --cert-key FILE")]
    HalfCertificate,
    /// The broker does not answer, or refuses.
    #[error("cannot connect to the broker at {url}; is it running, and does it know this key?")]
    Connect {
        /// Its address.
        url: String,
        /// The client's error.
        source: async_nats::ConnectError,
    },
}

impl ConnectionError {
    /// Whether the broker answered, and refused.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Connect { source, .. } if source.kind() == ConnectErrorKind::AuthorizationViolation)
    }
}

impl Broker {
    /// The same broker, reached with the key in `file`.
    pub fn with_key(&self, file: PathBuf) -> Self {
        Self { nkey_file: Some(file), ..self.clone() }
    }

    /// Connects as `name` (shown in the broker's own lists), waiting for the first connection.
    pub async fn connect(&self, name: &str) -> Result<Client, ConnectionError> {
        self.connect_with(self.options(name, "_INBOX")?).await
    }

    /// Connects without waiting: the client goes on trying until the broker is there. Replies come to subjects below
    /// `inbox_prefix`.
    pub async fn connect_later(&self, name: &str, inbox_prefix: &str) -> Result<Client, ConnectionError> {
        self.connect_with(self.options(name, inbox_prefix)?.retry_on_initial_connect()).await
    }

    /// Connects as the agent of `host`, without waiting, and says each time that it `connected`. The key is read from its
    /// file at every attempt, so that it can be changed.
    pub async fn connect_agent(
        &self,
        host: &HostName,
        connected: Arc<Notify>,
    ) -> Result<Client, ConnectionError> {
        let options = self.agent_options(host, None)?.retry_on_initial_connect();
        let name = agent_name(host);
        let options = options.event_callback(move |event| {
            log_event(&name, &event);
            if matches!(event, Event::Connected) {
                connected.notify_one();
            }
            std::future::ready(())
        });
        self.connect_with(options).await
    }

    /// Connects as the agent of `host` for the first time, with an enrolment token where there is one; waits for the
    /// broker's word.
    pub async fn enrol(&self, host: &HostName, token: Option<&str>) -> Result<Client, ConnectionError> {
        self.connect_with(self.agent_options(host, token)?).await
    }

    async fn connect_with(&self, options: ConnectOptions) -> Result<Client, ConnectionError> {
        if !self.wire.is_safe_to(&self.url) {
            return Err(ConnectionError::Plaintext { url: self.url.clone() });
        }
        if self.wire.certificate.is_some() != self.wire.key.is_some() {
            return Err(ConnectionError::HalfCertificate);
        }
        self.wire
            .apply(options, &self.url)
            .connect(&self.url)
            .await
            .map_err(|source| ConnectionError::Connect { url: self.url.clone(), source })
    }

    /// Whether this part's key can be read.
    ///
    /// # Errors
    /// When it cannot.
    pub fn check_key(&self) -> Result<(), KeyError> {
        self.nkey_file.as_deref().map_or(Ok(()), |path| key::read(path).map(drop))
    }

    fn options(&self, name: &str, inbox_prefix: &str) -> Result<ConnectOptions, ConnectionError> {
        let options = match &self.nkey_file {
            Some(path) => ConnectOptions::with_nkey(key::seed(&key::read(path)?)?),
            None => ConnectOptions::new(),
        };
        Ok(with_ways(options, name, inbox_prefix))
    }

    /// An agent sends its host's name and signs with the host's key; admission checks both.
    fn agent_options(&self, host: &HostName, token: Option<&str>) -> Result<ConnectOptions, ConnectionError> {
        let options = match self.nkey_file.clone() {
            Some(path) => {
                // A problem with the file is reported now, not at the broker's challenge.
                key::read(&path)?;
                let (host, token) = (host.clone(), token.map(str::to_owned));
                ConnectOptions::with_auth_callback(move |nonce| {
                    std::future::ready(credentials(&path, &host, token.clone(), &nonce))
                })
            }
            None => ConnectOptions::new(),
        };
        Ok(with_ways(options, &agent_name(host), &subject::inbox_prefix(host)))
    }
}

/// How everybody connects.
fn with_ways(options: ConnectOptions, name: &str, inbox_prefix: &str) -> ConnectOptions {
    let logged_name = name.to_owned();
    options
        .name(name)
        .custom_inbox_prefix(inbox_prefix)
        .ping_interval(PING_INTERVAL)
        .client_capacity(CLIENT_CAPACITY)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            log_event(&logged_name, &event);
            std::future::ready(())
        })
}

fn agent_name(host: &HostName) -> String {
    format!("fleetps-agent {host}")
}

fn credentials(
    key_file: &Path,
    host: &HostName,
    token: Option<String>,
    nonce: &[u8],
) -> Result<Auth, AuthError> {
    let key = key::read(key_file).map_err(AuthError::new)?;
    let mut auth = Auth::new();
    auth.signature = Some(key.sign(nonce).map_err(AuthError::new)?);
    auth.nkey = Some(key.public_key());
    auth.username = Some(host.to_string());
    auth.password = token;
    Ok(auth)
}

/// Doubling, bounded, and drawn at random below the bound ("full jitter").
pub fn reconnect_delay(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.min(16)).unwrap_or(16);
    let bound_ms = FIRST_RECONNECT_DELAY_MS.saturating_mul(1 << doublings).min(MAX_RECONNECT_DELAY_MS);
    Duration::from_millis(fastrand::u64(0..=bound_ms))
}

fn log_event(name: &str, event: &Event) {
    match event {
        Event::Connected => tracing::info!(part = name, "connected to the broker"),
        Event::Disconnected => tracing::warn!(part = name, "lost the broker; trying to reach it again"),
        Event::ServerError(error) => {
            tracing::warn!(part = name, error = %error, "the broker refused something")
        }
        other => tracing::debug!(part = name, event = %other, "broker connection"),
    }
}
