//! Settings from elsewhere on a whole agent: in force within a moment, without a lost sample, and kept for the next run.

use std::time::Duration;

use fleetps_agent::{
    AgentSettings, publish::Outbox, remote::kept_in, run_controlled, settings::RemoteSettings,
};
use fleetps_nats::{
    agent_settings::{Kind, SignedFrame, Watch},
    now_us,
    server::Part,
    snapshot::Decoder,
    subject,
};
use futures_util::StreamExt;
use nkeys::KeyPair;
use tokio_util::sync::CancellationToken;

use crate::support::{Stored, admit, host, jetstream, start_server, until, within};

#[tokio::test]
async fn a_change_loses_no_sample_pauses_with_a_last_word_and_is_kept_while_the_broker_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let admission = admit(&server).await;
    let mut stored = Stored::new(jetstream(&server).await);
    let key = KeyPair::new_operator();
    // By itself it would send one snapshot, and the next ten minutes later.
    let own = AgentSettings {
        interval: Duration::from_secs(600),
        state: folder.path().join("state"),
        ..AgentSettings::default()
    };
    let remote = RemoteSettings { control_key: Some(key.public_key()), ..RemoteSettings::default() };
    let broker = server.broker(Part::Agent);
    let run = |outbox: &Outbox, stop: &CancellationToken| {
        let (own, remote, outbox) = (own.clone(), remote.clone(), outbox.clone());
        tokio::spawn(run_controlled(own, remote, broker.clone(), host(), outbox, stop.clone()))
    };
    let (outbox, stop) = (Outbox::new(16 << 20), CancellationToken::new());
    let agent = run(&outbox, &stop);
    assert_eq!(stored.next_snapshot().await.interval_ms, 600_000);

    let fleet = server.broker(Part::Api).connect("test").await.unwrap();
    let mut revision = 0;
    let mut ask = async |asked: &str| {
        let frame = SignedFrame::sign(Kind::Settings, &host(), revision, asked.to_owned(), &key).unwrap();
        revision = frame.revision();
        fleet.publish(subject::settings(&host()), frame.to_bytes().into()).await.unwrap();
    };
    ask(r#"{"interval_ms":100}"#).await;
    for sequence in 2..=6 {
        let snapshot = stored.next_snapshot().await;
        assert_eq!((snapshot.sequence, snapshot.interval_ms), (sequence, 100));
    }
    ask(r#"{"interval_ms":150,"enabled":false}"#).await;
    let mut last = stored.next_snapshot().await;
    while !last.host_info.is_paused() {
        let next = stored.next_snapshot().await;
        assert_eq!(next.sequence, last.sequence + 1);
        last = next;
    }
    assert!(!last.processes.is_empty());
    ask(r#"{"interval_ms":150}"#).await;
    let next = stored.next_snapshot().await;
    assert_eq!((next.sequence, next.interval_ms), (last.sequence + 1, 150));
    assert!(!next.host_info.is_paused());

    // Another thread writes the file.
    let kept = kept_in(&own.state);
    let holds = || std::fs::read_to_string(&kept).is_ok_and(|kept| kept.contains(&revision.to_string()));
    until("the frame is kept", holds).await;
    stop.cancel();
    within(agent).await.unwrap().unwrap();
    drop(admission);
    within(server.stop()).await;
    let (outbox, stop) = (Outbox::new(16 << 20), CancellationToken::new());
    let agent = run(&outbox, &stop);
    until("it samples as it was asked in its earlier run", || outbox.waiting() >= 4).await;
    stop.cancel();
    within(agent).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_host_that_is_watched_sends_more_until_the_lease_ends_and_the_stream_has_none_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path()).await;
    let _admission = admit(&server).await;
    let mut stored = Stored::new(jetstream(&server).await);
    let key = KeyPair::new_operator();
    let own = AgentSettings {
        interval: Duration::from_secs(600),
        state: folder.path().join("state"),
        ..AgentSettings::default()
    };
    let remote = RemoteSettings {
        control_key: Some(key.public_key()),
        watched_interval: Duration::from_millis(100),
        ..RemoteSettings::default()
    };
    let (outbox, stop) = (Outbox::new(16 << 20), CancellationToken::new());
    let run = run_controlled(own, remote, server.broker(Part::Agent), host(), outbox, stop.clone());
    let agent = tokio::spawn(run);
    let first = stored.next_snapshot().await;

    let fleet = server.broker(Part::Api).connect("test").await.unwrap();
    let mut sharp = fleet.subscribe(subject::sharp(&host())).await.unwrap();
    fleet.flush().await.unwrap();
    let sign = |kind, key: &KeyPair| {
        let wish = Watch::new(Duration::from_millis(150), Duration::from_secs(3));
        let body = serde_json::to_string(&wish).unwrap();
        SignedFrame::sign(kind, &host(), 0, body, key).unwrap().to_bytes()
    };
    // Neither of another key, nor settings that look alike.
    for frame in [sign(Kind::Watch, &KeyPair::new_operator()), sign(Kind::Settings, &KeyPair::new_operator())]
    {
        fleet.publish(subject::settings(&host()), frame.into()).await.unwrap();
    }
    let wish = sign(Kind::Watch, &key);
    fleet.publish(subject::settings(&host()), wish.clone().into()).await.unwrap();
    let (mut decoder, mut last_us) = (Decoder::new().unwrap(), first.captured_at_us);
    for _ in 0..5 {
        let message = within(sharp.next()).await.unwrap();
        let snapshot = decoder.decode(&message.payload, now_us()).unwrap();
        assert_eq!((&snapshot.run_id, snapshot.sequence), (&first.run_id, first.sequence));
        assert_eq!(snapshot.interval_ms, 600_000, "it is silent by its usual interval");
        assert!(snapshot.captured_at_us > last_us && !snapshot.processes.is_empty());
        last_us = snapshot.captured_at_us;
    }
    // A wish that is sent again prolongs nothing.
    let quiet = Duration::from_secs(2);
    let until_quiet = async {
        while tokio::time::timeout(quiet, sharp.next()).await.is_ok() {
            fleet.publish(subject::settings(&host()), wish.clone().into()).await.unwrap();
        }
    };
    within(until_quiet).await;
    stop.cancel();
    within(agent).await.unwrap().unwrap();
    let stream = jetstream(&server).await.get_stream("SNAP").await.unwrap();
    assert_eq!(stream.cached_info().state.messages, 1);
    within(server.stop()).await;
}
