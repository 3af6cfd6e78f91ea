//! The host's key: after each connection the agent asks whether it is to change it, and does.
//!
//! The private key never leaves this machine. The next key is made in a file beside the present one, its public part is
//! announced, and it replaces the present one only when it was accepted. If the agent ends in between, the present key
//! is still valid, and the next hello starts over.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_nats::Client;
use fleetps_nats::{
    HostName,
    admission::{Hello, Welcome},
    error_chain,
    key::{self, KeyError},
    subject,
};
use tokio::{sync::Notify, time::Instant};

use crate::settings_in_force::SettingsInForce;

/// The key with which this host speaks.
pub(crate) struct HostKey {
    pub(crate) client: Client,
    pub(crate) host: HostName,
    /// Where it is; `None` where the broker wants none.
    pub(crate) file: Option<PathBuf>,
    /// What is reported with a hello, and gets what its answer asks for.
    pub(crate) remote: Arc<dyn SettingsInForce>,
}

/// The shortest time between two hellos: admission answers five of a host in a second.
const APART: Duration = Duration::from_millis(250);
/// A hello is repeated after this time: what is asked of a host comes by a message, which can be lost.
const AGAIN: Duration = Duration::from_secs(300);

/// The key could not be changed now; it is tried again after the next connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("no answer to the hello")]
    Ask(#[from] async_nats::RequestError),
    #[error("the answer to the hello cannot be understood")]
    Answer(#[from] serde_json::Error),
    #[error("the next key cannot be announced")]
    Announce(#[source] io::Error),
    #[error("the next key was not accepted")]
    NotAccepted,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the next key cannot take the place of {path}")]
    Replace { path: PathBuf, source: io::Error },
    #[error("cannot reconnect")]
    Reconnect(#[from] async_nats::client::ReconnectError),
}

/// A key that is to take the place of the present one.
struct NextKey {
    public: String,
    file: PathBuf,
}

impl NextKey {
    fn make(present: &Path) -> Result<Self, KeyError> {
        let file = present.with_extension("next");
        // Left by a change that did not end.
        let _ = fs::remove_file(&file);
        Ok(Self { public: key::make(&file)?, file })
    }

    fn replace(self, present: &Path) -> Result<(), ChangeError> {
        fs::rename(&self.file, present)
            .map_err(|source| ChangeError::Replace { path: present.to_owned(), source })
    }
}

/// Changes the key in `file` to a new one that `announce` tells the fleet of, and that the fleet accepts.
///
/// # Errors
/// When it is not accepted, or a file cannot be written; the present key then stays.
pub(crate) fn change(
    file: &Path,
    announce: impl FnOnce(String) -> io::Result<bool>,
) -> Result<(), ChangeError> {
    let next = NextKey::make(file)?;
    if !announce(next.public.clone()).map_err(ChangeError::Announce)? {
        return Err(ChangeError::NotAccepted);
    }
    next.replace(file)
}

impl HostKey {
    /// Says hello after every connection, and does what the answer says; for as long as it is let.
    pub(crate) async fn keep(self, connected: Arc<Notify>) {
        let Some(file) = self.file.clone() else { return };
        let mut applied = self.remote.applied();
        loop {
            tokio::select! {
                () = connected.notified() => {}
                _ = applied.changed(), if self.remote.is_controlled() => {}
                () = tokio::time::sleep(AGAIN), if self.remote.is_controlled() => {}
            }
            let said = self.hello(&file).await;
            let next = Instant::now() + APART;
            match said {
                Ok(()) => {}
                // A broker without admission, or one whose admission is just not there.
                Err(ChangeError::Ask(error)) => tracing::debug!(error = %error, "no answer to the hello"),
                Err(error) => tracing::warn!(error = error_chain(&error), "this host's key was not changed"),
            }
            // The first of several changes is reported at once, and the last soon.
            tokio::time::sleep_until(next).await;
        }
    }

    async fn hello(&self, file: &Path) -> Result<(), ChangeError> {
        let applied = self.remote.applied().borrow().clone();
        let welcome = self.ask(&Hello { applied: Some(applied), ..Hello::default() }).await?;
        self.remote.take_answer(welcome.settings);
        if !welcome.rotate {
            return Ok(());
        }
        let next = NextKey::make(file)?;
        if !self.ask(&Hello { next_key: Some(next.public.clone()), ..Hello::default() }).await?.accepted {
            return Err(ChangeError::NotAccepted);
        }
        next.replace(file)?;
        tracing::info!(host = %self.host, "this host has a new key");
        // Its first use ends the former one.
        Ok(self.client.force_reconnect().await?)
    }

    async fn ask(&self, hello: &Hello) -> Result<Welcome, ChangeError> {
        let question = serde_json::to_vec(hello)?;
        let answer = self.client.request(subject::hello(&self.host), question.into()).await?;
        Ok(serde_json::from_slice(&answer.payload)?)
    }
}
