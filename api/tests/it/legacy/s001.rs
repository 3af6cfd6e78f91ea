//! System 001: a key for each host.

use fleetps::testing::legacy::System;
use serde_json::{Value, json};

use super::{Scene, ingest, process_001};

const KEY: (&str, &str) = ("x-api-key", "key of web 1");

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_posts_and_its_page_reads_what_it_posted() {
    let scene = Scene::with_operators().await;
    let path = "/api/v1/ingest";
    let processes = json!([
        process_001(1, 0, "init", "/sbin/init"),
        process_001(42, 1, "sh\u{9b}op <b>", "shop --password hunter2 --port 80"),
    ]);
    let body = ingest("web 1.example.com", "2026-11-28T12:00:00.250000+00:00", processes);
    let unknown = scene.post(path, Some(KEY), &body).await;
    assert_eq!(unknown.status, 403, "{unknown:?}");
    assert!(unknown.body.contains("fleetps legacy allow 001"), "{unknown:?}");
    let without = scene.ask("POST", path, &[], Some("nonsense")).await;
    assert_eq!((without.status, without.json()), (403, json!({"detail": "Missing API key"})));

    scene.allow(System::S001, 5).await;
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.250000+00:00").to_string();
    let captured_at = now.replace("+00:00", "Z");
    let body = {
        let mut body = body;
        body["captured_at"] = now.clone().into();
        body
    };
    let taken = scene.enrol(path, Some(KEY), &body).await;
    let id = taken.json()["snapshot_id"].as_u64().unwrap();
    assert_eq!((taken.status, &taken.json()["processes"]), (201, &json!(2)));
    let again = scene.post(path, Some(KEY), &body).await;
    assert_eq!((again.status, again.json()), (201, taken.json()), "the same snapshot twice is one");
    assert_eq!(scene.stored().await, 1);

    let hosts = scene.get("/api/v1/hosts").await;
    assert_eq!(hosts.json(), json!([{"hostname": "web 1.example.com", "last_seen": captured_at}]));
    let latest = scene.get("/api/v1/snapshots/latest?hostname=web%201.example.com").await.json();
    let mut system = body["system_info"].clone();
    system["hostname"] = "web 1.example.com".into();
    system["cpu_freq_mhz"] = 2400.into();
    let expected =
        json!({"snapshot_id": id, "captured_at": captured_at, "process_count": 2, "system": system});
    assert_eq!(latest, expected);
    let listed = scene.get(&format!("/api/v1/snapshots/{id}/processes")).await.json();
    let mut expected = body["processes"].clone();
    expected[1]["cmdline"] = "shop --password *** --port 80".into();
    assert_eq!(listed, expected);
    refusals(&scene, &body).await;
    reads_of_nothing(&scene).await;
    on_the_pages(&scene).await;
    scene.close().await;
}

async fn refusals(scene: &Scene, body: &Value) {
    let path = "/api/v1/ingest";
    let other_key = scene.post(path, Some(("x-api-key", "another")), body).await;
    assert_eq!((other_key.status, other_key.json()), (403, json!({"detail": "Invalid API key for host"})));
    let mut other_name = body.clone();
    other_name["hostname"] = "db".into();
    let other_name = scene.post(path, Some(KEY), &other_name).await;
    assert_eq!((other_name.status, other_name.json()), (403, json!({"detail": "Invalid API key for host"})));
    for (field, value, place) in [
        ("captured_at", json!("yesterday"), "captured_at"),
        ("system_info", Value::Null, "system_info"),
        ("processes", Value::Null, "processes"),
        ("hostname", json!(""), "hostname"),
        ("processes", json!([{"pid": -1}]), "processes"),
        ("captured_at", json!("2126-01-01T00:00:00Z"), "detail"),
        ("captured_at", json!("1926-01-01T00:00:00Z"), "detail"),
    ] {
        let mut wrong = body.clone();
        wrong[field] = value;
        let answer = scene.post(path, Some(KEY), &wrong).await;
        assert!(answer.status == 400 && answer.json().get(place).is_some(), "{field}: {answer:?}");
    }
    let nested = {
        let mut wrong = body.clone();
        wrong["system_info"]["ram_gb"] = "much".into();
        scene.post(path, Some(KEY), &wrong).await
    };
    assert_eq!(nested.json(), json!({"system_info": {"ram_gb": ["A valid number is required."]}}));
    let kind = scene.ask("POST", path, &[KEY, ("content-type", "text/plain")], Some("{}")).await;
    assert_eq!(kind.status, 415);
    let method = scene.get(path).await;
    assert_eq!((method.status, method.header("allow")), (405, Some("POST")));
    assert_eq!(method.json(), json!({"detail": "Method \"GET\" not allowed."}));
    assert_eq!(scene.post("/api/v1/ingest/", Some(KEY), body).await.status, 404);
    assert_eq!(scene.stored().await, 1, "nothing that was refused is stored");
}

async fn reads_of_nothing(scene: &Scene) {
    for (path, status, detail) in [
        ("/api/v1/snapshots/latest", 400, "hostname is required"),
        ("/api/v1/snapshots/latest?hostname=nobody", 404, "unknown host"),
        ("/api/v1/snapshots/999999/processes", 404, "snapshot not found"),
        ("/api/v1/snapshots/x/processes", 404, "snapshot not found"),
    ] {
        let answer = scene.get(path).await;
        assert_eq!((answer.status, answer.json()), (status, json!({ "detail": detail })), "{path}");
    }
}

/// The host is one of the fleet, with what is not known absent and where it comes from said.
async fn on_the_pages(scene: &Scene) {
    let hosts = scene.hosts().await;
    assert_eq!(hosts.len(), 1, "{hosts:?}");
    assert_eq!((&hosts[0]["host"], &hosts[0]["source"]), (&json!("web_1.example.com"), &json!("legacy 001")));
    assert_eq!((&hosts[0]["cpu_percent"], &hosts[0]["groups"]), (&Value::Null, &json!(["legacy"])));
    let one = scene.fleet("/api/v1/hosts/web_1.example.com").await;
    assert_eq!(one["os_host_name"], "web 1.example.com");
    let limited = one["host_info"]["limited_view"].as_str().unwrap();
    assert!(limited.contains("no CPU time") && limited.contains("first seen"), "{limited}");
    let processes = scene.fleet("/api/v1/hosts/web_1.example.com/processes").await;
    let shop = processes["processes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|process| process["pid"] == 42)
        .unwrap()
        .clone();
    assert_eq!((&shop["cpu_time_ms"], &shop["threads"]), (&Value::Null, &Value::Null));
    assert_eq!(shop["command_line"], "shop --password *** --port 80");
    let page = super::ask_at(scene.pages, "GET", "/hosts/web_1.example.com", &[], None).await;
    assert!(page.body.contains("legacy 001") && page.body.contains("sends no CPU time"), "{page:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_comes_late_is_not_the_latest_and_starts_stay_through_a_kill() {
    let mut scene = Scene::with_operators().await;
    scene.allow(System::S001, 5).await;
    // Kept to the microsecond.
    let now = jiff::Timestamp::from_microsecond(jiff::Timestamp::now().as_microsecond()).unwrap();
    let at = |back_s: i64| (now - jiff::SignedDuration::from_secs(back_s)).to_string();
    let body = |back_s: i64, pid: u32| {
        ingest("web", &at(back_s), json!([process_001(1, 0, "init", ""), process_001(pid, 1, "shop", "")]))
    };
    let newest = scene.enrol("/api/v1/ingest", Some(KEY), &body(60, 7)).await.json()["snapshot_id"].clone();
    let late = scene.post("/api/v1/ingest", Some(KEY), &body(120, 8)).await;
    assert_eq!(late.status, 201);
    let latest = scene.get("/api/v1/snapshots/latest?hostname=web").await.json();
    assert_eq!(latest["snapshot_id"], newest);

    scene.kill().await;
    scene.serve().await;
    let again = scene.enrol("/api/v1/ingest", Some(KEY), &body(120, 8)).await;
    assert_eq!((again.status, again.json()), (201, late.json()), "a repeat after a kill is recognised");
    assert_eq!(scene.stored().await, 2);
    let then = scene.post("/api/v1/ingest", Some(KEY), &body(30, 7)).await;
    assert_eq!(then.status, 201, "{then:?}");
    let processes = scene.fleet("/api/v1/hosts/web/processes").await;
    let start = |pid: u32| {
        let processes = processes["processes"].as_array().unwrap();
        let process = processes.iter().find(|process| process["pid"] == pid).unwrap();
        process["started_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap()
    };
    let back = |back_s: i64| now - jiff::SignedDuration::from_secs(back_s);
    assert_eq!(start(1), back(60), "first seen by the first post");
    assert_eq!(start(7), back(30), "it was gone in the snapshot before");
    scene.close().await;
}
