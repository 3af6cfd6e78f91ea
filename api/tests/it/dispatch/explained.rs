use std::collections::BTreeSet;

use fleetps_nats::{Snapshot, snapshot::Process};

use super::*;
use crate::support::{Site, process, snapshot};

/// The process that transitions name.
fn java(resident_bytes: u64) -> Process {
    Process { start_ticks: Some(5), resident_bytes: Some(resident_bytes), ..process(4_711, 1, "java") }
}

/// A host that was heard of every minute since more than an hour ago, whose java had 8 GB then.
fn site() -> Site {
    let of_minute = |minute: i64| {
        let sampled = snapshot(minute + 1, vec![java(8 << 30)]);
        let captured_at_us = sampled.captured_at_us - (70 - minute) * 60_000_000;
        let monotonic_ms = (minute as u64 + 1) * 60_000;
        ("web-1", Snapshot { captured_at_us, monotonic_ms, interval_ms: 60_000, ..sampled })
    };
    let site = Site::with_history(vec![(0..70).map(of_minute).collect()]);
    site.tell("web-1", vec![java(12 << 30)]);
    site.shared.groups.set(BTreeMap::from([("web-1".parse().unwrap(), BTreeSet::from(["web".to_owned()]))]));
    site
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_has_users_groups_what_was_an_hour_before_and_a_chart() {
    let mut scene = Scene::with_channel().await;
    scene.grouping.quiet = Duration::from_millis(50);
    scene.start().await.stop().await;
    let running = scene.start_over(site().shared);
    scene.publish(&[transition("web-1", "memory-nearly-gone", Change::Raised)]).await;
    scene.until("it is told", |got| !got.is_empty()).await;
    let message = scene.receiver.got()[0].json();
    assert_eq!(message["groups"], json!(["web"]));
    let culprit = &message["culprits"][0];
    assert_eq!((&culprit["user"], &culprit["value"]), (&json!("root"), &json!("11.2 GB")));
    assert!(culprit["change"].as_str().unwrap().starts_with("was 8.00 GB at "), "{culprit}");
    assert!(message["facts"]["runbook"].as_str().unwrap().contains("Less than a twentieth"), "{message}");
    let chart = &message["chart"];
    assert_eq!(chart["threshold"], 95.0);
    let points = chart["points"].as_array().unwrap();
    assert!(points.len() > 30, "{points:?}");
    assert_eq!((&points[0]["value"], &points.last().unwrap()["value"]), (&json!(25.0), &json!(97.0)));
    running.stop().await;
    scene.server.stop().await;
}
