//! With an ingestor: what is in segments only is answered from them, and says where it came from.

use std::time::Duration;

use fleetps::testing::legacy::System;
use fleetps_ingestor::IngestorSettings;
use fleetps_nats::server::Part;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Scene, ingest, process_001};
use crate::support::PATIENCE;

impl Scene {
    /// Waits until the history has this many snapshots of a host.
    pub async fn sealed(&self, host: &str, wanted: u64) {
        let waiting = async {
            while self.fleet(&format!("/api/v1/hosts/{host}/snapshots")).await["total"] != wanted {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{host} is not sealed"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_segments_have_is_answered_from_them() {
    let scene = Scene::with_operators().await;
    let (client, end) = (
        scene.broker.as_ref().unwrap().broker(Part::Ingestor).connect("ingestor").await.unwrap(),
        CancellationToken::new(),
    );
    let settings = IngestorSettings {
        history: scene.folder.path().join("history"),
        seal_interval: Duration::from_millis(100),
        max_stream_bytes: 64 << 20,
        ..IngestorSettings::default()
    };
    let ingesting = tokio::spawn(fleetps_ingestor::run(client, settings, end.clone()));
    scene.allow(System::S001, 1).await;
    scene.allow(System::S002, 1).await;
    scene.allow_with(System::S000, 1, Some("all"), false).await;
    let body = ingest(
        "web",
        &jiff::Timestamp::now().to_string(),
        json!([process_001(7, 1, "shop", "shop --port 80")]),
    );
    let taken = scene.enrol("/api/v1/ingest", Some(("x-api-key", "k")), &body).await.json();
    let path = format!("/api/v1/snapshots/{}/processes", taken["snapshot_id"]);
    let listed = scene.get(&path).await.json();
    assert_eq!(listed, body["processes"]);
    let machine =
        json!({"hostname": "m", "machine_id": "m1", "os_name": "L", "architecture": "x", "processor": ""});
    assert_eq!(scene.enrol("/api/machine/", None, &machine).await.status, 201);
    for used in 1..4 {
        let snapshot = json!({"total_ram": 9, "used_ram": used, "available_ram": 1, "total_disk": 9, "used_disk": 1, "available_disk": 8});
        let process = json!({"pid": 1, "ppid": 0, "name": "init", "cpu_usage": 0.5, "memory_usage": 1.0});
        let batch = json!({"machine_id": "m1", "machine_snapshot": snapshot, "processes": [process]});
        assert_eq!(scene.post("/api/snapshot-batch/", None, &batch).await.status, 201);
    }
    let laptop = json!({"hostname": "laptop", "processes": [
        {"pid": 1, "name": "init", "cpu_usage": 0.5, "memory_usage": 1.25, "parent_pid": null}]});
    assert_eq!(scene.enrol("/api/processes/", Some(("api-key", "all")), &laptop).await.status, 200);
    for (host, count) in [("web", 1), ("m", 3), ("laptop", 1)] {
        scene.sealed(host, count).await;
    }
    let jetstream = async_nats::jetstream::new(scene.client.clone());
    let stream = fleetps_nats::stream::open_snapshots(&jetstream).await.unwrap();
    stream.purge().await.unwrap();
    assert_eq!(scene.stored().await, 0);

    assert_eq!(scene.get(&path).await.json(), listed);
    let all = scene.get("/api/snapshot-batch/?machine_id=m1&since=1h").await.json();
    let used: Vec<&Value> = all["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| &result["machine_snapshot"]["used_ram"])
        .collect();
    assert_eq!((&all["count"], used), (&json!(3), vec![&json!(3), &json!(2), &json!(1)]));
    assert_eq!(all["results"][2]["process_tree"][0]["name"], "init");
    let id = &all["results"][2]["machine_snapshot"]["id"];
    let one = scene.get(&format!("/api/snapshot-batch/{id}/")).await.json();
    assert_eq!((&one["machine_snapshot"]["used_ram"], &one["machine_snapshot"]["id"]), (&json!(1), id));
    let now = jiff::Timestamp::now();
    for (host, source) in [("web", "legacy 001"), ("laptop", "legacy 000, unverified")] {
        let then = scene.fleet(&format!("/api/v1/hosts/{host}?at={now}")).await;
        assert_eq!(then["host_info"]["source"], source, "{then}");
    }
    let then =
        scene.fleet(&format!("/api/v1/hosts/laptop/processes?at={now}&include=sent_memory_percent")).await;
    let percent = then["processes"][0]["sent_memory_percent"].as_f64().unwrap();
    assert!((percent - 1.25).abs() < 0.051, "kept in tenths: {then}");
    assert_eq!(then["processes"][0]["resident_bytes"], Value::Null);
    end.cancel();
    tokio::time::timeout(PATIENCE, ingesting).await.unwrap().unwrap().unwrap();
    scene.close().await;
}
