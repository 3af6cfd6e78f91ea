//! Settings that the fleet asks for, from the request to a real agent and back, over the broker and over HTTP.

mod over_http;
mod scene;
mod signed;
mod watching;

use std::time::{Duration, Instant};

use fleetps_nats::{agent_settings, hosts};
use serde_json::json;

use crate::{browser::Browser, ingest::until, support::Site};
use scene::{Agent, OF_HOST, Scene};

pub use scene::agent_program;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_a_host_or_its_group_is_applied_reported_and_shown_with_who_decided() {
    let scene = Scene::start().await;
    let agent = scene.agent("web-01", &scene.server.url(), "").await;
    assert_eq!(scene.settings("web-01").await["settings"][0]["decided_by"], "default");

    let (status, _) = scene.change("web-01", json!({"interval_ms": 300, "why": "a test"})).await;
    assert_eq!(status, 200);
    scene.until_in_force("web-01", "interval_ms", &json!(300), OF_HOST).await;
    until("it sends as often", async || scene.json("/api/v1/hosts/web-01").await.1["interval_ms"] == 300)
        .await;

    let group = json!({"interval_ms": 700, "top": 5, "exclude_names": ["none"]});
    assert_eq!(scene.ask("PATCH", "/api/v1/groups/web/settings", &group).await.0, 200);
    scene.until_in_force("web-01", "top", &json!(5), "asked of the group web").await;
    scene.until_in_force("web-01", "interval_ms", &json!(300), OF_HOST).await;
    until("it sends so many", async || {
        let listed = scene.json("/api/v1/hosts/web-01/processes").await.1;
        listed["processes"].as_array().is_some_and(|processes| processes.len() == 5)
    })
    .await;
    scene.change("web-01", json!({"interval_ms": null})).await;
    scene.until_in_force("web-01", "interval_ms", &json!(700), "asked of the group web").await;

    let page = scene.json("/hosts/web-01/system").await.1;
    let page = page.as_str().unwrap();
    for text in
        ["Sampling settings", "asked of the group web", "Change for web-01", "Change for every host of web"]
    {
        assert!(page.contains(text), "{text}: {page}");
    }
    // A host that leaves the group does what it did before.
    let records = hosts::open(&scene.client).await.unwrap();
    let mut entry = records.get("web-01").await.unwrap().unwrap();
    entry.value.groups.clear();
    assert!(records.update("web-01", &entry.value, entry.revision).await.unwrap());
    scene.until_in_force("web-01", "interval_ms", &json!(10_000), "default").await;
    drop(agent);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_to_be_sampled_is_paused_and_goes_on_when_it_is_over_either_way() {
    let scene = Scene::start().await;
    let url = format!("http://{}", scene.address);
    let agents =
        [scene.agent("web-01", &scene.server.url(), "").await, scene.agent("web-02", &url, "").await];
    for host in ["web-01", "web-02"] {
        scene.change(host, json!({"interval_ms": 200})).await;
        scene.until_in_force(host, "interval_ms", &json!(200), OF_HOST).await;
        scene.change(host, json!({"enabled": false})).await;
        scene.until_state(host, "paused").await;
        scene.until_in_force(host, "enabled", &json!(false), OF_HOST).await;
    }
    // Ten intervals after its last snapshot, a host that is not paused is down.
    let paused = Instant::now();
    while paused.elapsed() < Duration::from_millis(2500) {
        scene.until_state("web-01", "paused").await;
    }
    assert!(scene.json("/?q=paused").await.1.as_str().unwrap().contains("/hosts/web-02"));
    for host in ["web-01", "web-02"] {
        scene.change(host, json!({"enabled": null})).await;
        scene.until_state(host, "up").await;
    }
    drop(agents);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_kept_what_the_fleet_has_no_more_is_asked_anew() {
    let scene = Scene::start().await;
    let agent = scene.agent("web-01", &scene.server.url(), "").await;
    assert_eq!(scene.change("web-01", json!({"enabled": false})).await.0, 200);
    scene.until_state("web-01", "paused").await;
    drop(agent);
    // As after it was forgotten: nothing is asked of it, and it does not know.
    agent_settings::forget(&scene.client, &"web-01".parse().unwrap()).await.unwrap();
    let agent = Agent::start(scene.folder.path().join("web-01/agent.toml"));
    scene.until_in_force("web-01", "enabled", &json!(true), "default").await;
    scene.until_state("web-01", "up").await;
    drop(agent);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_pins_what_is_out_of_range_and_what_is_unknown_is_refused_by_name() {
    let scene = Scene::start().await;
    let agent = scene.agent("web-01", &scene.server.url(), r#"pinned = ["interval"]"#).await;
    let (status, answer) = scene.change("web-01", json!({"interval_ms": 500})).await;
    assert!(status == 409 && answer["error"].as_str().unwrap().contains("pins interval_ms"), "{answer}");
    scene.ask("PATCH", "/api/v1/groups/web/settings", &json!({"interval_ms": 500, "top": 3})).await;
    scene.until_in_force("web-01", "top", &json!(3), "asked of the group web").await;
    scene.until_in_force("web-01", "interval_ms", &json!(10_000), "pinned by the host's own file").await;
    for (body, says) in [
        (json!({"interval_ms": 1}), "100 to 86400000"),
        (json!({"command_line": "full"}), "scrubbed"),
        (json!({"max_processes": 0}), "1 to 20000"),
        (json!({"exclude_names": "x"}), "a list of at most 100"),
        (json!({"intervall_ms": 500}), "there is no setting"),
        (json!({"why": 1, "top": 1}), "why"),
        (json!({}), "nothing is asked"),
        (json!([]), "cannot be read"),
    ] {
        let (status, answer) = scene.change("web-01", body.clone()).await;
        assert!(status == 400 && answer["error"].as_str().unwrap().contains(says), "{body}: {answer}");
    }
    assert_eq!(scene.change("nosuch", json!({"top": 1})).await.0, 404);
    assert_eq!(scene.json("/api/v1/hosts/nosuch/settings").await.0, 404);
    drop(agent);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser_the_form_of_a_host_asks_for_settings_and_says_what_is_allowed() {
    let scene = Scene::start().await;
    let agent = scene.agent("web-01", &scene.server.url(), r#"pinned = ["top"]"#).await;
    let Some(browser) = Browser::open(Site::new(), true).await else { return };
    let browser = browser.in_front_of(format!("http://{}", scene.address));
    let send = async |interval: &str| {
        browser.go("/hosts/web-01/system").await;
        browser.click("details:has([name=keep_watched]) > summary").await;
        let fill = format!(
            "const fields = document.querySelector('details:has([name=keep_watched]) form').elements;
            fields.interval_ms.value = '{interval}'; fields.keep_watched.value = 'kept';
            fields.exclude_names.value = 'first\\nsecond'; fields.why.value = 'a test';
            return [fields.top.closest('label').textContent.includes('own file'), fields.keep_watched.value]"
        );
        browser.until(&fill, json!([true, "kept"])).await;
        browser.click("details:has([name=keep_watched]) form button").await;
    };
    send("700ms").await;
    scene.until_in_force("web-01", "interval_ms", &json!(700), OF_HOST).await;
    scene.until_in_force("web-01", "keep_watched", &json!(true), OF_HOST).await;
    scene.until_in_force("web-01", "exclude_names", &json!(["first", "second"]), OF_HOST).await;
    browser.go("/hosts/web-01/system").await;
    let row = |label: &str| {
        format!(
            "const row = [...document.querySelectorAll('#settings tr')].find(row => row.cells[0].textContent === '{label}');
            return row ? [row.cells[1].textContent, row.cells[2].textContent] : null"
        )
    };
    browser.until(&row("Interval"), json!(["700ms", OF_HOST])).await;
    browser.until(&row("Samples while watched"), json!(["kept", OF_HOST])).await;
    browser.until(&row("Busiest processes"), json!(["all", "pinned by the host's own file"])).await;
    send("1ms").await;
    browser.until("return document.body.textContent.includes('100 to 86400000')", json!(true)).await;
    scene.until_in_force("web-01", "interval_ms", &json!(700), OF_HOST).await;
    drop((browser, agent));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, and asserts nothing about time"]
async fn measures_how_long_a_change_takes_to_be_applied_and_known() {
    let scene = Scene::start().await;
    let agent = scene.agent("web-01", &scene.server.url(), "").await;
    let mut took: Vec<Duration> = Vec::new();
    for number in 1..=200 {
        let asked = Instant::now();
        scene.change("web-01", json!({"top": number})).await;
        while scene.settings("web-01").await["settings"][3]["in_force"] != number {}
        took.push(asked.elapsed());
        // A host says hello, and so what it applied, four times a second at most.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    took.sort_unstable();
    eprintln!("asked → applied and reported, of {}: p50 {:?}, p99 {:?}", took.len(), took[100], took[198]);
    drop(agent);
    scene.stop().await;
}
