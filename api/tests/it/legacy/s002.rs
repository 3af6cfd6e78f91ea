//! System 002: no keys; machines register, ask for their settings and post batches; pages read trees and listen.

use fleetps::testing::{config::LegacySettings, legacy::System};
use fleetps_nats::hosts;
use serde_json::{Value, json};

use super::{Scene, ws::Socket};

const ID: &str = "6c2f1fbd0b0b5d1b1d9f7a1fbb0e3cf0a5f1c5e0a4b7c2d8e9f00112233445566";
const BATCH: &str = "/api/snapshot-batch/";

/// What its agent registers with on Linux: an empty processor, and cores that it does not know.
fn machine(hostname: &str) -> Value {
    json!({
        "hostname": hostname, "machine_id": ID, "os_name": "Linux", "architecture": "x86_64", "processor": "",
        "cpu_cores": null, "cpu_threads": 8, "total_ram": 16_000_000_000_u64, "total_storage": 100_000_000_000_u64,
    })
}

fn batch(processes: Value, used_ram: u64) -> Value {
    json!({
        "machine_id": ID,
        "machine_snapshot": {
            "total_ram": 16_000_000_000_u64, "used_ram": used_ram, "available_ram": 9_000_000_000_u64,
            "total_disk": 100_000_000_000_u64, "used_disk": 40_000_000_000_u64, "available_disk": 60_000_000_000_u64,
        },
        "processes": processes,
    })
}

fn process(pid: u32, ppid: u32) -> Value {
    json!({"pid": pid, "ppid": ppid, "name": format!("p{pid}"), "cpu_usage": 3.5, "memory_usage": 10.5})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_registers_asks_for_its_settings_and_posts() {
    let scene = Scene::with_operators().await;
    scene.allow(System::S002, 2).await;
    let path = format!("/api/machine/{ID}/");
    let unknown = scene.get(&path).await;
    assert_eq!(
        (unknown.status, unknown.json()),
        (404, json!({"detail": "No Machine matches the given query."}))
    );
    let early = scene.post(BATCH, None, &batch(json!([]), 1)).await;
    assert_eq!((early.status, early.json()), (400, json!([format!("Machine with ID '{ID}' not found.")])));
    let made = scene.enrol("/api/machine/", None, &machine("web 1")).await;
    let whole = made.json();
    assert_eq!((made.status, &whole["polling_interval"], &whole["enabled"]), (201, &json!(5), &json!(true)));
    for (field, value) in machine("web 1").as_object().unwrap() {
        assert_eq!(&whole[field], value, "{field}");
    }
    assert!(whole["created_at"].is_string());
    let again = scene.post("/api/machine/", None, &machine("web 1")).await;
    assert_eq!((again.status, again.json()), (200, whole.clone()));
    assert_eq!(scene.get(&path).await.json(), whole);
    assert_eq!(scene.get("/api/machine/").await.json(), json!([{"machine_id": ID, "hostname": "web 1"}]));
    assert_eq!(scene.get("/api/machine").await.status, 301);

    let posted = scene.post(BATCH, None, &batch(json!([process(1, 0), process(7, 1)]), 5)).await;
    assert_eq!((posted.status, posted.json()), (201, json!({"status": "success"})));
    let copy = scene.post(BATCH, None, &batch(json!([process(1, 0), process(7, 1)]), 5)).await;
    assert_eq!((copy.status, scene.stored().await), (201, 1), "a copy of the same batch is the same");
    let hosts = scene.hosts().await;
    assert_eq!((&hosts[0]["host"], &hosts[0]["source"]), (&json!("web_1"), &json!("legacy 002, unverified")));
    assert_eq!(hosts[0]["memory_used_bytes"], 5);
    settings(&scene, &path).await;
    lists(&scene).await;
    let gone = scene.ask("DELETE", &path, &[], None).await;
    assert_eq!(gone.status, 403, "an operator forgets nothing: {gone:?}");
    scene.close().await;
}

async fn settings(scene: &Scene, path: &str) {
    let patch = |body: Value| async move { scene.ask("PATCH", path, &[], Some(&body.to_string())).await };
    let changed = patch(json!({"polling_interval": 7, "enabled": false, "other": 1})).await;
    assert_eq!((changed.status, &changed.json()["polling_interval"]), (200, &json!(7)));
    let known = scene.until(path, |answer| answer.json()["polling_interval"] == 7).await.json();
    assert_eq!((&known["enabled"], &known["hostname"]), (&json!(false), &json!("web 1")));
    for wrong in [
        json!({"polling_interval": -1}),
        json!({"polling_interval": 0}),
        json!({"polling_interval": 1.5}),
        json!({"polling_interval": 100_000}),
        json!({"enabled": "maybe"}),
    ] {
        let answer = patch(wrong.clone()).await;
        let field = wrong.as_object().unwrap().keys().next().unwrap().clone();
        assert!(answer.status == 400 && answer.json()[field].is_array(), "{wrong}: {answer:?}");
    }
    let records = fleetps_nats::agent_settings::AgentSettingsBucket::open(&scene.client).await.unwrap();
    let asked = records.of(&"web_1".parse().unwrap());
    assert_eq!((asked.interval_ms, asked.enabled), (Some(7_000), Some(false)), "the fleet's own record");
}

async fn lists(scene: &Scene) {
    for used in 6..9 {
        let posted =
            scene.post(BATCH, None, &batch(json!([process(1, 0), process(7, 1), process(9, 4)]), used)).await;
        assert_eq!(posted.status, 201);
    }
    assert_eq!(scene.get(BATCH).await.json(), json!([]));
    let nobody = scene.get(&format!("{BATCH}?machine_id=nobody")).await.json();
    assert_eq!(nobody, json!({"count": 0, "next": null, "previous": null, "results": []}));
    let latest = scene.get(&format!("{BATCH}?machine_id={ID}")).await.json();
    assert_eq!(latest["count"], 1, "{latest}");
    let result = &latest["results"][0];
    assert_eq!(result["machine_snapshot"]["used_ram"], 8);
    assert_eq!(result["machine_snapshot"]["available_disk"], 60_000_000_000_u64);
    assert_eq!(result["timestamp"], result["machine_snapshot"]["timestamp"]);
    let mut roots: Vec<&Value> = result["process_tree"].as_array().unwrap().iter().collect();
    roots.sort_by_key(|node| node["pid"].as_u64());
    assert_eq!((roots.len(), &roots[0]["children"][0]["pid"], &roots[1]["pid"]), (2, &json!(7), &json!(9)));
    assert_eq!((&roots[0]["cpu_usage"], &roots[0]["memory_usage"]), (&json!(3.5), &json!(10.5)));
    assert_eq!(&roots[0]["children"][0]["children"], &json!([]));
    assert!(roots[0]["id"].is_u64());

    let all = scene
        .get(&format!("{BATCH}?machine_id={ID}&since=1h&page_size=3&include_process_tree=0"))
        .await
        .json();
    let used = |page: &Value| -> Vec<u64> {
        let results = page["results"].as_array().unwrap();
        results.iter().map(|result| result["machine_snapshot"]["used_ram"].as_u64().unwrap()).collect()
    };
    assert_eq!((&all["count"], used(&all), &all["previous"]), (&json!(4), vec![8, 7, 6], &Value::Null));
    assert_eq!(all["results"][0]["process_tree"], json!([]));
    let next =
        all["next"].as_str().unwrap().strip_prefix(&format!("http://{}", scene.legacy)).unwrap().to_owned();
    let second = scene.get(&next).await.json();
    assert_eq!((used(&second), &second["next"]), (vec![5], &Value::Null));
    let beyond = scene.get(&format!("{BATCH}?machine_id={ID}&since=1h&page=9")).await;
    assert_eq!((beyond.status, beyond.json()), (404, json!({"detail": "Invalid page."})));
    let id = result["machine_snapshot"]["id"].as_u64().unwrap();
    let one = scene.get(&format!("{BATCH}{id}/")).await.json();
    assert_eq!(one["processes"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_registers_anew_is_asked_nothing_of_what_was_asked_before_it_was_forgotten() {
    let scene = Scene::open(LegacySettings {
        readers: Some("administrator".parse().unwrap()),
        allowed_from: vec!["127.0.0.1/32".parse().unwrap()],
        ..LegacySettings::default()
    })
    .await;
    scene.allow(System::S002, 3).await;
    let path = format!("/api/machine/{ID}/");
    let records = hosts::open(&scene.client).await.unwrap();
    let made = scene.enrol("/api/machine/", None, &machine("web")).await;
    assert_eq!(made.status, 201);
    for is_by_the_page in [true, false] {
        let body = json!({"polling_interval": 60, "enabled": false}).to_string();
        assert_eq!(scene.ask("PATCH", &path, &[], Some(&body)).await.status, 200);
        scene.until(&path, |answer| answer.json()["enabled"] == false).await;
        match is_by_the_page {
            true => assert_eq!(scene.ask("DELETE", &path, &[], None).await.status, 204),
            false => hosts::forget(&records, &"web".parse().unwrap()).await.unwrap(),
        }
        scene.until(&path, |answer| answer.status == 404).await;
        let anew = scene.post("/api/machine/", None, &machine("web")).await;
        let said = anew.json();
        assert_eq!((anew.status, &said["polling_interval"]), (201, &json!(5)), "{said}");
        assert_eq!(said["enabled"], true, "{said}");
        scene.until(&path, |answer| answer.json()["enabled"] == true).await;
    }
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_subscribes_to_one_machine_and_hears_each_batch() {
    let scene = Scene::with_operators().await;
    scene.allow(System::S002, 2).await;
    let path = "/ws/snapshot/";
    assert_eq!(Socket::open(scene.legacy, path, "http://example.com").await.err(), Some(403));
    let mut page = Socket::open(scene.legacy, path, "http://localhost:5173").await.unwrap();
    page.say(r#"{"action": "unsubscribe"}"#).await;
    page.say(&json!({"action": "subscribe", "machine_id": ID}).to_string()).await;
    assert_eq!(page.hear().await.unwrap(), json!({"type": "subscribed", "message": {"machine_id": ID}}));
    assert_eq!(scene.enrol("/api/machine/", None, &machine("web")).await.status, 201);
    for used in 1..4 {
        assert_eq!(
            scene.post(BATCH, None, &batch(json!([process(1, 0), process(7, 1)]), used)).await.status,
            201
        );
        let heard = page.hear().await.unwrap();
        assert_eq!(
            (&heard["type"], &heard["message"]["machine_id"]),
            (&json!("snapshot_message"), &json!(ID))
        );
        assert_eq!(heard["message"]["machine_snapshot"]["used_ram"], used);
        assert_eq!(heard["message"]["process_tree"][0]["children"][0]["pid"], 7);
        assert!(heard["message"]["timestamp"].is_string());
    }
    page.say("not JSON").await;
    assert_eq!(page.hear().await, None, "it is closed");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_network_in_the_settings_nobody_posts_without_a_key() {
    let scene = Scene::open(LegacySettings::default()).await;
    scene.allow(System::S002, 2).await;
    assert_eq!(scene.post("/api/machine/", None, &machine("web")).await.status, 403);
    assert_eq!(scene.post(BATCH, None, &batch(json!([]), 1)).await.status, 403);
    for path in [
        "/api/machine/",
        "/api/v1/hosts",
        "/servers",
        "/api/processes/latest/",
        "/api/snapshot-batch/?machine_id=x",
    ] {
        assert_eq!(scene.get(path).await.status, 403, "{path}: nobody reads");
    }
    assert!(scene.hosts().await.is_empty());
    scene.close().await;
}
