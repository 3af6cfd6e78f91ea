//! The one way to reach a broker.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event};

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

/// Who is connecting, and where to.
#[derive(Debug, Clone)]
pub struct Broker {
    /// The broker's address, as in `nats://127.0.0.1:4222`.
    pub url: String,
    /// The file with this part's nkey seed; `None` for a broker without authentication.
    pub nkey_file: Option<PathBuf>,
}

/// The broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The file with the key cannot be read.
    #[error("cannot read the broker key {path}")]
    ReadKey {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds no key.
    #[error("{path} holds no nkey seed: expected one line that starts with SU")]
    BadKey {
        /// The file.
        path: PathBuf,
    },
    /// The broker does not answer, or refuses.
    #[error("cannot connect to the broker at {url}; is it running, and does it know this key?")]
    Connect {
        /// Its address.
        url: String,
        /// What the client said.
        source: async_nats::ConnectError,
    },
}

impl Broker {
    /// Connects as `name` (shown in the broker's own lists), waiting for the first connection.
    pub async fn connect(&self, name: &str) -> Result<Client, ConnectionError> {
        self.connect_with(self.options(name, "_INBOX")?).await
    }

    /// Connects without waiting: the client goes on trying until the broker is there. Replies come to subjects below
    /// `inbox_prefix`, the only ones an agent may listen to.
    pub async fn connect_later(&self, name: &str, inbox_prefix: &str) -> Result<Client, ConnectionError> {
        self.connect_with(self.options(name, inbox_prefix)?.retry_on_initial_connect()).await
    }

    async fn connect_with(&self, options: ConnectOptions) -> Result<Client, ConnectionError> {
        options
            .connect(&self.url)
            .await
            .map_err(|source| ConnectionError::Connect { url: self.url.clone(), source })
    }

    fn options(&self, name: &str, inbox_prefix: &str) -> Result<ConnectOptions, ConnectionError> {
        let options = match &self.nkey_file {
            Some(path) => ConnectOptions::with_nkey(read_seed(path)?),
            None => ConnectOptions::new(),
        };
        let logged_name = name.to_owned();
        Ok(options
            .name(name)
            .custom_inbox_prefix(inbox_prefix)
            .ping_interval(PING_INTERVAL)
            .client_capacity(CLIENT_CAPACITY)
            .reconnect_delay_callback(reconnect_delay)
            .event_callback(move |event| {
                log_event(&logged_name, &event);
                std::future::ready(())
            }))
    }
}

fn read_seed(path: &Path) -> Result<String, ConnectionError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConnectionError::ReadKey { path: path.to_owned(), source })?;
    let seed = text.trim();
    match nkeys::KeyPair::from_seed(seed) {
        Ok(_) => Ok(seed.to_owned()),
        Err(_) => Err(ConnectionError::BadKey { path: path.to_owned() }),
    }
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
