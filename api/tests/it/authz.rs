//! Authorization: every route × every role × a granted, another and no host, from the router's own table.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use fleetps::testing::{
    auth::{Grant, Person, Principal, PrincipalKind, Role},
    authz::Permission,
    routes::{Route, addresses, table},
};
use fleetps_ingestor::alerts::Change;
use fleetps_nats::{Snapshot, snapshot::Process};
use futures_util::StreamExt;
use tower::ServiceExt;

use crate::support::{PATIENCE, Site, process, snapshot_at, time_at};

/// Hosts: a granted one, another one, and none.
pub const OWN: &str = "own-1";
pub const OTHER: &str = "other-1";
const NONE: &str = "nosuch1";
/// A text that only command lines have.
const SECRET: &str = "hunter2";

/// The processes of a host; every text names it.
fn processes(host: &str) -> Vec<Process> {
    let texts = |pid: u32, parent: u32, name: String| Process {
        command_line: Some(format!("/usr/bin/{name} --of {host} --password={SECRET}")),
        user_name: Some(format!("user-of-{host}")),
        unit: Some(format!("unit-of-{host}.service")),
        executable: Some(format!("/usr/bin/of-{host}")),
        ..process(pid, parent, &name)
    };
    // The same program runs on all hosts; a worker is started anew in every snapshot.
    vec![texts(1, 0, "init".to_owned()), texts(10, 1, format!("worker-of-{host}"))]
}

fn snapshot_of(host: &str, second: i64) -> Snapshot {
    let mut processes = processes(host);
    let fresh = u32::try_from(second).unwrap() + 100;
    let started_at_us = snapshot_at(second, Vec::new()).captured_at_us - 1_000_000;
    processes.push(Process { pid: fresh, started_at_us, ..processes[1].clone() });
    let snapshot = snapshot_at(second, processes);
    Snapshot { os_host_name: format!("os-of-{host}"), boot_id: format!("boot-of-{host}"), ..snapshot }
}

/// Two hosts, each with a tag, in the present and in the past.
pub fn site() -> Site {
    let seconds = (0..6).map(|step| step * 10);
    let past =
        seconds.flat_map(|second| [OWN, OTHER].map(|host| (host, snapshot_of(host, second)))).collect();
    let site = Site::with_history(vec![past]);
    for host in [OWN, OTHER] {
        for sequence in 1..=2 {
            let texts = snapshot_of(host, 0);
            let now =
                Snapshot { processes: processes(host), ..crate::support::snapshot(sequence, Vec::new()) };
            let now = Snapshot { os_host_name: texts.os_host_name, boot_id: texts.boot_id, ..now };
            site.tell_snapshot(host, now, fleetps::testing::live::now_us());
        }
    }
    let tags = |host: &str, tag: &str| (host.parse().unwrap(), [tag.to_owned()].into());
    for host in [OWN, OTHER] {
        site.shared.alerts.take(crate::alerts::transition(host, "java", Change::Raised));
    }
    site.shared.groups.set(BTreeMap::from([tags(OWN, "own"), tags(OTHER, "other")]));
    site
}

pub fn person(role: Role, group: Option<&str>, hides_command_lines: bool) -> Person {
    let groups = group.map(|group| [group.to_owned()].into());
    let grants = vec![Grant { role, groups, hides_command_lines }];
    Person { grants, ..Person::nobody_in_particular(IpAddr::V4(Ipv4Addr::LOCALHOST)) }
}

/// An answer; of a stream, what came first.
pub struct Answer {
    pub status: StatusCode,
    pub body: String,
}

pub async fn ask(site: &Site, person: &Person, route: &Route, url: &str) -> Answer {
    ask_as(site, Principal::User(person.clone()), route, url).await
}

async fn ask_as(site: &Site, principal: Principal, route: &Route, url: &str) -> Answer {
    let mut request = Request::builder().method(route.method.clone()).uri(url).header("host", "localhost");
    request.extensions_mut().unwrap().insert(principal);
    let body = match route.method == Method::POST {
        true => format!("sql=SELECT 1&form_token={}", site.form_token().await),
        false => String::new(),
    };
    let answer = site.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let status = answer.status();
    let is_stream = answer.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream");
    let mut chunks = answer.into_body().into_data_stream();
    let mut body = Vec::new();
    while let Some(chunk) = tokio::time::timeout(PATIENCE, chunks.next()).await.unwrap() {
        body.extend(chunk.unwrap());
        if is_stream {
            break;
        }
    }
    Answer { status, body: String::from_utf8(body).unwrap() }
}

/// The addresses of a route about `host`, each with everything that it can be asked for.
pub fn urls(route: &Route, host: &str) -> Vec<String> {
    let path = route.path.replace("{host}", host).replace("{pid}", "10").replace("{unit}", "x.service");
    let path = path.replace("{group}", "own").replace("{version}", "0").replace("{file}", "nothing.css");
    let (from, at, to) = (time_at(0), time_at(45), time_at(60));
    let started = "started=2026-09-21T14:13:20Z";
    let all = [
        String::new(),
        format!("at={at}"),
        format!("from={from}&to={to}"),
        format!("from={from}&to={to}&format=csv"),
        format!("{started}&at={at}&from={from}&to={to}"),
        "q=worker".to_owned(),
        format!("q=worker&at={at}"),
        format!("q=cmd+~+{SECRET}"),
        format!("q=cmd+~+{SECRET}&at={at}"),
        format!("q=worker&at={at}&format=csv"),
        format!("from={from}&to={to}&group=process"),
        format!("from={from}&to={to}&group=host"),
        format!("from={from}&to={to}&group=user&host={host}"),
        "view=flat&cols=command&cols=executable&cols=unit".to_owned(),
        "include=executable,unit,container".to_owned(),
    ];
    all.into_iter()
        .map(|query| if query.is_empty() { path.clone() } else { format!("{path}?{query}") })
        .collect()
}

/// What a role may do, as docs/users.md says.
fn allowed(role: Role, of_all_hosts: bool, action: Permission) -> bool {
    match action {
        Permission::Anything
        | Permission::OwnAccount
        | Permission::ReadHostMetrics
        | Permission::SeeHosts
        | Permission::SeeCommandLines
        | Permission::Sql => true,
        Permission::ReadMetrics => of_all_hosts,
        Permission::ManageAlerts | Permission::ControlHosts | Permission::Command => role >= Role::Operator,
        Permission::ManageHosts => role == Role::Administrator,
        Permission::ManageUsers
        | Permission::ManageChannels
        | Permission::AdmitHosts
        | Permission::ReadAudit => role == Role::Administrator && of_all_hosts,
    }
}

const ROLES: [Role; 3] = [Role::Viewer, Role::Operator, Role::Administrator];

#[tokio::test]
async fn nothing_but_what_is_open_to_everybody_is_answered_when_nobody_is_signed_in() {
    let site = site();
    let open: Vec<&str> = table()
        .iter()
        .filter(|route| route.policy.action == Permission::Anything)
        .map(|route| route.path)
        .collect();
    let to_sign_in = ["/sign-in", "/sign-in", "/welcome/{link}", "/welcome/{link}"];
    assert_eq!(open[..4], to_sign_in);
    let of_hosts = ["/api/v1/ingest", "/api/v1/hello", "/api/v1/exchange", "/api/v1/sharp", "/api/v1/enrol"];
    assert_eq!(open[4..9], of_hosts);
    assert_eq!(open[9..], ["/healthz", "/readyz", "/assets/{version}/{file}", "/favicon.ico", "/glossary"]);
    for route in table().iter().filter(|route| route.policy.open_to == PrincipalKind::HOSTS) {
        let request = Request::post(route.path).body(Body::empty()).unwrap();
        let answer = addresses(site.shared.clone()).oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{}", route.path);
    }
    for route in table().iter().filter(|route| route.policy.action != Permission::Anything) {
        let url = &urls(route, OWN)[0];
        let request = Request::builder().method(route.method.clone()).uri(url).body(Body::empty()).unwrap();
        let answer = addresses(site.shared.clone()).oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn each_role_does_what_it_may_and_nothing_else() {
    let site = site();
    for (role, group) in ROLES.into_iter().flat_map(|role| [(role, None), (role, Some("own"))]) {
        let person = person(role, group, false);
        for route in table() {
            let answer = ask(&site, &person, &route, &urls(&route, OWN)[0]).await;
            let is_refused = matches!(answer.status, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED);
            let is_open = route.policy.open_to.contains(&PrincipalKind::User);
            let may = is_open && allowed(role, group.is_none(), route.policy.action);
            assert_eq!(!is_refused, may, "{role:?} of {group:?}: {} {}", route.method, route.path);
        }
    }
}

#[tokio::test]
async fn a_host_comes_to_no_page_and_no_json_and_is_asked_for_no_form_token() {
    let site = site();
    let mut open = Vec::new();
    for route in table() {
        let host = Principal::Host(OWN.parse().unwrap());
        let answer = ask_as(&site, host, &route, &urls(&route, OWN)[0]).await;
        let is_open = route.policy.open_to.contains(&PrincipalKind::Host);
        if route.policy.open_to == PrincipalKind::HOSTS {
            // It did not sign this request.
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", route.path);
        }
        assert_eq!(answer.status != StatusCode::FORBIDDEN, is_open, "{} {}", route.method, route.path);
        assert!(is_open || answer.body.contains("not for hosts"), "{}: {}", route.path, answer.body);
        open.extend(is_open.then_some(route.path));
    }
    let expected = [
        "/api/v1/ingest",
        "/api/v1/hello",
        "/api/v1/exchange",
        "/api/v1/sharp",
        "/api/v1/enrol",
        "/healthz",
        "/readyz",
    ];
    assert_eq!(open, expected);
}

#[tokio::test]
async fn somebody_without_a_grant_is_refused_everywhere() {
    let site = site();
    let nobody = Person { grants: Vec::new(), ..person(Role::Viewer, None, false) };
    for route in table() {
        if matches!(route.policy.action, Permission::Anything | Permission::OwnAccount) {
            continue;
        }
        for host in [OWN, NONE] {
            let answer = ask(&site, &nobody, &route, &urls(&route, host)[0]).await;
            let of_a_host = route.path.contains("{host}");
            let expected = if of_a_host { StatusCode::NOT_FOUND } else { StatusCode::FORBIDDEN };
            assert_eq!(answer.status, expected, "{} {}", route.method, route.path);
        }
    }
}

#[tokio::test]
async fn a_host_that_one_may_not_see_is_nowhere_and_answers_as_one_that_does_not_exist() {
    let site = site();
    for role in ROLES {
        let (everything, person) = (person(role, None, false), person(role, Some("own"), false));
        for route in table() {
            // What can be asked for is the same for all roles.
            let most = if role == Role::Viewer { usize::MAX } else { 1 };
            let [own, other, none] = [OWN, OTHER, NONE].map(|host| urls(&route, host).into_iter().take(most));
            for ((own, other), none) in own.zip(other).zip(none) {
                let about = format!("{role:?} {} {other}", route.method);
                let (other, none) =
                    (ask(&site, &person, &route, &other).await, ask(&site, &person, &route, &none).await);
                assert_eq!(other.status, none.status, "{about}");
                let (unseen, unknown) = (steady(&other.body, OTHER), steady(&none.body, NONE));
                assert_eq!(unseen, unknown, "{about}");
                let answer = ask(&site, &person, &route, &own).await;
                assert!(!answer.body.contains("other-1"), "{role:?} {own}: {}", answer.body);
                if allowed(role, false, route.policy.action) {
                    let whole = ask(&site, &everything, &route, &own).await;
                    assert_eq!(answer.status, whole.status, "{role:?} {own}: {}", answer.body);
                }
            }
        }
    }
}

/// An answer without the host that was asked for, and without the time, which has no fraction of a second where that is 0.
fn steady(body: &str, host: &str) -> String {
    let undated: String =
        body.replace(host, "HOST").chars().filter(|character| !character.is_ascii_digit()).collect();
    undated.replace("::.", "::")
}

#[tokio::test]
async fn withheld_command_lines_are_in_no_answer_and_no_search_tells_of_them() {
    let site = site();
    let (sees, blind) = (person(Role::Viewer, None, false), person(Role::Viewer, None, true));
    let mut seen = 0;
    for route in table() {
        for url in urls(&route, OWN) {
            let is_shown = ask(&site, &sees, &route, &url).await.body.contains("--password=");
            assert!(!is_shown || route.policy.shows_command_lines, "{url} shows what its route does not say");
            seen += usize::from(is_shown);
            let answer = ask(&site, &blind, &route, &url).await;
            assert!(!answer.body.contains("--password="), "{url}: {}", answer.body);
        }
    }
    assert!(seen > 20, "only {seen} addresses show command lines at all: the test asks for too little");
    for url in
        ["/api/v1/search?q=cmd+~+hunter2", &format!("/api/v1/search?q=cmd+~+hunter2&at={}", time_at(45))]
    {
        let route = table().into_iter().find(|route| route.path == "/api/v1/search").unwrap();
        let total = async |person| {
            let answer = ask(&site, person, &route, url).await;
            serde_json::from_str::<serde_json::Value>(&answer.body).unwrap()["total"].as_u64().unwrap()
        };
        assert!(total(&sees).await > 0, "{url}");
        assert_eq!(total(&blind).await, 0, "{url}");
    }
}

#[tokio::test]
async fn command_lines_can_be_withheld_of_some_hosts_only() {
    let site = site();
    let mut mixed = person(Role::Viewer, None, true);
    mixed.grants.extend(person(Role::Viewer, Some("own"), false).grants);
    let route = table().into_iter().find(|route| route.path == "/hosts/{host}").unwrap();
    for query in [String::new(), format!("?at={}", time_at(45))] {
        let shown = async |host: &str| {
            let answer = ask(&site, &mixed, &route, &format!("/hosts/{host}{query}")).await;
            assert_eq!(answer.status, StatusCode::OK);
            answer.body.contains("--password=")
        };
        assert_eq!((shown(OWN).await, shown(OTHER).await), (true, false), "{query}");
    }
}

#[tokio::test]
async fn totals_are_of_the_hosts_that_one_may_see() {
    let site = site();
    let own = person(Role::Viewer, Some("own"), false);
    let get = async |path: &'static str, url: String| {
        let route = table().into_iter().find(|route| route.path == path).unwrap();
        ask(&site, &own, &route, &url).await.body
    };
    let page = scraper::Html::parse_document(&get("/", "/".to_owned()).await);
    let texts = |selector| crate::support::texts(&page, selector);
    assert_eq!(texts("[data-f=hosts], [data-f=up], [data-f=processes]"), ["1 host", "1 up", "2 processes"]);
    assert_eq!(texts("#programs tbody tr td:nth-child(2)"), ["1", "1"]);
    let span = format!("from={}&to={}", time_at(0), time_at(60));
    let top: serde_json::Value =
        serde_json::from_str(&get("/api/v1/top", format!("/api/v1/top?{span}&group=name")).await).unwrap();
    assert_eq!(top["total"], 2);
    assert!(top["top"].as_array().unwrap().iter().all(|line| line["hosts"] == 1), "{top}");
}

#[tokio::test]
async fn whoever_may_see_no_host_or_no_command_line_is_told_so() {
    let site = site();
    let get = async |person: Person, path: &'static str, url: &str| {
        let route = table().into_iter().find(|route| route.path == path).unwrap();
        ask(&site, &person, &route, url).await.body
    };
    let none = get(person(Role::Viewer, Some("nothing"), false), "/", "/").await;
    assert!(none.contains("There is no host that you may see") && !none.contains("fleetps-agent"), "{none}");
    let told = "Command lines are withheld from you";
    for hides in [true, false] {
        let page = get(person(Role::Viewer, None, hides), "/hosts/{host}", "/hosts/own-1").await;
        assert_eq!(page.contains(told), hides);
    }
}
