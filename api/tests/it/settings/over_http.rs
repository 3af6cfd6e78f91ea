//! Hosts that speak HTTP hear what is asked of them at once.

use std::process::{Command, Stdio};

use fleetps_nats::{
    exchange::{Brought, Heard},
    signed::{self, SignedRequest},
    subject,
};
use serde_json::{Value, json};

use super::scene::{Agent, OF_HOST, Scene, agent_program};
use crate::{
    command::real::own_processes,
    ingest::{blocking, until},
    support::PATIENCE,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_over_http_hears_of_settings_while_it_sends_nothing_and_a_recorded_question_takes_nothing_away()
 {
    let scene = Scene::start().await;
    let agent = scene.agent("web-01", &format!("http://{}", scene.address), "").await;
    // A day until its next post.
    scene.change("web-01", json!({"interval_ms": 86_400_000})).await;
    scene.until_in_force("web-01", "interval_ms", &json!(86_400_000), OF_HOST).await;
    for top in 1..=3 {
        scene.change("web-01", json!({"top": top})).await;
        scene.until_in_force("web-01", "top", &json!(top), OF_HOST).await;
    }
    // Somebody asks the host over the broker, as if it was there; the agent's helper is not.
    let host = "web-01".parse().unwrap();
    let ask = fleetps_nats::command::Ask::Ticket.to_bytes();
    let answer = scene.client.request(subject::commands(&host), ask.into()).await.unwrap();
    let answer = fleetps_nats::command::Answer::read(&answer.payload).unwrap();
    assert!(matches!(answer, fleetps_nats::command::Answer::Refused { .. }), "{answer:?}");
    // One that names another line hears nothing but the line.
    let key = fleetps_nats::key::read(&scene.folder.path().join("web-01/host.nk")).unwrap();
    let brought = Brought { line: Some(7), answers: Vec::new(), waits: true };
    let body = serde_json::to_vec(&brought).unwrap();
    let headers = SignedRequest::new(signed::EXCHANGE, &host, &key, None, &body).sign(&key).unwrap();
    let url = format!("http://{}{}", scene.address, signed::EXCHANGE);
    let heard = blocking(move || {
        let request =
            headers.iter().fold(ureq::post(url), |request, (name, value)| request.header(*name, value));
        let answer = request.send(&body).unwrap().body_mut().read_to_vec().unwrap();
        serde_json::from_slice::<Heard>(&answer).unwrap()
    });
    let heard = heard.await;
    assert!(heard.line != 7 && heard.questions.is_empty() && heard.frames.is_empty(), "{heard:?}");
    drop(agent);
    // Nobody listens for it any longer.
    until("it is gone", async || {
        let ask = fleetps_nats::command::Ask::Ticket.to_bytes();
        scene.client.request(subject::commands(&host), ask.into()).await.is_err()
    })
    .await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_over_http_takes_commands_of_the_server_that_it_asks_and_of_another() {
    let mut scene = Scene::start().await;
    drop(scene.agent("web-01", &format!("http://{}", scene.address), "").await);
    let folder = scene.folder.path().join("web-01");
    let config = folder.join("agent.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let socket_line = format!("socket = {:?}", folder.join("socket"));
    let text = text
        .replacen("enabled = false", "enabled = true", 1)
        .replacen("interval = \"10s\"", "interval = \"500ms\"", 1)
        .replacen("socket = \"/run/fleetps-control/socket\"", &socket_line, 1)
        .replacen("signals = []", &own_processes(), 1);
    assert!(text.contains(&socket_line) && text.contains(&own_processes()), "{text}");
    std::fs::write(&config, text).unwrap();
    let mut helper = Command::new(agent_program());
    let helper = helper.arg("--config").arg(&config).args(["control", "run"]).stderr(Stdio::null());
    let helper = Agent(helper.spawn().unwrap());
    let agent = Agent::start(config);
    end_a_process(&scene).await;
    // The host's requests wait at the first server all the time.
    let another = scene.ask_another().await;
    end_a_process(&scene).await;
    drop((agent, helper));
    another.0.cancel();
    tokio::time::timeout(PATIENCE, another.1).await.expect("the server goes on").unwrap();
    scene.stop().await;
}

/// Has the host end a process, and waits until it has.
async fn end_a_process(scene: &Scene) {
    let mut victim = Agent(Command::new("sleep").arg("86400").spawn().unwrap());
    let (pid, mut identity) = (victim.0.id(), Value::Null);
    until("the process is sent", async || {
        let (_, found) = scene.json(&format!("/api/v1/hosts/web-01/processes?q=pid+%3D+{pid}")).await;
        let Some(started) = found["processes"][0]["started_at"].as_str() else { return false };
        let (_, process) =
            scene.json(&format!("/api/v1/hosts/web-01/processes/{pid}?started={started}")).await;
        identity = json!({"boot_id": process["boot_id"], "pid": pid, "start_ticks": process["start_ticks"]});
        process["start_ticks"].is_u64()
    })
    .await;
    let asked = json!({"signal": "TERM", "process": identity, "why": "a test"});
    // The host listens as soon as its first request waits.
    until("it is done", async || {
        let (_, answer) = scene.ask("POST", "/api/v1/hosts/web-01/commands?wait=10s", &asked).await;
        answer["commands"][0]["state"] == "done"
    })
    .await;
    until("it has ended", async || victim.0.try_wait().unwrap().is_some()).await;
}
