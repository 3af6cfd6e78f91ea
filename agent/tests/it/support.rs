//! A broker in a temporary folder, and what its stream holds.

use std::{future::Future, path::Path, time::Duration};

use async_nats::jetstream;
use fleetps_nats::{
    HostName, Snapshot,
    admission::{AdmissionService, AdmissionSettings},
    reader::{Delivered, Delivery, SnapshotReader, Start},
    server::{ManagedServer, Part, ServerSettings},
    snapshot::Decoder,
    stream,
};

/// No step of these tests takes a tenth of this on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The host whose agent the broker knows.
pub fn host() -> HostName {
    "here".parse().unwrap()
}

pub async fn start_server(folder: &Path) -> ManagedServer {
    let settings = ServerSettings {
        data: folder.to_owned(),
        program: None,
        public: None,
        simulator: true,
        max_file_store_bytes: 1 << 30,
    };
    ManagedServer::start(settings).await.unwrap()
}

/// Lets the host's agent in, until it is dropped.
pub async fn admit(server: &ManagedServer) -> AdmissionService {
    within(server.admission(&host(), AdmissionSettings::default())).await.unwrap()
}

/// JetStream as the ingestor sees it, with the streams made.
pub async fn jetstream(server: &ManagedServer) -> jetstream::Context {
    let client = server.broker(Part::Ingestor).connect("test").await.unwrap();
    let jetstream = jetstream::new(client);
    within(stream::ensure(&jetstream, 256 << 20)).await.unwrap();
    jetstream
}

/// A client that may publish for this host.
pub async fn agent_client(server: &ManagedServer) -> async_nats::Client {
    server.broker(Part::Simulator).connect_later("test agent", "_INBOX_simulator").await.unwrap()
}

/// The stream from its beginning.
pub struct Stored {
    reader: SnapshotReader,
    decoder: Decoder,
}

impl Stored {
    pub fn new(jetstream: jetstream::Context) -> Self {
        Self {
            reader: SnapshotReader::new(jetstream, Start::Sequence(1), None),
            decoder: Decoder::new().unwrap(),
        }
    }

    pub async fn next(&mut self) -> Delivered {
        match within(self.reader.next()).await {
            Delivery::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    pub async fn next_snapshot(&mut self) -> Snapshot {
        let message = self.next().await;
        self.decoder.decode(&message.payload, message.stored_at_us).unwrap()
    }
}

/// The future's value, which must come in time.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("this takes far too long")
}

/// Waits until the condition holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what} did not come true"));
}

/// How many times as long as for a person who waits: 2 in `.ci/run`, more in `.ci/full`.
pub fn scale() -> usize {
    let scale = std::env::var("FLEETPS_TEST_SCALE").unwrap_or_else(|_| "1".to_owned());
    scale.parse().expect("FLEETPS_TEST_SCALE is a whole number")
}
