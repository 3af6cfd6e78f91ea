//! Groups of hosts with a real broker: what they are changed to decides at once who sees what.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use fleetps::testing::{
    audit_log::AuditLog,
    auth::{Person, Principal, Role},
    display::time_exact,
    live::now_us,
};
use fleetps_nats::{
    audit::Audit,
    hosts,
    server::{ManagedServer, Part},
    snapshot::Encoder,
    subject,
};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{
    authz::person,
    pipeline::broker,
    support::{Answer, PATIENCE, Site, attributes, family, snapshot, texts},
};

/// A site with a broker and two hosts.
async fn site(folder: &std::path::Path) -> (ManagedServer, Site) {
    let (server, _) = broker(folder).await;
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let mut site = Site::with("web-1", family());
    site.tell("db-1", family());
    site.shared.broker = Some(client.clone());
    let history = site.folder.path().to_owned();
    site.shared.audit_log = AuditLog::open(&client, history, CancellationToken::new()).await.unwrap();
    site.router = crate::described::router(site.shared.clone());
    tokio::spawn(site.shared.groups.clone().follow(client, site.shared.shutdown.clone()));
    (server, site)
}

fn by(person: &Person, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(Principal::User(person.clone()));
    request
}

async fn get(site: &Site, person: &Person, url: &str) -> Answer {
    site.send(by(person, Request::get(url).header("host", "localhost").body(Body::empty()).unwrap())).await
}

/// Sends the form of the host's page.
async fn change(site: &Site, person: &Person, host: &str, groups: &str) -> Answer {
    let request = site.form(&format!("/hosts/{host}/groups"), &[("groups", groups)]).await;
    site.send(by(person, request)).await
}

fn person_of(role: Role) -> Person {
    person(role, None, false)
}

/// Asks for the page of web-1 until it answers so.
async fn until_status(site: &Site, person: &Person, status: StatusCode) {
    let asking = async {
        while get(site, person, "/hosts/web-1").await.status != status {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("never answered {status}"));
}

#[tokio::test]
async fn who_is_granted_a_group_sees_the_hosts_that_belong_to_it_as_long_as_they_do() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, site) = site(folder.path()).await;
    let (administrator, viewer) = (person_of(Role::Administrator), person(Role::Viewer, Some("web"), false));
    assert_eq!(get(&site, &viewer, "/hosts/web-1").await.status, StatusCode::NOT_FOUND);
    let changed = change(&site, &administrator, "web-1", "web, env=prod").await;
    assert_eq!(
        (changed.status, &changed.headers["location"]),
        (StatusCode::SEE_OTHER, &"/hosts/web-1/system".parse().unwrap())
    );
    until_status(&site, &viewer, StatusCode::OK).await;
    let page = scraper::Html::parse_document(&get(&site, &viewer, "/hosts/web-1/system").await.body);
    assert_eq!(texts(&page, "a.group"), ["env=prod", "web"]);
    assert_eq!(attributes(&page, "a.group", "href"), ["/?q=group%3Aenv%3Dprod", "/?q=group%3Aweb"]);
    assert!(attributes(&page, "form[action$=groups]", "action").is_empty(), "a viewer can change groups");
    let to_change =
        scraper::Html::parse_document(&get(&site, &administrator, "/hosts/web-1/system").await.body);
    assert_eq!(
        attributes(&to_change, "form[action='/hosts/web-1/groups'] #groups", "value"),
        ["env=prod web"]
    );
    // A group that begins like it.
    change(&site, &administrator, "db-1", "web-2").await;
    let seen = async {
        while site.shared.groups.of(&"db-1".parse().unwrap()).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("the group of db-1 was never seen");
    let fleet = scraper::Html::parse_document(&get(&site, &administrator, "/?q=group%3Aweb").await.body);
    assert_eq!(texts(&fleet, "#hosts td.host .note"), ["env=prod web"]);
    assert_eq!(texts(&fleet, "#hosts td.host a"), ["web-1"]);

    let live = Request::get("/hosts/web-1/live").header("host", "localhost").body(Body::empty()).unwrap();
    let live = site.router.clone().oneshot(by(&viewer, live)).await.unwrap();
    let mut events = live.into_body().into_data_stream();
    events.next().await.unwrap().unwrap();
    change(&site, &administrator, "web-1", "env=prod").await;
    until_status(&site, &viewer, StatusCode::NOT_FOUND).await;
    site.tell("web-1", family());
    let end = tokio::time::timeout(PATIENCE, async { while events.next().await.is_some() {} });
    end.await.expect("an open page goes on to show a host that may not be seen any more");
}

#[tokio::test]
async fn command_lines_are_withheld_also_of_snapshots_that_only_the_stream_has() {
    let folder = tempfile::tempdir().unwrap();
    let (server, site) = site(folder.path()).await;
    let told = snapshot(7, family());
    let message = Encoder::new().unwrap().encode(&told).unwrap();
    let host = "web-1".parse().unwrap();
    let agent = server.broker(Part::Simulator).connect_later("test", "_INBOX_simulator").await.unwrap();
    agent.request(subject::snapshot(&host), message.into()).await.unwrap();
    site.tell_snapshot("web-1", told.clone(), now_us());
    let url = format!("/api/v1/hosts/web-1/processes?at={}", time_exact(told.captured_at_us));
    for (hides, shown) in [(false, true), (true, false)] {
        let answer = get(&site, &person(Role::Viewer, None, hides), &url).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert!(answer.body.contains("worker") && answer.body.contains("samples"), "{}", answer.body);
        assert_eq!(answer.body.contains("--serve"), shown, "{}", answer.body);
    }
}

#[tokio::test]
async fn groups_are_changed_only_by_administrators_only_to_groups_and_only_of_hosts_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let (server, site) = site(folder.path()).await;
    let administrator = person_of(Role::Administrator);
    for (person, host, groups, status) in [
        (person_of(Role::Operator), "web-1", "web", StatusCode::FORBIDDEN),
        (person(Role::Administrator, Some("db"), false), "web-1", "db", StatusCode::NOT_FOUND),
        (administrator.clone(), "nosuch", "web", StatusCode::NOT_FOUND),
        (administrator.clone(), "web-1", "<b>", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(change(&site, &person, host, groups).await.status, status, "{host} {groups}");
    }
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let records = hosts::open(&client).await.unwrap();
    assert!(records.all().await.unwrap().is_empty());
    // The rest of a host's record stays.
    change(&site, &administrator, "db-1", "db").await;
    let kept = records.get("db-1").await.unwrap().unwrap().value;
    change(&site, &administrator, "db-1", "db env=test").await;
    let changed = records.get("db-1").await.unwrap().unwrap().value;
    assert_eq!(changed.groups, ["db", "env=test"].map(str::to_owned).into());
    assert_eq!(hosts::HostRecord { groups: kept.groups.clone(), ..changed }, kept);
}

#[tokio::test]
async fn what_the_groups_of_a_host_were_and_became_is_on_record_with_who_changed_them() {
    let folder = tempfile::tempdir().unwrap();
    let (server, site) = site(folder.path()).await;
    let (administrator, operator) = (person_of(Role::Administrator), person_of(Role::Operator));
    for (person, groups) in [
        (&administrator, "web, env=prod"),
        (&administrator, "db"),
        (&operator, "web"),
        (&administrator, "<b>"),
        (&administrator, ""),
    ] {
        change(&site, person, "web-1", groups).await;
    }
    let audit = Audit::open(&server.broker(Part::Api).connect("test").await.unwrap()).await.unwrap();
    let reading = async {
        loop {
            let entries = audit.read(1).await.unwrap();
            if entries.len() == 5 {
                return entries;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let entries = tokio::time::timeout(PATIENCE, reading).await.expect("not five entries");
    let brief = entries.iter().map(|entry| {
        let entry = &entry.entry;
        format!("{} {} {}: {}", entry.action, entry.host.as_ref().unwrap(), entry.outcome, entry.what)
    });
    assert_eq!(
        brief.collect::<Vec<_>>(),
        [
            "host.group web-1 done: none → env=prod web",
            "host.group web-1 done: env=prod web → db",
            "request.refuse web-1 refused: POST /hosts/web-1/groups",
            "change web-1 failed: POST /hosts/web-1/groups",
            "host.group web-1 done: db → none",
        ]
    );
    assert!(entries.iter().all(|entry| entry.entry.who == administrator.name && entry.entry.from.is_some()));
}
