//! The manual's page about the WebSocket: its example runs, and in a browser only an own page opens a socket.

use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
};

use axum::{Router, response::Html, routing::get};
use fleetps::testing::auth::SignInSettings;
use serde_json::json;

use crate::{
    browser::Browser,
    guarded::{Guarded, PASSWORD},
    support::{PATIENCE, Site, family, process},
    websocket::Front,
};

/// Whether Python can run the example; where it must and cannot, the test fails.
fn has_python() -> bool {
    let has = Command::new("python3").args(["-c", "import websockets"]).output();
    has.is_ok_and(|output| output.status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_in_python_follows_a_host_and_says_what_is_wrong() {
    if !has_python() {
        eprintln!("skipped: python3 has no websockets; install it with `python3 -m pip install websockets`");
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/websocket.md");
    let page = std::fs::read_to_string(page).unwrap();
    let example = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap().to_owned();
    let front = Front::new(Site::with("web-1", family())).await;
    let url = format!("http://{}", front.address);
    let run = |host: &str| {
        Command::new("python3")
            .args(["-c", &example])
            .env("FLEETPS_URL", &url)
            .env("FLEETPS_HOST", host)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut child = run("web-1");
    let mut said = tokio::io::BufReader::new(
        tokio::process::ChildStdout::from_std(child.stdout.take().unwrap()).unwrap(),
    );
    let mut line = String::new();
    let mut read = async |wanted: &str| {
        line.clear();
        let reading = tokio::io::AsyncBufReadExt::read_line(&mut said, &mut line);
        tokio::time::timeout(PATIENCE, reading).await.expect("the example says nothing").unwrap();
        assert!(line.contains(wanted), "{line}");
    };
    read("worker 14.2").await;
    front.site.tell(
        "web-1",
        vec![fleetps_nats::snapshot::Process { cpu_percent: Some(99.0), ..process(7, 0, "hog") }],
    );
    read("hog 99.0").await;
    child.kill().unwrap();
    child.wait().unwrap();
    let mut child = run("nosuch");
    let mut first = [0; 200];
    let read = child.stdout.take().unwrap().read(&mut first).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let first = String::from_utf8_lossy(&first[..read]);
    assert!(first.contains("'type': 'error'") && first.contains("no host is called"), "{first}");
}

/// Opens a socket from a page, and says what becomes of it.
fn open(url: &str) -> String {
    format!(
        "window.said = 'waits'; const socket = new WebSocket({url:?});
        socket.onopen = () => socket.send(JSON.stringify({{watch: 'fleet'}}));
        socket.onmessage = (message) => {{ window.said = JSON.parse(message.data).type; }};
        socket.onerror = () => {{ window.said = 'refused'; }};"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser_only_an_own_page_opens_a_socket_with_the_cookie() {
    let guarded = Guarded::new(SignInSettings::default()).await;
    let first = guarded.first_link().await;
    let (site, server) = guarded.into_parts();
    let Some(browser) = Browser::open(site, true).await else { return };
    browser.go(&first).await;
    for (field, value) in [("name", "anna"), ("password", PASSWORD), ("repeated", PASSWORD)] {
        browser.run(&format!("document.querySelector('main [name={field}]').value = '{value}'")).await;
    }
    browser.run("document.querySelector('main button').click()").await;
    browser.until("return location.pathname", json!("/")).await;
    let url = format!("{}/api/v1/ws", browser.address.replacen("http", "ws", 1));
    browser.run(&open(&url)).await;
    browser.until("return window.said", json!("snapshot")).await;
    let opened = || browser.site.shared.sockets.figures().opened;
    assert_eq!(opened(), 1);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let attacker = Router::new().route("/", get(async || Html("<!doctype html><title>another site</title>")));
    tokio::spawn(async move { axum::serve(listener, attacker).await });
    // Another port is the same site, so the cookie is sent along; another name is another site.
    for from in ["127.0.0.1", "localhost"] {
        browser.client.goto(&format!("http://{from}:{port}/")).await.unwrap();
        browser.run(&open(&url)).await;
        browser.until("return window.said", json!("refused")).await;
    }
    assert_eq!(opened(), 1);
    server.stop().await;
}
