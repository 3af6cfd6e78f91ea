//! Several hosts: the first alone, some at a time, stopped after failures, cancelled by a person, without their asker.

use axum::http::StatusCode;
use fleetps_nats::command::{Answer, Ask, Reason, Sight};
use serde_json::{Value, json};

use super::{
    helper::{FakeHost, Turn, is_run},
    scene::{Scene, Web, last_words, states},
};
use crate::{hung::Hung, ingest::until};

const HOSTS: [&str; 4] = ["web-01", "web-02", "web-03", "web-04"];

async fn fleet(scene: &Scene, web: &Web) -> Vec<FakeHost> {
    let mut hosts = Vec::new();
    for name in HOSTS {
        web.knows(name);
        hosts.push(scene.host(name).await);
    }
    hosts
}

async fn restart_all(web: &Web, more: Value) -> String {
    let mut body = json!({"hosts": HOSTS, "action": "restart", "unit": "nginx.service", "why": "release 7"});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let (status, answer) = web.ask("POST", "/api/v1/commands", &body).await;
    assert!(status.is_success(), "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

fn by_host(plan: &Value) -> Vec<&str> {
    plan["commands"].as_array().unwrap().iter().map(|command| command["state"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_host_goes_alone_and_then_as_many_at_a_time_as_the_plan_says() {
    let scene = Scene::start().await;
    let web = scene.web(true).await;
    let hosts = fleet(&scene, &web).await;
    // The first host holds back, and then the second.
    for held in &hosts[..2] {
        held.directed(|helper, ask| {
            if is_run(ask) {
                helper.runs_for = usize::MAX;
            }
            Turn::Usual
        });
    }
    let id = restart_all(&web, json!({"parallel": 2})).await;
    until("the first runs", async || hosts[0].executed().len() == 1).await;
    let plan = web.command(&id).await;
    assert_eq!(by_host(&plan)[1..], ["waiting"; 3], "{plan}");
    assert!(hosts[1..].iter().all(|host| host.count(|_| true) == 0));
    hosts[0].helper.lock().runs_for = 1;
    until("the others are done", async || by_host(&web.command(&id).await)[2..] == ["done"; 2]).await;
    assert_eq!(web.command(&id).await["is_over"], false);
    hosts[1].helper.lock().runs_for = 1;
    let over = web.when_over(&id).await;
    assert_eq!(by_host(&over), ["done"; 4]);
    let names: Vec<_> = over["commands"].as_array().unwrap().iter().map(|command| &command["host"]).collect();
    assert_eq!(names, HOSTS);
    let entries = scene.audited().await;
    let plan = entries.iter().find(|entry| entry.action == "command.plan").unwrap();
    assert!(plan.what.contains(&id) && plan.what.contains("web-01 web-02 web-03 web-04"), "{plan:?}");
    assert!(plan.what.contains("release 7"));
    // The hosts come last: of many, an entry is cut within them.
    assert!(plan.what.contains("4 commands; why: release 7; hosts: web-01 "), "{plan:?}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_stops_after_as_many_failures_as_it_bears_and_signs_nothing_for_the_rest() {
    let scene = Scene::start().await;
    let web = scene.web(true).await;
    let hosts = fleet(&scene, &web).await;
    hosts[0].directed(|_, ask| match is_run(ask) {
        true => Turn::Say(Box::new(Answer::refused(Reason::NotAllowed, ""))),
        false => Turn::Usual,
    });
    let over = web.when_over(&restart_all(&web, json!({})).await).await;
    assert_eq!(by_host(&over), ["refused", "cancelled", "cancelled", "cancelled"]);
    assert!(last_words(&over["commands"][3]).contains("stopped after 1"), "{over}");
    assert_eq!(states(&over["commands"][3]), ["waiting", "cancelled"]);
    assert!(hosts[1..].iter().all(|host| host.count(|_| true) == 0));

    let over = web.when_over(&restart_all(&web, json!({"stop_after": 2, "parallel": 1})).await).await;
    assert_eq!(by_host(&over), ["refused", "done", "done", "done"]);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn until_one_host_is_done_each_goes_alone_and_what_no_person_has_cancelled_is_a_failure() {
    let scene = Scene::start().await;
    let web = scene.web(true).await;
    let hosts = fleet(&scene, &web).await;
    // The first answers with what is no ticket: its command is not sent, and nobody has cancelled it.
    hosts[0].directed(|_, ask| match *ask == Ask::Ticket {
        true => Turn::Say(Box::new(Answer::Looked(Sight::default()))),
        false => Turn::Usual,
    });
    let over = web.when_over(&restart_all(&web, json!({})).await).await;
    assert_eq!(by_host(&over), ["cancelled"; 4]);
    assert!(last_words(&over["commands"][0]).contains("answered something else"), "{over}");
    assert!(last_words(&over["commands"][3]).contains("stopped after 1"), "{over}");
    assert!(hosts[1..].iter().all(|host| host.count(|_| true) == 0));

    hosts[1].directed(|helper, ask| {
        if is_run(ask) {
            helper.runs_for = usize::MAX;
        }
        Turn::Usual
    });
    let id = restart_all(&web, json!({"stop_after": 2, "parallel": 3})).await;
    until("the second runs", async || hosts[1].executed().len() == 1).await;
    let plan = web.command(&id).await;
    assert_eq!(by_host(&plan)[2..], ["waiting"; 2], "{plan}");
    assert!(hosts[2..].iter().all(|host| host.count(|_| true) == 0));
    hosts[1].helper.lock().runs_for = 1;
    assert_eq!(by_host(&web.when_over(&id).await), ["cancelled", "done", "done", "done"]);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_whose_asker_hangs_up_is_carried_out_all_the_same() {
    let scene = Scene::start().await;
    let web = scene.web(true).await;
    let _hosts = fleet(&scene, &web).await;
    let body = json!({"hosts": HOSTS, "action": "restart", "unit": "nginx.service"});
    // The broker holds its answers back, so that the asker is gone before the plan is written down.
    let hung = Hung::new(scene.server.pid());
    let is_taken = async || web.site.shared.commands.bounded().is_some_and(|room| room.in_use == 4);
    tokio::select! {
        answer = web.ask("POST", "/api/v1/commands", &body) => panic!("the broker answers: {answer:?}"),
        () = until("the order is taken", is_taken) => {}
    }
    drop(hung);
    until("the plan is done", async || {
        let (_, listed) = web.ask("GET", "/api/v1/commands", &Value::Null).await;
        let commands = listed["commands"].as_array().unwrap();
        commands.len() == 4 && commands.iter().all(|command| command["state"] == "done")
    })
    .await;
    until("its room is given back", async || {
        web.site.shared.commands.bounded().is_some_and(|room| room.in_use == 0)
    })
    .await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_cancels_what_was_not_sent_yet_and_nothing_else() {
    let scene = Scene::start().await;
    let web = scene.web(true).await;
    let hosts = fleet(&scene, &web).await;
    hosts[0].directed(|helper, ask| {
        if is_run(ask) {
            helper.runs_for = usize::MAX;
        }
        Turn::Usual
    });
    let id = restart_all(&web, json!({})).await;
    web.until_state(&id, "running").await;
    let path = format!("/api/v1/commands/{id}");
    let (status, answer) = web.ask("DELETE", &path, &Value::Null).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    assert_eq!(by_host(&answer), ["running", "cancelled", "cancelled", "cancelled"]);
    assert!(last_words(&answer["commands"][1]).contains("nobody in particular cancelled it"), "{answer}");
    until("only what is under way has a place", async || {
        web.site.shared.commands.bounded().is_some_and(|room| room.in_use == 1)
    })
    .await;
    let (status, answer) = web.ask("DELETE", &path, &Value::Null).await;
    assert!(status == StatusCode::CONFLICT, "{answer}");
    hosts[0].helper.lock().runs_for = 1;
    assert_eq!(by_host(&web.when_over(&id).await), ["done", "cancelled", "cancelled", "cancelled"]);
    assert!(hosts[1..].iter().all(|host| host.count(|_| true) == 0));
    let cancelled = scene.audited().await.into_iter().filter(|entry| entry.action == "command.cancelled");
    assert_eq!(cancelled.count(), 3);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_with_a_host_that_is_unknown_or_named_twice_begins_nowhere() {
    let scene = Scene::start().await;
    let web = scene.web(true).await;
    let hosts = fleet(&scene, &web).await;
    for (more, status, says) in [
        (json!({"hosts": ["web-01", "nosuch"]}), StatusCode::NOT_FOUND, "no host is called"),
        (json!({"hosts": ["web-01", "web-01"]}), StatusCode::BAD_REQUEST, "named twice"),
        (json!({"hosts": []}), StatusCode::BAD_REQUEST, "1 to 500"),
        (json!({"parallel": 0}), StatusCode::BAD_REQUEST, "parallel cannot be 0"),
        (json!({"stop_after": 501}), StatusCode::BAD_REQUEST, "stop_after cannot be 501"),
    ] {
        let mut body = json!({"hosts": HOSTS, "action": "stop", "unit": "nginx.service"});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let (found, answer) = web.ask("POST", "/api/v1/commands", &body).await;
        assert!(found == status && answer["error"].as_str().unwrap().contains(says), "{body}: {answer}");
    }
    assert!(hosts.iter().all(|host| host.count(|_| true) == 0));
    assert!(scene.audited().await.is_empty());
    scene.stop().await;
}
