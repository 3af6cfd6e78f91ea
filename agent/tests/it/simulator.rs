//! A simulated fleet over one connection.

use std::{collections::HashMap, time::Duration};

use fleetps_agent::simulate::{self, Fleet, SimulatedPast, SimulationEnd, SimulationSettings};
use fleetps_nats::{Snapshot, now_us, server::Part};
use tokio_util::sync::CancellationToken;

use crate::support::{Stored, jetstream, start_server, within};

fn settings() -> SimulationSettings {
    SimulationSettings {
        hosts: 20,
        processes: 50,
        interval: Duration::from_millis(100),
        rounds: Some(4),
        ..SimulationSettings::default()
    }
}

#[tokio::test]
async fn every_snapshot_of_every_host_arrives_in_order_under_its_own_subject() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let mut stored = Stored::new(jetstream(&server).await);
    let end =
        within(simulate::run(settings(), server.broker(Part::Simulator), CancellationToken::new())).await;
    assert_eq!(end.unwrap(), SimulationEnd { made: 80, dropped: 0, unsent: 0 });
    let mut sequences: HashMap<String, u64> = HashMap::new();
    for _ in 0..80 {
        let snapshot = stored.next_snapshot().await;
        let name = snapshot.os_host_name.split('.').next().unwrap().to_owned();
        let last = sequences.entry(name).or_default();
        assert_eq!(snapshot.sequence, *last + 1);
        *last += 1;
    }
    let mut names: Vec<String> =
        Fleet::new(&settings()).host_names().iter().map(ToString::to_string).collect();
    names.sort();
    let mut seen: Vec<String> = sequences.into_keys().collect();
    seen.sort();
    assert_eq!(seen, names);
    within(server.stop()).await;
}

#[tokio::test]
async fn a_month_can_be_written_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let mut stored = Stored::new(jetstream(&server).await);
    let month = SimulationSettings {
        hosts: 2,
        interval: Duration::from_secs(3600),
        rounds: Some(720),
        starts_at_us: Some(1_790_000_000_000_000),
        ..settings()
    };
    let end =
        within(simulate::run(month, server.broker(Part::Simulator), CancellationToken::new())).await.unwrap();
    assert_eq!(end, SimulationEnd { made: 1440, dropped: 0, unsent: 0 });
    let mut last_us = 0;
    for _ in 0..1440 {
        last_us = last_us.max(stored.next_snapshot().await.captured_at_us);
    }
    assert_eq!(last_us, 1_790_000_000_000_000 + 719 * 3_600_000_000 + 1_800_000_000);
    within(server.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_host_has_its_whole_past_before_it_lives_in_the_present() {
    const HOSTS: usize = 45;
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let mut stored = Stored::new(jetstream(&server).await);
    let minute = Duration::from_secs(60);
    let past = SimulatedPast::before(now_us(), 10 * minute, minute);
    let demo = SimulationSettings { hosts: HOSTS, rounds: None, past: Some(past), ..settings() };
    let stop = CancellationToken::new();
    let running = tokio::spawn(simulate::run(demo, server.broker(Part::Simulator), stop.clone()));
    let mut snapshots: HashMap<String, Vec<Snapshot>> = HashMap::new();
    let lives = |snapshots: &Vec<Snapshot>| snapshots.last().is_some_and(|last| last.interval_ms == 100);
    while snapshots.len() < HOSTS || !snapshots.values().all(lives) {
        let snapshot = within(stored.next_snapshot()).await;
        snapshots.entry(snapshot.os_host_name.clone()).or_default().push(snapshot);
    }
    stop.cancel();
    within(running).await.unwrap().unwrap();
    for (host, snapshots) in &snapshots {
        assert!(snapshots[0].captured_at_us - past.begins_at_us < 60_000_000, "{host} begins late");
        let first_live = snapshots.iter().position(|snapshot| snapshot.interval_ms == 100).unwrap();
        assert!((60..=75).contains(&first_live), "{host} has {first_live} snapshots of its past");
        for pair in snapshots.windows(2) {
            let apart_us = pair[1].captured_at_us - pair[0].captured_at_us;
            assert!((1..=61_000_000).contains(&apart_us), "{host}: {apart_us} µs");
            assert_eq!((pair[1].sequence, &pair[1].boot_id), (pair[0].sequence + 1, &pair[0].boot_id));
        }
    }
    within(server.stop()).await;
}
