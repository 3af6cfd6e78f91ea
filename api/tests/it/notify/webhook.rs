use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use fleetps::testing::notify::{Again, Allowed, Sender};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use tokio::net::TcpListener;

use super::{LIMIT, channel, notification, receiver::Receiver, sender};

#[tokio::test]
async fn a_webhook_gets_a_signed_post_with_the_same_key_at_every_attempt() {
    let (receiver, address) = Receiver::start().await;
    let channel = channel(json!({ "kind": "webhook", "url": format!("{address}/ok"), "secret": "hush" }));
    for _ in 0..2 {
        sender().send(&channel, &notification("a", "a\"},{\r\n"), None).await.unwrap();
    }
    let got = receiver.at("ok");
    assert_eq!((got.len(), got[0].key()), (2, got[1].key()));
    assert_eq!(got[0].json()["key"], got[0].key());
    assert_eq!(got[0].json()["title"], "a\"},{␍␊");
    for got in got {
        let signature = got.header("fleetps-signature");
        let signature =
            data_encoding::HEXLOWER.decode(signature.strip_prefix("v1=").unwrap().as_bytes()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(b"hush").unwrap();
        mac.update(format!("{}.", got.header("fleetps-timestamp")).as_bytes());
        mac.update(&got.body);
        mac.verify_slice(&signature).unwrap();
    }
}

#[tokio::test]
async fn what_a_receiver_does_decides_whether_it_is_tried_again() {
    let (receiver, address) = Receiver::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed_at = closed.local_addr().unwrap();
    tokio::spawn(async move { while closed.accept().await.is_ok() {} });
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let at = |path: &str| format!("{address}/{path}");
    for (url, expected) in [
        (at("ok"), None),
        (at("endless"), None),
        (at("busy"), Some(Again::After(Duration::from_secs(7)))),
        (at("broken"), Some(Again::Later)),
        (at("endlessly-broken"), Some(Again::Later)),
        (at("hangs"), Some(Again::Later)),
        (at("gone"), Some(Again::Never)),
        (at("elsewhere"), Some(Again::Never)),
        (format!("http://{closed_at}/"), Some(Again::Later)),
        (format!("http://{nobody}/"), Some(Again::Later)),
    ] {
        let channel = channel(json!({ "kind": "webhook", "url": url }));
        let sent = sender().send(&channel, &notification("a", "a"), None).await;
        assert_eq!(sent.err().map(|failure| failure.again), expected, "{url}");
    }
    assert_eq!(receiver.at("ok").len(), 1, "a redirect was followed");
}

#[tokio::test]
async fn addresses_of_networks_that_are_not_public_are_not_even_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&connections);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            seen.fetch_add(1, Ordering::SeqCst);
        }
    });
    let sender = Sender::new(Allowed::default()).with_limit(LIMIT, "");
    for host in [
        "127.0.0.1",
        "localhost",
        "127.1",
        "0177.0.0.1",
        "0x7f.1",
        "2130706433",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/");
            let channel = channel(json!({ "kind": "webhook", "url": url }));
            let failure = sender.send(&channel, &notification("a", "a"), None).await.unwrap_err();
            // Where this machine's resolver does not know a spelling, that is as good.
            let is_unknown = failure.reason.contains("cannot reach");
            assert!(failure.again == Again::Never || is_unknown, "{url}: {}", failure.reason);
        }
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}
