//! Alerts on pages and in JSON: who sees which, hostile names, rules and their trial on the past.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use fleetps::testing::{
    audit_log::AuditLog,
    auth::{Person, Principal, Role},
    live::now_us,
};
use fleetps_ingestor::{
    alerts::{Alert, AlertChange, Change, Culprit, Key, Severity, Transition},
    events::EventPlace,
};
use fleetps_nats::server::{ManagedServer, Part};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    authz::person,
    pipeline::broker,
    support::{Answer, PATIENCE, Site, attributes, process, snapshot_at, texts},
};

/// A change of an alert of a program on `host`.
pub fn transition(host: &str, program: &str, change: Change) -> Transition {
    let alert = Alert {
        id: format!("id-of-{host}"),
        rule: "busy".to_owned(),
        revision: 1,
        sentence: "mem > 1G over program".to_owned(),
        severity: Severity::Critical,
        host: host.parse().unwrap(),
        key: Key::Named(program.to_owned()),
        raised_at_us: now_us() - 60_000_000,
        raised_by: 1,
    };
    let culprit = Culprit { pid: 10, start: 1, name: program.to_owned(), value: 3e9 };
    let (at_us, value) = (alert.raised_at_us, Some(3_221_225_472.0));
    let change = AlertChange { alert, change, at_us, value, culprits: vec![culprit] };
    let place = EventPlace { partition: 0, epoch_s: 1, sequence: 1, number: 0 };
    Transition { place, decided_at_us: at_us, change }
}

pub fn by(person: &Person, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(Principal::User(person.clone()));
    request
}

pub async fn get(site: &Site, person: &Person, url: &str) -> Answer {
    site.send(by(person, Request::get(url).header("host", "localhost").body(Body::empty()).unwrap())).await
}

pub async fn send(
    site: &Site,
    person: &Person,
    method: &str,
    url: &str,
    body: &Value,
) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(url).header("host", "localhost");
    let request = request.header("content-type", "application/json").body(Body::from(body.to_string()));
    let answer = site.send(by(person, request.unwrap())).await;
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

#[tokio::test]
async fn open_alerts_are_on_their_page_on_the_fleets_and_in_json_until_they_end() {
    let site = Site::with("web-1", vec![process(10, 0, "java")]);
    assert_eq!(texts(&site.page("/alerts").await, "h1, #alerts tbody tr"), ["No alert"]);
    site.shared.alerts.take(transition("web-1", "java", Change::Raised));
    let page = site.page("/alerts").await;
    assert_eq!(texts(&page, "h1, [data-f=critical]"), ["1 alert", "1 critical"]);
    let cells = texts(&page, "#alerts tbody td");
    assert_eq!(cells[..5], ["critical", "web-1", "busy", "java", "3.00 GB"]);
    assert_eq!(cells[6], "java (10)");
    let fleet = site.page("/").await;
    assert_eq!(texts(&fleet, "a[data-f=alerts], #hosts td.alerts"), ["1 alert", "1"]);
    assert_eq!(attributes(&fleet, "#hosts td.alerts a", "href"), ["/alerts?host=web-1"]);
    let alerts = site.json("/api/v1/alerts?host=web-1").await;
    assert_eq!(alerts["alerts"][0]["instance"], "java");
    assert_eq!(alerts["alerts"][0]["culprits"][0]["pid"], 10);
    assert_eq!(site.json("/api/v1/alerts?rule=other").await["alerts"], json!([]));
    site.shared.alerts.take(transition("web-1", "java", Change::Cleared));
    assert_eq!(texts(&site.page("/alerts").await, "h1"), ["No alert"]);
    let history = site.json("/api/v1/alerts/history").await;
    let changes: Vec<&str> =
        history["changes"].as_array().unwrap().iter().map(|it| it["change"].as_str().unwrap()).collect();
    assert_eq!((history["total"].as_u64(), changes), (Some(2), vec!["cleared", "raised"]));
    assert_eq!(
        texts(&site.page("/alerts/history").await, "#changes td.what"),
        ["cleared", "raised"],
        "newest first"
    );
}

#[tokio::test]
async fn names_from_hosts_are_texts_on_every_page_of_alerts() {
    let name = "</td><script>alert(1)</script>\u{1b}[31m\u{202e}\"'";
    let site = Site::with("web-1", vec![process(10, 0, "java")]);
    site.shared.alerts.take(transition("web-1", name, Change::Raised));
    for url in ["/alerts", "/alerts/history", "/"] {
        let body = site.get(url).await.body;
        assert!(!body.contains("<script>alert") && !body.contains('\u{1b}'), "{url}: {body}");
        assert!(!body.contains('\u{202e}'), "{url}: {body}");
    }
    let page = site.page("/alerts").await;
    assert!(texts(&page, "#alerts td.unit")[0].contains("<script>"));
    assert_eq!(site.json("/api/v1/alerts").await["alerts"][0]["instance"], name);
}

#[tokio::test]
async fn alerts_of_hosts_that_one_may_not_see_are_nowhere() {
    let site = crate::authz::site();
    let (own, everything) = (person(Role::Viewer, Some("own"), false), person(Role::Viewer, None, false));
    for url in ["/alerts", "/alerts/history", "/api/v1/alerts", "/api/v1/alerts/history", "/"] {
        let seen = get(&site, &own, url).await.body;
        assert!(seen.contains("own-1") && !seen.contains("other-1"), "{url}: {seen}");
        assert!(get(&site, &everything, url).await.body.contains("other-1"), "{url}");
    }
    let of_other = get(&site, &own, "/api/v1/alerts?host=other-1").await.body;
    assert_eq!(serde_json::from_str::<Value>(&of_other).unwrap()["alerts"], json!([]));
    let rules = get(&site, &own, "/alerts/rules").await.body;
    assert!(rules.contains("host-silent"), "{rules}");
}

#[tokio::test]
async fn what_is_no_rule_is_refused_at_its_column_on_the_page_and_in_json() {
    let site = Site::new();
    let operator = person(Role::Operator, None, false);
    for (method, url) in [("PUT", "/api/v1/alerts/rules/mine"), ("POST", "/api/v1/alerts/test")] {
        let (status, answer) = send(&site, &operator, method, url, &json!({"sentence": "cpu > much"})).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(answer["error"].as_str().unwrap().starts_with("column 7: expected a number"), "{answer}");
        let (status, _) = send(&site, &operator, method, url, &json!({"sentense": "cpu > 1"})).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
    let fields = [("id", "mine"), ("new", "1"), ("sentence", "cpu > much"), ("severity", "info")];
    let answer = site.send(by(&operator, site.form("/alerts/rules", &fields).await)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let page = scraper::Html::parse_document(&answer.body);
    assert!(texts(&page, "#rule-error")[0].starts_with("Column 7:"));
    assert_eq!(attributes(&page, "input[name=sentence]", "value"), ["cpu > much"]);
}

/// A host that is busy from the 10th to the 20th of 60 snapshots, one in 10 s, until now.
fn busy() -> Site {
    let shift_us = now_us() - snapshot_at(600, Vec::new()).captured_at_us;
    let snapshots = (0..60).map(|step: i64| {
        let cpu_percent = Some(if (10..20).contains(&step) { 97.0 } else { 3.0 });
        let busy = fleetps_nats::snapshot::Process { cpu_percent, ..process(10, 1, "java") };
        let snapshot = snapshot_at(step * 10, vec![process(1, 0, "init"), busy]);
        let captured_at_us = snapshot.captured_at_us + shift_us;
        ("web-1", fleetps_nats::Snapshot { captured_at_us, ..snapshot })
    });
    Site::with_history(vec![snapshots.collect()])
}

#[tokio::test]
async fn a_rule_is_tried_on_the_past_before_it_is_saved() {
    let site = busy();
    let viewer = person(Role::Viewer, None, false);
    for (sentence, told, instance) in [
        ("cpu > 90% over process", 1, "java (10)"),
        ("cpu > 90% for 1m over program", 1, "java"),
        ("cpu > 90% for 5m over process", 0, ""),
        ("cpu > 90 where name:java", 1, "java (10)"),
        ("count < 1 where name:nginx", 1, ""),
        ("memory > 20%", 1, ""),
        ("silent", 0, ""),
    ] {
        let body = json!({"sentence": sentence, "range": "1h"});
        let (status, answer) = send(&site, &viewer, "POST", "/api/v1/alerts/test", &body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer["told"], told, "{sentence}: {answer}");
        assert_eq!((&answer["hosts"], &answer["resolution"]), (&json!(1), &json!("samples")));
        if told > 0 {
            assert_eq!(answer["episodes"][0]["instance"], instance, "{sentence}: {answer}");
        }
    }
    let body = json!({"sentence": "cpu > 90% over process", "range": "1h"});
    let (_, answer) = send(&site, &viewer, "POST", "/api/v1/alerts/test", &body).await;
    assert_eq!(answer["episodes"][0]["end"], "cleared");
    assert_eq!(answer["others"], json!([{"lasting": "3 of 5", "told": 1}, {"lasting": "for 5m", "told": 0}]));
    for range in ["8d", "0s"] {
        let body = json!({"sentence": "cpu > 90%", "range": range});
        let (status, _) = send(&site, &viewer, "POST", "/api/v1/alerts/test", &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{range}");
    }
    let unseen = person(Role::Viewer, Some("other"), false);
    let (_, answer) = send(&site, &unseen, "POST", "/api/v1/alerts/test", &body).await;
    assert_eq!((&answer["hosts"], &answer["told"]), (&json!(0), &json!(0)));
    let fields = [("sentence", "cpu > 90% over process"), ("try", "1"), ("range", "1h"), ("new", "1")];
    let operator = person(Role::Operator, None, false);
    let answer = site.send(by(&operator, site.form("/alerts/rules", &fields).await)).await;
    let page = scraper::Html::parse_document(&answer.body);
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert!(texts(&page, "#tried + p")[0].contains("told somebody once"), "{}", answer.body);
    assert_eq!(texts(&page, "#episodes td.host, #episodes td.what"), ["cleared", "web-1"]);
}

/// A site with a broker, and an audit in it.
pub async fn with_broker(folder: &std::path::Path) -> (ManagedServer, Site) {
    let (server, _) = broker(folder).await;
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let mut site = Site::new();
    site.shared.broker = Some(client.clone());
    let history = site.folder.path().to_owned();
    site.shared.audit_log = AuditLog::open(&client, history, CancellationToken::new()).await.unwrap();
    site.router = crate::described::router(site.shared.clone());
    (server, site)
}

#[tokio::test]
async fn rules_are_saved_by_operators_of_their_hosts_with_revisions_and_who_changed_them() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = with_broker(folder.path()).await;
    let (all, own) = (person(Role::Operator, None, false), person(Role::Operator, Some("own"), false));
    let viewer = person(Role::Viewer, None, false);
    let url = "/api/v1/alerts/rules/mine";
    let rule = json!({"sentence": "cpu > 90% for 10m", "severity": "info", "note": "look at it"});
    let put = async |person: &Person, body: &Value| send(&site, person, "PUT", url, body).await;
    assert_eq!(put(&viewer, &rule).await.0, StatusCode::FORBIDDEN);
    assert_eq!(put(&own, &rule).await.0, StatusCode::FORBIDDEN, "it would be for every host");
    let (status, saved) = put(&all, &rule).await;
    assert_eq!(
        (status, &saved["severity"], &saved["note"]),
        (StatusCode::OK, &json!("info"), &json!("look at it"))
    );
    let revision = saved["revision"].as_u64().unwrap();
    // Nobody takes it from those whom it is for.
    let of_own = json!({"sentence": "cpu > 1", "groups": ["own"]});
    assert_eq!(put(&own, &of_own).await.0, StatusCode::FORBIDDEN);
    let stale = json!({"sentence": "cpu > 1", "revision": revision + 7});
    assert_eq!(put(&all, &stale).await.0, StatusCode::CONFLICT);
    let (status, saved) = put(&all, &json!({"sentence": "cpu > 1", "revision": revision})).await;
    assert_eq!((status, saved["revision"].as_u64() > Some(revision)), (StatusCode::OK, true));
    // Of one's own groups, and only these.
    let (status, _) = send(&site, &own, "PUT", "/api/v1/alerts/rules/ours", &of_own).await;
    assert_eq!(status, StatusCode::OK);
    let theirs = json!({"sentence": "cpu > 1", "groups": ["own", "other"]});
    let (status, _) = send(&site, &own, "PUT", "/api/v1/alerts/rules/theirs", &theirs).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let other = person(Role::Viewer, Some("other"), false);
    let listed = get(&site, &other, "/api/v1/alerts/rules").await.body;
    assert!(listed.contains("\"mine\"") && !listed.contains("\"ours\""), "{listed}");
    // A built-in rule is switched off, and counts again.
    let off = json!({"sentence": "silent for 1m", "enabled": false});
    let silent = "/api/v1/alerts/rules/host-silent";
    assert_eq!(send(&site, &all, "PUT", silent, &off).await.1["enabled"], false);
    assert_eq!(send(&site, &own, "DELETE", silent, &json!({})).await.0, StatusCode::FORBIDDEN);
    let (status, left) = send(&site, &all, "DELETE", silent, &json!({})).await;
    let found = left["rules"].as_array().unwrap().iter().find(|rule| rule["id"] == "host-silent").unwrap();
    assert_eq!((status, &found["enabled"], &found["revision"]), (StatusCode::OK, &json!(true), &json!(0)));
    assert_eq!(send(&site, &all, "DELETE", silent, &json!({})).await.0, StatusCode::CONFLICT);
    let gone = "/api/v1/alerts/rules/nosuch";
    assert_eq!(send(&site, &all, "DELETE", gone, &json!({})).await.0, StatusCode::NOT_FOUND);
    let administrator = person(Role::Administrator, None, false);
    let audited = async {
        loop {
            let audit = get(&site, &administrator, "/api/v1/audit?action=alert-rule&range=1h").await.body;
            let all = ["mine: none → cpu > 90% for 10m (info)", "host-silent: silent for 1m (warning, off)"];
            if all.iter().all(|what| audit.contains(what)) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, audited).await.expect("the changes are not in the audit");
}

#[tokio::test]
async fn charts_show_when_alerts_were_open_and_list_them() {
    let site = busy();
    site.tell("web-1", vec![process(10, 1, "java")]);
    site.shared.alerts.take(transition("web-1", "java", Change::Raised));
    site.shared.alerts.take(transition("web-1", "java", Change::Cleared));
    let page = site.page("/hosts/web-1/history").await;
    assert_eq!(texts(&page, "#alerts-then .word"), ["critical"]);
    assert_eq!(texts(&page, "#alerts-then a"), ["busy: java"]);
    assert_eq!(attributes(&page, "#alerts-then a", "href"), ["/alerts/id-of-web-1"]);
    assert_eq!(attributes(&page, "#chart-cpu path.alert", "class"), ["alert critical"]);
    let earlier = site.page("/hosts/web-1/history?from=-2h&to=-1h").await;
    assert!(texts(&earlier, "#alerts-then .word").is_empty());
    assert!(attributes(&earlier, "path.alert", "class").is_empty());
    assert!(site.get("/hosts/web-1/timeline.svg").await.body.contains("alert critical"));
}

#[tokio::test]
async fn the_fleet_page_puts_trouble_first_on_request() {
    let site = Site::with("a-1", vec![process(10, 0, "java")]);
    site.tell("z-1", vec![process(10, 0, "java")]);
    site.shared.alerts.take(transition("z-1", "java", Change::Raised));
    let page = site.page("/").await;
    assert_eq!(texts(&page, "#hosts td.host"), ["a-1", "z-1"]);
    let link = attributes(&page, "#trouble", "href").swap_remove(0);
    let page = site.page(&link).await;
    assert_eq!(texts(&page, "#hosts td.host"), ["z-1", "a-1"]);
    assert_eq!(attributes(&page, "#trouble", "aria-current"), ["true"]);
}

#[tokio::test]
async fn charts_show_an_alert_that_is_open_for_longer_than_its_beginning_is_kept() {
    let site = busy();
    site.tell("web-1", vec![process(10, 1, "java")]);
    site.shared.alerts.take(transition("web-1", "java", Change::Raised));
    let other = transition("z-1", "java", Change::Cleared);
    // As many changes as are kept.
    for _ in 0..50_000 {
        site.shared.alerts.take(other.clone());
    }
    let history = site.json("/api/v1/alerts/history?host=web-1").await;
    assert_eq!(history["total"], 0, "its beginning is not kept");
    assert_eq!(texts(&site.page("/hosts/web-1/history").await, "#alerts-then a"), ["busy: java"]);
}

#[tokio::test]
async fn a_process_has_the_alerts_of_its_program_and_not_of_a_user_with_its_name() {
    let site = Site::with("web-1", vec![process(10, 0, "java")]);
    site.shared.alerts.take(transition("web-1", "java", Change::Raised));
    let mut of_user = transition("web-1", "java", Change::Raised);
    of_user.change.alert.id = "of-user".to_owned();
    of_user.change.alert.rule = "of-user".to_owned();
    of_user.change.alert.sentence = "mem > 1G over user".to_owned();
    site.shared.alerts.take(of_user);
    let page = site.page("/hosts/web-1/processes/10?started=2026-09-21T14:13:20Z").await;
    assert_eq!(texts(&page, "#alerts-then a"), ["busy: java"]);
}
