//! Hosts are sampled more often while somebody watches.

use std::{net::SocketAddr, time::Duration};

use fleetps_nats::{now_us, snapshot::Decoder, subject};
use futures_util::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::scene::Scene;
use crate::support::PATIENCE;

/// Watches `host` until this many samples have come, and leaves.
async fn watch(address: SocketAddr, host: &str, samples: usize) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /api/v1/hosts/{host}/live HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let (mut came, mut buffer) = (String::new(), vec![0; 64 << 10]);
    while came.matches("event: snapshot").count() < samples {
        let read =
            tokio::time::timeout(PATIENCE, socket.read(&mut buffer)).await.expect("no more samples").unwrap();
        assert!(read > 0, "the server ends the stream: {came}");
        came.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_somebody_watches_a_host_it_samples_every_second_and_the_history_has_none_of_it() {
    let scene = Scene::start().await;
    let url = scene.server.url();
    is_sampled_sharply(scene, url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_over_http_is_sampled_every_second_too_while_somebody_watches() {
    let scene = Scene::start().await;
    let url = format!("http://{}", scene.address);
    is_sampled_sharply(scene, url).await;
}

/// Watches an agent that sends to `url`, and leaves.
async fn is_sampled_sharply(scene: Scene, url: String) {
    let agent = scene.agent("web-01", &url, "").await;
    let mut sharp = scene.client.subscribe(subject::ALL_SHARP).await.unwrap();
    // Of the usual interval of ten seconds, six samples would take longer than anybody waits.
    tokio::join!(watch(scene.address, "web-01", 6), watch(scene.address, "web-01", 6));
    // Nobody watches any longer: the lease ends by itself.
    let (mut decoder, mut captured_us, mut sequence) = (Decoder::new().unwrap(), Vec::new(), 0);
    let until_quiet = async {
        while let Ok(message) = tokio::time::timeout(Duration::from_secs(5), sharp.next()).await {
            let message = message.unwrap();
            assert_eq!(message.subject.as_str(), "fleetps.web-01.sharp");
            let snapshot = decoder.decode(&message.payload, now_us()).unwrap();
            assert!(snapshot.interval_ms == 10_000 && !snapshot.processes.is_empty());
            captured_us.push(snapshot.captured_at_us);
            sequence = snapshot.sequence;
        }
    };
    tokio::time::timeout(PATIENCE, until_quiet).await.expect("it goes on although nobody watches");
    assert!(captured_us.len() > 6 && captured_us.is_sorted(), "{captured_us:?}");
    // Those of the stream are counted as if nobody had looked.
    let stream = async_nats::jetstream::new(scene.client.clone()).get_stream("SNAP").await.unwrap();
    let stored = stream.cached_info().state.messages;
    assert!((sequence..=sequence + 2).contains(&stored), "{stored} stored, {sequence} by the last");
    drop(agent);
    scene.stop().await;
}
