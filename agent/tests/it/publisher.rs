//! The publisher while the broker comes, goes and is killed.

use std::{process::Command, sync::atomic::Ordering, time::Duration};

use fleetps_agent::{
    publish::{Outbox, Publisher},
    sample::since_boot,
};
use tokio_util::sync::CancellationToken;

use crate::support::{Stored, agent_client, host, jetstream, start_server, until, within};

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
    let publisher = tokio::spawn(Publisher::new(client, &host(), outbox.clone()).run(shutdown.clone()));
    // Sampled when the machine was booted.
    outbox.push_sampled(1, message(1), 0, Some(Duration::ZERO));
    until("the first is stored", || outbox.waiting() == 0).await;

    within(server.stop()).await;
    for sequence in 2..=12 {
        outbox.push(sequence, message(sequence), 0);
    }
    assert_eq!((outbox.waiting(), outbox.dropped()), (5, 6));

    let server = start_server(folder.path()).await;
    until("the rest is stored", || outbox.waiting() == 0).await;
    let mut stored = Stored::new(jetstream(&server).await);
    let (mut sequences, mut ages_us) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        let delivered = stored.next().await;
        sequences.push(number(&delivered.payload));
        ages_us.push(delivered.age_us);
    }
    let uptime_us = i64::try_from(since_boot().as_micros()).unwrap();
    assert!(ages_us[0].is_some_and(|age_us| age_us > 0 && age_us <= uptime_us), "{ages_us:?}");
    assert_eq!(ages_us[1..], [None; 5], "of those that do not say");
    // The one that was being tried when the broker went may be kept in place of the next.
    assert_eq!(sequences[2..], [9, 10, 11, 12]);
    assert!(sequences[0] == 1 && [2, 8].contains(&sequences[1]), "{sequences:?}");
    shutdown.cancel();
    within(publisher).await.unwrap();
    within(server.stop()).await;
}

#[tokio::test]
async fn a_broker_killed_over_and_over_loses_nothing_acknowledged_and_keeps_the_order() {
    const COUNT: u64 = 3_000;
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let jetstream = jetstream(&server).await;
    let outbox = Outbox::new(16 << 20);
    let shutdown = CancellationToken::new();
    let client = agent_client(&server).await;
    let publisher = tokio::spawn(Publisher::new(client, &host(), outbox.clone()).run(shutdown.clone()));
    for sequence in 1..=COUNT {
        outbox.push(sequence, message(sequence), 0);
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
    let mut stream = within(jetstream.get_stream("SNAP")).await.unwrap();
    let messages = within(stream.info()).await.unwrap().state.messages;
    let mut last = 0;
    for _ in 0..messages {
        // Where the broker died with a snapshot, that one may be there twice; the ingestor leaves the repeat out.
        let sequence = number(&stored.next().await.payload);
        assert!(sequence == last || sequence == last + 1, "{sequence} after {last}");
        last = sequence;
    }
    assert_eq!(last, COUNT);
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
    let publisher = tokio::spawn(Publisher::new(client, &host(), outbox.clone()).run(shutdown.clone()));
    outbox.push(1, message(1), 0);
    outbox.push(2, vec![0; 2 << 20], 0);
    outbox.push(3, message(3), 0);
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
        wire: fleetps_nats::TlsOptions::default(),
    };
    let client = broker.connect_later("test", "_INBOX_here").await.unwrap();
    let outbox = Outbox::new(1 << 20);
    outbox.push(1, message(1), 0);
    let shutdown = CancellationToken::new();
    let publisher = tokio::spawn(Publisher::new(client, &host(), outbox.clone()).run(shutdown.clone()));
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), publisher).await.unwrap().unwrap();
    assert_eq!(outbox.waiting(), 1);
}

#[tokio::test]
async fn message_ids_that_another_host_used_before_make_nothing_vanish() {
    const COUNT: u64 = 20;
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let jetstream = jetstream(&server).await;
    let (other, shutdown) = (agent_client(&server).await, CancellationToken::new());
    let claiming = tokio::spawn(shutdown.clone().run_until_cancelled_owned(async move {
        for sequence in (1..=COUNT).cycle() {
            let mut headers = async_nats::HeaderMap::new();
            // As agents named their messages once.
            headers.insert("Nats-Msg-Id", format!("here-boot-run-{sequence}"));
            let subject = "fleetps.other.snapshot";
            other.publish_with_headers(subject, headers, message(0).into()).await.unwrap();
            other.flush().await.unwrap();
        }
    }));
    let mut stored = Stored::new(jetstream);
    stored.next().await;
    let outbox = Outbox::new(1 << 20);
    (1..=COUNT).for_each(|sequence| outbox.push(sequence, message(sequence), 0));
    let client = agent_client(&server).await;
    let publisher = tokio::spawn(Publisher::new(client, &host(), outbox).run(shutdown.clone()));
    for sequence in 1..=COUNT {
        let of_this_host = async {
            loop {
                let message = stored.next().await;
                if message.subject == "fleetps.here.snapshot" {
                    return message;
                }
            }
        };
        let found = within(of_this_host).await;
        assert_eq!((number(&found.payload), found.header_bytes < 30), (sequence, true));
    }
    shutdown.cancel();
    within(claiming).await.unwrap();
    within(publisher).await.unwrap();
    within(server.stop()).await;
}
