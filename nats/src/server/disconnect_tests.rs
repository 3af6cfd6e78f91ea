//! Ending the connections of a host, asked of a real nats-server.

use std::time::Duration;

use async_nats::connection::State;

use super::{ManagedServer, Part, ServerSettings};
use crate::{
    HostName,
    admission::{count, disconnect_by},
};

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_are_ended_however_many_pages_they_fill() {
    const COUNT: usize = 23;
    let folder = tempfile::tempdir().unwrap();
    let settings = ServerSettings {
        data: folder.path().to_owned(),
        program: None,
        public: None,
        simulator: true,
        max_file_store_bytes: 1 << 30,
    };
    let server = ManagedServer::start(settings).await.unwrap();
    let broker = server.broker(Part::Simulator);
    let mut clients = Vec::new();
    for _ in 0..COUNT {
        clients.push(broker.connect("test").await.unwrap());
    }
    // A key is known to the broker as a host is, by its name, and spelt like one.
    let key = crate::key::read(broker.nkey_file.as_ref().unwrap()).unwrap().public_key();
    let host: HostName = key.parse().unwrap();
    let system = server.broker(Part::System).connect("test").await.unwrap();
    assert_eq!(count(&system, &host).await.unwrap(), COUNT);
    // They come again, as the broker knows their key.
    assert!(disconnect_by(4, &system, &host).await.unwrap() > COUNT / 2);
    for client in clients {
        let connects = || client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed);
        let ended = async {
            while connects() < 2 && client.connection_state() == State::Connected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), ended).await.expect("it was not ended");
    }
    server.stop().await;
}
