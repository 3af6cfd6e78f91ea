//! Crashes of the ingestor and the broker under load.

use std::time::Duration;

use async_nats::jetstream;
use fleetps_ingestor::{
    IngestorSettings,
    catalog::SegmentFolder,
    segment::{Level, SegmentName},
};

use crate::{
    chance::{chance, rounds},
    events::assert_events_of_the_stream,
    publisher::{Publisher, assert_stored},
    support::{Fixture, kill, terminate, until},
};

/// Hosts that publish at a time.
const HOSTS: usize = 4;

/// Publishes from several hosts until told to stop, and returns their ledgers.
fn publish_under_load(
    hosts: Vec<jetstream::Context>,
    stop: tokio_util::sync::CancellationToken,
) -> Vec<tokio::task::JoinHandle<Publisher>> {
    let publishing = hosts.into_iter().enumerate().map(|(number, jetstream)| {
        let stop = stop.clone();
        let mut publisher = Publisher::new(jetstream, &format!("host-{number}"), "run");
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                publisher.publish().await;
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
            publisher
        })
    });
    publishing.collect()
}

async fn hosts(fixture: &Fixture) -> Vec<jetstream::Context> {
    let mut hosts = Vec::new();
    for _ in 0..HOSTS {
        hosts.push(fixture.hosts().await);
    }
    hosts
}

async fn finish(publishing: Vec<tokio::task::JoinHandle<Publisher>>) -> Vec<Publisher> {
    let mut publishers = Vec::new();
    for publisher in publishing {
        publishers.push(crate::support::within(publisher).await.unwrap());
    }
    publishers
}

/// The names of the segments, none where there is no folder yet.
fn segments(fixture: &Fixture) -> Vec<SegmentName> {
    let catalog = SegmentFolder::scan(&fixture.history());
    catalog.map_or_else(|_| Vec::new(), |catalog| catalog.current.iter().map(|found| found.name).collect())
}

async fn until_more_is_stored(fixture: &Fixture) {
    let last_stored = || segments(fixture).iter().map(|name| name.last_sequence).max();
    let before = last_stored();
    until("more is stored", || last_stored() > before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_the_ingestor_lose_nothing_and_store_nothing_twice() {
    kill_under_load(&[IngestorSettings::default().merge_rows], Duration::from_millis(100)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "merges more than anything else may run beside; `.ci/full` runs it alone"]
async fn the_same_where_merges_divide_into_another_number_of_shards_after_every_kill() {
    // 4, 2 and 8 shards where 4,000 rows come in a second.
    kill_under_load(&[4_000_000, 8_000_000, 2_000_000], Duration::from_millis(500)).await;
}

async fn kill_under_load(merge_rows: &[u64], seal_interval: Duration) {
    let mut chance = chance();
    let mut fixture = Fixture { seal_interval, merge_rows: merge_rows[0], ..Fixture::start().await };
    if merge_rows.len() > 1 {
        // Merges that divide wait for four times as many.
        fixture.merge_fresh_count = 2;
    }
    let stop = tokio_util::sync::CancellationToken::new();
    let publishing = publish_under_load(hosts(&fixture).await, stop.clone());
    let mut ingestor = fixture.process();
    for number in 0..rounds(2) {
        // At any moment: while it starts, reads, seals, merges. On a busy machine that is mostly while it starts, so
        // every other time it has stored something before.
        if number % 2 == 1 {
            until_more_is_stored(&fixture).await;
        }
        tokio::time::sleep(Duration::from_millis(chance.u64(20..900))).await;
        kill(&mut ingestor);
        fixture.merge_rows = merge_rows[number % merge_rows.len()];
        ingestor = fixture.process();
    }
    until("a merge", || segments(&fixture).iter().any(|name| name.level != Level::Fresh)).await;
    stop.cancel();
    let publishers = finish(publishing).await;
    let published: u64 = publishers.iter().map(|publisher| publisher.ledger.len() as u64).sum();
    assert!(published > 100, "only {published} were published");
    fixture.until_count("SELECT count(*) FROM host_sample", published).await;
    // Which also keeps what is asked next within its memory: a sealed segment every tenth of a second are hundreds.
    let waiting = || segments(&fixture).iter().filter(|name| name.level == Level::Fresh).count();
    until("merging keeps up", || waiting() < 100).await;
    assert!(terminate(&mut ingestor).success());
    assert_stored(&fixture.history(), &publishers);
    assert_events_of_the_stream(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_the_broker_lose_nothing_that_was_acknowledged() {
    let mut chance = chance();
    let fixture = Fixture::start().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let publishing = publish_under_load(hosts(&fixture).await, stop.clone());
    let ingestor = fixture.ingestor(fixture.settings()).await;
    for _ in 0..rounds(1) {
        tokio::time::sleep(Duration::from_millis(chance.u64(300..1200))).await;
        let pid = fixture.server().pid();
        let process = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
        until("a new broker", || fixture.server().pid() != pid).await;
    }
    until_more_is_stored(&fixture).await;
    stop.cancel();
    let publishers = finish(publishing).await;
    let published: u64 = publishers.iter().map(|publisher| publisher.ledger.len() as u64).sum();
    fixture.until_count("SELECT count(*) FROM host_sample", published).await;
    ingestor.stop().await;
    assert_stored(&fixture.history(), &publishers);
}
