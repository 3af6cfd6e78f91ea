use std::time::Instant;

use fleetps_nats::status::{AlertStatus, IngestorStatus};

use super::*;

fn report(read_sequence: u64, pending: u64, error: Option<&str>) -> IngestorStatus {
    let error = error.map(str::to_owned);
    let alerts = AlertStatus { read_sequence, pending, error, ..AlertStatus::default() };
    IngestorStatus { alerts, ..IngestorStatus::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_hears_while_alerts_are_evaluated_and_nothing_when_that_stands_still() {
    let scene = Scene::with_channel().await;
    scene
        .save_channel("watch", json!({ "kind": "heartbeat", "url": format!("{}/ok2", scene.address) }))
        .await;
    let running = scene.start().await;
    let take = |status| running.shared.ingestors.take(status, Instant::now());
    // Nobody says that alerts are evaluated.
    let beats = || scene.receiver.at("ok2").len();
    let withheld = || running.shared.dispatching.figures().beats_withheld;
    // Beats are sent one after the other: once one is withheld, none is on its way.
    let quiet = async |what: &str| {
        let first = withheld();
        running.until(what, |_| withheld() > first + 1).await;
        let (before, second) = (beats(), withheld());
        running.until(what, |_| withheld() > second + 3).await;
        assert_eq!(beats(), before, "{what}");
    };
    quiet("no ingestor").await;
    take(report(7, 0, None));
    scene.until("nothing waits", |got| got.len() > 2).await;
    assert_eq!(scene.receiver.at("ok2")[0].json()["kind"], "heartbeat");
    take(report(7, 5, None));
    quiet("it stands still").await;
    take(report(8, 5, Some("the disk is full")));
    quiet("it cannot publish").await;
    let before = beats();
    take(report(9, 5, None));
    scene.until("it goes on", |got| got.len() > before).await;
    assert!(running.shared.dispatching.figures().beat_s.is_some());
    // It is told of no alert.
    scene.publish(&[transition("web-1", "memory", Change::Raised)]).await;
    scene.until("the other channel hears of the alert", |got| got.iter().any(|got| got.path == "ok")).await;
    assert!(scene.receiver.at("ok2").iter().all(|got| got.json()["kind"] == "heartbeat"));
    running.stop().await;
    scene.server.stop().await;
}
