//! Pages of other origins in a real browser: only those of named origins read and change anything.

use std::net::SocketAddr;

use axum::{Router, response::Html, routing::get};
use fleetps::testing::{config::LegacySettings, legacy::System};
use serde_json::json;

use super::{Scene, ingest, process_001};
use crate::{browser::Browser, support::Site};

/// A page of nobody in particular.
async fn elsewhere() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", get(async || Html("<!doctype html><title>elsewhere</title>")));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pages_of_named_origins_read_and_change() {
    let Some(browser) = Browser::open(Site::new(), true).await else { return };
    let (named, other) = (elsewhere().await, elsewhere().await);
    let scene = Scene::open(LegacySettings {
        readers: Some("operator".parse().unwrap()),
        allowed_from: vec!["127.0.0.1/32".parse().unwrap()],
        origins: vec![format!("http://{named}")],
        ..LegacySettings::default()
    })
    .await;
    scene.allow(System::S001, 2).await;
    let body = ingest("web", &jiff::Timestamp::now().to_string(), json!([process_001(1, 0, "init", "")]));
    assert_eq!(scene.enrol("/api/v1/ingest", Some(("x-api-key", "k")), &body).await.status, 201);
    scene.allow(System::S002, 1).await;
    let machine =
        json!({"hostname": "m", "machine_id": "m1", "os_name": "L", "architecture": "x", "processor": ""});
    assert_eq!(scene.enrol("/api/machine/", None, &machine).await.status, 201);

    for (page, is_named) in [(named, true), (other, false)] {
        browser.client.goto(&format!("http://{page}/")).await.unwrap();
        let read = format!(
            "window.found = null; fetch('http://{}/api/v1/hosts').then(a => a.json()).then(a => window.found = a.length, \
             () => window.found = 'refused'); return 0",
            scene.legacy
        );
        browser.run(&read).await;
        browser.until("return window.found", if is_named { json!(1) } else { json!("refused") }).await;
        let change = format!(
            "window.done = null; fetch('http://{}/api/machine/m1/', {{method: 'PATCH', headers: {{'content-type': \
             'application/json'}}, body: '{{\"polling_interval\": {}}}'}}).then(a => window.done = a.status, \
             () => window.done = 'refused'); return 0",
            scene.legacy,
            if is_named { 7 } else { 9 },
        );
        browser.run(&change).await;
        browser.until("return window.done", if is_named { json!(200) } else { json!("refused") }).await;
        let listen = format!(
            "window.heard = null; const socket = new WebSocket('ws://{}/ws/snapshot/'); socket.onerror = () => window.heard = \
             'refused'; socket.onmessage = m => window.heard = JSON.parse(m.data).type; socket.onopen = () => \
             socket.send(JSON.stringify({{action: 'subscribe', machine_id: 'm1'}})); return 0",
            scene.legacy
        );
        browser.run(&listen).await;
        browser
            .until("return window.heard", if is_named { json!("subscribed") } else { json!("refused") })
            .await;
    }
    let known = scene.until("/api/machine/m1/", |answer| answer.json()["polling_interval"] != 5).await.json();
    assert_eq!(known["polling_interval"], 7, "the other page changed nothing");
    scene.close().await;
}
