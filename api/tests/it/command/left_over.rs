//! A web server that is killed: another one finds out what became of its commands, and sends nothing.

use fleetps_nats::{bucket::Bucket, command::CommandId};
use serde_json::{Value, json};

use super::{
    helper::{Turn, is_run},
    scene::{Scene, last_words, states},
};
use crate::ingest::until;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_had_sent_is_settled_by_another_and_what_it_had_not_is_cancelled() {
    let scene = Scene::start().await;
    let (first, host) = (scene.web(true).await, scene.host("web-01").await);
    first.knows("web-01");
    first.knows("web-02");
    host.directed(|helper, ask| {
        if is_run(ask) {
            helper.runs_for = usize::MAX;
        }
        Turn::Usual
    });
    let body = json!({"hosts": ["web-01", "web-02"], "action": "restart", "unit": "nginx.service"});
    let (_, answer) = first.ask("POST", "/api/v1/commands", &body).await;
    let id = answer["id"].as_str().unwrap().to_owned();
    first.until_state(&id, "running").await;
    first.kill().await;

    let second = scene.web(true).await;
    second.knows("web-01");
    second.knows("web-02");
    let read = second.command(&id).await;
    assert_eq!(read["commands"][0]["state"], "running", "readable after a restart: {read}");
    until("another looks after it", async || {
        let read = second.command(&id).await;
        let states = states(&read["commands"][0]);
        // It asks the host, which says that it goes on.
        states.contains(&"unknown") && states.last() == Some(&"running")
    })
    .await;
    host.helper.lock().runs_for = 1;
    let over = second.when_over(&id).await;
    let steps = ["asked", "published", "accepted", "running", "unknown", "running", "done"];
    assert_eq!(states(&over["commands"][0])[1..8], steps, "{over}");
    assert_eq!(states(&over["commands"][1]), ["waiting", "cancelled"]);
    assert!(last_words(&over["commands"][1]).contains("has ended"), "{over}");
    assert_eq!((host.executed().len(), host.count(is_run)), (1, 1));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_has_of_a_server_that_does_not_know_of_it_is_not_left_open() {
    let scene = Scene::start().await;
    let (web, host) = (scene.web(true).await, scene.host("web-01").await);
    web.knows("web-01");
    let id = web.restart("web-01").await;
    web.when_over(&id).await;
    // As a write that the broker had after the server had given it up.
    let bucket = Bucket::<Value>::open(&scene.client, "commands").await.unwrap();
    let mut record = bucket.get(&id).await.unwrap().unwrap().value;
    let late = CommandId::new().unwrap().to_string();
    (record["id"], record["is_over"]) = (json!(late), json!(false));
    record["steps"].as_array_mut().unwrap().truncate(1);
    assert!(bucket.create(&late, &record).await.unwrap());
    until("it is known", async || web.command(&late).await["id"] == late.as_str()).await;
    let over = web.when_over(&late).await;
    assert_eq!(states(&over["commands"][0]), ["asked", "cancelled"], "{over}");
    assert!(last_words(&over["commands"][0]).contains("away from the broker"), "{over}");
    assert_eq!(host.executed().len(), 1);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_leaves_the_commands_of_one_that_lives_alone_and_sees_them() {
    let scene = Scene::start().await;
    let (first, host) = (scene.web(true).await, scene.host("web-01").await);
    let second = scene.web(true).await;
    for web in [&first, &second] {
        web.knows("web-01");
    }
    host.directed(|helper, ask| {
        if is_run(ask) {
            helper.runs_for = usize::MAX;
        }
        Turn::Usual
    });
    let id = first.restart("web-01").await;
    second.until_state(&id, "running").await;
    // As long as it takes to find that a server has ended, and then some.
    let since = std::time::Instant::now();
    until("time passes", async || since.elapsed().as_secs() > 14).await;
    assert_eq!(second.command(&id).await["commands"][0]["state"], "running");
    host.helper.lock().runs_for = 1;
    let over = second.when_over(&id).await;
    assert_eq!(states(&over["commands"][0]), ["asked", "published", "accepted", "running", "done"]);
    let (status, _) = second.ask("DELETE", &format!("/api/v1/commands/{id}"), &Value::Null).await;
    assert_eq!(status.as_u16(), 409);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_broker_is_killed_again_and_again_nothing_is_executed_twice_or_without_an_entry_before() {
    let scene = Scene::start().await;
    let (web, host) = (scene.web(true).await, scene.host("web-01").await);
    web.knows("web-01");
    let mut ids = Vec::new();
    for number in 0..60 {
        if number % 20 == 10 {
            let pid = scene.server.pid().to_string();
            assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        }
        let body = json!({"action": "restart", "unit": "nginx.service"});
        let (status, answer) = web.ask("POST", "/api/v1/hosts/web-01/commands", &body).await;
        // While it is away, nothing is taken.
        match status.is_success() {
            true => ids.push(answer["id"].as_str().unwrap().to_owned()),
            false => assert!(status.is_server_error(), "{answer}"),
        }
        if number % 20 == 15 {
            until("the broker is back", async || web.site.shared.broker_away().is_none()).await;
        }
    }
    for id in &ids {
        web.when_over(id).await;
    }
    let executed = host.executed();
    let once: std::collections::BTreeSet<_> = executed.iter().map(|command| command.id.to_string()).collect();
    assert_eq!(once.len(), executed.len(), "none twice");
    for command in &executed {
        let place = command.audit.unwrap();
        // The scene has a connection of its own, which finds the broker again by itself.
        until("the entry can be read", async || scene.audit.read(place).await.is_ok()).await;
        let entry = scene.audit.read(place).await.unwrap().swap_remove(0).entry;
        assert!(entry.what.contains(command.id.as_str()), "{entry:?}");
        assert!(["command.ask", "command.again"].contains(&entry.action.as_str()), "{entry:?}");
    }
    assert!(!executed.is_empty() && scene.server.restarts() > 0);
    scene.stop().await;
}
