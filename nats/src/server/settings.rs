//! The parameters of the managed server.

use std::{net::SocketAddr, path::PathBuf};

/// The program, its folders and its addresses.
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
