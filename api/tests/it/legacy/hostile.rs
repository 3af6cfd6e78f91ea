//! Hostile posts: nothing is 5xx, nothing is stored that should not be, and nothing grows.

use std::time::Duration;

use fleetps::testing::legacy::System;
use fleetps_nats::hosts;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Scene, ingest, process_001};
use crate::support::PATIENCE;

const KEY: (&str, &str) = ("x-api-key", "key");
const PATH: &str = "/api/v1/ingest";

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_deep_long_or_no_json_are_refused() {
    let scene = Scene::with_operators().await;
    scene.allow(System::S001, 2).await;
    let good = ingest("web", &now(), json!([process_001(1, 0, "init", "")])).to_string();
    let good_value = serde_json::from_str(&good).unwrap();
    assert_eq!(scene.enrol(PATH, Some(KEY), &good_value).await.status, 201);
    let deep = format!("{}1{}", "[".repeat(1_000), "]".repeat(1_000));
    let many = ingest("web", &now(), json!([])).to_string();
    let many = many.replace("\"processes\":[]", &format!("\"processes\":[{}{{}}]", "{},".repeat(20_000)));
    assert!(many.len() > 60_000);
    for (body, status) in [
        (deep.clone(), 400),
        (good.replacen('{', &format!("{{\"x\": {deep}, "), 1), 400),
        ("[".repeat(1 << 20), 400),
        (String::new(), 400),
        ("null".to_owned(), 400),
        (good[..good.len() - 1].to_owned(), 400),
        (format!("{{\"hostname\": \"{}\"", "x".repeat(17 << 20)), 413),
        (many, 413),
    ] {
        let answer = scene.ask("POST", PATH, &[KEY], Some(&body)).await;
        assert_eq!(answer.status, status, "{}…: {answer:?}", &body[..body.len().min(30)]);
    }
    let mut strange = serde_json::from_str::<serde_json::Value>(&good).unwrap();
    strange["processes"] = json!([
        process_001(1, 0, "<script>alert(1)</script>\u{0}\u{202e}", &"é".repeat(8_000)),
        process_001(1, 0, "the last of two with one pid counts", "--token x"),
        process_001(4_294_967_295, 7, "x", ""),
    ]);
    strange["captured_at"] = now().into();
    let taken = scene.post(PATH, Some(KEY), &strange).await;
    assert_eq!((taken.status, &taken.json()["processes"]), (201, &json!(3)));
    let id = taken.json()["snapshot_id"].as_u64().unwrap();
    let listed = scene.get(&format!("/api/v1/snapshots/{id}/processes")).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    assert_eq!(scene.stored().await, 2);
    let metrics = super::ask_at(scene.pages, "GET", "/metrics", &[], None).await.body;
    for (outcome, count) in [("stored", 2), ("not-json", 1)] {
        let series = format!("fleetps_legacy_requests_total{{outcome=\"{outcome}\"}} ");
        let found = metrics.lines().find_map(|line| line.strip_prefix(&series)).unwrap_or_default();
        assert!(found.parse::<f64>().is_ok_and(|found| found >= f64::from(count)), "{outcome}: {metrics}");
    }
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_keep_nobody_out() {
    let scene = Scene::with_operators().await;
    scene.allow(System::S001, 2).await;
    let good = ingest("web", &now(), json!([]));
    assert_eq!(scene.enrol(PATH, Some(KEY), &good).await.status, 201);
    // Nearly as many as one network may have connections.
    let mut slow = Vec::new();
    for _ in 0..250 {
        let mut socket = TcpStream::connect(scene.legacy).await.unwrap();
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nhost: localhost\r\nx-api-key: key\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{{",
            16 << 20
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        slow.push(socket);
    }
    let good = ingest("web", &now(), json!([]));
    assert_eq!(scene.post(PATH, Some(KEY), &good).await.status, 201);
    // They are told, and not waited for: the deadline is 30 s.
    let mut last = slow.pop().unwrap();
    let mut answer = vec![0; 12];
    tokio::time::timeout(PATIENCE, last.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 408");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invented_names_are_bounded_by_the_window() {
    let scene = Scene::with_operators().await;
    scene.allow(System::S001, 20).await;
    assert_eq!(scene.enrol(PATH, Some(KEY), &ingest("web", &now(), json!([]))).await.status, 201);
    let scene = std::sync::Arc::new(scene);
    let mut posting = tokio::task::JoinSet::new();
    for part in 0..10 {
        let scene = std::sync::Arc::clone(&scene);
        posting.spawn(async move {
            let mut refused = 0;
            for number in 0..200 {
                let name = format!("invented-{part}-{number}");
                let key = format!("key-{name}");
                let body = ingest(&name, &now(), json!([]));
                let answer = scene.post(PATH, Some(("x-api-key", &key)), &body).await;
                assert!([201, 403, 429].contains(&answer.status), "{answer:?}");
                refused += usize::from(answer.status != 201);
            }
            refused
        });
    }
    let refused: usize = posting.join_all().await.into_iter().sum();
    assert_eq!(refused, 2_000 - 19);
    let records = hosts::open(&scene.client).await.unwrap().all().await.unwrap();
    assert_eq!(records.len(), 20);
    // The known host goes on.
    assert_eq!(scene.post(PATH, Some(KEY), &ingest("web", &now(), json!([]))).await.status, 201);
    assert_eq!(scene.hosts().await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_said_at_once_and_nothing_is_answered_with_2xx() {
    let mut scene = Scene::with_operators().await;
    scene.allow(System::S001, 2).await;
    assert_eq!(scene.enrol(PATH, Some(KEY), &ingest("web", &now(), json!([]))).await.status, 201);
    scene.broker.take().unwrap().stop().await;
    let asking = async {
        loop {
            let answer = scene.post(PATH, Some(KEY), &ingest("web", &now(), json!([]))).await;
            if answer.status == 503 {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await.unwrap();
    assert!(answer.header("retry-after").is_some_and(|wait| wait.parse::<u32>().is_ok()), "{answer:?}");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_points_here_from_elsewhere_and_other_origins_get_nothing() {
    let scene = Scene::with_operators().await;
    for path in ["/api/v1/hosts", "/servers", "/api/machine/", "/"] {
        let rebound = scene.ask("GET", path, &[("host", "evil.example.com:8000")], None).await;
        assert_eq!(rebound.status, 421, "{path}");
        let other = scene.ask("GET", path, &[("origin", "http://evil.example.com")], None).await;
        assert_eq!((other.status, other.header("access-control-allow-origin")), (403, None), "{path}");
        let unreadable = scene.ask("GET", path, &[("host", "ev`il.example.com:8000")], None).await;
        assert_eq!(unreadable.status, 421, "{path}");
    }
    let post = scene
        .ask(
            "POST",
            "/actions/x",
            &[("origin", "http://evil.example.com"), ("content-type", "text/plain")],
            Some("{}"),
        )
        .await;
    assert_eq!(post.status, 403);
    let named = scene.ask("GET", "/api/v1/hosts", &[("origin", "http://localhost:5173")], None).await;
    assert_eq!(
        (named.status, named.header("access-control-allow-origin")),
        (200, Some("http://localhost:5173"))
    );
    let preflight = [("origin", "http://localhost:5173"), ("access-control-request-method", "PATCH")];
    let allowed = scene.ask("OPTIONS", "/api/machine/x/", &preflight, None).await;
    assert_eq!(allowed.status, 204);
    assert!(allowed.header("access-control-allow-methods").unwrap().contains("PATCH"));
    assert_eq!(allowed.header("access-control-allow-headers"), Some("content-type"));
    // The other listener is as it was.
    for (method, headers) in [("GET", &preflight[..1]), ("OPTIONS", &preflight[..])] {
        let answer = super::ask_at(scene.pages, method, "/api/v1/hosts", headers, None).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{answer:?}");
    }
    assert_eq!(super::ask_at(scene.pages, "POST", PATH, &[KEY], Some("{}")).await.status / 100, 4);
    scene.close().await;
}
