//! A managed server in a temporary folder, and snapshots to publish.

use std::{future::Future, time::Duration};

use async_nats::jetstream;
use fleetps_nats::{
    HostName,
    server::{ManagedServer, Part, ServerSettings},
    stream,
};

/// No step of these tests takes a tenth of this on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server with its streams, in a folder of its own.
pub struct Fixture {
    pub server: ManagedServer,
    pub folder: tempfile::TempDir,
}

pub fn settings(folder: &std::path::Path) -> ServerSettings {
    ServerSettings {
        data: folder.to_owned(),
        program: None,
        public: None,
        simulator: true,
        max_file_store_bytes: 1 << 30,
    }
}

pub async fn start() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let server = ManagedServer::start(settings(folder.path())).await.unwrap();
    Fixture { server, folder }
}

impl Fixture {
    pub async fn client(&self, part: Part) -> async_nats::Client {
        self.server.broker(part).connect("test").await.unwrap()
    }

    /// JetStream as the ingestor sees it, with the streams made.
    pub async fn jetstream(&self) -> jetstream::Context {
        let jetstream = jetstream::new(self.client(Part::Ingestor).await);
        within(stream::ensure(&jetstream, 256 << 20)).await.unwrap();
        jetstream
    }
}

pub fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

/// The future's value, which must come in time.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("this takes far too long")
}

/// Waits until the condition holds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what} did not come true"));
}
