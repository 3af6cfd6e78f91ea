//! The publisher while the broker comes, goes and is killed.

use std::{process::Command, sync::atomic::Ordering, time::Duration};

use fleetps_agent::publish::{Outbox, Publisher, Source};
use tokio_util::sync::CancellationToken;

use crate::support::{Stored, agent_client, host, jetstream, start_server, until, within};

fn source() -> Source {
    Source { host: host(), boot_id: "boot".to_owned(), run_id: "run".to_owned() }
}

fn number(payload: &[u8]) -> u64 {
    u64::from_le_bytes(payload[..8].try_into().unwrap())
}

/// A message of a thousand bytes that says its sequence.
fn message(sequence: u64) -> Vec<u8> {
    let mut message = sequence.to_le_bytes().to_vec();
    message.resize(1000, 0);
    message
}

#[tokio::test]
async fn while_the_broker_is_away_the_oldest_are_dropped_and_counted_and_the_rest_follows_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    jetstream(&server).await;
    let client = agent_client(&server).await;
    let outbox = Outbox::new(5_000);
    let shutdown = CancellationToken::new();
    let publisher = tokio::spawn(Publisher::new(client, &source(), outbox.clone()).run(shutdown.clone()));
    outbox.push(1, message(1));
    until("the first is stored", || outbox.waiting() == 0).await;

    within(server.stop()).await;
    for sequence in 2..=12 {
        outbox.push(sequence, message(sequence));
    }
    assert_eq!((outbox.waiting(), outbox.dropped()), (5, 6));

    let server = start_server(folder.path()).await;
    until("the rest is stored", || outbox.waiting() == 0).await;
    let mut stored = Stored::new(jetstream(&server).await);
    let mut sequences = Vec::new();
    for _ in 0..6 {
        sequences.push(number(&stored.next().await.payload));
    }
    // The one that was being tried when the broker went may be kept in place of the next.
    assert_eq!(sequences[2..], [9, 10, 11, 12]);
    assert!(sequences[0] == 1 && [2, 8].contains(&sequences[1]), "{sequences:?}");
    shutdown.cancel();
    within(publisher).await.unwrap();
    within(server.stop()).await;
}

#[tokio::test]
async fn a_broker_killed_over_and_over_loses_nothing_acknowledged_and_stores_nothing_twice() {
    const COUNT: u64 = 3_000;
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let jetstream = jetstream(&server).await;
    let outbox = Outbox::new(16 << 20);
    let shutdown = CancellationToken::new();
    let client = agent_client(&server).await;
    let publisher = tokio::spawn(Publisher::new(client, &source(), outbox.clone()).run(shutdown.clone()));
    for sequence in 1..=COUNT {
        outbox.push(sequence, message(sequence));
        if sequence.is_multiple_of(600) {
            let already = outbox.waiting();
            until("some more are stored", || outbox.waiting() + 50 < already || outbox.waiting() == 0).await;
            let pid = server.pid().to_string();
            assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        }
        if sequence.is_multiple_of(10) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    until("everything is stored", || outbox.waiting() == 0).await;
    assert_eq!(outbox.dropped(), 0);
    let mut stored = Stored::new(jetstream.clone());
    for sequence in 1..=COUNT {
        assert_eq!(number(&stored.next().await.payload), sequence);
    }
    let mut stream = within(jetstream.get_stream("SNAP")).await.unwrap();
    assert_eq!(within(stream.info()).await.unwrap().state.messages, COUNT);
    shutdown.cancel();
    within(publisher).await.unwrap();
    within(server.stop()).await;
}

#[tokio::test]
async fn without_a_stream_it_waits_for_one_and_a_message_the_broker_never_takes_blocks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let outbox = Outbox::new(16 << 20);
    let shutdown = CancellationToken::new();
    let client = agent_client(&server).await;
    let sent = client.statistics();
    let publisher = tokio::spawn(Publisher::new(client, &source(), outbox.clone()).run(shutdown.clone()));
    outbox.push(1, message(1));
    outbox.push(2, vec![0; 2 << 20]);
    outbox.push(3, message(3));
    // The stream is not there yet: "no responders".
    until("it was refused several times", || sent.out_messages.load(Ordering::Relaxed) >= 3).await;
    assert_eq!(outbox.waiting(), 3);
    let mut stored = Stored::new(jetstream(&server).await);
    assert_eq!(number(&stored.next().await.payload), 1);
    assert_eq!(number(&stored.next().await.payload), 3);
    until("nothing is waiting", || outbox.waiting() == 0).await;
    assert_eq!(outbox.dropped(), 1);
    shutdown.cancel();
    within(publisher).await.unwrap();
    within(server.stop()).await;
}

#[tokio::test]
async fn it_stops_within_two_seconds_when_there_is_no_broker() {
    let broker = fleetps_nats::connection::Broker {
        url: "nats://127.0.0.1:9".to_owned(),
        nkey_file: None,
        wire: fleetps_nats::Wire::default(),
    };
    let client = broker.connect_later("test", "_INBOX_here").await.unwrap();
    let outbox = Outbox::new(1 << 20);
    outbox.push(1, message(1));
    let shutdown = CancellationToken::new();
    let publisher = tokio::spawn(Publisher::new(client, &source(), outbox.clone()).run(shutdown.clone()));
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), publisher).await.unwrap().unwrap();
    assert_eq!(outbox.waiting(), 1);
}
