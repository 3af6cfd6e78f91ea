//! Looks at command lines, and changes of hosts: what the audit has of them, asked of every route there is.

use fleetps::testing::{
    auth::{Person, Role},
    routes::table,
};
use fleetps_nats::audit::{Audit, Chained, Outcome};
use serde_json::Value;

use crate::{
    audit::records,
    authz::{OTHER, OWN, ask, person, site, urls},
    console::until,
    program::{Running, fleetps},
    support::PATIENCE,
};

/// The last person to ask, so that all earlier requests are in the audit when this one is.
const LAST: &str = "last";

/// All entries, when that of [`LAST`] is among them.
async fn until_last(audit: &Audit) -> Vec<Chained> {
    let mut entries: Vec<Chained> = Vec::new();
    let reading = async {
        while entries.last().is_none_or(|last| last.entry.who != LAST) {
            let next = entries.last().map_or(1, |last| last.sequence + 1);
            entries.extend(audit.read(next).await.unwrap());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the last entry is missing");
    entries
}

fn called(name: &str, hides_command_lines: bool) -> Person {
    Person { name: name.to_owned(), ..person(Role::Administrator, None, hides_command_lines) }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_shown_a_command_line_is_on_record_whichever_route_showed_it() {
    let folder = tempfile::tempdir().unwrap();
    let (records, server, audit) = records(folder.path()).await;
    let mut site = site();
    site.shared.audit_log = records;
    site.router = crate::described::router(site.shared.clone());
    let (mut shown, mut asked) = (Vec::new(), 0);
    for route in table() {
        // The rest are other words for the same.
        for url in urls(&route, OWN).into_iter().take(7) {
            // Another person each time, because a second look is the same look.
            asked += 1;
            let who = format!("sees-{asked}");
            let body = ask(&site, &called(&who, false), &route, &url).await.body;
            let hosts =
                [OWN, OTHER].into_iter().filter(|host| body.contains(&format!("--of {host} --password=")));
            shown.extend(hosts.map(|host| (who.clone(), host, url.clone())));
        }
        ask(&site, &called("blind", true), &route, &urls(&route, OWN)[0]).await;
    }
    let search = table().into_iter().find(|route| route.path == "/search").unwrap();
    ask(&site, &called(LAST, false), &search, "/search?q=last").await;
    let entries = until_last(&audit).await;
    for (who, host, url) in &shown {
        let is_on_record = entries.iter().any(|Chained { entry, .. }| {
            let is_of_it = entry.host.as_ref().is_none_or(|of| of.as_str() == *host);
            entry.who == *who && is_of_it && entry.outcome == Outcome::Done
        });
        assert!(is_on_record, "a command line of {host} was shown by {url}, and nobody wrote it down");
    }
    let of_many = shown.iter().filter(|(_, _, url)| !url.contains("/hosts/")).count();
    assert!(shown.len() > 30 && of_many > 10, "{} of them, {of_many} of many hosts: too few", shown.len());
    let blind =
        entries.iter().find(|entry| entry.entry.who == "blind" && entry.entry.action == "command-lines.view");
    assert!(blind.is_none(), "{blind:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_about_many_hosts_is_one_look_with_its_json_and_another_page_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let (records, server, audit) = records(folder.path()).await;
    let mut site = site();
    site.shared.audit_log = records;
    site.router = crate::described::router(site.shared.clone());
    let anna = called("anna", false);
    for url in
        ["/events", "/api/v1/events?limit=5", "/events?kind=exited", "/top", "/", "/api/v1/hosts", "/search"]
    {
        let path = url.split('?').next().unwrap();
        let route = table().into_iter().find(|route| route.path == path).unwrap();
        ask(&site, &anna, &route, url).await;
    }
    let search = table().into_iter().find(|route| route.path == "/search").unwrap();
    ask(&site, &called(LAST, false), &search, "/search?q=last").await;
    let entries = until_last(&audit).await;
    let brief: Vec<_> = entries.iter().map(|entry| (&*entry.entry.action, &*entry.entry.what)).collect();
    let look = "command-lines.view";
    assert_eq!(
        brief,
        [(look, "GET /events"), (look, "GET /top"), (look, "GET /search"), ("search", "GET /search?q=last")]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_for_a_host_that_is_hidden_or_none_is_answered_alike_and_on_record_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let (records, server, audit) = records(folder.path()).await;
    let mut site = site();
    site.shared.audit_log = records;
    site.router = crate::described::router(site.shared.clone());
    let curious = Person { name: "curious".to_owned(), ..person(Role::Viewer, Some("own"), false) };
    let pages: Vec<_> =
        table().into_iter().filter(|route| route.method == "GET" && route.path.contains("{host}")).collect();
    let mut asked = 0;
    for route in &pages {
        let mut answers = Vec::new();
        for host in [OTHER, "nosuch1"] {
            let url = urls(route, host).swap_remove(0);
            asked += 1;
            let answer = ask(&site, &curious, route, &url).await;
            // Pages say what time it is.
            let is_no_digit = |letter: &char| !letter.is_ascii_digit();
            let body: String = answer.body.replace(host, "HOST").chars().filter(is_no_digit).collect();
            answers.push((answer.status, body));
        }
        if answers[0].0 != axum::http::StatusCode::FORBIDDEN {
            assert_eq!(answers[0], answers[1], "{}", route.path);
        }
    }
    let search = table().into_iter().find(|route| route.path == "/search").unwrap();
    ask(&site, &called(LAST, false), &search, "/search?q=last").await;
    let entries = until_last(&audit).await;
    let probes: Vec<_> = entries.iter().filter(|chained| chained.entry.action == "host.probe").collect();
    assert!(asked > 10 && probes.len() == 10, "{} of {asked}", probes.len());
    for (probe, host) in probes.iter().zip([OTHER, "nosuch1"]) {
        assert_eq!(probe.entry.who, "curious");
        assert_eq!(probe.entry.host.as_ref().map(|host| host.as_str()), Some(host));
        assert_eq!(probe.entry.outcome, Outcome::Refused);
    }
    server.stop().await;
}

#[test]
fn what_is_done_to_a_host_by_command_is_on_record_with_what_it_was_and_became() {
    let data = tempfile::tempdir().unwrap();
    let running = Running::start(data.path(), &[]);
    let run = |arguments: &[&str]| {
        fleetps(data.path()).arg("host").args(arguments).output().unwrap().status.success()
    };
    until("the host is known", || run(&["group", "here", "web"]));
    assert!(run(&["group", "here", "env=prod", "db"]) && run(&["group", "here"]) && run(&["rotate", "here"]));
    assert!(!run(&["approve", "here"]) && !run(&["revoke", "nosuch"]));
    assert!(run(&["revoke", "here"]) && run(&["approve", "here"]) && run(&["forget", "here"]));
    let answer = ureq::get(format!("{}/api/v1/audit?action=host", running.address)).call().unwrap();
    let answer: Value = serde_json::from_str(&answer.into_body().read_to_string().unwrap()).unwrap();
    let mut entries = answer["entries"].as_array().unwrap().clone();
    entries.reverse();
    let field = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let brief: Vec<String> = entries
        .iter()
        // The host itself came with another key meanwhile.
        .filter(|entry| entry["who"] == "local")
        .filter(|entry| {
            entry["host"] != "here" || entry["outcome"] == "done" || entry["action"] != "host.group"
        })
        .map(|entry| {
            let key = |word: &str| word.len() == 56 && word.starts_with('U');
            let what: Vec<_> = field(entry, "what")
                .split(' ')
                .map(|word| if key(word) { "U…" } else { word }.to_owned())
                .collect();
            format!(
                "{} {} {}: {}",
                field(entry, "action"),
                field(entry, "host"),
                field(entry, "outcome"),
                what.join(" ")
            )
        })
        .collect();
    assert_eq!(
        brief[..6],
        [
            "host.group here done: none → web",
            "host.group here done: web → db env=prod",
            "host.group here done: db env=prod → none",
            "host.rotate here done: admitted with the key U… → changes its key",
            "host.approve here failed: here is admitted already",
            "host.revoke nosuch failed: no host is called nosuch; `fleetps host list` has those that are known",
        ]
    );
    // Meanwhile the host may have changed its key, or tried to come back.
    for (entry, (action, end)) in brief[6..].iter().zip([
        ("host.revoke here done: ", " with the key U… → revoked"),
        ("host.approve here done: revoked", " with the key U… → admitted"),
        ("host.forget here done: ", " with the key U… → forgotten; groups none → none"),
    ]) {
        assert!(entry.starts_with(action) && entry.ends_with(end), "{entry}");
    }
    assert_eq!(brief.len(), 9);
    running.stop();
}
