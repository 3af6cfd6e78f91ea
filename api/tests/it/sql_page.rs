//! The console in a browser and over HTTP.

use std::{path::Path, sync::Arc};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use fantoccini::Locator;
use fleetps::testing::console::{Console, EXAMPLES};
use fleetps_ingestor::history::Scope;
use futures_util::FutureExt;
use scraper::Html;
use serde_json::json;

use crate::{
    browser::Browser,
    console::{HOSTILE, history, sql_client, until, workers},
    support::{Answer, Site, attributes, family, texts},
};

/// Takes longer than any test waits.
pub const SLOW: &str = "SELECT count(*) FROM range(1000000000) a, range(1000) b";

fn site(history: &Path) -> Site {
    let mut site = Site::with("web-1", family());
    site.shared.console = Console::new(Some(sql_client(history)));
    site.router = crate::described::router(site.shared.clone());
    site
}

fn everything() -> Arc<Scope> {
    Arc::new(Scope::everything())
}

async fn ask(site: &Site, fields: &[(&str, &str)]) -> Answer {
    site.send(site.form("/sql", fields).await).await
}

#[tokio::test]
async fn a_link_brings_the_text_and_a_click_the_answer() {
    let (_data, history) = history();
    let site = site(&history);
    let page = site.page("/sql?sql=SELECT+1").await;
    assert_eq!(texts(&page, "textarea"), ["SELECT 1"]);
    assert_eq!(texts(&page, "#answer").len(), 0);
    assert_eq!(texts(&page, ".examples button").len(), EXAMPLES.len());
    assert!(texts(&page, ".limits")[0].contains("at most 10,000 rows"));

    let answer = ask(&site, &[("sql", "SELECT pid, name, NULL AS nothing FROM process ORDER BY pid")]).await;
    let page = Html::parse_document(&answer.body);
    assert_eq!(texts(&page, "#answer th"), ["pid", "name", "nothing"]);
    let cells = texts(&page, "#answer td");
    assert_eq!(cells[..3], ["1", "init", "NULL"]);
    assert!(cells[4].starts_with("=1+1<img src=x onerror=alert(1)>␛[31m‹U+202E›"), "{}", cells[4]);
    assert_eq!(texts(&page, "img").len(), 0);
    assert!(texts(&page, "#summary")[0].starts_with("2 rows; "));
    assert_eq!(attributes(&page, "input[name=sql]", "value")[0], texts(&page, "textarea")[0]);
    let csv = ask(&site, &[("sql", "SELECT name FROM process ORDER BY pid"), ("format", "csv")]).await;
    assert_eq!(csv.headers["content-disposition"], "attachment; filename=\"answer.csv\"");
    assert!(csv.body.starts_with("name\ninit\n'=1+1"), "{}", csv.body);
}

#[tokio::test]
async fn a_refused_question_keeps_its_text_and_says_where() {
    let (_data, history) = history();
    let site = site(&history);
    let answer = ask(&site, &[("sql", "SELECT nosuch FROM process")]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let page = Html::parse_document(&answer.body);
    assert_eq!(texts(&page, "textarea"), ["SELECT nosuch FROM process"]);
    assert!(texts(&page, ".refused")[0].contains("look at line 1, column 8"));
    let site = Site::new();
    let none = site.send(site.form("/sql", &[("sql", "SELECT 1")]).await).await;
    assert_eq!(none.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_time_and_hosts_choose_segments_and_stay_in_the_page_its_link_and_its_answers() {
    let (_data, history) = history();
    let site = site(&history);
    let link = "/sql?sql=SELECT+1&from=2025-11-21T08:00:00Z&to=2025-11-21T09:00:00Z&hosts=web-1";
    let page = site.page(link).await;
    let fields = |page: &Html| attributes(page, "#sql-from, #sql-to, #sql-hosts", "value");
    assert_eq!(fields(&page), ["2025-11-21 08:00:00", "2025-11-21 09:00:00", "web-1"]);
    let asked = [
        ("sql", "SELECT count(*) FROM host_sample"),
        ("zone", "Europe/Berlin"),
        ("from", "2025-11-21 09:00"),
        ("to", "2025-11-21 10:00"),
        ("hosts", "web-1, <b>"),
    ];
    let wrong = ask(&site, &asked).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let answer = Html::parse_document(&ask(&site, &asked[..4]).await.body);
    let summary = &texts(&answer, "#summary")[0];
    assert!(summary.contains("; attached 2 of 2 segments: from 2025-11-21 08:00:00"), "{summary}");
    assert_eq!(fields(&answer)[..2], ["2025-11-21 09:00:00", "2025-11-21 10:00:00"]);
    let links = attributes(&answer, ".sql a", "href");
    assert!(links[0].ends_with("&from=2025-11-21T08:00:00Z&to=2025-11-21T09:00:00Z"), "{links:?}");
    let typo = ask(&site, &[("sql", "SELECT 1"), ("from", "yesterdy")]).await;
    assert_eq!(typo.status, StatusCode::BAD_REQUEST);
    let typo = Html::parse_document(&typo.body);
    assert_eq!((fields(&typo)[0].as_str(), texts(&typo, "#sql-from-wrong").len()), ("yesterdy", 1));
    assert_eq!(texts(&typo, "textarea"), ["SELECT 1"]);

    let post = |query: &str| {
        let request = Request::post(format!("/api/v1/sql{query}")).header("host", "localhost");
        site.send(request.header("content-type", "text/plain").body(Body::from("SELECT 1")).unwrap())
    };
    let whole: serde_json::Value = serde_json::from_str(&post("").await.body).unwrap();
    assert_eq!(whole["segments"], json!({"attached": 2, "of": 2, "from": null, "to": null}));
    let other: serde_json::Value =
        serde_json::from_str(&post("?from=2025-10-01T00:00:00Z&to=2025-10-02T00:00:00Z").await.body).unwrap();
    assert_eq!((&other["segments"]["attached"], &other["segments"]["of"]), (&json!(0), &json!(2)));
    assert_eq!(post("?from=now&to=-1h").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn every_example_runs() {
    let (_data, history) = history();
    let site = site(&history);
    for example in EXAMPLES {
        let answer = ask(&site, &[("sql", example.sql)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}: {}", example.question, answer.body);
    }
}

#[tokio::test]
async fn json_and_csv_are_answered_to_programs() {
    let (_data, history) = history();
    let site = site(&history);
    let post = |kind: &str, body: String| {
        let request = Request::post("/api/v1/sql").header("host", "localhost").header("content-type", kind);
        site.send(request.body(Body::from(body)).unwrap())
    };
    let asked = json!({"sql": "SELECT name, count(*) AS n, max(captured_at) AS last FROM process_sample \
        JOIN process USING (host, boot_id, pid, started_at) GROUP BY name ORDER BY name DESC"});
    let answer = post("application/json", asked.to_string()).await;
    let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(answer["columns"][1], json!({"name": "n", "type": "BIGINT"}));
    assert_eq!((&answer["rows"][1][0], &answer["rows"][1][1]), (&json!(HOSTILE), &json!(4)));
    assert!(answer["rows"][0][2].as_str().unwrap().starts_with("2025-11-21T08:30:40"));
    assert_eq!(
        (&answer["row_count"], &answer["cut_by"], &answer["incomplete"]),
        (&json!(2), &json!(null), &json!([]))
    );
    assert_eq!(answer["history_to"], "2025-11-21T08:30:40.000000Z");
    assert_eq!(answer["limits"]["seconds"], 10);
    assert_eq!(post("text/plain", "SELECT 1".to_owned()).await.status, StatusCode::OK);
    for (kind, body, error) in [
        ("application/json", "{}", "no text `sql`"),
        ("application/json", "SELECT 1", "not JSON"),
        ("text/plain", "DROP VIEW process", "single SELECT"),
    ] {
        let refused = post(kind, body.to_owned()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.body.contains(error) && refused.body.contains("hint"), "{}", refused.body);
    }
}

#[tokio::test]
async fn a_page_of_another_site_cannot_ask() {
    let (_data, history) = history();
    let site = site(&history);
    for (name, value) in
        [("sec-fetch-site", "cross-site"), ("origin", "http://example.com"), ("origin", "null")]
    {
        let mut request = site.form("/sql", &[("sql", "SELECT 1")]).await;
        request.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(site.send(request).await.status, StatusCode::FORBIDDEN, "{name}: {value}");
    }
    let mut own = site.form("/sql", &[("sql", "SELECT 1")]).await;
    own.headers_mut().insert("origin", "http://localhost".parse().unwrap());
    assert_eq!(site.send(own).await.status, StatusCode::OK);
}

#[tokio::test]
async fn four_may_ask_and_the_fifth_is_refused() {
    let (_data, history) = history();
    let console = site(&history).shared.console;
    let mut asking: Vec<_> =
        (0..4).map(|_| Box::pin(console.ask("anna", everything(), SLOW.to_owned()))).collect();
    for asking in &mut asking {
        assert!(asking.now_or_never().is_none());
    }
    let refusal = console.ask("anna", everything(), SLOW.to_owned()).await.unwrap_err();
    assert_eq!(refusal.status, StatusCode::TOO_MANY_REQUESTS);
    drop(asking);
    console.ask("anna", everything(), "SELECT 1".to_owned()).await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn while_one_is_answered_everything_else_goes_on_until_it_is_cancelled() {
    let (_data, history) = history();
    let site = Arc::new(site(&history));
    let ask_slowly = || {
        let site = Arc::clone(&site);
        tokio::spawn(async move { ask(&site, &[("sql", SLOW)]).await })
    };
    let asking = ask_slowly();
    until("it is asked", || !workers(&history).is_empty());
    assert_eq!(site.get("/api/v1/hosts").await.status, StatusCode::OK);
    assert_eq!(workers(&history).len(), 1);
    let page = site.send(site.form("/sql/cancel", &[("sql", SLOW)]).await).await;
    assert_eq!(texts(&Html::parse_document(&page.body), "textarea"), [SLOW]);
    let answer = asking.await.unwrap();
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.body.contains("was cancelled"), "{}", answer.body);
    // The browser went elsewhere.
    let asking = ask_slowly();
    until("it is asked", || !workers(&history).is_empty());
    asking.abort();
    until("its process is gone", || workers(&history).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser_an_example_is_one_click_away_with_and_without_scripts() {
    for scripts in [true, false] {
        let (_data, history) = history();
        let Some(browser) = Browser::open(site(&history), scripts).await else { return };
        browser.go("/sql").await;
        browser.click(".examples button").await;
        browser.client.wait().for_element(Locator::Css("#answer td")).await.unwrap();
        let summary = browser.client.find(Locator::Css("#summary")).await.unwrap().text().await.unwrap();
        assert!(summary.starts_with("2 rows; "), "{summary}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser_a_question_is_cancelled_and_its_text_stays() {
    let (_data, history) = history();
    let Some(browser) = Browser::open(site(&history), true).await else { return };
    browser.go("/sql").await;
    // In one script: the driver carries out no other while a page is on its way.
    let click = |button: &str, after_ms: u32| {
        format!("setTimeout(() => document.querySelector('{button}').click(), {after_ms});")
    };
    let text = format!("document.getElementById('sql').value = {SLOW:?};");
    // Watched from before on: the driver may come back only when all of it is over.
    let watching = tokio::task::spawn_blocking({
        let history = history.clone();
        move || until("it is asked", || !workers(&history).is_empty())
    });
    browser.run(&(text + &click(".main", 0) + &click("[formaction]", 3000))).await;
    watching.await.unwrap();
    until("its process is gone", || workers(&history).is_empty());
    browser.until("return document.getElementById('sql').value", json!(SLOW)).await;
    let refused = "return document.querySelectorAll('.refused, #answer').length";
    browser.until(refused, json!(0)).await;
}
