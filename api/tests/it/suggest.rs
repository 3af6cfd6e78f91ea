//! What is suggested below the box of the head, as JSON.

use fleetps::testing::auth::Role;
use fleetps_nats::snapshot::Process;
use serde_json::{Value, json};

use crate::{
    alerts::get,
    authz::{self, person},
    support::{Site, family, process},
};

/// A name with markup, and with what turns the direction of the text.
const HOSTILE: &str = "web<img src=x onerror=alert(1)>\u{202e}";

pub fn fleet() -> Site {
    let site = Site::with("web-1", family());
    let pool = |pid, cpu_percent| Process {
        cpu_percent: Some(cpu_percent),
        user_name: Some("webber".to_owned()),
        unit: Some("web.service".to_owned()),
        ..process(pid, 1, "webserver")
    };
    site.tell("db-1", vec![process(1, 0, "init"), pool(31, 40.0), pool(32, 2.0), process(33, 1, HOSTILE)]);
    site
}

fn names(answer: &Value, kind: &str) -> Vec<String> {
    let members = answer[kind].as_array().unwrap();
    members.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_word_finds_hosts_programs_users_units_and_processes_and_each_leads_to_its_page() {
    let site = fleet();
    let answer = site.json("/api/v1/suggest?q=web").await;
    // The other one calls itself so in its own operating system.
    assert_eq!(names(&answer, "hosts"), ["web-1", "db-1"]);
    assert_eq!(names(&answer, "programs"), ["webserver", HOSTILE]);
    assert_eq!(
        (names(&answer, "users"), names(&answer, "units")),
        (vec!["webber".into()], vec!["web.service".into()])
    );
    assert_eq!(answer["programs"][0]["processes"], 2);
    let process = &answer["processes"][0];
    assert_eq!((&process["pid"], &process["host"]), (&json!(31), &json!("db-1")));
    let kinds = ["hosts", "programs", "users", "units", "processes", "results"];
    for page in kinds.iter().flat_map(|kind| answer[*kind].as_array().unwrap()) {
        let page = page["page"].as_str().unwrap();
        assert_eq!(site.get(page).await.status, 200, "{page}");
    }
    assert_eq!(answer["results"], json!([{"q": "web", "page": "/search?q=web", "at": null}]));
}

#[tokio::test]
async fn an_expression_has_its_results_only_and_a_wrong_one_the_column_of_its_error() {
    let site = fleet();
    let answer = site.json("/api/v1/suggest?q=name+%3D+webserver").await;
    assert_eq!((names(&answer, "programs"), &answer["problem"]), (vec![], &Value::Null));
    assert_eq!(answer["results"][0]["page"], "/search?q=name+%3D+webserver");
    let wrong = site.json("/api/v1/suggest?q=web+and+cpu+%3E+x").await;
    assert_eq!((&wrong["problem"]["column"], &wrong["results"]), (&json!(15), &json!([])));
    let page = site.get("/search?q=web+and+cpu+%3E+x").await.body;
    assert!(
        page.contains(&format!("At column 15: {}", wrong["problem"]["message"].as_str().unwrap())),
        "{wrong}"
    );
    for q in ["", "+", "&at=-1h"] {
        let nothing = site.json(&format!("/api/v1/suggest?q={q}")).await;
        assert_eq!((&nothing["results"], &nothing["problem"]), (&json!([]), &Value::Null), "{q}");
    }
    assert_eq!(site.get(&format!("/api/v1/suggest?q={}", "x".repeat(1_001))).await.status, 400);
    let pid = site.json("/api/v1/suggest?q=31").await;
    assert_eq!(pid["results"][1]["page"], "/search?q=pid+%3D+31");
}

#[tokio::test]
async fn a_typed_time_leads_there_and_the_moment_of_the_page_is_offered() {
    let site = fleet();
    let then = site.json("/api/v1/suggest?q=web+at+2026-11-20+03:12").await;
    let at = "2026-11-20T03:12:00Z";
    assert_eq!((&then["q"], &then["at"]), (&json!("web"), &json!("2026-11-20T03:12:00.000000Z")));
    assert_eq!(then["hosts"][0]["page"], format!("/hosts/web-1?at={at}"));
    assert_eq!(then["programs"][0]["page"], format!("/search?q=name+%3D+%22webserver%22&at={at}"));
    assert_eq!(then["processes"], json!([]), "a process of now may not have been there then");
    assert_eq!(then["results"].as_array().unwrap().len(), 1);
    // Without scripts, the form leads to the same.
    let sent = site.get("/search?q=web+at+2026-11-20+03:12").await;
    assert_eq!(sent.headers["location"], then["results"][0]["page"].as_str().unwrap());
    let of_page = site.json(&format!("/api/v1/suggest?q=web&at={at}")).await;
    assert_eq!(of_page["hosts"][0]["page"], "/hosts/web-1");
    let results: Vec<&Value> =
        of_page["results"].as_array().unwrap().iter().map(|one| &one["page"]).collect();
    assert_eq!(results, ["/search?q=web", &format!("/search?q=web&at={at}")]);
}

#[tokio::test]
async fn nothing_of_a_hidden_host_is_suggested() {
    let site = authz::site();
    let viewer = person(Role::Viewer, Some("own"), true);
    let everybody = person(Role::Viewer, None, false);
    for q in ["of", "worker", "other", "user-of", "unit-of", "init", "hunter2", "10"] {
        let url = format!("/api/v1/suggest?q={q}");
        let seen = get(&site, &viewer, &url).await.body;
        assert!(!seen.contains("other-1") && !seen.contains("of-other"), "{q}: {seen}");
        let seen: Value = serde_json::from_str(&seen).unwrap();
        for one in ["programs", "users", "units"].iter().flat_map(|kind| seen[*kind].as_array().unwrap()) {
            assert_eq!(one["hosts"], 1, "{q}: {one}");
        }
    }
    let all: Value =
        serde_json::from_str(&get(&site, &everybody, "/api/v1/suggest?q=other").await.body).unwrap();
    assert_eq!(names(&all, "hosts"), ["other-1"]);
    assert_eq!(names(&all, "programs"), ["worker-of-other-1"]);
}
