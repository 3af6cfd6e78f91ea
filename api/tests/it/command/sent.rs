//! One command to one host that is well, ill, silent or away.

use std::time::Instant;

use axum::http::StatusCode;
use fleetps_nats::{
    audit::Outcome,
    command::{Answer, Ask, Reason, Sight, Stage},
};
use serde_json::{Value, json};

use super::{
    helper::{Turn, is_run},
    scene::{Scene, last_words, states, victim},
};
use crate::ingest::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_command_goes_its_way_and_each_step_is_shown_and_audited_with_who_and_why() {
    let scene = Scene::start().await;
    let (web, host) = (scene.web(true).await, scene.host("web-01").await);
    web.knows("web-01");
    let id = web.restart("web-01").await;
    let over = web.when_over(&id).await;
    let command = &over["commands"][0];
    assert_eq!(states(command), ["asked", "published", "accepted", "running", "done"], "{over}");
    let told = ["host", "action", "unit", "why"].map(|name| command[name].as_str().unwrap());
    assert_eq!(told, ["web-01", "restart", "nginx.service", "a test"]);
    let executed = host.executed();
    assert_eq!((executed.len(), executed[0].id.as_str()), (1, id.as_str()));
    assert_eq!((executed[0].who.as_str(), executed[0].why.as_str()), ("nobody in particular", "a test"));
    assert!(executed[0].valid_ms <= 30_000);

    let actions = scene.audited_until("command.done").await;
    let steps = ["ask", "published", "accepted", "running", "done"].map(|step| format!("command.{step}"));
    assert_eq!(actions, steps);
    let first = &scene.audited().await[0];
    assert!(first.what.contains(&id) && first.what.contains("; why: a test"), "{first:?}");
    assert_eq!((first.host.as_ref().unwrap().as_str(), first.outcome), ("web-01", Outcome::Done));
    // The host was told which entry of the audit it is.
    let sequence = executed[0].audit.unwrap();
    assert_eq!(scene.audit.read(sequence).await.unwrap()[0].entry, *first);
    let listed = web.ask("GET", "/api/v1/commands?host=web-01", &Value::Null).await.1;
    assert_eq!((&listed["total"], &listed["commands"][0]["id"]), (&json!(1), &json!(id)));
    assert_eq!(web.ask("GET", "/api/v1/commands?host=web-02", &Value::Null).await.1["total"], 0);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_unit_is_is_asked_of_its_host_and_neither_signed_nor_audited() {
    let scene = Scene::start().await;
    let (web, host) = (scene.web(true).await, scene.host("web-01").await);
    for known in ["web-01", "web-02"] {
        web.knows(known);
    }
    let url = "/api/v1/hosts/web-01/units/nginx";
    host.helper.lock().sight = Sight {
        exists: true,
        state: "active (running)".to_owned(),
        since_us: Some(1_700_000_000_000_000),
        main_pid: Some(42),
        detail: "result success".to_owned(),
    };
    // Once the broker has passed on that it listens.
    until("the host is there", async || web.ask("GET", url, &Value::Null).await.0 == StatusCode::OK).await;
    let (_, answer) = web.ask("GET", url, &Value::Null).await;
    let expected = json!({"host": "web-01", "unit": "nginx.service", "exists": true, "state": "active (running)",
        "since": "2023-11-14T22:13:20.000000Z", "main_pid": 42, "detail": "result success"});
    assert_eq!(answer, expected);
    host.helper.lock().sight = Sight::default();
    let (_, answer) = web.ask("GET", url, &Value::Null).await;
    assert_eq!((&answer["exists"], &answer["state"]), (&json!(false), &Value::Null), "{answer}");
    // One that does not answer, one that does not let itself be asked, one that is unknown, and what is no unit.
    host.directed(|_, _| Turn::Unanswered);
    assert_eq!(web.ask("GET", url, &Value::Null).await.0, StatusCode::CONFLICT);
    let (status, answer) = web.ask("GET", "/api/v1/hosts/web-02/units/nginx", &Value::Null).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(answer["error"].as_str().unwrap().contains("no agent"), "{answer}");
    host.directed(|_, _| Turn::Say(Box::new(Answer::refused(Reason::Off, ""))));
    let (status, answer) = web.ask("GET", url, &Value::Null).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(answer["error"].as_str().unwrap().contains("are off on this host"), "{answer}");
    let unknown = web.ask("GET", "/api/v1/hosts/nosuch/units/nginx", &Value::Null).await;
    assert_eq!(unknown.0, StatusCode::NOT_FOUND);
    let bad = web.ask("GET", "/api/v1/hosts/web-01/units/a%20b", &Value::Null).await;
    assert_eq!(bad.0, StatusCode::BAD_REQUEST, "{}", bad.1);
    assert!(scene.audited().await.is_empty() && host.executed().is_empty());
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_goes_to_one_process_and_what_it_was_is_kept() {
    let scene = Scene::start().await;
    let (web, host) = (scene.web(true).await, scene.host("web-01").await);
    web.knows("web-01");
    host.helper.lock().runs_for = 0;
    let process = json!({"boot_id": "boot", "pid": 10, "start_ticks": victim(10).start_ticks});
    let body = json!({"signal": "TERM", "process": process});
    let (status, answer) = web.ask("POST", "/api/v1/hosts/web-01/commands?wait=30s", &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let command = &answer["commands"][0];
    assert_eq!((&command["signal"], &command["state"]), (&json!("TERM"), &json!("done")));
    assert_eq!(last_words(command), "The process is gone.");
    for (name, value) in
        [("name", "java"), ("command_line", "java -jar leaky.jar --port 80"), ("user_name", "root")]
    {
        assert_eq!(command["process"][name], value);
    }
    scene.audited_until("command.done").await;
    let entries = scene.audited().await;
    let asked = &entries[0].what;
    for part in
        ["process: java, user root, unit leaky.service, cpu 0.5 %", "; command line: java -jar leaky.jar"]
    {
        assert!(asked.contains(part), "{part}: {asked}");
    }
    assert!(entries[1..].iter().all(|entry| !entry.what.contains("leaky.jar")), "{entries:?}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_there_is_told_at_once_and_one_that_refuses_says_why() {
    let scene = Scene::start().await;
    let web = scene.web(true).await;
    web.knows("web-01");
    let gone = web.when_over(&web.restart("web-01").await).await;
    assert_eq!(states(&gone["commands"][0]), ["asked", "not_there"]);
    assert!(last_words(&gone["commands"][0]).contains("No agent of this host is connected"), "{gone}");

    let host = scene.host("web-01").await;
    let refuse = |at: fn(&Ask) -> bool, reason: Reason| {
        host.directed(move |_, ask| match at(ask) {
            true => Turn::Say(Box::new(Answer::refused(reason, "line 3 of agent.toml"))),
            false => Turn::Usual,
        });
    };
    for (at, reason, state) in [
        ((|ask| *ask == Ask::Ticket) as fn(&Ask) -> bool, Reason::Off, "refused"),
        (is_run, Reason::NotAllowed, "refused"),
        (is_run, Reason::Expired, "expired"),
        (is_run, Reason::NotBelieved, "refused"),
    ] {
        refuse(at, reason);
        let refused = web.when_over(&web.restart("web-01").await).await;
        let command = &refused["commands"][0];
        assert_eq!(command["state"], state, "{refused}");
        let last = command["steps"].as_array().unwrap().last().unwrap();
        assert_eq!(last["reason"], json!(reason));
        assert_eq!(last["words"], format!("{} line 3 of agent.toml", reason.words()));
    }
    host.directed(|_, _| Turn::Usual);
    host.helper.lock().ends = Stage::Failed;
    let failed = web.when_over(&web.restart("web-01").await).await;
    assert_eq!(states(&failed["commands"][0]), ["asked", "published", "accepted", "running", "failed"]);
    assert_eq!(host.executed().len(), 1, "only what was not refused");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_was_started_again_before_the_command_came_gets_it_once_more_and_executes_it_once() {
    let scene = Scene::start().await;
    let (web, host) = (scene.web(true).await, scene.host("web-01").await);
    web.knows("web-01");
    let mut restarts = 1;
    host.directed(move |helper, ask| {
        if is_run(ask) && restarts > 0 {
            restarts -= 1;
            helper.restart();
        }
        Turn::Usual
    });
    let over = web.when_over(&web.restart("web-01").await).await;
    let twice = ["asked", "published", "asked", "published", "accepted", "running", "done"];
    assert_eq!(states(&over["commands"][0]), twice, "{over}");
    assert_eq!((host.executed().len(), host.count(is_run)), (1, 2));
    let actions = scene.audited_until("command.done").await;
    assert_eq!(
        actions.iter().filter(|action| ["command.ask", "command.again"].contains(&action.as_str())).count(),
        2
    );
    // One that is started again each time is asked twice, and no more.
    host.directed(|helper, ask| {
        if is_run(ask) {
            helper.restart();
        }
        Turn::Usual
    });
    let over = web.when_over(&web.restart("web-01").await).await;
    assert_eq!(over["commands"][0]["state"], "refused");
    assert_eq!((host.executed().len(), host.count(is_run)), (1, 4));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_makes_a_command_unknown_until_it_is_asked_again_and_never_sent_again() {
    let scene = Scene::start().await;
    let (web, host) = (scene.web(true).await, scene.host("web-01").await);
    web.knows("web-01");
    host.directed(|_, ask| if is_run(ask) { Turn::Unanswered } else { Turn::Usual });
    let over = web.when_over(&web.restart("web-01").await).await;
    let steps = ["asked", "published", "unknown", "running", "done"];
    assert_eq!(states(&over["commands"][0]), steps, "{over}");
    assert_eq!((host.executed().len(), host.count(is_run)), (1, 1));
    let actions = scene.audited_until("command.done").await;
    assert!(actions.contains(&"command.unknown".to_owned()), "{actions:?}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_forgot_a_command_has_its_target_looked_at_when_the_ticket_is_over() {
    let scene = Scene::start().await;
    let (web, host) = (scene.web(true).await, scene.host("web-01").await);
    web.knows("web-01");
    host.helper.lock().sight = Sight { exists: false, ..Sight::default() };
    let mut has_run = false;
    host.directed(move |helper, ask| {
        if has_run {
            helper.restart();
        }
        has_run |= is_run(ask);
        Turn::Usual
    });
    let process = json!({"boot_id": "boot", "pid": 10, "start_ticks": 1000});
    let body = json!({"signal": "KILL", "process": process});
    let (_, answer) = web.ask("POST", "/api/v1/hosts/web-01/commands", &body).await;
    let over = web.when_over(answer["id"].as_str().unwrap()).await;
    let command = &over["commands"][0];
    assert_eq!(states(command), ["asked", "published", "accepted", "unknown", "done"], "{over}");
    assert!(last_words(command).contains("Settled by looking again: the process is gone"), "{over}");
    assert_eq!((host.executed().len(), host.count(is_run)), (1, 1));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_published_before_the_audit_has_it() {
    let scene = Scene::start().await;
    let (web, host) = (scene.web(true).await, scene.host("web-01").await);
    web.knows("web-01");
    // A foreign message at the end of the audit: no entry can be chained to it, so none is written.
    scene.client.publish(fleetps_nats::audit::SUBJECT, "no entry".into()).await.unwrap();
    scene.client.flush().await.unwrap();
    let over = web.when_over(&web.restart("web-01").await).await;
    assert_eq!(states(&over["commands"][0]), ["asked", "cancelled"], "{over}");
    assert!(last_words(&over["commands"][0]).starts_with("It was not sent: "), "{over}");
    assert_eq!(host.count(|_| true), 0, "not even a ticket was asked for");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_refused_with_the_reason_and_nothing_is_sent() {
    let scene = Scene::start().await;
    let (web, host) = (scene.web(true).await, scene.host("web-01").await);
    web.knows("web-01");
    let ok = json!({"action": "restart", "unit": "nginx.service"});
    let with = |name: &str, value: Value| {
        let mut body = ok.clone();
        body[name] = value;
        body
    };
    for (body, says) in [
        (with("unit", json!("nginx.service; rm -rf /")), "no unit's name"),
        (with("unit", json!("-x.service")), "no unit's name"),
        (with("unit", json!("\u{202e}.service")), "no unit's name"),
        (with("action", json!("enable")), "unknown variant"),
        (with("signal", json!("TERM")), "an action and a unit, or a signal and a process"),
        (with("shell", json!("true")), "unknown field"),
        (with("why", json!("a\u{1b}[31mb")), "control characters"),
        (with("why", json!("x".repeat(1025))), "too long"),
        (json!({"signal": "TERM"}), "an action and a unit"),
        (
            json!({"signal": "term", "process": {"boot_id": "b", "pid": 1, "start_ticks": 1}}),
            "unknown variant",
        ),
        (json!([]), "cannot be read"),
    ] {
        let (status, answer) = web.ask("POST", "/api/v1/hosts/web-01/commands", &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(says), "{body}: {answer}");
    }
    for path in ["/api/v1/hosts/nosuch/commands", "/api/v1/hosts/a b/commands"] {
        let path = path.replace(' ', "%20");
        assert_eq!(web.ask("POST", &path, &ok).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    for id in ["nosuch", "aaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let path = format!("/api/v1/commands/{id}");
        assert_eq!(web.ask("GET", &path, &Value::Null).await.0, StatusCode::NOT_FOUND);
        assert_eq!(web.ask("DELETE", &path, &Value::Null).await.0, StatusCode::NOT_FOUND);
    }
    let keyless = scene.web(false).await;
    keyless.knows("web-01");
    let (status, answer) = keyless.ask("POST", "/api/v1/hosts/web-01/commands", &ok).await;
    assert!(
        status == StatusCode::CONFLICT && answer["error"].as_str().unwrap().contains("no control key"),
        "{answer}"
    );
    let mut strict = scene.web(true).await;
    strict.site.shared.commands_need_reason = true;
    strict.site.router = crate::described::router(strict.site.shared.clone());
    strict.knows("web-01");
    let (status, answer) =
        strict.ask("POST", "/api/v1/hosts/web-01/commands", &with("why", json!("  "))).await;
    assert!(
        status == StatusCode::BAD_REQUEST && answer["error"].as_str().unwrap().contains("needs a reason"),
        "{answer}"
    );
    assert_eq!(host.count(|_| true), 0);
    assert!(scene.audited().await.is_empty());
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_says_is_bounded_and_nothing_that_it_says_about_another_command_counts() {
    let scene = Scene::start().await;
    let (web, host) = (scene.web(true).await, scene.host("web-01").await);
    web.knows("web-01");
    host.directed(|helper, ask| match ask {
        Ask::Wait { id, .. } => {
            helper.ends = Stage::Done;
            let mut progress = fleetps_nats::command::Progress::new(id.clone(), Stage::Done);
            progress.detail = "\u{1b}[31m<script>\u{202e}".repeat(2_000);
            Turn::Say(Box::new(Answer::Stage(progress)))
        }
        _ => Turn::Usual,
    });
    let over = web.when_over(&web.restart("web-01").await).await;
    assert_eq!(over["commands"][0]["state"], "done");
    assert!(last_words(&over["commands"][0]).len() <= 1024, "{over}");
    // The answer to the command is about another one: it counts as lost, and is asked for again.
    let mut asked = 0;
    host.directed(move |helper, ask| match ask {
        Ask::Run { .. } => {
            let other = fleetps_nats::command::CommandId::new().unwrap();
            helper.runs_for = 1;
            Turn::Say(Box::new(Answer::Stage(fleetps_nats::command::Progress::new(other, Stage::Done))))
        }
        Ask::Wait { id, .. } => {
            asked += 1;
            let stage = if asked > 1 { Stage::Failed } else { Stage::Running };
            Turn::Say(Box::new(Answer::Stage(fleetps_nats::command::Progress::new(id.clone(), stage))))
        }
        _ => Turn::Usual,
    });
    let over = web.when_over(&web.restart("web-01").await).await;
    assert_eq!(
        states(&over["commands"][0]),
        ["asked", "published", "unknown", "running", "failed"],
        "{over}"
    );
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_says_something_else_all_the_time_fills_neither_its_record_nor_the_audit() {
    let scene = Scene::start().await;
    let (web, host) = (scene.web(true).await, scene.host("web-01").await);
    web.knows("web-01");
    let mut asked = 0;
    host.directed(move |_, ask| match ask {
        Ask::Wait { id, .. } => {
            asked += 1;
            let stage = if asked > 40 { Stage::Done } else { Stage::Running };
            let mut progress = fleetps_nats::command::Progress::new(id.clone(), stage);
            progress.detail = format!("answer {asked}");
            Turn::Say(Box::new(Answer::Stage(progress)))
        }
        _ => Turn::Usual,
    });
    let over = web.when_over(&web.restart("web-01").await).await;
    let were = states(&over["commands"][0]);
    assert_eq!((were.len(), were.last()), (24, Some(&"done")), "{over}");
    assert_eq!(last_words(&over["commands"][0]), "answer 41");
    // Each state that the record has, and the last one in the place of another.
    let actions = scene.audited_until("command.done").await;
    assert!(actions.len() <= 25, "{actions:?}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, and asserts nothing about time"]
async fn measures_how_long_a_command_takes_and_how_soon_a_host_is_known_to_be_away() {
    let scene = Scene::start().await;
    let (web, host) = (scene.web(true).await, scene.host("web-01").await);
    web.knows("web-01");
    web.knows("web-02");
    let body = json!({"action": "restart", "unit": "nginx.service", "why": "a measurement"});
    for (name, runs_for) in [("web-01", 0), ("web-01", 2), ("web-02", 0)] {
        let mut took = Vec::new();
        for _ in 0..200 {
            host.helper.lock().runs_for = runs_for;
            let asked = Instant::now();
            let path = format!("/api/v1/hosts/{name}/commands?wait=30s");
            let (status, answer) = web.ask("POST", &path, &body).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
            took.push(asked.elapsed());
        }
        took.sort_unstable();
        eprintln!(
            "{name}, {runs_for} waits: asked → over, of {}: p50 {:?}, p99 {:?}",
            took.len(),
            took[100],
            took[198]
        );
    }
    scene.stop().await;
}
