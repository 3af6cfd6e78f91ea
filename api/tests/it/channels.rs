//! Channels of notifications on pages, in JSON and in a terminal: who may see them, that secrets never come back, and what
//! became of messages.

use std::time::Duration;

use axum::http::StatusCode;
use fleetps::testing::{
    auth::{Person, Role},
    notify::{BUCKET, Channel, Courier, Notification, Outbox, Pace},
};
use fleetps_nats::{bucket::Bucket, server::ManagedServer};
use scraper::Html;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    alerts::{by, get, send, with_broker},
    authz::person,
    commands::{said, serve_site},
    notify::{receiver::Receiver, sender},
    support::{PATIENCE, Site, attributes, texts},
};

/// A text that only secrets have.
const SECRET: &str = "hunter2";
const CHANNELS: &str = "/api/v1/alerts/channels";

fn administrator() -> Person {
    person(Role::Administrator, None, false)
}

fn webhook(url: &str) -> Value {
    json!({"name": "Pager", "means": {"kind": "webhook", "url": url, "secret": SECRET}})
}

/// Delivers what is in the outbox of `site`, to receivers on this machine.
async fn deliver(site: &Site) -> Outbox {
    let client = site.shared.broker.clone().unwrap();
    let outbox = Outbox::open(&client).await.unwrap();
    let channels = Bucket::<Channel>::open(&client, BUCKET).await.unwrap().follow().await.unwrap();
    let pace = Pace { first_pause: Duration::from_millis(20), between: Duration::ZERO, ..Pace::default() };
    tokio::spawn(Courier::new(outbox.clone(), sender(), pace).run(channels, CancellationToken::new()));
    outbox
}

/// The broker, which must outlive the site, and the site.
async fn site(folder: &std::path::Path) -> (ManagedServer, Site) {
    with_broker(folder).await
}

async fn form(site: &Site, url: &str, fields: &[(&str, &str)]) -> crate::support::Answer {
    site.send(by(&administrator(), site.form(url, fields).await)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_saved_shown_without_its_secret_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = site(folder.path()).await;
    let (boss, url) = (administrator(), format!("{CHANNELS}/pager"));
    for who in [person(Role::Operator, None, false), person(Role::Administrator, Some("own"), false)] {
        assert_eq!(
            send(&site, &who, "PUT", &url, &webhook("https://a.example/x")).await.0,
            StatusCode::FORBIDDEN
        );
        assert_eq!(get(&site, &who, "/alerts/channels").await.status, StatusCode::FORBIDDEN);
        assert!(!get(&site, &who, "/alerts").await.body.contains("/alerts/channels"));
    }
    let (status, saved) = send(&site, &boss, "PUT", &url, &webhook("https://a.example/x")).await;
    assert_eq!((status, &saved["has_secret"]), (StatusCode::OK, &json!(true)), "{saved}");
    assert_eq!(saved["means"], json!({"kind": "webhook", "url": "https://a.example/x", "authority": null}));
    // Without a secret it keeps the one that it has, as long as it goes to the same receiver.
    for (to, keeps) in [("https://a.example/x", true), ("https://b.example/x", false)] {
        let mut again = webhook(to);
        again["means"].as_object_mut().unwrap().remove("secret");
        let (_, saved) = send(&site, &boss, "PUT", &url, &again).await;
        assert_eq!(saved["has_secret"], keeps, "{saved}");
    }
    let (_, saved) = send(&site, &boss, "PUT", &url, &webhook("https://a.example/x")).await;
    let stale = json!({"revision": saved["revision"].as_u64().unwrap() + 9});
    let mut body = webhook("https://a.example/x");
    body.as_object_mut().unwrap().extend(stale.as_object().unwrap().clone());
    assert_eq!(send(&site, &boss, "PUT", &url, &body).await.0, StatusCode::CONFLICT);
    for page in ["/alerts/channels", "/alerts/channels/pager", CHANNELS, &url, "/alerts"] {
        let answer = get(&site, &boss, page).await;
        assert_eq!(answer.status, StatusCode::OK, "{page}: {}", answer.body);
        assert!(!answer.body.contains(SECRET), "{page}");
        assert!(page == "/alerts" || answer.body.contains("pager"), "{page}");
    }
    let other = json!({"name": "Mail", "fallback": "pager", "means": {"kind": "slack_webhook", "url": "https://hooks.example/hunter2"}});
    let (status, saved) = send(&site, &boss, "PUT", &format!("{CHANNELS}/chat"), &other).await;
    assert_eq!(status, StatusCode::OK, "{saved}");
    assert!(!saved.to_string().contains(SECRET));
    assert_eq!(
        send(&site, &boss, "DELETE", &url, &json!({})).await.0,
        StatusCode::CONFLICT,
        "chat falls back to it"
    );
    assert_eq!(send(&site, &boss, "DELETE", &format!("{CHANNELS}/chat"), &json!({})).await.0, StatusCode::OK);
    let (status, left) = send(&site, &boss, "DELETE", &url, &json!({})).await;
    assert_eq!((status, &left["channels"]), (StatusCode::OK, &json!([])));
    assert_eq!(send(&site, &boss, "DELETE", &url, &json!({})).await.0, StatusCode::NOT_FOUND);
    let audited = async {
        loop {
            let audit = get(&site, &boss, "/api/v1/audit?action=channel&range=1h").await.body;
            if audit.contains("pager: none → Pager (webhook to https://a.example), with a new secret")
                && audit.contains("channel.remove")
            {
                assert!(!audit.contains(SECRET), "{audit}");
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, audited).await.expect("the changes are not in the audit");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_channel_is_refused_by_the_field_in_json_and_stays_in_the_form() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = site(folder.path()).await;
    for (id, body, expected) in [
        ("pager", json!({"name": "x"}), "missing field `means`"),
        ("pager", json!({"name": "x", "means": {"kind": "pigeon"}}), "pigeon"),
        ("pager", webhook("ftp://a.example"), "url: expected an address"),
        ("Pager!", webhook("https://a.example/"), "id: expected"),
        (
            "pager",
            json!({"name": "x", "fallback": "pager", "means": {"kind": "webhook", "url": "https://a.example/"}}),
            "fallback: expected",
        ),
        (
            "pager",
            json!({"name": "x", "means": {"kind": "slack_token", "conversation": "C01"}}),
            "token: is missing",
        ),
    ] {
        let (status, refused) =
            send(&site, &administrator(), "PUT", &format!("{CHANNELS}/{}", id.replace('!', "%21")), &body)
                .await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
        assert!(refused["error"].as_str().unwrap().contains(expected), "{refused}");
    }
    let hostile = "\"><script>alert(1)</script>";
    let fields = [
        ("kind", "mail"),
        ("id", "ops"),
        ("name", hostile),
        ("server", hostile),
        ("password", SECRET),
        ("tls", "none"),
        ("from", "a@b.example"),
        ("to", "c@d.example\r\nnobody"),
        ("do", "save"),
    ];
    let answer = form(&site, "/alerts/channels", &fields).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(!answer.body.contains("<script>alert") && !answer.body.contains(SECRET), "{}", answer.body);
    let page = Html::parse_document(&answer.body);
    assert_eq!(attributes(&page, "input[name=server]", "value"), [hostile]);
    assert_eq!(texts(&page, "select[name=tls] option[selected]"), ["none"]);
    assert!(texts(&page, "textarea[name=to]")[0].contains("nobody"));
    assert!(texts(&page, ".problem")[0].starts_with("Relay: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_what_became_of_it_and_what_could_not_be_delivered_is_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = site(folder.path()).await;
    let outbox = deliver(&site).await;
    let (receiver, address) = Receiver::start().await;
    for (id, path) in [("good", "ok"), ("gone", "gone"), ("busy", "busy")] {
        let body = webhook(&format!("{address}/{path}"));
        let saved = send(&site, &administrator(), "PUT", &format!("{CHANNELS}/{id}"), &body).await;
        assert_eq!(saved.0, StatusCode::OK, "{}", saved.1);
    }
    for (id, state) in [("good", "sent"), ("gone", "undeliverable"), ("busy", "waiting")] {
        let (status, tested) =
            send(&site, &administrator(), "POST", &format!("{CHANNELS}/{id}/test"), &json!({})).await;
        assert_eq!((status, &tested["state"]), (StatusCode::OK, &json!(state)), "{tested}");
        assert_eq!(tested["reason"].as_str().unwrap().is_empty(), state == "sent", "{tested}");
    }
    assert_eq!(receiver.at("ok")[0].json()["kind"], "test");
    let answer = form(&site, "/alerts/channels", &[("id", "good"), ("do", "test")]).await;
    assert_eq!(
        texts(&Html::parse_document(&answer.body), "#tested"),
        ["Test The receiver has the test message."]
    );
    assert_eq!(
        send(&site, &administrator(), "POST", &format!("{CHANNELS}/nosuch/test"), &json!({})).await.0,
        StatusCode::NOT_FOUND
    );
    // Undeliverable ones come first, with the reason and a way to send them again.
    let listed: Value =
        serde_json::from_str(&get(&site, &administrator(), "/api/v1/alerts/deliveries").await.body).unwrap();
    assert_eq!((&listed["total"], &listed["deliveries"][0]["state"]), (&json!(4), &json!("undeliverable")));
    let page = Html::parse_document(&get(&site, &administrator(), "/alerts/channels").await.body);
    let again = attributes(&page, ".deliveries form input[name=id]", "value");
    assert_eq!((again.len(), again[0].starts_with("gone.")), (1, true));
    assert!(
        texts(&page, ".deliveries td.said")[0].contains("410"),
        "{:?}",
        texts(&page, ".deliveries td.said")
    );
    // The receiver is mended.
    let body = webhook(&format!("{address}/ok"));
    send(&site, &administrator(), "PUT", &format!("{CHANNELS}/gone"), &body).await;
    let answer = form(&site, "/alerts/deliveries", &[("id", &again[0])]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let arrived = async {
        while receiver.at("ok").len() < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, arrived).await.expect("it was not sent again");
    for id in [again[0].as_str(), "nosuch", "..", "a b", ">", ""] {
        let answer = form(&site, "/alerts/deliveries", &[("id", id)]).await;
        assert!(
            [StatusCode::NOT_FOUND, StatusCode::SEE_OTHER].contains(&answer.status),
            "{id}: {}",
            answer.body
        );
        assert!(id == again[0] || answer.status == StatusCode::NOT_FOUND, "{id}");
    }
    hostile_names_stay_text(&site, &outbox).await;
    nothing_is_sent_again_to_a_removed_channel(&site, &format!("{address}/gone")).await;
}

/// What a channel could not deliver stays listed when that is removed, but nobody would send it.
async fn nothing_is_sent_again_to_a_removed_channel(site: &Site, address: &str) {
    let (boss, url) = (administrator(), format!("{CHANNELS}/late"));
    send(site, &boss, "PUT", &url, &webhook(address)).await;
    let (_, tested) = send(site, &boss, "POST", &format!("{url}/test"), &json!({})).await;
    assert_eq!(tested["state"], "undeliverable", "{tested}");
    let listed = get(site, &boss, "/api/v1/alerts/deliveries?channel=late").await.body;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let id = listed["deliveries"][0]["id"].as_str().unwrap();
    let again = format!("/api/v1/alerts/deliveries/{id}/again");
    assert_eq!(send(site, &boss, "DELETE", &url, &json!({})).await.0, StatusCode::OK);
    let (status, refused) = send(site, &boss, "POST", &again, &json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("no channel"), "{refused}");
}

/// What hosts say stays text in the list of deliveries.
async fn hostile_names_stay_text(site: &Site, outbox: &Outbox) {
    let hostile = Notification {
        title: "<script>alert(1)</script>\u{202e}".to_owned(),
        ..Notification::test("h".to_owned(), "a", String::new(), 1)
    };
    outbox.put("good", &hostile, None).await.unwrap();
    let shown = async {
        loop {
            let body = get(site, &administrator(), "/alerts/channels").await.body;
            if body.contains("alert(1)") {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let body = tokio::time::timeout(PATIENCE, shown).await.unwrap();
    assert!(!body.contains("<script>alert") && !body.contains('\u{202e}'), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_are_managed_in_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let (_broker, site) = site(folder.path()).await;
    let _outbox = deliver(&site).await;
    let (_receiver, address) = Receiver::start().await;
    let file = folder.path().join("pager.json");
    std::fs::write(&file, webhook(&format!("{address}/ok")).to_string()).unwrap();
    let server = serve_site(site).await;
    let run = async |arguments: &[&str]| {
        said(&[&["alert", "channel"], arguments, &["--server", &server]].concat()).await
    };
    assert_eq!(
        run(&["set", "pager", "--file", file.to_str().unwrap()]).await,
        "The channel pager is saved\n"
    );
    let listed = run(&["list"]).await;
    assert!(listed.contains("pager") && listed.contains("webhook") && !listed.contains(SECRET), "{listed}");
    assert_eq!(run(&["test", "pager"]).await, "The receiver has the test message\n");
    assert!(run(&["deliveries"]).await.contains("sent"));
    assert_eq!(run(&["remove", "pager"]).await, "The channel pager is removed\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_and_no_fallback_leads_to_a_heartbeat() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = site(folder.path()).await;
    let boss = administrator();
    let put = async |id: &str, body: &Value| {
        let (status, answer) = send(&site, &boss, "PUT", &format!("{CHANNELS}/{id}"), body).await;
        (status, answer["error"].as_str().unwrap_or_default().to_owned())
    };
    let route = async |channels: &[&str]| {
        let body = json!({"routes": [{"channels": channels}]});
        let (status, answer) = send(&site, &boss, "PUT", "/api/v1/alerts/routes", &body).await;
        (status, answer["error"].as_str().unwrap_or_default().to_owned())
    };
    let heartbeat =
        json!({"name": "Watcher", "means": {"kind": "heartbeat", "url": "https://watcher.example/x"}});
    assert_eq!(put("pulse", &heartbeat).await.0, StatusCode::OK);
    assert_eq!(put("pager", &webhook("https://a.example/x")).await.0, StatusCode::OK);
    let mut other = webhook("https://b.example/x");
    other["fallback"] = json!("pulse");
    for (status, error) in [put("other", &other).await, route(&["pager", "pulse"]).await] {
        assert_eq!(status, StatusCode::BAD_REQUEST, "{error}");
        assert!(error.contains("a heartbeat hears of no alert, and pulse is one"), "{error}");
    }
    // Neither form offers it.
    let page = Html::parse_document(&get(&site, &boss, "/alerts/new-route").await.body);
    assert_eq!(attributes(&page, "#route input[name^=channel_]", "name"), ["channel_pager"]);
    let page = Html::parse_document(&get(&site, &boss, "/alerts/channels/pager").await.body);
    assert_eq!(texts(&page, "select[name=fallback] option"), ["none"]);
    // No channel that alerts go to becomes one.
    assert_eq!(route(&["pager"]).await.0, StatusCode::OK);
    let refused = (StatusCode::CONFLICT, "a route leads to pager".to_owned());
    assert_eq!(put("pager", &heartbeat).await, refused);
    assert_eq!(put("other", &webhook("https://b.example/x")).await.0, StatusCode::OK);
    assert_eq!(route(&["other"]).await.0, StatusCode::OK);
    other["fallback"] = json!("pager");
    assert_eq!(put("other", &other).await.0, StatusCode::OK);
    let refused = (StatusCode::CONFLICT, "the channel other falls back to pager".to_owned());
    assert_eq!(put("pager", &heartbeat).await, refused);
    assert_eq!(put("other", &webhook("https://b.example/x")).await.0, StatusCode::OK);
    assert_eq!(put("pager", &heartbeat).await.0, StatusCode::OK);
}
