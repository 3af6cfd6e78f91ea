//! The managed local nats-server: what `fleetps` alone runs, and what the tests run.
//!
//! `find` looks for the program (`program`), `install` fetches it (`pins` says which and with which checksum), `keys`
//! makes each part its own key, `config` writes the server's configuration, `supervisor` keeps it running: `runner` starts it
//! (`child` is its process, `greeting` is how it says that it is there, `store` are its files), `watch` asks it how it is, and
//! `health` tells.

mod child;
mod config;
mod error;
mod find;
mod greeting;
mod health;
mod install;
mod keys;
mod local;
mod pins;
mod program;
mod runner;
mod settings;
mod shared;
mod start;
mod store;
mod supervisor;
mod watch;

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

pub use config::by_hand;
pub use error::ServerError;
pub use find::find_or_install;
pub use health::ServerHealth;
pub use keys::Part;
use local::LocalConnection;
pub use settings::{PublicServer, ServerSettings, ServerTls};

use crate::{
    HostName,
    admission::{AdmissionError, AdmissionKeys, AdmissionService, AdmissionSettings},
    agent_settings::ControlKey,
    bucket,
    connection::Broker,
    error_chain::error_chain,
    file, hosts,
    key::{self, KeyError},
};

/// How `part` connects to the managed server of the data folder `data`, from another process than the one that runs it.
///
/// # Errors
/// When none was ever run there, or its files cannot be read by this user.
pub fn broker_in(data: &Path, part: Part) -> Result<Broker, ServerError> {
    let folder = data.join("nats");
    let files = config::Files::in_folder(&folder);
    let port = files.remembered_port();
    let text =
        file::read_text(&port).map_err(|source| ServerError::NotHere { data: data.to_owned(), source })?;
    let nkey_file = keys::Keys::in_folder(&folder.join("keys")).file(part);
    Ok(config::way_in(&files).broker(text.trim(), nkey_file))
}

/// The public key of `part` of the managed server of the data folder `data`.
///
/// # Errors
/// When none was ever run there, or its files cannot be read by this user.
pub fn public_key_in(data: &Path, part: Part) -> Result<String, ServerError> {
    keys::Keys::in_folder(&data.join("nats").join("keys")).public(part)
}

/// The file with the key of `part` of the managed server of the data folder `data`.
pub fn key_file(data: &Path, part: Part) -> PathBuf {
    keys::Keys::in_folder(&data.join("nats").join("keys")).file(part)
}

/// A running nats-server. It is stopped when this is dropped, and ends by itself when this process ends, even by
/// `kill -9` (Linux).
#[derive(Debug)]
pub struct ManagedServer {
    keys: keys::Keys,
    local: LocalConnection,
    log: PathBuf,
    store: store::Store,
    supervisor: supervisor::Supervisor,
}

impl ManagedServer {
    /// Starts a server and returns when it accepts connections. Blocks: call it from a blocking thread. `progress` gets
    /// messages about slow steps, `health` is updated from then on, and `stop` ends the start, and the server.
    pub fn start_blocking(
        settings: &ServerSettings,
        health: ServerHealth,
        stop: CancellationToken,
        progress: &dyn Fn(&str),
    ) -> Result<Self, ServerError> {
        let program = find::find_or_install(settings.program.as_deref(), progress)?;
        let folder = settings.data.join("nats");
        let keys = keys::Keys::load_or_make(&folder.join("keys"), &Part::ALL)?;
        let files = config::Files::in_folder(&folder);
        config::write(&files, settings, &keys)?;
        let (log, store) = (files.log.clone(), store::Store::of(&files));
        health.set_store(files.store().to_owned());
        let shared = shared::Shared::new(health, stop);
        let supervisor = supervisor::Supervisor::start(program, files, settings.public.clone(), shared)?;
        let server =
            Self { keys, local: LocalConnection::to(settings), log, store: store.clone(), supervisor };
        watch::spawn(server.broker(Part::System), store, server.supervisor.shared().clone())
            .map_err(|error| ServerError::Start { problem: error.to_string(), log: server.log.clone() })?;
        Ok(server)
    }

    /// Starts a server and returns when it can be connected to.
    pub async fn start(settings: ServerSettings) -> Result<Self, ServerError> {
        let started = tokio::task::spawn_blocking(move || {
            let (health, stop) = (ServerHealth::default(), CancellationToken::new());
            Self::start_blocking(&settings, health, stop, &|message| tracing::info!("{message}"))
        });
        started.await.unwrap_or_else(|panic| Err(ServerError::Panicked(panic.to_string())))
    }

    /// Its address, as in `nats://127.0.0.1:4222`; the same after a restart.
    pub fn url(&self) -> String {
        self.broker(Part::Api).url
    }

    /// How `part` connects to it.
    pub fn broker(&self, part: Part) -> Broker {
        self.local.clone().broker(self.supervisor.port(), self.keys.file(part))
    }

    /// The key that signs what is asked of agents.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn control_key(&self) -> Result<ControlKey, KeyError> {
        ControlKey::read(&self.keys.file(Part::Control))
    }

    /// Begins to answer its questions about connections, and admits this machine's own agent as `this_host`.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn admission(
        &self,
        this_host: &HostName,
        settings: AdmissionSettings,
    ) -> Result<AdmissionService, AdmissionError> {
        let fleet = self.broker(Part::Ingestor).connect("fleetps admission").await?;
        match key::read(&self.keys.file(Part::Agent)) {
            Ok(key) => {
                let hosts = hosts::open(&fleet).await?;
                if !hosts::admit(&hosts, this_host, &key.public_key()).await? {
                    tracing::error!(host = %this_host, "another host has this name already; give this one another with --host");
                }
            }
            // The other hosts are admitted all the same.
            Err(error) => {
                tracing::error!("this machine's own agent is not admitted: {}", error_chain(&error))
            }
        }
        let keys =
            AdmissionKeys::in_folder(&self.broker(Part::Auth), self.keys.folder()).with_log(self.log.clone());
        AdmissionService::start(&keys, fleet, settings).await
    }

    /// Recreates buckets whose files were damaged while the broker was away. Call it before anything uses them.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn mend_buckets(&self) -> Result<(), AdmissionError> {
        // Where nothing can be written, everything is left as it is.
        let store = self.store.clone();
        let tried = tokio::task::spawn_blocking(move || store.try_writing()).await;
        if tried.is_ok_and(|tried| tried.is_ok()) {
            let fleet = self.broker(Part::Ingestor).connect("fleetps supervisor").await?;
            for said in bucket::mend(&fleet).await? {
                self.health().note(said);
            }
        }
        Ok(())
    }

    /// The process id of the server that runs now.
    pub fn pid(&self) -> u32 {
        self.supervisor.pid()
    }

    /// How it is.
    pub fn health(&self) -> ServerHealth {
        self.supervisor.shared().health.clone()
    }

    /// How often it was started again.
    pub fn restarts(&self) -> u64 {
        self.supervisor.restarts()
    }

    /// How often the certificate's files had changed and could not be used.
    pub fn unusable_certificates(&self) -> u64 {
        self.supervisor.unusable_certificates()
    }

    /// Stops the server and waits until it has ended.
    pub async fn stop(mut self) {
        let stopping = tokio::task::spawn_blocking(move || self.supervisor.stop());
        let _ = stopping.await;
    }
}

#[cfg(test)]
#[path = "disconnect_tests.rs"]
mod tests;
