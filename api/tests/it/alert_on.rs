//! "Alert on this": from what a page shows to a rule, in two clicks.

use axum::http::StatusCode;
use fleetps::testing::auth::{Person, Role};
use scraper::Html;

use crate::{
    alerts::{by, get, with_broker},
    authz::{person, site},
    support::{Site, attributes, process, time_at},
};

async fn link(site: &Site, person: &Person, url: &str) -> Vec<String> {
    let answer = get(site, person, url).await;
    assert_eq!(answer.status, StatusCode::OK, "{url}: {}", answer.body);
    attributes(&Html::parse_document(&answer.body), "a.alert-link", "href")
}

/// The sentence and the groups of the form behind a link.
async fn proposed(site: &Site, person: &Person, link: &str) -> (String, String) {
    let answer = get(site, person, link).await;
    let form = Html::parse_document(&answer.body);
    let value =
        |name: &str| attributes(&form, &format!("form.rule input[name={name}]"), "value").swap_remove(0);
    assert!(!value("id").is_empty(), "{link}");
    (value("sentence"), value("groups"))
}

#[tokio::test]
async fn every_page_with_something_to_measure_leads_to_a_rule_about_it() {
    let site = site();
    let (all, own) = (person(Role::Operator, None, false), person(Role::Operator, Some("own"), false));
    let span = format!("from={}&to={}", time_at(0), time_at(60));
    let started = "started=2026-09-21T14:13:20Z";
    let of_host = "where host = \"own-1\"";
    for (url, sentence, groups) in [
        (
            "/search?q=worker+and+mem+%3E+1M".to_owned(),
            "count > 0 for 5m where worker and mem > 1M".to_owned(),
            "",
        ),
        ("/hosts/own-1".to_owned(), format!("cpu > 90% for 10m over process {of_host}"), ""),
        (
            "/hosts/own-1?view=program&sort=memory&q=name:worker".to_owned(),
            format!("mem > 4G for 10m over program {of_host} and (name:worker)"),
            "",
        ),
        (
            format!("/hosts/own-1/processes/1?{started}"),
            format!("cpu > 90% for 10m over program {of_host} and name = \"init\""),
            "",
        ),
        (format!("/top?{span}&by=written&group=user"), "written > 50M for 10m over user".to_owned(), ""),
        (format!("/top?{span}&group=host&host=own-1"), "cpu > 90% for 10m".to_owned(), "own"),
        (format!("/events?{span}&kind=restart_loop"), "restart_loop".to_owned(), ""),
        (
            format!("/hosts/own-1/events?{span}&kind=exited&program=init"),
            "count < 1 for 5m where name = \"init\"".to_owned(),
            "own",
        ),
    ] {
        let links = link(&site, &all, &url).await;
        assert!(!links.is_empty(), "{url}");
        assert_eq!(proposed(&site, &all, &links[0]).await, (sentence.clone(), groups.to_owned()), "{url}");
        let links = link(&site, &own, &url).await;
        assert_eq!(proposed(&site, &own, &links[0]).await, (sentence, "own".to_owned()), "{url}");
    }
    assert!(link(&site, &all, "/search").await.is_empty());
    let viewer = person(Role::Viewer, None, false);
    assert!(link(&site, &viewer, "/hosts/own-1").await.is_empty());
}

#[tokio::test]
async fn a_click_and_save_make_the_rule_whatever_the_program_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = with_broker(folder.path()).await;
    let name = "</a>\" or name ~ . <script>alert(1)</script>";
    site.tell("web-1", vec![process(10, 0, name)]);
    let operator = person(Role::Operator, None, false);
    let url = "/hosts/web-1/processes/10?started=2026-09-21T14:13:20Z";
    // A rule that none of them runs cannot name the host, and nobody means the whole fleet by it.
    assert_eq!(link(&site, &operator, url).await.len(), 2, "web-1 is in no group");
    site.shared.groups.set([("web-1".parse().unwrap(), ["web".to_owned()].into())].into());
    let links = link(&site, &operator, url).await;
    assert_eq!(links.len(), 3);
    let form = Html::parse_document(&get(&site, &operator, &links[1]).await.body);
    let names = attributes(&form, "form.rule input:not([name=form_token])", "name");
    let values = attributes(&form, "form.rule input:not([name=form_token])", "value");
    // A note has no value yet.
    let fields: Vec<(&str, &str)> =
        names.iter().map(String::as_str).zip(values.iter().map(String::as_str)).collect();
    let saved = site.send(by(&operator, site.form("/alerts/rules", &fields).await)).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.body);
    let rules: serde_json::Value =
        serde_json::from_str(&get(&site, &operator, "/api/v1/alerts/rules").await.body).unwrap();
    let sentences: Vec<&str> =
        rules["rules"].as_array().unwrap().iter().map(|rule| rule["sentence"].as_str().unwrap()).collect();
    let doubled = name.replace('"', "\"\"");
    let expected = format!("mem > 4G for 10m over program where host = \"web-1\" and name = \"{doubled}\"");
    assert!(sentences.contains(&expected.as_str()), "{sentences:?}");
}
