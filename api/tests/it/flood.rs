//! A host that sends a hundred times what others send, a hundred times as often, does not keep them from the pages.

use std::sync::Arc;

use fleetps::live::{self, Fleet, Intake};
use fleetps_nats::{HostName, server::Part, snapshot::Encoder, subject};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    pipeline::broker,
    support::{PATIENCE, family, process, snapshot},
};

/// What a host may send in a second here, so that the flood is over the bound at once.
const HOST_BYTES_PER_S: u64 = 64 << 10;
/// A hundred times those of the quiet host.
const LOUD_PROCESSES: u32 = 500;
const ROUNDS: i64 = 20;
/// Of the flood, for each snapshot of the quiet host.
const LOUD_SNAPSHOTS: u64 = 100;

fn loud_message() -> Vec<u8> {
    let processes = (1..=LOUD_PROCESSES)
        .map(|pid| fleetps_nats::snapshot::Process {
            command_line: Some(format!("{:x}", fastrand::u128(..))),
            ..process(pid, 0, "loud")
        })
        .collect();
    Encoder::new().unwrap().encode(&snapshot(1, processes)).unwrap()
}

/// Publishes the snapshot and waits until the fleet has it.
async fn tell(agent: &async_nats::Client, fleet: &Fleet, host: &HostName, number: i64) {
    let taken = snapshot(number, family());
    let message = Encoder::new().unwrap().encode(&taken).unwrap();
    let mut changed = fleet.watch();
    agent.publish(subject::snapshot(host), message.into()).await.unwrap();
    let shown = async {
        while fleet.summary(host).is_none_or(|shown| shown.captured_at_us != taken.captured_at_us) {
            changed.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, shown).await.expect("a snapshot is not shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_from_one_host_is_left_unread_and_the_others_go_on_appearing() {
    let folder = tempfile::tempdir().unwrap();
    let (server, agent) = broker(folder.path()).await;
    let owner = server.broker(Part::Api).connect("test").await.unwrap();
    let (fleet, over) = (Arc::new(Fleet::default()), CancellationToken::new());
    let (progress, intake) = watch::channel(Intake::default());
    let following = {
        let (jetstream, fleet, over) =
            (async_nats::jetstream::new(owner), Arc::clone(&fleet), over.child_token());
        tokio::spawn(async move { live::follow(jetstream, &fleet, HOST_BYTES_PER_S, &progress, over).await })
    };
    let loud_subject = subject::snapshot(&"loud".parse().unwrap());
    let (loud, quiet) = (bytes::Bytes::from(loud_message()), "quiet".parse().unwrap());
    for round in 1..=ROUNDS {
        for _ in 0..LOUD_SNAPSHOTS {
            agent.publish(loud_subject.clone(), loud.clone()).await.unwrap();
        }
        tell(&agent, &fleet, &quiet, round).await;
    }
    // The stream has an order, so all of the flood was before the last of the quiet host.
    let sent = ROUNDS.unsigned_abs() * LOUD_SNAPSHOTS;
    let Intake { skipped, ignored, .. } = *intake.borrow();
    println!("of {sent} messages of the flood {skipped} were left unread");
    assert!(skipped > sent / 2, "{skipped} of {sent} were left unread");
    assert_eq!(ignored, 0);
    over.cancel();
    tokio::time::timeout(PATIENCE, following).await.unwrap().unwrap();
    server.stop().await;
}
