use fleetps::testing::notify::Acknowledgement;

use super::*;

async fn escalating() -> Scene {
    let mut scene = Scene::with_channel().await;
    scene.grouping.quiet = Duration::from_millis(50);
    scene.channel("pager", "ok2").await;
    let route = json!({ "channels": ["hook"], "escalate": { "after": "1m", "channels": ["pager"] } });
    let list = json!({ "routes": [route], "changed_by": "anna", "changed_at_us": 1 });
    assert!(scene.records.save_routes(&serde_json::from_value(list).unwrap(), None).await.unwrap());
    scene
}

/// The same with a time that people do not wait for, which no form would take.
async fn soon(scene: &Scene) {
    let bucket = fleetps_nats::bucket::Bucket::<Value>::open(&scene.client, "notify_routes").await.unwrap();
    let mut list = bucket.get("routes").await.unwrap().unwrap().value;
    list["routes"][0]["escalate"]["after"] = json!("1s");
    bucket.put("routes", &list).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_next_hears_of_what_nobody_acknowledged_and_of_its_end() {
    let scene = escalating().await;
    soon(&scene).await;
    let running = scene.start().await;
    let transitions = ["web-1", "web-2"].map(|host| transition(host, "memory", Change::Raised));
    scene.publish(&transitions).await;
    scene.until("both are told", |got| got.len() == 2).await;
    let by = Acknowledgement { who: "anna".to_owned(), why: String::new(), at_us: now_us() };
    let known = &transitions[0].change.alert.id;
    assert!(scene.records.acknowledge(known, &by).await.unwrap());
    assert!(!scene.records.acknowledge(known, &by).await.unwrap(), "somebody did before");
    scene.until("the other one is escalated", |got| got.iter().any(|got| got.path == "ok2")).await;
    let ended = ["web-1", "web-2"].map(|host| transition(host, "memory", Change::Cleared));
    scene.publish(&ended).await;
    scene.until("the ends are told", |got| got.len() == 6).await;
    let escalated: Vec<String> = scene.receiver.at("ok2").iter().map(headline).collect();
    let expected = [
        "ok2: \"Unacknowledged critical: web-2: memory is 97.0 %, more than 95.0 %\"",
        "ok2: \"Resolved: web-2: memory is 71.0 % again\"",
    ];
    assert_eq!(escalated, expected);
    running.stop().await;
    scene.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_are_kept_until_their_alert_is_over() {
    let scene = Scene::new().await;
    let by = |at_us| Acknowledgement { who: "anna".to_owned(), why: "on it".to_owned(), at_us };
    for (alert, at_us) in [("aa", 1), ("bb", 2)] {
        assert!(scene.records.acknowledge(alert, &by(at_us)).await.unwrap());
    }
    assert!(scene.records.acknowledge("no id", &by(1)).await.is_err());
    assert_eq!(scene.records.forget_acknowledgements(&["aa".to_owned()].into()).await.unwrap(), 1);
    let left: Vec<String> = scene.records.acknowledgements().await.unwrap().into_keys().collect();
    assert_eq!(left, ["aa"]);
    assert!(scene.records.withdraw_acknowledgement("aa").await.unwrap());
    assert!(!scene.records.withdraw_acknowledgement("aa").await.unwrap());
    scene.server.stop().await;
}
