//! Names and keys: no older agent takes a name that is another's.

use std::collections::BTreeSet;

use fleetps::testing::legacy::System;
use fleetps_nats::{
    audit::Audit,
    hosts::{self, Admission, HostRecord},
};
use serde_json::{Value, json};

use super::{Scene, ingest, process_001};

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

fn native(key: &str) -> HostRecord {
    HostRecord { keys: vec![key.to_owned()], ..HostRecord::in_groups(BTreeSet::new()) }
}

fn body(name: &str) -> Value {
    ingest(name, &now(), json!([process_001(1, 0, "init", "")]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_gets_a_suffix_where_a_host_with_a_key_has_the_name_or_one_that_looks_like_it() {
    let scene = Scene::with_operators().await;
    let records = hosts::open(&scene.client).await.unwrap();
    let record = native("UA");
    assert!(records.create("web-01", &record).await.unwrap());
    scene.allow_with(System::S000, 5, Some("all"), false).await;
    scene.allow(System::S001, 5).await;
    let taken = scene.enrol("/api/v1/ingest", Some(("x-api-key", "a")), &body("web-01")).await;
    assert_eq!(taken.status, 201, "{taken:?}");
    let alike = scene.post("/api/v1/ingest", Some(("x-api-key", "b")), &body("WEB-O1")).await;
    assert_eq!(alike.status, 201, "{alike:?}");
    let machine = json!({"hostname": "web-01", "processes": []});
    assert_eq!(scene.enrol("/api/processes/", Some(("api-key", "all")), &machine).await.status, 200);
    let names: Vec<Value> = scene.hosts().await.iter().map(|host| host["host"].clone()).collect();
    assert_eq!(names, ["WEB-O1-001-2", "web-01-000", "web-01-001"]);
    assert_eq!(records.get("web-01").await.unwrap().unwrap().value, record);
    let listed = scene.get("/api/v1/snapshots/latest?hostname=web-01").await.json();
    assert_eq!(listed["process_count"], 1, "found by its own name: {listed}");
    let listed = scene.get("/api/v1/hosts").await.json();
    let names: Vec<&Value> = listed.as_array().unwrap().iter().map(|host| &host["hostname"]).collect();
    assert_eq!(names, ["WEB-O1", "web-01", "web-01-000"], "each under a name of its own");
    for (name, processes) in [("WEB-O1", 1), ("web-01", 1), ("web-01-000", 0)] {
        let latest = scene.get(&format!("/api/v1/snapshots/latest?hostname={name}")).await.json();
        assert_eq!(latest["process_count"], processes, "{name}: {latest}");
    }
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_fleetps_takes_over_and_the_older_one_is_answered_as_before() {
    let scene = Scene::with_operators().await;
    scene.allow(System::S001, 1).await;
    let key = Some(("x-api-key", "a"));
    assert_eq!(scene.enrol("/api/v1/ingest", key, &body("web")).await.status, 201);
    let records = hosts::open(&scene.client).await.unwrap();
    let known = records.get("web").await.unwrap().unwrap();
    let agent = known.value.legacy.clone().unwrap();
    assert!(agent.verified && agent.key.as_deref().is_some_and(|key| key.len() == 64 && key != "a"));
    // What admission does when an agent brings a token for the name.
    let taken_over = HostRecord { keys: vec!["UA".to_owned()], ..known.value };
    assert!(records.update("web", &taken_over, known.revision).await.unwrap());
    let stored = scene.stored().await;
    let answering = async {
        loop {
            let before = scene.stored().await;
            let answer = scene.post("/api/v1/ingest", key, &body("web")).await;
            assert_eq!(answer.status, 201, "{answer:?}");
            if scene.stored().await == before {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(crate::support::PATIENCE, answering).await.unwrap();
    assert!(answer.json()["snapshot_id"].as_u64().unwrap() >= stored);

    let revoked = records.get("web").await.unwrap().unwrap();
    let record = HostRecord { admission: Admission::Revoked, ..revoked.value };
    assert!(records.update("web", &record, revoked.revision).await.unwrap());
    let refusing = async { while scene.post("/api/v1/ingest", key, &body("web")).await.status != 403 {} };
    tokio::time::timeout(crate::support::PATIENCE, refusing).await.unwrap();
    let audited = Audit::open(&scene.client).await.unwrap().read(1).await.unwrap();
    assert!(audited.iter().any(|chained| chained.entry.action == "legacy.enrol"), "{audited:?}");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_everybody_has_is_refused_unless_it_is_accepted_and_then_shared() {
    let scene = Scene::with_operators().await;
    let key = Some(("x-api-key", "TESTKEY123"));
    scene.allow(System::S001, 5).await;
    // Another host shows that the window is known.
    assert_eq!(scene.enrol("/api/v1/ingest", Some(("x-api-key", "own")), &body("own")).await.status, 201);
    let refused = scene.post("/api/v1/ingest", key, &body("a")).await;
    assert!(refused.status == 403 && refused.body.contains("--accept-known-keys"), "{refused:?}");
    scene.allow_with(System::S001, 5, None, true).await;
    assert_eq!(scene.enrol("/api/v1/ingest", key, &body("a")).await.status, 201);
    assert_eq!(scene.post("/api/v1/ingest", key, &body("b")).await.status, 201);
    let sources: Vec<Value> = scene.hosts().await.iter().map(|host| host["source"].clone()).collect();
    assert_eq!(sources, ["legacy 001, unverified", "legacy 001, unverified", "legacy 001"]);
    // It speaks for no host that has a key of its own.
    assert_eq!(scene.post("/api/v1/ingest", key, &body("own")).await.status, 201);
    let names: Vec<Value> = scene.hosts().await.iter().map(|host| host["host"].clone()).collect();
    assert_eq!(names, ["a", "b", "own", "own-001"]);
    scene.close().await;
}
