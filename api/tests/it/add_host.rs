//! Hosts that are added on a page: the line to paste, who waits, and who has come.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use fleetps::testing::{
    audit_log::AuditLog,
    auth::{Person, Principal, Role},
};
use fleetps_nats::{
    admission::{EnrolmentToken, TOKENS},
    audit::Audit,
    bucket::Bucket,
    hosts::{self, Admission, HostRecord},
    now_us,
    server::{ManagedServer, Part},
};
use tokio_util::sync::CancellationToken;

use crate::{
    authz::person,
    pipeline::broker,
    support::{Answer, PATIENCE, Site, attributes, family, texts},
};

/// A site with a broker, whose records it follows, and an administrator.
async fn site(folder: &std::path::Path) -> (ManagedServer, Site, Person) {
    let (server, _) = broker(folder).await;
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let mut site = Site::with("web-1", family());
    site.shared.broker = Some(client.clone());
    let history = site.folder.path().to_owned();
    site.shared.audit_log = AuditLog::open(&client, history, CancellationToken::new()).await.unwrap();
    site.router = crate::described::router(site.shared.clone());
    tokio::spawn(site.shared.host_keys.clone().follow(client, site.shared.shutdown.clone()));
    (server, site, person(Role::Administrator, None, false))
}

fn by(person: &Person, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(Principal::User(person.clone()));
    request
}

async fn page(site: &Site, person: &Person) -> Answer {
    let request = Request::get("/add-host").header("host", "localhost").body(Body::empty()).unwrap();
    site.send(by(person, request)).await
}

async fn send(site: &Site, person: &Person, path: &str, fields: &[(&str, &str)]) -> Answer {
    let request = site.form(path, fields).await;
    site.send(by(person, request)).await
}

fn html(answer: &Answer) -> scraper::Html {
    scraper::Html::parse_document(&answer.body)
}

/// Asks for the page until a column of one of its tables is so.
async fn until_column(site: &Site, person: &Person, selector: &str, expected: &[&str]) {
    let asking = async {
        while texts(&html(&page(site, person).await), selector) != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .unwrap_or_else(|_| panic!("{selector} is never {expected:?}"));
}

fn waits(network: &str) -> HostRecord {
    HostRecord {
        keys: vec!["UKEY".to_owned()],
        admission: Admission::Waiting,
        network: Some(network.to_owned()),
        ..HostRecord::in_groups(["db".to_owned()].into())
    }
}

#[tokio::test]
async fn a_token_is_made_with_its_limits_and_shown_once_in_the_line_to_paste() {
    let folder = tempfile::tempdir().unwrap();
    let (server, site, administrator) = site(folder.path()).await;
    let fields = [("uses", "3"), ("groups", "web, env=prod"), ("lasts", "1d")];
    let made = send(&site, &administrator, "/add-host", &fields).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    let line = texts(&html(&made), "#line").remove(0);
    assert!(line.starts_with("sudo fleetps-agent join http://localhost --token fpse_"), "{line}");
    assert!(made.body.contains("It admits 3 hosts, within a day."), "{}", made.body);

    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let tokens: Bucket<EnrolmentToken> = Bucket::open(&client, TOKENS).await.unwrap();
    let [(_, kept)] = tokens.all().await.unwrap().into_iter().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(kept.value.uses_left, 3);
    assert_eq!(kept.value.groups, ["env=prod", "web"].map(str::to_owned).into());
    let lasts_us = kept.value.expires_at_us - now_us();
    assert!((23 * 3_600_000_000..=24 * 3_600_000_000).contains(&lasts_us), "{lasts_us}");
    let token = line.rsplit(' ').next().unwrap();
    assert!(!page(&site, &administrator).await.body.contains(token), "it is shown again");
    let entries = Audit::open(&client).await.unwrap().read(1).await.unwrap();
    assert_eq!(entries[0].entry.action, "enrolment-token.make");
    assert!(!format!("{entries:?}").contains(token), "the audit has the token");
}

#[tokio::test]
async fn what_cannot_be_made_stays_in_the_form_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (server, site, administrator) = site(folder.path()).await;
    for (uses, groups, lasts, said) in [
        ("0", "web", "1h", "from 1 to 1,000,000"),
        ("many", "web", "1h", "from 1 to 1,000,000"),
        ("1", "<b>", "1h", "is not a group"),
        ("1", "web", "for ever", "choose one of the times"),
    ] {
        let fields = [("uses", uses), ("groups", groups), ("lasts", lasts)];
        let refused = send(&site, &administrator, "/add-host", &fields).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{fields:?}");
        let page = html(&refused);
        assert!(
            texts(&page, ".problem")[0].to_lowercase().contains(said),
            "{fields:?}: {:?}",
            texts(&page, ".problem")
        );
        let kept = attributes(&page, "main input[name=groups]", "value");
        assert_eq!(kept, [groups], "{fields:?}");
    }
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let tokens: Bucket<EnrolmentToken> = Bucket::open(&client, TOKENS).await.unwrap();
    assert!(tokens.all().await.unwrap().is_empty());
}

#[tokio::test]
async fn hosts_that_wait_are_approved_or_turned_away_and_are_greeted_when_they_have_come() {
    let folder = tempfile::tempdir().unwrap();
    let (server, site, administrator) = site(folder.path()).await;
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let records = hosts::open(&client).await.unwrap();
    let early = HostRecord { first_contact_at_us: now_us() - 7_200_000_000, ..waits("192.0.2.0/24") };
    assert!(records.create("web-1", &early).await.unwrap());
    let later = HostRecord { first_contact_at_us: now_us() + 1, ..waits("198.51.100.0/24") };
    assert!(records.create("web-2", &later).await.unwrap());
    until_column(&site, &administrator, "#waiting td.host", &["web-2", "web-1"]).await;

    let asked = attributes(&html(&page(&site, &administrator).await), "#waiting input[name=asked]", "value");
    let decide = async |host: &str, asked: &str, what: &str| {
        let fields = [("host", host), ("asked", asked), ("do", what)];
        send(&site, &administrator, "/add-host/waiting", &fields).await
    };
    // Another one of the same name is not the one that was shown.
    for what in ["approve", "turn-away"] {
        assert_eq!(decide("web-1", &asked[0], what).await.status, StatusCode::CONFLICT, "{what}");
    }
    assert_eq!(decide("web-1", &asked[1], "").await.status, StatusCode::BAD_REQUEST);
    let approved = decide("web-1", &asked[1], "approve").await;
    assert_eq!(approved.status, StatusCode::SEE_OTHER, "{}", approved.body);
    let kept = records.get("web-1").await.unwrap().unwrap().value;
    assert_eq!((kept.admission, &kept.network, kept.groups.len()), (Admission::Admitted, &None, 1));
    // It asked long ago, and has come now. The server's own machine is not awaited: it may not be sampled at all.
    assert!(hosts::admit(&records, &"vm".parse().unwrap(), "UVM").await.unwrap());
    until_column(&site, &administrator, "#joined td.host a", &["web-1"]).await;
    let known = async {
        while !site.shared.host_keys.records().iter().any(|(name, _)| name == "vm") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.unwrap();
    assert_eq!(texts(&html(&page(&site, &administrator).await), "#joined td.host"), ["web-1"]);

    assert_eq!(decide("web-2", &asked[0], "turn-away").await.status, StatusCode::SEE_OTHER);
    until_column(&site, &administrator, "#waiting td.host", &[]).await;
    for (host, asked, what) in [("web-1", &asked[1], "approve"), ("web-2", &asked[0], "turn-away")] {
        let refused = decide(host, asked, what).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{host}");
        assert!(refused.body.contains("does not wait for approval"), "{}", refused.body);
    }
}

#[tokio::test]
async fn only_administrators_of_every_host_add_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site, administrator) = site(folder.path()).await;
    assert_eq!(page(&site, &administrator).await.status, StatusCode::OK);
    for other in [person(Role::Operator, None, false), person(Role::Administrator, Some("web"), false)] {
        assert_eq!(page(&site, &other).await.status, StatusCode::FORBIDDEN);
        let fields = [("uses", "1"), ("lasts", "1h")];
        assert_eq!(send(&site, &other, "/add-host", &fields).await.status, StatusCode::FORBIDDEN);
        let fields = [("host", "web-1"), ("do", "approve")];
        assert_eq!(send(&site, &other, "/add-host/waiting", &fields).await.status, StatusCode::FORBIDDEN);
    }
}
