//! A simulated fleet over one connection.

use std::{collections::HashMap, time::Duration};

use fleetps_agent::simulate::{self, Fleet, SimulationEnd, SimulationSettings};
use fleetps_nats::server::Part;
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
