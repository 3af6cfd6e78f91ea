//! Buckets: changes are made on what was read, and copies follow through restarts.

use std::process::Command;

use fleetps_nats::{
    HostName,
    agent_settings::{self, AgentSettingsBucket, Kind, SignedFrame},
    bucket::{Bucket, WatchedBucket},
    server::Part,
};
use serde::{Deserialize, Serialize};

use crate::support::{Fixture, start, until, within};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Token {
    uses: u32,
}

async fn bucket(fixture: &Fixture) -> Bucket<Token> {
    let client = fixture.client(Part::Api).await;
    within(Bucket::open(&client, "tokens")).await.unwrap()
}

fn uses(followed: &WatchedBucket<Token>, key: &str) -> Option<u32> {
    followed.get(key).map(|token| token.uses)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_made_once_and_changed_only_as_it_was_read() {
    let fixture = start().await;
    let bucket = bucket(&fixture).await;
    assert_eq!(bucket.get("a").await.unwrap(), None);
    assert!(bucket.create("a", &Token { uses: 1 }).await.unwrap());
    assert!(!bucket.create("a", &Token { uses: 9 }).await.unwrap());
    let read = bucket.get("a").await.unwrap().unwrap();
    assert_eq!(read.value, Token { uses: 1 });
    assert!(bucket.update("a", &Token { uses: 2 }, read.revision).await.unwrap());
    assert!(!bucket.update("a", &Token { uses: 3 }, read.revision).await.unwrap());
    assert_eq!(bucket.get("a").await.unwrap().unwrap().value, Token { uses: 2 });
    bucket.delete("a").await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap(), None);
    assert!(bucket.create("a", &Token { uses: 4 }).await.unwrap());
    bucket.put("a", &Token { uses: 5 }).await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap().unwrap().value, Token { uses: 5 });
    bucket.get("no key").await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_lists_what_there_is_and_nothing_that_was_removed() {
    let fixture = start().await;
    let bucket = bucket(&fixture).await;
    assert_eq!(within(bucket.all()).await.unwrap(), []);
    for uses in 0..700 {
        bucket.put(&format!("t{uses:03}"), &Token { uses }).await.unwrap();
    }
    bucket.delete("t007").await.unwrap();
    let all = within(bucket.all()).await.unwrap();
    let expected: Vec<u32> = (0..700).filter(|uses| *uses != 7).collect();
    assert_eq!(all.iter().map(|(_, entry)| entry.value.uses).collect::<Vec<_>>(), expected);
    let (key, entry) = &all[0];
    assert!(bucket.update(key, &Token { uses: 9 }, entry.revision).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_follows_every_change_and_a_restart_of_the_broker() {
    let fixture = start().await;
    let bucket = bucket(&fixture).await;
    bucket.put("a", &Token { uses: 1 }).await.unwrap();
    bucket.put("b", &Token { uses: 1 }).await.unwrap();
    let mut followed = within(bucket.follow()).await.unwrap();
    assert_eq!(uses(&followed, "a"), Some(1));
    bucket.put("a", &Token { uses: 2 }).await.unwrap();
    within(followed.changed()).await;
    assert_eq!(uses(&followed, "a"), Some(2));
    bucket.delete("b").await.unwrap();
    until("b is gone", || async { uses(&followed, "b").is_none() }).await;
    assert_eq!(followed.all().len(), 1);

    let before = fixture.server.pid();
    assert!(Command::new("kill").args(["-9", &before.to_string()]).status().unwrap().success());
    until("the restarted server", || async {
        fixture.server.pid() != before && fixture.server.broker(Part::Api).connect("test").await.is_ok()
    })
    .await;
    assert_eq!(uses(&followed, "a"), Some(2));
    let other = within(self::bucket(&fixture)).await;
    within(other.delete("a")).await.unwrap();
    within(other.put("c", &Token { uses: 3 })).await.unwrap();
    until("the copy is current again", || async {
        uses(&followed, "a").is_none() && uses(&followed, "c") == Some(3)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_stream_that_the_broker_says_is_not_there_is_made() {
    let fixture = start().await;
    // This account has no JetStream, so that nothing can be said of any stream.
    let client = fixture.client(Part::Auth).await;
    let refusal = within(Bucket::<Token>::open(&client, "tokens")).await.unwrap_err().to_string();
    assert!(refusal.contains("open"), "{refusal}");
    let jetstream = async_nats::jetstream::new(client);
    let refusal = within(fleetps_nats::stream::ensure(&jetstream, 1 << 20)).await.unwrap_err();
    assert!(matches!(refusal, fleetps_nats::stream::StreamError::Get { .. }), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_of_hosts_by_earlier_versions_is_still_asked() {
    let fixture = start().await;
    let client = fixture.client(Part::Api).await;
    let host: HostName = "db-01.example.com".parse().unwrap();
    let former = Bucket::<serde_json::Value>::open(&client, agent_settings::SETTINGS).await.unwrap();
    let asked = serde_json::json!({"interval_ms": 60_000, "enabled": false});
    assert!(former.create(&host.token(), &asked).await.unwrap());
    let key = nkeys::KeyPair::new_operator();
    let other: HostName = "web-01".parse().unwrap();
    let frame = SignedFrame::sign(Kind::Settings, &other, 0, "{}".to_owned(), &key).unwrap();
    let frames = agent_settings::frames(&client).await.unwrap();
    assert!(frames.create(&other.token(), &frame).await.unwrap());
    for _ in 0..2 {
        let settings = AgentSettingsBucket::open(&client).await.unwrap();
        until("it is asked", async || settings.of(&host).interval_ms == Some(60_000)).await;
        assert_eq!(settings.of(&host).enabled, Some(false));
        assert!(settings.of(&other).is_empty());
        assert_eq!(former.get(&host.token()).await.unwrap(), None);
        assert_eq!(frames.get(&other.token()).await.unwrap().unwrap().value, frame);
    }
}
