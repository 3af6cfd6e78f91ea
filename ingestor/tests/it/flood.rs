//! A host that sends a hundred times what others send, as fast as the broker takes it, does not delay them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream;
use fleetps_ingestor::IngestorSettings;
use fleetps_nats::{snapshot::Encoder, subject};
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::{
    publisher::{Publisher, snapshot},
    support::{Fixture, within},
};

/// Snapshots of the flood, each with two hundred times the processes of the others' and all at once: a million rows.
const LOUD_SNAPSHOTS: u64 = 500;
const LOUD_PROCESSES: u32 = 2000;
/// More than an agent ever has.
const IN_FLIGHT: usize = 32;

fn loud_message(encoder: &mut Encoder, sequence: u64) -> Vec<u8> {
    let mut snapshot = snapshot("loud", sequence);
    let template = snapshot.processes[0].clone();
    snapshot.processes = (1..=LOUD_PROCESSES)
        .map(|pid| fleetps_nats::snapshot::Process {
            pid,
            resident_bytes: Some(fastrand::u64(..1 << 40)),
            ..template.clone()
        })
        .collect();
    encoder.encode(&snapshot).unwrap()
}

async fn flood(jetstream: jetstream::Context) {
    let subject = subject::snapshot(&"loud".parse().unwrap());
    let mut encoder = Encoder::new().unwrap();
    let messages: Vec<_> =
        (1..=LOUD_SNAPSHOTS).map(|sequence| loud_message(&mut encoder, sequence)).collect();
    stream::iter(messages)
        .for_each_concurrent(IN_FLIGHT, |message| async {
            jetstream.publish(subject.clone(), message.into()).await.unwrap().await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_from_one_host_is_cut_and_the_others_lose_nothing_and_are_not_delayed() {
    let fixture = Arc::new(Fixture::start().await);
    // No merging, which would take a processor from what is looked at.
    let settings = IngestorSettings {
        host_bytes_per_s: 64 << 10,
        seal_interval: Duration::from_secs(1),
        merge_fresh_count: usize::MAX,
        ..fixture.settings()
    };
    let ingestor = fixture.ingestor(settings).await;
    let over = CancellationToken::new();
    let quiet: Vec<_> = (0..5)
        .map(|number| {
            let (fixture, over) = (Arc::clone(&fixture), over.clone());
            tokio::spawn(async move {
                let mut publisher = Publisher::new(fixture.hosts().await, &format!("quiet-{number}"), "run");
                while !over.is_cancelled() {
                    publisher.publish().await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                // After the flood: once this is stored, all of the flood has been read.
                publisher.publish().await;
                publisher.ledger.len() as u64
            })
        })
        .collect();
    within(flood(fixture.jetstream().await)).await;
    over.cancel();
    let mut published = 0;
    for publisher in quiet {
        published += within(publisher).await.unwrap();
    }
    let last = Instant::now();
    fixture.until_count("SELECT count(*) FROM host_sample WHERE host LIKE 'quiet-%'", published).await;
    println!(
        "{published} snapshots of others, the last one readable {:?} after it was published",
        last.elapsed()
    );
    ingestor.stop().await;
    let loud: u64 = fixture.value("SELECT count(*) FROM host_sample WHERE host = 'loud'");
    println!("{loud} of {LOUD_SNAPSHOTS} snapshots of the flood were taken");
    assert!(loud < LOUD_SNAPSHOTS, "nothing was cut");
    let left_out =
        "SELECT sum(last_sequence - first_sequence + 1)::BIGINT FROM gap WHERE reason LIKE 'left out%'";
    assert_eq!(fixture.value::<u64>(left_out), LOUD_SNAPSHOTS - loud, "what was cut is no gap");
}
