//! System 000: one key for the whole fleet.

use fleetps::testing::legacy::System;
use serde_json::{Value, json};

use super::Scene;

const KEY: (&str, &str) = ("api-key", "key of all");
const PATH: &str = "/api/processes/";

fn body(hostname: &str, processes: Value) -> Value {
    json!({ "hostname": hostname, "processes": processes })
}

fn process(pid: u32, parent: Value, cpu: Value) -> Value {
    json!({"pid": pid, "name": format!("p{pid}"), "cpu_usage": cpu, "memory_usage": 1.25, "parent_pid": parent})
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_post_with_the_key_of_all_and_the_page_reads_every_one() {
    let scene = Scene::with_operators().await;
    let first = body(
        "mira's laptop",
        json!([process(1, Value::Null, json!(0.5)), process(7, json!(1), json!("12.3"))]),
    );
    for key in [None, Some(KEY), Some(("api-key", "wrong"))] {
        let refused = scene.post(PATH, key, &first).await;
        assert_eq!((refused.status, refused.json()), (401, json!({"error": "Unauthorized"})));
    }
    scene.allow_with(System::S000, 2, Some(KEY.1), false).await;
    let taken = scene.enrol(PATH, Some(KEY), &first).await;
    assert_eq!((taken.status, taken.json()), (200, json!({"status": "success"})));
    assert_eq!(scene.post("/api/processes", Some(KEY), &body("other", json!([]))).await.status, 200);
    let third = scene.post(PATH, Some(KEY), &body("third", json!([]))).await;
    assert_eq!(third.status, 403, "the window has no uses left: {third:?}");

    let latest = scene.get("/api/processes/latest/").await;
    assert_eq!(latest.status, 200, "{latest:?}");
    let all = latest.json();
    let names: Vec<&Value> = all.as_array().unwrap().iter().map(|machine| &machine["hostname"]).collect();
    assert_eq!(names, ["mira's laptop", "other"]);
    let machine = &all[0];
    assert!(machine["last_updated"].as_str().unwrap().ends_with('Z'));
    let process = &machine["processes"][1];
    assert_eq!(
        [
            &process["pid"],
            &process["name"],
            &process["cpu_usage"],
            &process["memory_usage"],
            &process["parent_pid"]
        ],
        [&json!(7), &json!("p7"), &json!(12.3), &json!(1.25), &json!(1)]
    );
    assert_eq!((&process["machine"], &machine["processes"][0]["parent_pid"]), (&machine["id"], &Value::Null));
    assert!(process["id"].is_u64() && process["timestamp"].is_string());
    let moved = scene.get("/api/processes/latest").await;
    assert_eq!((moved.status, moved.header("location")), (301, Some("/api/processes/latest/")));
    let hosts = scene.hosts().await;
    assert_eq!(hosts[0]["source"], "legacy 000, unverified");

    replaced(&scene, &first).await;
    let nameless = json!([{"pid": 4, "name": "", "cpu_usage": 0, "memory_usage": 0, "parent_pid": null}]);
    assert_eq!(scene.post(PATH, Some(KEY), &body("other", nameless)).await.status, 200);
    for wrong in [json!({}), json!({"hostname": "other", "processes": [{"pid": 1}]}), json!({"hostname": ""})]
    {
        let answer = scene.post(PATH, Some(KEY), &wrong).await;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
    }
    scene.close().await;
}

/// A post replaces the one before; the same again right after it is the same post.
async fn replaced(scene: &Scene, first: &Value) {
    let stored = scene.stored().await;
    assert_eq!(scene.post(PATH, Some(KEY), first).await.status, 200);
    assert_eq!(scene.stored().await, stored, "a try of the same post");
    assert_eq!(scene.post(PATH, Some(KEY), &json!({"hostname": "mira's laptop"})).await.status, 200);
    let latest = scene.get("/api/processes/latest/").await.json();
    assert_eq!(latest[0]["processes"], json!([]));
    assert_eq!(scene.post(PATH, Some(KEY), first).await.status, 200);
    let latest = scene.get("/api/processes/latest/").await.json();
    assert_eq!(
        latest[0]["processes"].as_array().unwrap().len(),
        2,
        "another post with the body of an earlier one"
    );
    let history = scene.get("/api/machines/mira's%20laptop/history/?limit=2").await.json();
    let counts: Vec<&Value> = history.as_array().unwrap().iter().map(|post| &post["processes"]).collect();
    assert_eq!(counts, [2, 0], "newest first: {history}");
    assert_eq!(scene.get("/api/machines/nobody/history/").await.json(), json!([]));
}
