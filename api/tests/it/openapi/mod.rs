//! The description of the JSON interface: that it is complete, that it is the one in `docs/`, and that what programs rely on
//! stays.

mod contract;

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use axum::http::{Method, StatusCode};
use fleetps::testing::{
    auth::{PrincipalKind, Role},
    authz::Permission,
    routes::{Route, interface, table},
};
use scraper::Html;
use serde_json::Value;

use crate::{
    authz::{ask, person, site},
    described::{event_data, validate},
    program::{Running, fleetps},
    support::{Site, family, texts},
};

/// The document as the program prints it.
fn printed() -> String {
    format!("{:#}\n", interface().document())
}

/// A file of the repository.
fn file(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}

fn route(path: &str) -> Route {
    table().into_iter().find(|route| route.path == path).unwrap()
}

/// Every operation of a document: method, path, description.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of_a_path = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().unwrap().clone();
        let path = path.clone();
        methods.into_iter().map(move |(method, operation)| (method, path.clone(), operation))
    };
    paths.iter().flat_map(of_a_path).collect()
}

#[test]
fn the_document_in_docs_is_the_one_that_the_program_prints() {
    let path = file("docs/openapi.json");
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let how = "renew it with `cargo run --release -- openapi > docs/openapi.json`, and look at what changed";
    assert!(committed == printed(), "{} is not what the program prints: {how}", path.display());
}

#[test]
fn every_route_of_the_json_interface_is_described_with_its_refusals_and_who_may_ask() {
    let is_json = |path: &str| path.starts_with("/api/") || matches!(path, "/healthz" | "/readyz");
    for route in table() {
        assert_eq!(route.operation.is_some(), is_json(route.path), "{} {}", route.method, route.path);
    }
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&interface().document()) {
        let what = format!("{method} {path}");
        assert!(operation["summary"].as_str().is_some_and(|words| words.len() > 5), "{what}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{what}");
        let responses = operation["responses"].as_object().unwrap();
        let is_open = operation["security"] == serde_json::json!([{}]);
        let refusals = if is_open { vec!["429", "503"] } else { vec!["401", "403", "429", "503"] };
        for status in refusals {
            assert!(responses.contains_key(status), "{what}: {status}");
        }
        let is_of_hosts = operation["security"] == serde_json::json!([{"host_signature": []}]);
        let hosts_only = ["/api/v1/ingest", "/api/v1/hello", "/api/v1/exchange", "/api/v1/sharp"];
        assert_eq!(is_of_hosts, hosts_only.contains(&path.as_str()), "{what}");
        assert_eq!(responses.contains_key("411"), is_of_hosts, "{what}");
        let is_refusal = |status: &str| matches!(status, "401" | "409" | "411" | "422");
        for (status, response) in responses.iter().filter(|(status, _)| is_refusal(status)) {
            assert_ne!(response["description"], "The answer.", "{what}: {status}");
        }
        let is_good = |(status, response): (&String, &serde_json::Value)| {
            status == "101" || status.starts_with('2') && response["content"].is_object()
        };
        assert!(responses.iter().any(is_good), "{what}");
        assert_eq!(path.contains("{host}"), operation["parameters"][0]["name"] == "host", "{what}");
        assert!(!path.contains('{') || responses.contains_key("404"), "{what}");
    }
    assert!(ids.len() >= 20, "{ids:?}");
}

#[tokio::test]
async fn a_parameter_is_read_under_the_name_that_the_document_gives_it() {
    let site = Site::with("web-1", family());
    let mut tried = 0;
    for (method, path, operation) in operations(&interface().document()) {
        let is_post = method == "post";
        for parameter in operation["parameters"].as_array().unwrap() {
            let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
            // Any text is a value of the others; the form of an answer that is unknown counts as JSON.
            let is_free =
                schema["type"] == "string" && schema["enum"].is_null() && schema["pattern"].is_null();
            if parameter["in"] != "query" || is_free || name == "format" || is_post {
                continue;
            }
            let url = path.replace("{host}", "web-1").replace("{pid}", "10");
            let answer = site.get(&format!("{url}?{name}=%7Bno%7D")).await;
            let refusal = format!("the parameter `{name}` cannot be");
            assert!(answer.body.contains(&refusal), "{url}: {name}: {}", answer.body);
            tried += 1;
        }
    }
    assert!(tried > 40, "only {tried} parameters were tried");
}

#[tokio::test]
async fn a_person_gets_the_part_of_the_document_that_the_person_may_use() {
    let site = site();
    let paths = async |person| {
        let answer = ask(&site, &person, &route("/api/v1/openapi.json"), "/api/v1/openapi.json").await;
        let document: Value = serde_json::from_str(&answer.body).unwrap();
        let paths: Vec<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
        (paths, document)
    };
    let is_of_people =
        |route: &Route| route.operation.is_some() && route.policy.open_to != PrincipalKind::HOSTS;
    let all = table().into_iter().filter(is_of_people).map(|route| route.path);
    let all: BTreeSet<&str> = all.collect();
    let (administrators, whole) = paths(person(Role::Administrator, None, false)).await;
    assert_eq!(administrators, all.iter().copied().collect::<Vec<_>>());
    assert_eq!(whole, interface().for_people(|_| true).document());
    assert!(
        all.contains("/api/v1/enrol") && !all.contains("/api/v1/ingest") && !all.contains("/api/v1/hello")
    );
    assert!(whole["components"]["securitySchemes"].get("host_signature").is_none());
    assert_eq!(
        interface().document()["components"]["securitySchemes"]["host_signature"]["name"],
        "fp-signature"
    );
    let needs_all = |path: &&str| {
        let action = route(path).policy.action;
        matches!(action, Permission::ReadAudit | Permission::ManageUsers | Permission::ManageChannels)
    };
    let others: Vec<&str> = all.iter().copied().filter(|path| !needs_all(path)).collect();
    for person in [person(Role::Viewer, None, false), person(Role::Administrator, Some("own"), false)] {
        let (shown, document) = paths(person).await;
        let unseen: Vec<_> = others.iter().filter(|path| !shown.contains(&(**path).to_owned())).collect();
        assert!(!shown.contains(&"/api/v1/audit".to_owned()), "{shown:?}");
        assert!(document["components"]["schemas"].get("AuditEntry").is_none());
        let is_for_more = |path: &&&str| {
            let action = route(path).policy.action;
            use Permission::{Command, ControlHosts, ManageAlerts, ManageHosts};
            matches!(action, ManageHosts | ManageAlerts | ControlHosts | Command)
        };
        assert!(unseen.iter().all(is_for_more), "{unseen:?}");
    }
    let nobody = site.get("/api/v1/openapi.json").await;
    assert!(matches!(nobody.status, StatusCode::OK | StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn the_page_lists_what_one_may_use_with_parameters_and_fields() {
    let site = site();
    for (role, reads_audit) in [(Role::Administrator, true), (Role::Viewer, false)] {
        let answer = ask(&site, &person(role, None, false), &route("/api"), "/api").await;
        assert_eq!(answer.status, StatusCode::OK);
        let page = Html::parse_document(&answer.body);
        let routes = texts(&page, "section.route h2");
        assert!(routes.contains(&"GET /api/v1/hosts".to_owned()), "{routes:?}");
        assert_eq!(routes.contains(&"GET /api/v1/audit".to_owned()), reads_audit);
        assert!(texts(&page, "#get_top dt").contains(&"by".to_owned()));
        assert!(texts(&page, "#get_hosts details dt").contains(&"hosts[].state".to_owned()));
        assert!(texts(&page, "#get_hosts_host_live details dt").contains(&"processes[].pid".to_owned()));
    }
}

#[tokio::test]
async fn events_of_a_stream_are_as_described() {
    let site = Site::with("web-1", family());
    let (viewer, route) = (person(Role::Viewer, None, false), route("/api/v1/hosts/{host}/live"));
    let body = ask(&site, &viewer, &route, "/api/v1/hosts/web-1/live").await.body;
    let data = body.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let schema = event_data("/api/v1/hosts/web-1/live");
    validate("an event of a stream", &schema, &serde_json::from_str(data).unwrap());
}

#[test]
#[should_panic(expected = "not as described")]
fn a_field_that_is_not_described_is_a_fault() {
    let body = r#"{"alive": true, "since": 7}"#;
    crate::described::check(&Method::GET, "/healthz", 200, "application/json", Some(body));
}

#[test]
#[should_panic(expected = "this status is not described")]
fn a_status_that_is_not_described_is_a_fault() {
    crate::described::check(&Method::GET, "/healthz", 418, "application/json", None);
}

/// Runs the example of docs/json.md against a program that runs.
#[test]
fn the_example_in_python_reads_a_fleet() {
    if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no python3");
        return;
    }
    let manual = fs::read_to_string(file("docs/json.md")).unwrap();
    let example = manual.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let data = tempfile::tempdir().unwrap();
    let running = Running::start_command(fleetps(data.path()).args(["--demo", "3"]));
    running.until("three hosts have processes", "/api/v1/hosts", |found| {
        let hosts = found["hosts"].as_array()?;
        let busy = hosts.iter().filter(|host| host["process_count"].as_u64().unwrap_or_default() > 3).count();
        (busy >= 3).then_some(())
    });
    let script = example.replace("https://fleetps.example.com", &running.address);
    assert_ne!(script, example);
    let python = Command::new("python3")
        .args(["-c", &script])
        .env("FLEETPS_TOKEN", "fleetps_not_needed_here")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&python.stdout);
    assert!(python.status.success(), "{said}{}", String::from_utf8_lossy(&python.stderr));
    let hosts: Vec<&str> =
        said.lines().filter(|line| line.starts_with("demo-") || line.contains(" up ")).collect();
    assert!(hosts.len() >= 3, "{said}");
    running.stop();
}
