//! Who may command which hosts, by which way, and who sees what became of it.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use fleetps::testing::auth::{Accounts, Addresses, Grant, People, Person, Role, SignInSettings};
use fleetps_nats::audit::Audit;
use scraper::Html;
use serde_json::{Value, json};

use super::{
    helper::{FakeHost, Turn, is_run},
    scene::{Scene, Web, victim},
};
use crate::{
    authz::{ask, person},
    guarded::{PASSWORD, Visitor, location},
    support::{Answer, attributes, texts},
};

/// A web server where people sign in: Anna administers everything, Olga operates the hosts of web, Vera looks at them.
async fn guarded(scene: &Scene) -> (Web, Visitor) {
    let mut web = scene.web(true).await;
    let audit = Audit::open(&scene.client).await.unwrap();
    let settings = SignInSettings::default();
    let addresses = Addresses::new(&settings, false);
    let accounts = Accounts::open(&scene.client, audit, settings, None).await.unwrap();
    web.site.shared.people = People::of(accounts, addresses);
    web.site.router = crate::described::router(web.site.shared.clone());
    for host in ["web-01", "db-01"] {
        web.knows(host);
    }
    let tags = |host: &str, tag: &str| (host.parse().unwrap(), [tag.to_owned()].into());
    web.site.shared.groups.set(BTreeMap::from([tags("web-01", "web"), tags("db-01", "db")]));
    let anna = Visitor::of(web.site.router.clone());
    let link = web.site.shared.people.accounts().unwrap().first_link().await.unwrap().unwrap();
    let link = format!("/welcome/{}", link.text());
    let chosen = [("name", "Anna"), ("password", PASSWORD), ("repeated", PASSWORD)];
    assert_eq!(anna.fill(&link, &link, &chosen).await.status, StatusCode::SEE_OTHER);
    (web, anna)
}

/// A token of this person.
async fn token(web: &Web, name: &str, grant: &str, may_command: bool) -> String {
    let accounts = web.site.shared.people.accounts().unwrap();
    let grants = vec![grant.parse::<Grant>().unwrap()];
    let (user, by) = (format!("user-{name}").parse().unwrap(), fleetps::testing::auth::By::command());
    accounts.add_user(&by, &user, grants.clone()).await.unwrap();
    let owner = Person {
        name: user.as_str().to_owned(),
        grants: grants.clone(),
        ..person(Role::Viewer, None, false)
    };
    let scope = fleetps::testing::auth::tokens::TokenScope { grant: grants[0].clone(), may_command };
    accounts.make_token(&owner, name, scope, std::time::Duration::from_secs(3600)).await.unwrap()
}

async fn with_token(web: &Web, token: &str, method: &str, url: &str, body: &Value) -> Answer {
    let request = Request::builder().method(method).uri(url).header("host", "localhost");
    let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    web.site.send(request.body(Body::from(body.to_string())).unwrap()).await
}

fn restart() -> Value {
    json!({"action": "restart", "unit": "nginx.service"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_commands_only_with_the_scope_within_its_groups_and_a_hidden_host_is_no_host() {
    let scene = Scene::start().await;
    let (web, anna) = guarded(&scene).await;
    let host = scene.host("web-01").await;
    let own = "/api/v1/hosts/web-01/commands?wait=30s";
    for (name, grant, may_command, expected) in [
        ("plain", "administrator", false, StatusCode::FORBIDDEN),
        ("looks", "viewer", true, StatusCode::FORBIDDEN),
        ("operates", "operator:web", true, StatusCode::OK),
    ] {
        let token = token(&web, name, grant, may_command).await;
        let answer = with_token(&web, &token, "POST", own, &restart()).await;
        assert_eq!(answer.status, expected, "{name}: {}", answer.body);
    }
    assert_eq!(host.executed().len(), 1);
    let operator = token(&web, "again", "operator:web", true).await;
    let [other, none] = ["db-01", "nosuch"].map(|host| format!("/api/v1/hosts/{host}/commands"));
    let other = with_token(&web, &operator, "POST", &other, &restart()).await;
    let none = with_token(&web, &operator, "POST", &none, &restart()).await;
    assert_eq!(
        (other.status, other.body.replace("db-01", "X")),
        (none.status, none.body.replace("nosuch", "X"))
    );
    let several =
        |other: &str| json!({"hosts": ["web-01", other], "action": "restart", "unit": "nginx.service"});
    let hidden = with_token(&web, &operator, "POST", "/api/v1/commands", &several("db-01")).await;
    let unknown = with_token(&web, &operator, "POST", "/api/v1/commands", &several("nosuch")).await;
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
    assert_eq!(hidden.body.replace("db-01", "X"), unknown.body.replace("nosuch", "X"));
    assert_eq!(host.executed().len(), 1, "nothing of a plan with a host that may not be commanded");
    // A cookie alone commands nothing: another site could send it.
    let by_cookie = anna.post("/api/v1/hosts/web-01/commands", &[]).await;
    assert_eq!(by_cookie.status, StatusCode::FORBIDDEN);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_command_is_seen_by_those_who_see_its_host_and_command_lines_by_fewer() {
    let scene = Scene::start().await;
    let (web, _) = guarded(&scene).await;
    let hosts: [FakeHost; 2] = [scene.host("web-01").await, scene.host("db-01").await];
    let secret = ["started with leaky.jar", "<b>bold</b>\u{202e}"].map(str::to_owned);
    hosts[0].helper.lock().writes = secret.to_vec();
    let operator = token(&web, "operator", "operator", true).await;
    let process = json!({"boot_id": "boot", "pid": 10, "start_ticks": victim(10).start_ticks});
    let body = json!({"signal": "TERM", "process": process});
    let mut ids = Vec::new();
    for host in ["web-01", "db-01"] {
        let url = format!("/api/v1/hosts/{host}/commands?wait=30s");
        let answer = with_token(&web, &operator, "POST", &url, &body).await;
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        ids.push(answer["id"].as_str().unwrap().to_owned());
    }
    let viewer = token(&web, "viewer", "viewer:web", false).await;
    let blind = token(&web, "blind", "viewer:web:no-command-lines", false).await;
    let get = async |token: &str, url: &str| with_token(&web, token, "GET", url, &Value::Null).await;
    let [own, other] = [0, 1].map(|number| format!("/api/v1/commands/{}", ids[number]));
    let seen: Value = serde_json::from_str(&get(&viewer, &own).await.body).unwrap();
    let last = seen["commands"][0]["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(last["output"], json!(secret), "{seen}");
    assert!(seen["commands"][0]["process"]["command_line"].as_str().unwrap().contains("leaky.jar"));
    let page = get(&viewer, &format!("/commands/{}", ids[0])).await.body;
    assert!(page.contains("started with leaky.jar") && page.contains("bold"), "{page}");
    assert!(!page.contains("<b>bold") && !page.contains('\u{202e}'), "{page}");
    assert_eq!(get(&viewer, &other).await.status, StatusCode::NOT_FOUND);
    assert_eq!(with_token(&web, &viewer, "DELETE", &own, &Value::Null).await.status, StatusCode::FORBIDDEN);
    for url in [own, "/api/v1/commands".to_owned(), format!("/commands/{}", ids[0]), "/commands".to_owned()] {
        let answer = get(&blind, &url).await;
        assert_eq!(answer.status, StatusCode::OK, "{url}");
        assert!(answer.body.contains("java") && !answer.body.contains("leaky.jar"), "{url}: {}", answer.body);
        assert!(!answer.body.contains("db-01"), "{url}: {}", answer.body);
    }
    // Also where the audit is read by somebody who may not see command lines.
    let reader = token(&web, "reader", "administrator:no-command-lines", false).await;
    let audit = get(&reader, "/api/v1/audit?action=command").await;
    assert!(audit.body.contains("process: java") && !audit.body.contains("leaky.jar"), "{}", audit.body);
    let whole = token(&web, "whole", "administrator", false).await;
    assert!(get(&whole, "/api/v1/audit?action=command").await.body.contains("leaky.jar"));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_names_who_cancels_and_not_who_asked() {
    let scene = Scene::start().await;
    let (web, _) = guarded(&scene).await;
    let host = scene.host("web-01").await;
    host.directed(|helper, ask| {
        if is_run(ask) {
            helper.runs_for = usize::MAX;
        }
        Turn::Usual
    });
    let asker = token(&web, "asks", "operator", true).await;
    let other = token(&web, "cancels", "operator", true).await;
    let body = json!({"hosts": ["web-01", "db-01"], "action": "restart", "unit": "nginx.service"});
    let asked = with_token(&web, &asker, "POST", "/api/v1/commands", &body).await;
    let asked: Value = serde_json::from_str(&asked.body).unwrap();
    until_executed(&host, 1).await;
    let url = format!("/api/v1/commands/{}", asked["id"].as_str().unwrap());
    let cancelled = with_token(&web, &other, "DELETE", &url, &Value::Null).await;
    assert_eq!(cancelled.status, StatusCode::ACCEPTED, "{}", cancelled.body);
    let mut entries = Vec::new();
    crate::ingest::until("it is audited", async || {
        entries = scene.audited().await;
        entries.iter().any(|entry| entry.action == "command.cancelled")
    })
    .await;
    let who = |action: &str| entries.iter().find(|entry| entry.action == action).unwrap().who.as_str();
    assert_eq!((who("command.plan"), who("command.cancelled")), ("user-asks", "user-cancels"));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_asks_for_the_password_again_and_sends_nothing_without_it() {
    let scene = Scene::start().await;
    let (web, anna) = guarded(&scene).await;
    let host = scene.host("web-01").await;
    let form = "/commands/new?host=web-01&unit=nginx.service";
    let fields = [("host", "web-01"), ("unit", "nginx.service"), ("verb", "restart"), ("why", "a test")];
    // Anna has just given the password.
    let page = anna.page(form).await;
    assert!(texts(&page, "input[name=password]").is_empty());
    assert_eq!(texts(&page, "#targets li"), ["web-01"]);
    let sent = anna.fill(form, "/commands", &fields).await;
    let id = location(&sent).strip_prefix("/commands/").unwrap().to_owned();
    web.site.shared.people.accounts().unwrap();
    until_executed(&host, 1).await;
    let shown = anna.page(&format!("/commands/{id}")).await;
    assert_eq!(texts(&shown, "h1"), ["restart nginx.service on web-01"]);

    let accounts = web.site.shared.people.accounts().unwrap();
    let (key, _) = accounts.sessions_of("anna").swap_remove(0);
    let age = |session: &mut fleetps::testing::auth::Session| {
        session.confirmed_at_us -= 6 * 60 * 1_000_000;
        true
    };
    accounts.sessions.change(&key, age).await.unwrap();
    assert_eq!(attributes(&anna.page(form).await, "input[name=password]", "type"), ["password"]);
    for password in ["", "wrong password"] {
        let refused = anna.fill(form, "/commands", &[&fields[..], &[("password", password)]].concat()).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{password}");
        let page = Html::parse_document(&refused.body);
        assert_eq!(attributes(&page, "input[name=why]", "value"), ["a test"], "what was written stays");
        assert!(texts(&page, "[role=alert]")[0].contains("password"));
    }
    assert_eq!(host.executed().len(), 1);
    let sent = anna.fill(form, "/commands", &[&fields[..], &[("password", PASSWORD)]].concat()).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER);
    until_executed(&host, 2).await;
    assert!(texts(&anna.page(form).await, "input[name=password]").is_empty(), "not again for some minutes");
    scene.stop().await;
}

async fn until_executed(host: &FakeHost, count: usize) {
    crate::ingest::until("it is executed", async || host.executed().len() == count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_names_what_it_commands_and_hostile_text_stays_text() {
    let scene = Scene::start().await;
    let web = scene.web(true).await;
    let host = scene.host("web-01").await;
    let hostile = "<script>x</script>\u{202e}\u{1b}[31m";
    let process = fleetps_nats::snapshot::Process { name: hostile.to_owned(), ..victim(10) };
    let now = crate::support::snapshot(1, vec![process]);
    let now = fleetps_nats::Snapshot { boot_id: "boot".to_owned(), ..now };
    web.site.tell_snapshot("web-01", now, fleetps::testing::live::now_us());
    host.helper.lock().runs_for = 0;
    host.directed(|helper, ask| match ask {
        fleetps_nats::command::Ask::Run { .. } => {
            helper.ends = fleetps_nats::command::Stage::Done;
            super::helper::Turn::Usual
        }
        _ => super::helper::Turn::Usual,
    });
    let form = "/commands/new?host=web-01&pid=10";
    let page = web.site.page(form).await;
    let sent = attributes(&page, "main input[name=process]", "value").swap_remove(0);
    assert_eq!(sent, "10-1000-boot");
    let fields = [("host", "web-01"), ("process", &sent), ("verb", "KILL"), ("why", "<b>why</b>")];
    let answer = web.site.send(web.site.form("/commands", &fields).await).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let id = location(&answer).strip_prefix("/commands/").unwrap().to_owned();
    web.when_over(&id).await;
    for url in [
        form.to_owned(),
        format!("/commands/{id}"),
        "/commands".to_owned(),
        "/hosts/web-01/events".to_owned(),
    ] {
        let answer = web.site.get(&url).await;
        let is_clean = |text: &str| {
            !["<script>x", "<b>why", "\u{202e}", "\u{1b}"].into_iter().any(|bad| text.contains(bad))
        };
        if answer.status == StatusCode::OK {
            assert!(is_clean(&answer.body), "{url}: {}", answer.body);
        }
    }
    // A process that ended since stays named by what it was.
    let answer = web.site.get("/commands/new?host=web-01&pid=77").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    web.knows("web-02");
    for (query, says) in [
        ("host=web-01&pid=1,2,3,4,5,6,7,8,9,10,11", "a host takes 10 commands a minute"),
        ("host=web-01,web-02&pid=10", "on one host, and 2 are named"),
    ] {
        let answer = web.site.get(&format!("/commands/new?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(answer.body.contains(says), "{query}: {}", answer.body);
    }
    let eleven = [&[("host", "web-01"), ("verb", "TERM")][..], &[("process", "10-1000-boot"); 11]].concat();
    let [one, two] = ["web-01", "web-02"].map(|host| ("host", host));
    for (fields, says) in [
        (eleven, "a host takes 10 commands a minute"),
        (vec![one, two, ("process", "10-1000-boot"), ("verb", "TERM")], "on one host, and 2 are named"),
        (vec![("host", "web-01"), ("unit", "a b"), ("verb", "restart")], "no unit"),
        (vec![("host", "web-01"), ("unit", "a.service"), ("verb", "TERM")], "unknown"),
        (vec![("host", "web-01"), ("process", "10-1000-boot"), ("verb", "restart")], "unknown"),
        (vec![("unit", "a.service"), ("verb", "restart")], "No host is chosen"),
    ] {
        let answer = web.site.send(web.site.form("/commands", &fields).await).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{fields:?}");
        assert!(answer.body.contains(says), "{fields:?}: {}", answer.body);
    }
    scene.stop().await;
}

#[tokio::test]
async fn commands_are_offered_where_they_can_be_sent_and_to_those_who_may() {
    let site = crate::support::Site::with("web-01", vec![victim(10)]);
    let route = fleetps::testing::routes::table();
    let of = |path: &str| {
        route.iter().find(|route| route.path == path && route.method == Method::GET).unwrap().clone()
    };
    let (process, host) = (of("/hosts/{host}/processes/{pid}"), of("/hosts/{host}"));
    let started = "started=2026-09-21T14:13:20Z";
    for (role, is_offered) in [(Role::Viewer, false), (Role::Operator, true)] {
        let who = person(role, None, false);
        let page = ask(&site, &who, &process, &format!("/hosts/web-01/processes/10?{started}")).await;
        let html = Html::parse_document(&page.body);
        let offered = if is_offered { vec!["Signal…", "Restart leaky.service…"] } else { Vec::new() };
        assert_eq!(texts(&html, "a.command"), offered, "{role:?}");
        let page = ask(&site, &who, &host, "/hosts/web-01").await;
        let html = Html::parse_document(&page.body);
        assert_eq!(!texts(&html, "#signal").is_empty(), is_offered);
        assert_eq!(page.body.contains(r#"href="/commands""#), is_offered);
    }
    let blind = Person { may_command: false, ..person(Role::Administrator, None, false) };
    let page = ask(&site, &blind, &process, &format!("/hosts/web-01/processes/10?{started}")).await;
    assert!(texts(&Html::parse_document(&page.body), "a.command").is_empty());
}
