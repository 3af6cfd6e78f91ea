//! The reader delivers every sequence once, in order, or says that it is lost.

use std::future::IntoFuture;

use async_nats::jetstream;
use fleetps_nats::{
    reader::{Delivery, SnapshotReader, Start},
    server::Part,
    stream, subject,
};

use crate::support::{host, start, until, within};

async fn publish(jetstream: &jetstream::Context, name: &str, count: usize) {
    for _ in 0..count {
        let acknowledged = jetstream.publish(subject::snapshot(&host(name)), "x".into()).await.unwrap();
        within(acknowledged.into_future()).await.unwrap();
    }
}

async fn next_sequence(reader: &mut SnapshotReader) -> u64 {
    match within(reader.next()).await {
        Delivery::Message(message) => message.sequence,
        other => panic!("expected a message, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_at_the_next_sequence_after_the_broker_was_killed() {
    let fixture = start().await;
    let jetstream = fixture.jetstream().await;
    publish(&jetstream, "a", 10).await;
    let mut reader = SnapshotReader::new(jetstream.clone(), Start::Sequence(4), None);
    for expected in 4..=10 {
        assert_eq!(next_sequence(&mut reader).await, expected);
    }
    let before = fixture.server.pid();
    kill_at_once(before);
    until("the restarted server", || async {
        fixture.server.pid() != before && fixture.server.broker(Part::Api).connect("test").await.is_ok()
    })
    .await;
    let publisher = fixture.jetstream().await;
    publish(&publisher, "a", 5).await;
    for expected in 11..=15 {
        assert_eq!(next_sequence(&mut reader).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_dropped_is_reported_lost() {
    let fixture = start().await;
    let jetstream = fixture.jetstream().await;
    publish(&jetstream, "a", 10).await;
    let stream = stream::open_snapshots(&jetstream).await.unwrap();
    stream.purge().sequence(8).await.unwrap();
    let mut reader = SnapshotReader::new(jetstream, Start::Sequence(3), None);
    match within(reader.next()).await {
        Delivery::Lost { first: 3, last: 7 } => {}
        other => panic!("expected 3 to 7 to be lost, got {other:?}"),
    }
    assert_eq!(next_sequence(&mut reader).await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_made_anew_is_noticed() {
    let fixture = start().await;
    let jetstream = fixture.jetstream().await;
    publish(&jetstream, "a", 3).await;
    let mut reader = SnapshotReader::new(jetstream, Start::Sequence(1), Some(5));
    assert!(matches!(within(reader.next()).await, Delivery::Replaced { created_s } if created_s > 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_snapshot_of_each_host_comes_first_and_then_what_is_new() {
    let fixture = start().await;
    let jetstream = fixture.jetstream().await;
    publish(&jetstream, "a", 5).await;
    publish(&jetstream, "b", 5).await;
    publish(&jetstream, "a", 1).await;
    let mut reader = SnapshotReader::new(jetstream.clone(), Start::LastOfEachHost, None);
    assert_eq!(next_sequence(&mut reader).await, 10);
    assert_eq!(next_sequence(&mut reader).await, 11);
    publish(&jetstream, "c", 1).await;
    assert_eq!(next_sequence(&mut reader).await, 12);
}

/// `kill -9`.
fn kill_at_once(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
