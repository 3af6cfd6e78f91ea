use std::{collections::BTreeSet, process::Command};

use super::*;
use crate::chance::{chance, rounds};

/// Kills of a person who waits; more by `FLEETPS_TEST_SCALE`.
const KILLS: usize = 10;
/// Each so many kills the broker is killed as well.
const BROKER_EVERY: usize = 5;
/// Alerts that begin between two kills; each ends before the next but one.
const ALERTS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_kills_of_all_that_tells_nothing_is_lost_and_what_comes_twice_is_recognised() {
    let mut random = chance();
    let mut scene = Scene::new().await;
    scene.channel("hook", "flaky").await;
    // Alerts of hosts that differ are messages of their own, whatever burst they are in.
    scene.grouping = Grouping {
        quiet: Duration::from_millis(30),
        longest: Duration::from_millis(200),
        fleet_wide: usize::MAX,
    };
    let mut running = scene.start().await;
    let (kills, mut brokers) = (rounds(KILLS), BTreeSet::new());
    let host = |number: usize| format!("h-{number:04}");
    for kill in 1..=kills {
        let begin = (kill - 1) * ALERTS..kill * ALERTS;
        let end = begin.start.saturating_sub(ALERTS)..begin.start;
        let changes =
            begin.map(|number| (number, Change::Raised)).chain(end.map(|number| (number, Change::Cleared)));
        for (number, change) in changes {
            scene.publish(&[transition(&host(number), "memory", change)]).await;
            tokio::time::sleep(Duration::from_millis(random.u64(0..40))).await;
        }
        if kill % BROKER_EVERY == 0 {
            let pid = scene.server.pid();
            brokers.insert(pid);
            assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
        }
        running.kill().await;
        running = scene.start_at_once();
        tokio::time::sleep(Duration::from_millis(random.u64(0..300))).await;
    }
    assert_eq!(brokers.len(), kills / BROKER_EVERY, "the broker was started again each time");
    let all = kills * ALERTS;
    let last = (all - ALERTS..all).map(|number| transition(&host(number), "memory", Change::Cleared));
    scene.publish(&last.collect::<Vec<_>>()).await;
    let told = |got: &[Got]| -> BTreeSet<(String, String)> {
        got.iter().map(|got| (text(got, "/subject/host"), text(got, "/kind"))).collect()
    };
    scene.until("every beginning and end is told", |got| told(got).len() == 2 * all).await;
    let got = scene.receiver.got();
    let mut keys: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let mut threads: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for got in &got {
        keys.entry((text(got, "/subject/host"), text(got, "/kind"))).or_default().insert(got.key());
        threads.entry(text(got, "/subject/host")).or_default().insert(text(got, "/thread"));
    }
    println!("{} posts for {} messages over {kills} kills", got.len(), keys.len());
    let twice: Vec<_> = keys.iter().filter(|(_, keys)| keys.len() > 1).collect();
    assert!(twice.is_empty(), "these came twice under other keys: {twice:?}");
    assert!(threads.values().all(|threads| threads.len() == 1), "{threads:?}");
    running.stop().await;
    drop(scene.client);
    scene.server.stop().await;
}

fn text(got: &Got, pointer: &str) -> String {
    got.json().pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
