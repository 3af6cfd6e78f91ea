//! Frames that are believed, and those that are not; keys that follow each other.

use fleetps_nats::{
    agent_settings::{self, ControlKey, Kind},
    now_us,
    server::Part,
    subject,
};
use futures_util::StreamExt;
use nkeys::KeyPair;
use serde_json::json;

use super::scene::{Agent, OF_HOST, Scene};
use crate::{ingest::until, support::PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_forged_replayed_or_for_another_host_is_refused_and_said() {
    let scene = Scene::start().await;
    let agent = scene.agent("web-01", &scene.server.url(), "").await;
    let host = "web-01".parse().unwrap();
    let mut frames = scene.client.subscribe(subject::settings(&host)).await.unwrap();
    scene.client.flush().await.unwrap();
    scene.change("web-01", json!({"top": 4})).await;
    let told = tokio::time::timeout(PATIENCE, frames.next()).await;
    let replayed = told.unwrap().unwrap().payload;
    scene.until_in_force("web-01", "top", &json!(4), OF_HOST).await;
    scene.change("web-01", json!({"top": 7})).await;
    scene.until_in_force("web-01", "top", &json!(7), OF_HOST).await;

    let key = scene.server.control_key().unwrap();
    let sign = |host: &str, key: &ControlKey| {
        let body = r#"{"enabled":false}"#.to_owned();
        key.sign(Kind::Settings, &host.parse().unwrap(), 0, body).unwrap().to_bytes()
    };
    let forged = [
        (replayed.to_vec(), "older than the one in force"),
        (sign("web-02", &key), "for another host"),
        (sign("web-01", &KeyPair::new_operator().into()), "another key"),
        (b"{}".to_vec(), "no frame"),
    ];
    for (frame, problem) in forged {
        scene.client.publish(subject::settings(&host), frame.into()).await.unwrap();
        until(problem, async || {
            scene.settings("web-01").await["problem"].as_str().is_some_and(|said| said.contains(problem))
        })
        .await;
        assert_eq!(scene.settings("web-01").await["settings"][1]["in_force"], true, "{problem}");
    }
    drop(agent);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_control_key_is_trusted_by_the_hosts_that_pinned_the_old_one_also_those_that_were_away() {
    let mut scene = Scene::start().await;
    let asked = scene.agent("web-01", &scene.server.url(), "").await;
    let unasked = scene.agent("web-02", &scene.server.url(), "").await;
    let away = scene.agent("web-03", &scene.server.url(), "").await;
    scene.change("web-01", json!({"top": 4})).await;
    scene.until_in_force("web-01", "top", &json!(4), OF_HOST).await;
    let config = scene.folder.path().join("web-03/agent.toml");
    drop(away);
    let old = scene.server.control_key().unwrap();
    let file = fleetps_nats::server::key_file(scene.folder.path(), Part::Control);
    let new = ControlKey::rotate(&file).unwrap();
    scene.serve_anew().await;
    let away = Agent::start(config);
    let frames = agent_settings::frames(&scene.client).await.unwrap();
    let applied = agent_settings::applied_bucket(&scene.client).await.unwrap();
    for host in ["web-01", "web-02", "web-03"] {
        until(host, async || {
            let frame = frames.get(host).await.unwrap().map(|frame| frame.value);
            let applied = applied.get(host).await.unwrap().and_then(|applied| applied.value.revision);
            frame.is_some_and(|frame| frame.key() == new.public() && applied == Some(frame.revision()))
        })
        .await;
    }
    scene.change("web-02", json!({"top": 9})).await;
    scene.until_in_force("web-02", "top", &json!(9), OF_HOST).await;
    // Whoever has the old key has no say any more, also of the host of which nothing was asked.
    let host = "web-03".parse().unwrap();
    let stolen = old.sign(Kind::Settings, &host, now_us() + 1_000_000, r#"{"enabled":false}"#.to_owned());
    scene.client.publish(subject::settings(&host), stolen.unwrap().to_bytes().into()).await.unwrap();
    until("the old key is refused", async || {
        scene.settings("web-03").await["problem"].as_str().is_some_and(|said| said.contains("another key"))
    })
    .await;
    drop((asked, unasked, away));
    scene.stop().await;
}
