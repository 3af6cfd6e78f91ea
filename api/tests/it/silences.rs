//! Silences, routes and acknowledgements on pages, in JSON and in a terminal: who may silence which hosts, and who sees what.

use std::time::Duration;

use axum::http::StatusCode;
use fleetps::testing::{
    auth::{Person, Role},
    notify::{Acknowledgement, Allowed, Records},
};
use fleetps_ingestor::alerts::Change;
use fleetps_nats::server::ManagedServer;
use scraper::Html;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    alerts::{by, get, send, transition, with_broker},
    authz::person,
    commands::{said, serve_site},
    support::{PATIENCE, Site, attributes, process, texts},
};

const SILENCES: &str = "/api/v1/alerts/silences";

/// A site with a broker, two hosts with a group and an open alert each.
async fn site(folder: &std::path::Path) -> (ManagedServer, Site) {
    let (server, site) = with_broker(folder).await;
    let tags = |host: &str, tag: &str| (host.parse().unwrap(), [tag.to_owned()].into());
    site.shared.groups.set([tags("own-1", "own"), tags("other-1", "other")].into());
    for (host, id) in [("own-1", "0a01"), ("other-1", "0b02")] {
        site.tell(host, vec![process(10, 0, "java")]);
        let mut raised = transition(host, "java", Change::Raised);
        raised.change.alert.id = id.to_owned();
        raised.change.at_us = fleetps::testing::live::now_us() + 600_000_000;
        site.shared.alerts.take(raised);
    }
    (server, site)
}

fn own(role: Role) -> Person {
    person(role, Some("own"), false)
}

fn all(role: Role) -> Person {
    person(role, None, false)
}

async fn form(site: &Site, who: &Person, url: &str, fields: &[(&str, &str)]) -> crate::support::Answer {
    site.send(by(who, site.form(url, fields).await)).await
}

async fn listed(site: &Site, who: &Person) -> Vec<Value> {
    let answer = get(site, who, SILENCES).await;
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    answer["silences"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_silence_hosts_of_their_groups_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = site(folder.path()).await;
    let everything = json!({"for": "2h", "why": "an exchange"});
    assert_eq!(send(&site, &all(Role::Viewer), "POST", SILENCES, &everything).await.0, StatusCode::FORBIDDEN);
    let (status, silence) = send(&site, &own(Role::Operator), "POST", SILENCES, &everything).await;
    assert_eq!((status, &silence["within"]), (StatusCode::OK, &json!(["own"])), "{silence}");
    // It holds for their host, and not for the other one, whatever it names.
    assert_eq!(
        (&silence["muted"], &silence["latest"]),
        (&json!(1), &json!([{"rule": "busy", "host": "own-1"}]))
    );
    let named = json!({"matcher": {"hosts": ["other-1"]}, "for": "2h", "why": "x"});
    let nosuch = json!({"matcher": {"hosts": ["nosuch-1"]}, "for": "2h", "why": "x"});
    let [hidden, unknown] = [&named, &nosuch];
    let hidden = send(&site, &own(Role::Operator), "POST", SILENCES, hidden).await;
    assert_eq!(
        (hidden.0, &hidden),
        (StatusCode::BAD_REQUEST, &send(&site, &own(Role::Operator), "POST", SILENCES, unknown).await)
    );
    let pattern = json!({"matcher": {"hosts": ["*-1"]}, "for": "2h", "why": "x"});
    let (_, silence) = send(&site, &own(Role::Operator), "POST", SILENCES, &pattern).await;
    assert_eq!((&silence["muted"], &silence["latest"][0]["host"]), (&json!(1), &json!("own-1")), "{silence}");
    let (_, of_all) = send(&site, &all(Role::Operator), "POST", SILENCES, &named).await;
    assert_eq!((&of_all["within"], &of_all["muted"]), (&Value::Null, &json!(1)), "{of_all}");
    // Nobody reads of hosts that are hidden from them, nor ends what is for these.
    for url in [SILENCES, "/alerts/silences"] {
        let seen = get(&site, &own(Role::Operator), url).await.body;
        assert!(!seen.contains("other-1"), "{url}: {seen}");
        assert!(get(&site, &all(Role::Viewer), url).await.body.contains("other-1"), "{url}");
    }
    let url = format!("{SILENCES}/{}", of_all["id"].as_str().unwrap());
    assert_eq!(send(&site, &own(Role::Operator), "DELETE", &url, &json!({})).await.0, StatusCode::NOT_FOUND);
    let (_, rule) = send(
        &site,
        &all(Role::Operator),
        "POST",
        SILENCES,
        &json!({"matcher": {"rules": ["busy"]}, "for": "1h", "why": "y"}),
    )
    .await;
    let rule = format!("{SILENCES}/{}", rule["id"].as_str().unwrap());
    assert_eq!(send(&site, &own(Role::Operator), "DELETE", &rule, &json!({})).await.0, StatusCode::FORBIDDEN);
    assert_eq!(send(&site, &all(Role::Operator), "DELETE", &rule, &json!({})).await.0, StatusCode::OK);
    assert_eq!(send(&site, &all(Role::Viewer), "DELETE", &url, &json!({})).await.0, StatusCode::FORBIDDEN);
    // What is over stays listed, and holds no longer.
    assert!(listed(&site, &all(Role::Viewer)).await.iter().any(|silence| silence["holds"] == false));
    let administrator = all(Role::Administrator);
    let audited = async {
        while !get(&site, &administrator, "/api/v1/audit?action=silence&range=1h")
            .await
            .body
            .contains("within own; why: an exchange")
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, audited).await.expect("the silence is not in the audit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_is_made_in_a_form_that_a_link_fills_in_and_ended_there() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = site(folder.path()).await;
    let operator = all(Role::Operator);
    let page = Html::parse_document(&get(&site, &operator, "/alerts/0a01").await.body);
    let links = attributes(&page, "form a.quiet", "href");
    assert_eq!(links, ["/alerts/silences?rule=busy&host=own-1"]);
    let page = Html::parse_document(&get(&site, &operator, &links[0]).await.body);
    let values = |name: &str| attributes(&page, &format!("#silence input[name={name}]"), "value");
    assert_eq!((values("rules"), values("hosts")), (vec!["busy".to_owned()], vec!["own-1".to_owned()]));
    assert!(listed(&site, &operator).await.is_empty(), "a GET changes nothing");
    let hostile = "\"><script>alert(1)</script>\u{202e}";
    for (fields, expected) in [
        (vec![("for", "soon"), ("why", hostile)], "For: expected"),
        (vec![("for", "2h"), ("severity", "awful"), ("why", "x")], "Severity: "),
        (vec![("for", "2h")], "Why: is missing"),
        (
            vec![
                ("repeat", "weekly"),
                ("from", "22:00"),
                ("until", "25:00"),
                ("hosts", "own-1"),
                ("why", "x"),
            ],
            "Until: ",
        ),
        (vec![("repeat", "weekly"), ("from", "22:00"), ("until", "07:00"), ("why", "x")], "says nothing"),
    ] {
        let answer = form(&site, &operator, "/alerts/silences", &fields).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{expected}");
        let page = Html::parse_document(&answer.body);
        assert!(texts(&page, ".problem")[0].contains(expected), "{:?}", texts(&page, ".problem"));
        assert!(!answer.body.contains("<script>alert"), "{}", answer.body);
    }
    let weekly = [
        ("repeat", "weekly"),
        ("from", "22:00"),
        ("until", "07:00"),
        ("zone", "Europe/Berlin"),
        ("day_saturday", "1"),
        ("hosts", hostile),
        ("why", hostile),
    ];
    for fields in [&[("for", "2h"), ("rules", "busy"), ("why", hostile)][..], &weekly] {
        assert_eq!(form(&site, &operator, "/alerts/silences", fields).await.status, StatusCode::SEE_OTHER);
    }
    let body = get(&site, &operator, "/alerts/silences").await.body;
    assert!(!body.contains("<script>alert") && !body.contains('\u{202e}'), "{body}");
    let page = Html::parse_document(&body);
    assert_eq!(texts(&page, "#silences .word")[0], "active");
    assert!(texts(&page, "#silences td").iter().any(|text| text == "Sat 22:00–07:00 Europe/Berlin"));
    for id in attributes(&page, "#silences input[name=end]", "value") {
        assert_eq!(
            form(&site, &operator, "/alerts/silences", &[("end", &id)]).await.status,
            StatusCode::SEE_OTHER
        );
    }
    let page = Html::parse_document(&get(&site, &operator, "/alerts/silences").await.body);
    assert!(attributes(&page, "#silences input[name=end]", "value").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_acknowledged_by_operators_of_its_host_and_says_by_whom() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = site(folder.path()).await;
    let url = "/api/v1/alerts/0b02/acknowledge";
    let why = json!({"why": "<b>I look\u{202e}</b>"});
    assert_eq!(send(&site, &own(Role::Operator), "POST", url, &why).await.0, StatusCode::NOT_FOUND);
    assert_eq!(get(&site, &own(Role::Operator), "/alerts/0b02").await.status, StatusCode::NOT_FOUND);
    assert_eq!(send(&site, &all(Role::Viewer), "POST", url, &why).await.0, StatusCode::FORBIDDEN);
    assert_eq!(get(&site, &all(Role::Operator), "/alerts/0b02").await.status, StatusCode::OK);
    let (status, alert) = send(&site, &all(Role::Operator), "POST", url, &why).await;
    assert_eq!((status, &alert["acknowledged"]["why"]), (StatusCode::OK, &why["why"]), "{alert}");
    assert_eq!(send(&site, &all(Role::Operator), "POST", url, &why).await.0, StatusCode::CONFLICT);
    let client = site.shared.broker.clone().unwrap();
    assert_eq!(Records::new(client).acknowledgements().await.unwrap().len(), 1);
    for page in ["/alerts/0b02", "/alerts"] {
        let body = get(&site, &all(Role::Viewer), page).await.body;
        assert!(
            !body.contains("<b>I look") && !body.contains('\u{202e}') && body.contains("I look"),
            "{page}: {body}"
        );
    }
    let page = Html::parse_document(&get(&site, &all(Role::Operator), "/alerts").await.body);
    let mut shown = texts(&page, "#alerts td.user");
    shown.sort();
    assert_eq!(shown, ["Acknowledge", &person(Role::Operator, None, false).name]);
    let back = form(&site, &all(Role::Operator), "/alerts/0b02/acknowledge", &[("withdraw", "1")]).await;
    assert_eq!(back.status, StatusCode::SEE_OTHER, "{}", back.body);
    let page = Html::parse_document(&get(&site, &all(Role::Operator), "/alerts/0b02").await.body);
    assert_eq!(texts(&page, "#acknowledged"), ["Nobody looks after it yet."]);
    let done = form(&site, &own(Role::Operator), "/alerts/0a01/acknowledge", &[("why", "")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    let mut over = transition("own-1", "java", Change::Cleared);
    over.change.alert.id = "0a01".to_owned();
    site.shared.alerts.take(over);
    let (status, _) =
        send(&site, &all(Role::Operator), "POST", "/api/v1/alerts/0a01/acknowledge", &json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT, "it is over");
    let page = Html::parse_document(&get(&site, &own(Role::Viewer), "/alerts/0a01").await.body);
    assert_eq!(texts(&page, "#changes td.what"), ["cleared", "raised"]);
}

/// The form of a route has all of it, and its buttons move and remove it.
async fn routes_are_changed_in_forms(site: &Site, boss: &Person, url: &str) {
    let page = Html::parse_document(&get(site, boss, "/alerts/routes/1").await.body);
    assert_eq!(attributes(&page, "#route input[name=after]", "value"), ["15m"]);
    assert_eq!(
        attributes(&page, "#route input[checked]", "name"),
        ["channel_ops", "day_saturday", "escalate_boss"]
    );
    let revision = attributes(&page, "#route input[name=revision]", "value").swap_remove(0);
    let hostile = "</h1><script>alert(1)</script>";
    let fields = [
        ("place", "0"),
        ("revision", &revision),
        ("name", hostile),
        ("channel_boss", "1"),
        ("hosts", hostile),
    ];
    assert_eq!(form(site, boss, "/alerts/routes", &fields).await.status, StatusCode::SEE_OTHER);
    for page in ["/alerts/routes", "/alerts/routes/2"] {
        let body = get(site, boss, page).await.body;
        assert!(!body.contains("<script>alert") && body.contains("alert(1)"), "{page}: {body}");
    }
    let names = async || {
        let list: Value = serde_json::from_str(&get(site, boss, url).await.body).unwrap();
        let names = list["routes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|route| route["channels"][0].as_str().unwrap().to_owned());
        (names.collect::<Vec<_>>(), list["revision"].as_u64().unwrap().to_string())
    };
    let (before, revision) = names().await;
    assert_eq!(before, ["ops", "boss"]);
    let press = async |what: &str, place: &str, revision: &str| {
        let fields = [("place", place), ("revision", revision), ("do", what), ("channel_ops", "1")];
        form(site, boss, "/alerts/routes", &fields).await.status
    };
    assert_eq!(press("up", "2", &revision).await, StatusCode::SEE_OTHER);
    assert_eq!(press("down", "1", &revision).await, StatusCode::CONFLICT, "somebody else was faster");
    let (moved, revision) = names().await;
    assert_eq!(moved, ["boss", "ops"]);
    assert_eq!(press("remove", "1", &revision).await, StatusCode::SEE_OTHER);
    assert_eq!(names().await.0, ["ops"]);
    for place in ["0", "9", "x", "-1", "99999999999999999999999"] {
        assert_eq!(
            get(site, boss, &format!("/alerts/routes/{place}")).await.status,
            StatusCode::NOT_FOUND,
            "{place}"
        );
    }
    let (_, revision) = names().await;
    assert_eq!(press("save", "7", &revision).await, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_are_a_list_that_administrators_of_every_host_change_in_json_and_in_forms() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = site(folder.path()).await;
    let (boss, url) = (all(Role::Administrator), "/api/v1/alerts/routes");
    for id in ["ops", "boss"] {
        let body = json!({"name": id, "means": {"kind": "webhook", "url": "https://a.example/"}});
        send(&site, &boss, "PUT", &format!("/api/v1/alerts/channels/{id}"), &body).await;
    }
    for who in [all(Role::Operator), own(Role::Administrator)] {
        assert_eq!(send(&site, &who, "PUT", url, &json!({"routes": []})).await.0, StatusCode::FORBIDDEN);
        assert_eq!(get(&site, &who, "/alerts/routes").await.status, StatusCode::FORBIDDEN);
    }
    let routes = json!([{"name": "nights", "matcher": {"severity": "critical"}, "channels": ["ops"],
        "escalate": {"after": "15m", "channels": ["boss"]},
        "quiet": {"hours": {"zone": "UTC", "days": ["saturday"], "from": "22:00", "until": "07:00"}}}]);
    let (status, saved) = send(&site, &boss, "PUT", url, &json!({"routes": routes, "revision": 0})).await;
    assert_eq!(
        (status, &saved["routes"][0]["escalate"]["after"]),
        (StatusCode::OK, &json!("15m")),
        "{saved}"
    );
    let stale = json!({"routes": [], "revision": 0});
    assert_eq!(send(&site, &boss, "PUT", url, &stale).await.0, StatusCode::CONFLICT);
    let unknown = json!({"routes": [{"channels": ["nosuch"]}]});
    let (status, refused) = send(&site, &boss, "PUT", url, &unknown).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(refused["error"].as_str().unwrap().contains("no channel"), "{refused}");
    let (status, _) = send(&site, &boss, "DELETE", "/api/v1/alerts/channels/boss", &json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT, "a route leads there");
    routes_are_changed_in_forms(&site, &boss, url).await;
    a_wrong_time_stays_in_the_form_of_a_route(&site, &boss, url).await;
}

/// What was typed stays beside it, and it is in the way of no other button.
async fn a_wrong_time_stays_in_the_form_of_a_route(site: &Site, boss: &Person, url: &str) {
    let list: Value = serde_json::from_str(&get(site, boss, url).await.body).unwrap();
    assert_eq!(list["routes"].as_array().unwrap().len(), 1);
    let revision = list["revision"].as_u64().unwrap().to_string();
    let mut fields = vec![
        ("place", "1"),
        ("revision", revision.as_str()),
        ("name", "nights"),
        ("hosts", "db-*"),
        ("channel_ops", "1"),
        ("day_sunday", "1"),
        ("from", "22:00"),
        ("until", "07:00"),
        ("after", "soon"),
        ("escalate_boss", "1"),
    ];
    let answer = form(site, boss, "/alerts/routes", &fields).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let page = Html::parse_document(&answer.body);
    let values = |name: &str| attributes(&page, &format!("#route input[name={name}]"), "value");
    assert_eq!(["name", "hosts", "after"].map(values).concat(), ["nights", "db-*", "soon"]);
    assert_eq!(
        attributes(&page, "#route input[checked]", "name"),
        ["channel_ops", "day_sunday", "escalate_boss"]
    );
    fields.push(("do", "remove"));
    assert_eq!(form(site, boss, "/alerts/routes", &fields).await.status, StatusCode::SEE_OTHER);
    let list: Value = serde_json::from_str(&get(site, boss, url).await.body).unwrap();
    assert_eq!(list["routes"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn silences_routes_and_acknowledgements_are_made_in_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let (_broker, site) = site(folder.path()).await;
    let server = serve_site(site).await;
    let run =
        async |arguments: &[&str]| said(&[&["alert"], arguments, &["--server", &server]].concat()).await;
    assert_eq!(run(&["ack", "0a01", "--why", "I look"]).await, "The alert 0a01 is acknowledged\n");
    let open = run(&["list"]).await;
    assert!(open.contains("0a01") && open.contains("ACKNOWLEDGED"), "{open}");
    assert_eq!(run(&["ack", "0a01", "--withdraw"]).await, "The alert 0a01 is no longer acknowledged\n");
    let added = run(&["silence", "add", "--host", "own-*", "--for", "2h", "--why", "an exchange"]).await;
    let id = added.split(' ').nth(2).unwrap();
    assert_eq!(added, format!("The silence {id} is added\n"));
    run(&[
        "silence",
        "add",
        "--rule",
        "busy",
        "--weekly",
        "22:00-07:00",
        "--day",
        "saturday",
        "--why",
        "backup",
    ])
    .await;
    let listed = run(&["silence", "list"]).await;
    assert!(listed.contains(id) && listed.contains("weekly 22:00-07:00 UTC"), "{listed}");
    for said in ["UTC on saturday", "ABOUT", "host own-*", "rule busy"] {
        assert!(listed.contains(said), "{said}: {listed}");
    }
    assert_eq!(run(&["silence", "end", id]).await, format!("The silence {id} is over\n"));
    let file = folder.path().join("routes.json");
    std::fs::write(&file, r#"{"routes": []}"#).unwrap();
    assert_eq!(run(&["route", "set", "--file", file.to_str().unwrap()]).await, "The routes are saved\n");
    assert!(run(&["route", "list"]).await.contains("\"routes\":[]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_of_a_message_leads_to_a_form_that_acknowledges_what_it_stands_for() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = site(folder.path()).await;
    let operator = all(Role::Operator);
    let one = get(&site, &operator, "/alerts/acknowledge?alert=0a01").await;
    assert_eq!(
        (one.status, one.headers["location"].to_str().unwrap()),
        (StatusCode::SEE_OTHER, "/alerts/0a01#acknowledge")
    );
    let page =
        Html::parse_document(&get(&site, &operator, "/alerts/acknowledge?host=own-1&rule=busy").await.body);
    assert_eq!(texts(&page, "#acknowledge button"), ["Acknowledge 1"]);
    let nothing = Html::parse_document(&get(&site, &operator, "/alerts/acknowledge").await.body);
    assert!(texts(&nothing, "#acknowledge button").is_empty(), "nobody means all of the fleet");
    let page = Html::parse_document(&get(&site, &operator, "/alerts").await.body);
    assert_eq!(texts(&page, "#alerts td.user"), ["Acknowledge", "Acknowledge"], "a GET changes nothing");
    for (fields, left) in [(vec![("why", "x")], 2), (vec![("host", "own-1"), ("rule", "busy")], 1)] {
        let answer = form(&site, &operator, "/alerts/acknowledge", &fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        let page = Html::parse_document(&get(&site, &operator, "/alerts").await.body);
        let waiting =
            texts(&page, "#alerts td.user").into_iter().filter(|text| text == "Acknowledge").count();
        assert_eq!(waiting, left);
    }
    let hidden = form(&site, &own(Role::Operator), "/alerts/acknowledge", &[("host", "other-1")]).await;
    assert_eq!(hidden.status, StatusCode::SEE_OTHER);
    let page = Html::parse_document(&get(&site, &operator, "/alerts?host=other-1").await.body);
    assert_eq!(texts(&page, "#alerts td.user"), ["Acknowledge"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_button_acknowledges_what_its_page_had_and_says_when_that_is_not_all() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = site(folder.path()).await;
    let operator = all(Role::Operator);
    let url = "/alerts/acknowledge?rule=busy";
    let page = Html::parse_document(&get(&site, &operator, url).await.body);
    let mut seen = attributes(&page, "#acknowledge input[name=alert]", "value");
    seen.sort();
    assert_eq!(seen, ["0a01", "0b02"]);
    // The ingestor lags: the snapshot that raised it came before those that raised the others.
    let mut later = transition("own-1", "perl", Change::Raised);
    later.change.alert.id = "0c03".to_owned();
    later.decided_at_us = 0;
    site.shared.alerts.take(later);
    let named = seen.iter().map(|id| ("alert", id.as_str()));
    let fields: Vec<_> = [("rule", "busy")].into_iter().chain(named).collect();
    let answer = form(&site, &operator, "/alerts/acknowledge", &fields).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let page = Html::parse_document(&get(&site, &operator, url).await.body);
    assert_eq!(texts(&page, "#acknowledge button"), ["Acknowledge 1"]);
    for number in 0..600 {
        let mut raised = transition("own-1", &format!("java-{number}"), Change::Raised);
        raised.change.alert.id = format!("{number:04x}");
        site.shared.alerts.take(raised);
    }
    let page = Html::parse_document(&get(&site, &operator, url).await.body);
    assert_eq!(texts(&page, "#acknowledge button"), ["Acknowledge 500 of 601"]);
    let named = attributes(&page, "#acknowledge input[name=alert]", "value");
    assert_eq!(named.len(), 500);
    let one = form(&site, &operator, "/alerts/acknowledge", &[("alert", named[0].as_str())]).await;
    assert_eq!(one.status, StatusCode::SEE_OTHER, "{}", one.body);
    let page = Html::parse_document(&get(&site, &operator, url).await.body);
    assert_eq!(texts(&page, "#acknowledge button"), ["Acknowledge 500 of 600"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_acknowledge_an_alert_is_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = site(folder.path()).await;
    let mut half = own(Role::Operator);
    half.grants.extend(all(Role::Viewer).grants);
    let page = Html::parse_document(&get(&site, &half, "/alerts").await.body);
    let mut shown = texts(&page, "#alerts td.user");
    shown.sort();
    assert_eq!(shown, ["Acknowledge", "nobody"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_of_hosts_is_shown_to_those_who_see_all_groups_of_its_silence() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = site(folder.path()).await;
    let both = |role: Role| {
        let mut both = own(role);
        both.grants.extend(person(role, Some("other"), false).grants);
        both
    };
    let pattern = json!({"matcher": {"hosts": ["oth*"]}, "for": "2h", "why": "x"});
    let (status, silence) = send(&site, &both(Role::Operator), "POST", SILENCES, &pattern).await;
    assert_eq!((status, &silence["within"]), (StatusCode::OK, &json!(["other", "own"])), "{silence}");
    assert_eq!(listed(&site, &both(Role::Viewer)).await.len(), 1);
    assert!(listed(&site, &own(Role::Viewer)).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_before_a_window_was_made_is_not_counted_as_muted() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = site(folder.path()).await;
    let mut told = transition("own-1", "perl", Change::Raised);
    told.change.alert.id = "0c03".to_owned();
    site.shared.alerts.take(told);
    // From midnight to midnight, every day: nobody means that.
    let always = json!({"zone": "UTC", "from": "00:00", "until": "00:00"});
    let refused = json!({"matcher": {"rules": ["busy"]}, "weekly": always, "why": "x"});
    assert_eq!(
        send(&site, &all(Role::Operator), "POST", SILENCES, &refused).await.0,
        StatusCode::BAD_REQUEST
    );
    // Today and tomorrow.
    let today = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC).date();
    let days = [today, today.tomorrow().unwrap()].map(|day| day.strftime("%A").to_string().to_lowercase());
    let weekly = json!({"zone": "UTC", "days": days, "from": "00:00", "until": "00:00"});
    let window = json!({"matcher": {"rules": ["busy"]}, "weekly": weekly, "why": "x"});
    let (status, window) = send(&site, &all(Role::Operator), "POST", SILENCES, &window).await;
    assert_eq!((status, &window["muted"]), (StatusCode::OK, &json!(2)), "{window}");
    assert_eq!(listed(&site, &all(Role::Operator)).await, [window]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_hears_of_what_is_acknowledged_on_another_server() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = site(folder.path()).await;
    let (viewer, client) = (all(Role::Viewer), site.shared.broker.clone().unwrap());
    let records = Records::new(client.clone());
    let mut changed = site.shared.alerts.watch();
    get(&site, &viewer, "/alerts").await;
    let mut following = None;
    for (alert, who) in [("0a01", "berta"), ("0b02", "carla")] {
        let by = Acknowledgement { who: who.to_owned(), why: String::new(), at_us: 1 };
        assert!(records.acknowledge(alert, &by).await.unwrap());
        following.get_or_insert_with(|| {
            let acknowledged = site.shared.acknowledged.clone();
            let alerts = site.shared.alerts.clone();
            tokio::spawn(acknowledged.follow(client.clone(), alerts, CancellationToken::new()))
        });
        let hears = async {
            loop {
                changed.changed().await.unwrap();
                if get(&site, &viewer, "/alerts").await.body.contains(who) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, hears).await.expect("the page does not hear of it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_form_is_said_by_the_labels_of_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, mut site) = site(folder.path()).await;
    site.shared.notify_allowed = Some(Allowed::default());
    site.router = crate::described::router(site.shared.clone());
    let administrator = all(Role::Administrator);
    let weekly =
        [("repeat", "weekly"), ("rules", "x"), ("from", "22:00"), ("until", "07:00"), ("zone", "Mars")];
    let mail =
        [("kind", "mail"), ("id", "ops"), ("name", "Ops"), ("server", "mx.example"), ("from", "nobody")];
    let route = [("do", "save"), ("place", "0"), ("revision", "0")];
    for (url, fields, label) in [
        ("/alerts/silences", &[weekly.as_slice(), &[("why", "w")]].concat(), "Time zone: "),
        ("/alerts/silences", &vec![("for", "soon"), ("why", "w")], "For: "),
        ("/alerts/channels", &mail.to_vec(), "From: "),
        ("/alerts/routes", &route.to_vec(), "Channels: "),
    ] {
        let refused = form(&site, &administrator, url, fields).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{url}");
        let said = texts(&Html::parse_document(&refused.body), ".problem");
        assert!(said[0].starts_with(label) && !said[0].contains('`'), "{url}: {said:?}");
    }
    // What the settings do not allow is told as soon as it is saved.
    let program =
        [("kind", "command"), ("id", "pager"), ("name", "Pager"), ("program", "/bin/page"), ("do", "save")];
    let saved =
        form(&site, &administrator, "/alerts/channels", &[program.as_slice(), &[("revision", "0")]].concat())
            .await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.body);
    let page = get(&site, &administrator, "/alerts/channels/pager").await;
    let said = texts(&Html::parse_document(&page.body), "#obstacle");
    assert!(said[0].contains("/bin/page is none of the programs"), "{said:?}");
}
