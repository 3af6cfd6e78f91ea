//! What alerts and their rules must not tell: command lines, by filters that ask for them. And who may remove what.

use axum::http::StatusCode;
use fleetps::testing::auth::{Grant, Person, Role};
use fleetps_ingestor::alerts::{Change, SavedRule, Severity, open_rules};
use serde_json::{Value, json};

use crate::{
    alerts::{get, send, transition, with_broker},
    authz::person,
};

/// A filter that asks for command lines.
const ASKS: &str = "count > 0 where cmd:hunter2";

/// An operator of everything, who sees command lines only on the hosts of `own`.
fn half_blind() -> Person {
    let mut person = person(Role::Operator, None, true);
    person.grants.push(Grant {
        role: Role::Viewer,
        groups: Some(["own".to_owned()].into()),
        hides_command_lines: false,
    });
    person
}

#[tokio::test]
async fn a_rule_asks_for_command_lines_only_where_its_author_may_see_them() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = with_broker(folder.path()).await;
    let half_blind = half_blind();
    let put = async |person: &Person, body: &Value| {
        send(&site, person, "PUT", "/api/v1/alerts/rules/mine", body).await
    };
    for sentence in [
        ASKS,
        // Words are looked for in command lines, too.
        "count > 0 where hunter2",
        "cpu > 1 over program where not (name:a or cmd ~ ^x)",
    ] {
        let (status, refused) = put(&half_blind, &json!({"sentence": sentence})).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{sentence}: {refused}");
        assert!(refused["error"].as_str().unwrap().contains("command lines"), "{refused}");
        let both = json!({"sentence": sentence, "groups": ["own", "other"]});
        assert_eq!(put(&half_blind, &both).await.0, StatusCode::FORBIDDEN, "{sentence}");
    }
    let (status, _) = put(&half_blind, &json!({"sentence": "count > 0 where name:hunter2"})).await;
    assert_eq!(status, StatusCode::OK);
    let (status, saved) = put(&half_blind, &json!({"sentence": ASKS, "groups": ["own"]})).await;
    assert_eq!((status, &saved["sentence"]), (StatusCode::OK, &json!(ASKS)));
    // Somebody else does not see what it asks for, and cannot make it theirs.
    let blind = person(Role::Operator, Some("own"), true);
    for url in ["/api/v1/alerts/rules", "/alerts/rules", "/alerts/rules/mine"] {
        let seen = get(&site, &blind, url).await.body;
        assert!(seen.contains("count") && !seen.contains("hunter2"), "{url}: {seen}");
        assert!(get(&site, &half_blind, url).await.body.contains("hunter2"), "{url}");
    }
    let cut = json!({"sentence": "count > 0 where …", "groups": ["own"]});
    assert_eq!(put(&blind, &cut).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_rule_tried_on_the_past_tells_nothing_of_withheld_command_lines() {
    let site = crate::authz::site();
    let body = json!({"sentence": ASKS, "range": "7d"});
    let told = async |hides| {
        let viewer = person(Role::Viewer, None, hides);
        let (status, answer) = send(&site, &viewer, "POST", "/api/v1/alerts/test", &body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["total"].as_u64().unwrap()
    };
    // The snapshots of that site are as old as its tests: none are within a week, so that only the blind are asked.
    assert_eq!(told(true).await, 0);
}

#[tokio::test]
async fn alerts_and_their_history_do_not_say_what_a_filter_asks_of_withheld_command_lines() {
    let site = crate::authz::site();
    let mut asking = transition("own-1", "java", Change::Raised);
    asking.change.alert.sentence = "mem > 1G over program where cmd:hunter2".to_owned();
    asking.change.alert.rule = "asking".to_owned();
    site.shared.alerts.take(asking);
    let (blind, sees) = (person(Role::Viewer, None, true), person(Role::Viewer, None, false));
    for url in ["/alerts", "/alerts/history", "/api/v1/alerts", "/api/v1/alerts/history"] {
        let told = get(&site, &blind, url).await.body;
        assert!(told.contains("over program where …"), "{url}: {told}");
        assert!(!told.contains("hunter2"), "{url}: {told}");
        assert!(get(&site, &sees, url).await.body.contains("hunter2"), "{url}");
    }
    // The value keeps its unit.
    assert!(get(&site, &blind, "/alerts?rule=asking").await.body.contains("3.00 GB"));
}

#[tokio::test]
async fn what_brings_a_built_in_rule_back_for_every_host_takes_a_grant_for_every_host() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = with_broker(folder.path()).await;
    let (all, own) = (person(Role::Operator, None, false), person(Role::Operator, Some("own"), false));
    let url = "/api/v1/alerts/rules/host-silent";
    let of_own = json!({"sentence": "silent for 9m", "groups": ["own"]});
    let (status, saved) = send(&site, &all, "PUT", url, &of_own).await;
    assert_eq!(status, StatusCode::OK, "{saved}");
    // It is for their hosts alone, so they may change it; without it, the built-in one is for all.
    assert_eq!(send(&site, &own, "PUT", url, &of_own).await.0, StatusCode::OK);
    assert_eq!(send(&site, &own, "DELETE", url, &json!({})).await.0, StatusCode::FORBIDDEN);
    assert_eq!(send(&site, &all, "DELETE", url, &json!({})).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_rule_that_was_changed_meanwhile_is_not_removed_by_the_page_of_an_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = with_broker(folder.path()).await;
    let all = person(Role::Operator, None, false);
    let put = async || {
        let body = json!({"sentence": "cpu > 90%"});
        let (_, saved) = send(&site, &all, "PUT", "/api/v1/alerts/rules/mine", &body).await;
        saved["revision"].as_u64().unwrap().to_string()
    };
    let (early, late) = (put().await, put().await);
    let remove = async |revision: &str| {
        let fields = [
            ("id", "mine"),
            ("sentence", "cpu > 90%"),
            ("remove", "1"),
            ("sure", "1"),
            ("revision", revision),
        ];
        site.send(crate::alerts::by(&all, site.form("/alerts/rules", &fields).await)).await.status
    };
    assert_eq!(remove(&early).await, StatusCode::CONFLICT);
    assert_eq!(remove(&late).await, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn what_a_sentence_of_a_later_version_asks_of_command_lines_is_withheld_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = with_broker(folder.path()).await;
    let saved = SavedRule {
        sentence: "telepathy > 5 where cmd:hunter2".to_owned(),
        severity: Severity::Info,
        enabled: true,
        groups: None,
        note: String::new(),
        changed_by: "ada".to_owned(),
        changed_at_us: 1,
    };
    let rules = open_rules(site.shared.broker.as_ref().unwrap()).await.unwrap();
    assert!(rules.create("later", &saved).await.unwrap());
    let mut raised = transition("own-1", "java", Change::Raised);
    raised.change.alert.sentence = saved.sentence;
    site.shared.alerts.take(raised);
    let (blind, sees) = (person(Role::Operator, None, true), person(Role::Operator, None, false));
    for url in ["/alerts/rules", "/alerts/rules/later", "/api/v1/alerts/rules", "/alerts", "/api/v1/alerts"] {
        let told = get(&site, &blind, url).await.body;
        assert!(told.contains("telepathy") && !told.contains("hunter2"), "{url}: {told}");
        assert!(get(&site, &sees, url).await.body.contains("hunter2"), "{url}");
    }
}

#[tokio::test]
async fn a_new_rule_takes_the_place_of_no_other_and_removing_one_is_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = with_broker(folder.path()).await;
    let all = person(Role::Operator, None, false);
    let press = async |fields: &[(&str, &str)]| {
        site.send(crate::alerts::by(&all, site.form("/alerts/rules", fields).await)).await
    };
    let rules = async || get(&site, &all, "/api/v1/alerts/rules").await.body;
    let before = rules().await;
    let new = |id| [("id", id), ("sentence", "cpu > 90%"), ("enabled", "1"), ("new", "1"), ("revision", "0")];
    let taken = press(&new("disk-full")).await;
    assert_eq!(taken.status, StatusCode::CONFLICT);
    assert!(taken.body.contains("There is a rule disk-full already") && taken.body.contains("cpu &#62; 90%"));
    assert_eq!(rules().await, before);
    assert_eq!(press(&new("mine")).await.status, StatusCode::SEE_OTHER);
    let rule: Value = serde_json::from_str(&rules().await).unwrap();
    let mine = rule["rules"].as_array().unwrap().iter().find(|rule| rule["id"] == "mine").unwrap();
    let revision = mine["revision"].to_string();
    let remove =
        [("id", "mine"), ("sentence", "cpu > 90%"), ("remove", "1"), ("revision", revision.as_str())];
    let asked = press(&remove).await;
    assert_eq!(asked.status, StatusCode::OK);
    assert!(asked.body.contains("Yes, remove") && asked.body.contains("Keep it"), "{}", asked.body);
    assert!(rules().await.contains("\"mine\""));
    assert_eq!(press(&[&remove[..], &[("sure", "1")]].concat()).await.status, StatusCode::SEE_OTHER);
    assert_eq!(rules().await, before);
}

#[tokio::test]
async fn groups_that_no_host_can_be_in_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = with_broker(folder.path()).await;
    let all = person(Role::Administrator, None, false);
    for groups in [json!([]), json!([""]), json!(["web", "a b"])] {
        let body = json!({"sentence": "cpu > 90%", "groups": groups});
        let (status, refused) = send(&site, &all, "PUT", "/api/v1/alerts/rules/mine", &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
        assert!(refused["error"].as_str().unwrap().contains("group"), "{refused}");
    }
}
