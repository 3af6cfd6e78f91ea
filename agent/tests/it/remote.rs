//! Settings from elsewhere on a whole agent: in force within a moment, without a lost sample, and kept for the next run.

use std::{path::Path, time::Duration};

use async_nats::Client;
use bytes::Bytes;
use fleetps_agent::{
    AgentError, AgentSettings, publish::Outbox, remote::kept_in, run_controlled, settings::RemoteSettings,
};
use fleetps_nats::{
    admission::AdmissionService,
    agent_settings::{Kind, SignedFrame, Watch},
    now_us,
    server::{ManagedServer, Part},
    snapshot::{Decoder, Snapshot},
    subject,
};
use futures_util::{FutureExt, StreamExt};
use nkeys::KeyPair;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{Stored, admit, host, jetstream, start_server, until, within};

/// Longer than samples for those who watch are apart in these tests.
const QUIET: Duration = Duration::from_secs(2);

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

/// An agent that sends one snapshot by itself, and the next ten minutes later.
struct Seldom {
    server: ManagedServer,
    _admission: AdmissionService,
    stored: Stored,
    key: KeyPair,
    fleet: Client,
    first: Snapshot,
    agent: JoinHandle<Result<(), AgentError>>,
    stop: CancellationToken,
}

impl Seldom {
    async fn start(folder: &Path) -> Self {
        let server = start_server(folder).await;
        let _admission = admit(&server).await;
        let mut stored = Stored::new(jetstream(&server).await);
        let key = KeyPair::new_operator();
        let own = AgentSettings {
            interval: Duration::from_secs(600),
            state: folder.join("state"),
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
        Self { server, _admission, stored, key, fleet, first, agent, stop }
    }

    /// A wish of somebody who watches for three seconds, signed as a frame of this kind by `key`.
    fn wish(kind: Kind, key: &KeyPair) -> Bytes {
        let wish = Watch::new(Duration::from_millis(150), Duration::from_secs(3));
        let body = serde_json::to_string(&wish).unwrap();
        SignedFrame::sign(kind, &host(), 0, body, key).unwrap().to_bytes().into()
    }

    async fn ask(&self, frame: Bytes) {
        self.fleet.publish(subject::settings(&host()), frame).await.unwrap();
        self.fleet.flush().await.unwrap();
    }

    /// Ends the agent, and returns how many snapshots the stream has.
    async fn stop(self) -> u64 {
        self.stop.cancel();
        within(self.agent).await.unwrap().unwrap();
        let stream = jetstream(&self.server).await.get_stream("SNAP").await.unwrap();
        let messages = stream.cached_info().state.messages;
        within(self.server.stop()).await;
        messages
    }
}

#[tokio::test]
async fn a_host_that_is_watched_sends_more_until_the_lease_ends_and_the_stream_has_none_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let host = Seldom::start(folder.path()).await;
    let mut sharp = host.fleet.subscribe(subject::sharp(&self::host())).await.unwrap();
    // Neither of another key, nor settings that look alike.
    for kind in [Kind::Watch, Kind::Settings] {
        host.ask(Seldom::wish(kind, &KeyPair::new_operator())).await;
    }
    let wish = Seldom::wish(Kind::Watch, &host.key);
    host.ask(wish.clone()).await;
    let (mut decoder, mut last_us) = (Decoder::new().unwrap(), host.first.captured_at_us);
    for _ in 0..5 {
        let message = within(sharp.next()).await.unwrap();
        let snapshot = decoder.decode(&message.payload, now_us()).unwrap();
        assert_eq!((&snapshot.run_id, snapshot.sequence), (&host.first.run_id, host.first.sequence));
        assert_eq!(snapshot.interval_ms, 600_000, "it is silent by its usual interval");
        assert!(snapshot.captured_at_us > last_us && !snapshot.processes.is_empty());
        last_us = snapshot.captured_at_us;
    }
    // A wish that is sent again prolongs nothing.
    let until_quiet = async {
        while tokio::time::timeout(QUIET, sharp.next()).await.is_ok() {
            host.ask(wish.clone()).await;
        }
    };
    within(until_quiet).await;
    assert_eq!(host.stop().await, 1);
}

#[tokio::test]
async fn where_samples_for_those_who_watch_are_kept_the_stream_has_them_until_the_lease_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Seldom::start(folder.path()).await;
    let mut sharp = host.fleet.subscribe(subject::sharp(&self::host())).await.unwrap();
    let asked = r#"{"keep_watched":true}"#.to_owned();
    let frame = SignedFrame::sign(Kind::Settings, &self::host(), 0, asked, &host.key).unwrap();
    host.ask(frame.to_bytes().into()).await;
    host.ask(Seldom::wish(Kind::Watch, &host.key)).await;
    for sequence in 2..=6 {
        let snapshot = host.stored.next_snapshot().await;
        assert_eq!((&snapshot.run_id, snapshot.sequence), (&host.first.run_id, sequence));
        assert_eq!(snapshot.interval_ms, 600_000, "it is silent by its usual interval");
    }
    let mut stored = 6;
    let until_quiet = async {
        while tokio::time::timeout(QUIET, host.stored.next_snapshot()).await.is_ok() {
            stored += 1;
        }
    };
    within(until_quiet).await;
    assert!(sharp.next().now_or_never().is_none(), "nothing came beside the stream");
    assert_eq!(host.stop().await, stored);
}
