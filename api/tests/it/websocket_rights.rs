//! Who may open a socket, what a person sees on it, and how it ends when that is taken away.

use std::{collections::BTreeMap, time::Duration};

use axum::http::StatusCode;
use fleetps::testing::{
    auth::{By, Grant, Person, Role, SignInSettings},
    live::steady_us,
    sockets::{FeedKey, Mark},
};
use fleetps_nats::audit::Outcome;
use serde_json::json;

use crate::{
    audit::records,
    authz::{self, OTHER, OWN},
    guarded::{Guarded, Visitor},
    support::{Site, family},
    websocket::{Client, Front, names},
};

const EVERYTHING: Grant = Grant { role: Role::Administrator, groups: None, hides_command_lines: false };

/// A front where people sign in, with Anna's browser and a token of hers.
async fn guarded() -> (Guarded, Front, Visitor, Person, String) {
    let guarded = Guarded::new(SignInSettings::default()).await;
    let browser = guarded.anna().await;
    let anna = Person {
        name: "anna".to_owned(),
        grants: vec![EVERYTHING],
        may_command: false,
        ..Person::nobody_in_particular([127, 0, 0, 1].into())
    };
    let day = Duration::from_secs(86_400);
    let token = guarded.accounts().make_token(&anna, "script", EVERYTHING, day).await.unwrap();
    let mut site = Site::with("web-1", family());
    site.shared.people = guarded.site.shared.people.clone();
    let front = Front::new(site).await;
    (guarded, front, browser, anna, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_opens_with_a_token_in_a_header_or_protocol_or_with_a_cookie_from_an_own_page() {
    let (_guarded, front, browser, _, token) = guarded().await;
    let address = front.address;
    // The cookie is called by the port that the request came to; the browser's was given at another.
    let (_, secret) =
        { browser.cookie().split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap() };
    let port = address.port();
    let cookies = format!("fleetps={secret}; fleetps-{port}={secret}; {}", browser.cookie());
    let (own, bearer) = (format!("http://{address}"), format!("Bearer {token}"));
    let open = async |headers: &[(&str, &str)]| Client::open(address, headers).await;
    let mut by_header = open(&[("authorization", &bearer)]).await.unwrap();
    assert!(!by_header.headers.contains_key("sec-websocket-protocol"));
    by_header.say(json!({"watch": "host", "host": "web-1"})).await;
    assert_eq!(by_header.next().await["data"]["host"], "web-1");
    let offer = format!("fleetps.v1, bearer.{token}");
    let by_protocol =
        open(&[("sec-websocket-protocol", &offer), ("origin", "https://example.com")]).await.unwrap();
    assert_eq!(by_protocol.headers["sec-websocket-protocol"], "fleetps.v1");
    assert!(!format!("{:?}", by_protocol.headers).contains(&token), "the token comes back");
    open(&[("cookie", &cookies), ("origin", &own)]).await.unwrap();

    let refused = async |headers: &[(&str, &str)], status: u16| {
        let (found, body) = open(headers).await.err().unwrap();
        assert_eq!(found.as_u16(), status, "{headers:?}: {body}");
        assert!(body.starts_with("{\"error\":") && body.contains("\"hint\":"), "{body}");
    };
    refused(&[], 401).await;
    refused(&[("authorization", "Bearer fleetps_x")], 401).await;
    refused(&[("sec-websocket-protocol", "fleetps.v1, bearer.fleetps_x")], 401).await;
    refused(&[("cookie", &cookies)], 403).await;
    let other_port = format!("http://127.0.0.1:{}", port ^ 1);
    for origin in
        [&*other_port, "http://localhost", "https://example.com", "null", "", &format!("{own}.example.com")]
    {
        refused(&[("cookie", &cookies), ("origin", origin)], 403).await;
    }
    refused(&[("cookie", &cookies), ("origin", &own), ("sec-fetch-site", "cross-site")], 403).await;
    refused(&[("authorization", &bearer), ("sec-websocket-protocol", "graphql-ws")], 400).await;
    // A token in the address is none.
    for query in ["token", "access_token", "bearer", "authorization"] {
        let url = format!("http://{address}/api/v1/ws?{query}={token}");
        let answer = tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
            agent.get(&url).call().unwrap().status().as_u16()
        });
        assert_eq!(answer.await.unwrap(), 401, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_signs_in_a_page_of_another_site_opens_no_socket() {
    let front = Front::new(Site::with("web-1", family())).await;
    let own = format!("http://{}", front.address);
    for (origin, expected) in [
        (own.as_str(), None),
        ("http://example.com", Some(403)),
        ("null", Some(403)),
        ("http://localhost", Some(403)),
    ] {
        let opened = Client::open(front.address, &[("origin", origin)]).await;
        assert_eq!(opened.err().map(|(status, _)| status.as_u16()), expected, "{origin}");
    }
    // A token of the right form proves nothing here; a program on this machine may send one that it has.
    let token = format!("fleetps_{}", "A".repeat(43));
    let (offer, bearer) = (format!("fleetps.v1, bearer.{token}"), format!("Bearer {token}"));
    for made_up in [("sec-websocket-protocol", &*offer), ("authorization", &*bearer)] {
        let foreign = Client::open(front.address, &[made_up, ("origin", "http://example.com")]).await;
        assert_eq!(foreign.err().map(|(status, _)| status), Some(StatusCode::FORBIDDEN), "{made_up:?}");
        let cross = Client::open(front.address, &[made_up, ("sec-fetch-site", "cross-site")]).await;
        assert_eq!(cross.err().map(|(status, _)| status), Some(StatusCode::FORBIDDEN), "{made_up:?}");
        Client::open(front.address, &[made_up]).await.unwrap();
    }
    let rebound = Client::open(front.address, &[("host", "attacker.example.com")]).await;
    assert_eq!(rebound.err().map(|(status, _)| status), Some(StatusCode::MISDIRECTED_REQUEST));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_ends_when_its_token_is_revoked_its_user_disabled_or_something_else_granted() {
    let (guarded, front, browser, anna, token) = guarded().await;
    let accounts = guarded.accounts();
    let bearer = format!("Bearer {token}");
    let open = async || {
        let mut client = Client::open(front.address, &[("authorization", &bearer)]).await.unwrap();
        client.say(json!({"watch": "host", "host": "web-1"})).await;
        client.next().await;
        client
    };
    // Something that has nothing to do with it, first.
    guarded.user("bert", "viewer").await;
    let mut client = open().await;
    client.nothing_came().await;
    let viewer: Grant = "viewer".parse().unwrap();
    let name = "anna".parse().unwrap();
    accounts.set_grant(&By::command(), &name, &viewer, true).await.unwrap();
    assert_eq!(client.closed().await, Some(4403));
    let mut client = open().await;
    let (key, _) = accounts.tokens_of("anna").swap_remove(0);
    accounts.revoke_token(&anna, &key).await.unwrap();
    assert_eq!(client.closed().await, Some(4401));
    assert_eq!(Client::open(front.address, &[("authorization", &bearer)]).await.err().unwrap().0, 401);

    let bert = Person { name: "bert".to_owned(), grants: vec![viewer.clone()], ..anna.clone() };
    let day = Duration::from_secs(86_400);
    let token = accounts.make_token(&bert, "script", viewer, day).await.unwrap();
    let bearer = format!("Bearer {token}");
    let mut client = Client::open(front.address, &[("authorization", &bearer)]).await.unwrap();
    accounts.set_disabled(&By::command(), &"bert".parse().unwrap(), true).await.unwrap();
    assert_eq!(client.closed().await, Some(4401));

    let port = front.address.port();
    let secret = browser.cookie().split_once('=').unwrap().1.to_owned();
    let (cookie, own) = (format!("fleetps-{port}={secret}"), format!("http://{}", front.address));
    let mut client = Client::open(front.address, &[("cookie", &cookie), ("origin", &own)]).await.unwrap();
    let (key, _) = accounts.sessions_of("anna").swap_remove(0);
    accounts.end_session(&anna, &key).await.unwrap();
    assert_eq!(client.closed().await, Some(4401));
    let closed = front.site.shared.sockets.figures().closed;
    assert_eq!((closed["other-grants"], closed["signed-out"]), (1, 3), "{closed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_host_answers_as_none_and_one_that_goes_out_of_sight_ends() {
    let front = Front::new(authz::site()).await;
    let mut client = front.open("vera viewer:own").await;
    for host in [OTHER, "nosuch1"] {
        for since in [json!(null), json!("5-5")] {
            client.say(json!({"watch": "host", "host": host, "since": since})).await;
            let answer = client.next().await.to_string().replace(host, "HOST");
            let refusal = &front.site.get("/api/v1/hosts/HOST").await.body;
            let refusal: serde_json::Value = serde_json::from_str(refusal).unwrap();
            let expected = json!({"topic": "host", "host": "HOST", "type": "error", "error": refusal["error"], "hint": refusal["hint"]});
            assert_eq!(answer, expected.to_string());
        }
    }
    client.say(json!({"watch": "fleet"})).await;
    assert_eq!(names(&client.next().await["data"]["hosts"]), [OWN]);
    client.say(json!({"watch": "host", "host": OWN})).await;
    assert_eq!(client.next().await["data"]["host"], OWN);
    // What others send makes no difference.
    front.site.tell(OTHER, family());
    client.nothing_came().await;

    let mut only = front.open("vera viewer:own").await;
    only.say(json!({"watch": "host", "host": OWN})).await;
    only.next().await;
    let tags = |host: &str, tag: &str| (host.parse().unwrap(), [tag.to_owned()].into());
    front.site.shared.groups.set(BTreeMap::from([tags(OWN, "other"), tags(OTHER, "own")]));
    let (mut ended, mut fleet) = (None, None);
    while ended.is_none() || fleet.is_none() {
        let message = client.next().await;
        match message["topic"].as_str().unwrap() {
            "host" => ended = Some(message),
            _ => fleet = Some(message),
        }
    }
    let (ended, fleet) = (ended.unwrap(), fleet.unwrap());
    assert_eq!((&ended["type"], &ended["host"]), (&json!("end"), &json!(OWN)));
    assert!(ended["error"].as_str().unwrap().contains("no host is called"));
    assert_eq!((&fleet["type"], names(&fleet["data"]["hosts"])), (&json!("snapshot"), vec![OTHER]));
    // Nothing is left on the other one.
    assert_eq!(only.next().await["type"], "end");
    assert_eq!(only.closed().await, Some(4403));

    client.say(json!({"watch": "host", "host": OTHER})).await;
    client.next().await;
    let forgotten = |host: &fleetps_nats::HostName| host.as_str() == OTHER;
    front.site.shared.fleet.leave_out(steady_us(), Duration::from_secs(86_400), forgotten);
    let (mut types, mut count) = (Vec::new(), 0);
    while count < 2 {
        let message = client.next().await;
        types.push(message["type"].as_str().unwrap().to_owned());
        count += 1;
    }
    types.sort();
    assert_eq!(types, ["end", "patch"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn withheld_command_lines_are_withheld_here_too_also_where_another_person_sees_them() {
    let front = Front::new(authz::site()).await;
    let mut sees = front.open("vera viewer").await;
    let mut blind = front.open("bert viewer:no-command-lines").await;
    for (client, is_shown) in [(&mut sees, true), (&mut blind, false)] {
        client.say(json!({"watch": "host", "host": OWN})).await;
        assert_eq!(client.next().await.to_string().contains("--password="), is_shown);
    }
    front.site.tell(
        OWN,
        vec![fleetps_nats::snapshot::Process {
            command_line: Some("x --password=hunter2".to_owned()),
            ..crate::support::process(1, 0, "init")
        }],
    );
    for (client, is_shown) in [(&mut sees, true), (&mut blind, false)] {
        assert_eq!(client.next().await.to_string().contains("--password="), is_shown);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_those_who_see_no_command_lines_has_none_when_rights_change_while_it_is_made() {
    let front = Front::new(authz::site()).await;
    let host: fleetps_nats::HostName = OWN.parse().unwrap();
    let tag = |tag: &str| {
        front.site.shared.groups.set(BTreeMap::from([(host.clone(), [tag.to_owned()].into())]));
    };
    tag("other");
    // Another client prepares the message for those who see none, for as long as this says.
    let feed = front.site.shared.sockets.feed(&FeedKey::Host(host.clone(), false));
    let (done, until_done) = tokio::sync::oneshot::channel::<()>();
    let (begun, until_begun) = tokio::sync::oneshot::channel::<()>();
    let of_another = std::sync::Arc::clone(&feed);
    tokio::spawn(async move {
        let making = async {
            begun.send(()).unwrap();
            until_done.await.unwrap();
            Err(())
        };
        let mark = Mark { fleet: 0, groups: 0 };
        of_another.prepared(None, mark, Duration::ZERO, making).await.unwrap_err();
    });
    until_begun.await.unwrap();
    let mut bert = front.open("bert viewer:no-command-lines viewer:own").await;
    bert.say(json!({"watch": "host", "host": OWN})).await;
    // The test, the other client, and bert's topic with its step.
    front.until("bert does not wait", |_| std::sync::Arc::strong_count(&feed) >= 4).await;
    tag("own");
    done.send(()).unwrap();
    assert!(bert.next().await.to_string().contains("--password="), "bert sees them now");
    let mut cleo = front.open("cleo viewer:no-command-lines").await;
    cleo.say(json!({"watch": "host", "host": OWN})).await;
    assert!(!cleo.next().await.to_string().contains("--password="));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_has_a_share_of_the_sockets_and_of_topics() {
    let front = Front::new(Site::with("web-1", family())).await;
    let mut own = Vec::new();
    for _ in 0..16 {
        own.push(front.open("vera viewer").await);
    }
    let refused = Client::open(front.address, &[("x-person", "vera viewer")]).await.err().unwrap();
    assert_eq!(refused.0, StatusCode::TOO_MANY_REQUESTS, "{}", refused.1);
    let mut bert = front.open("bert viewer").await;
    drop(own);
    front.until("sockets that are gone still count", |site| site.shared.sockets.figures().open == 1).await;
    front.open("vera viewer").await;
    assert_eq!(front.site.shared.sockets.figures().closed["too-many-of-a-person"], 1);

    for number in 0..64 {
        front.site.tell(&format!("more-{number}"), Vec::new());
    }
    for number in 0..64 {
        bert.say(json!({"watch": "host", "host": format!("more-{number}")})).await;
        assert_eq!(bert.next().await["type"], "snapshot");
    }
    bert.say(json!({"watch": "fleet"})).await;
    assert!(bert.next().await["error"].as_str().unwrap().contains("64 topics"));
    bert.say(json!({"watch": "host", "host": "more-5"})).await;
    assert_eq!(bert.next().await["type"], "snapshot", "the same again takes no place");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watched_what_is_on_record_as_a_look_and_probes_as_probes() {
    let folder = tempfile::tempdir().unwrap();
    let (log, server, audit) = records(folder.path()).await;
    let mut site = authz::site();
    site.shared.audit_log = log;
    let front = Front::new(site).await;
    let mut client = front.open("vera viewer:own").await;
    let mut blind = front.open("bert viewer:own:no-command-lines").await;
    for client in [&mut blind, &mut client] {
        client.say(json!({"watch": "fleet"})).await;
        client.next().await;
        client.say(json!({"watch": "host", "host": OWN})).await;
        client.next().await;
        client.say(json!({"watch": "host", "host": OTHER})).await;
        client.next().await;
    }
    client.say(json!({"watch": "host", "host": OWN})).await;
    client.next().await;
    client.say(json!({"watch": "events"})).await;
    client.nothing_came().await;
    let mut entries = Vec::new();
    let reading = async {
        while entries.len() < 4 {
            entries = audit.read(1).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, reading).await.expect("entries are missing");
    let brief: Vec<_> = entries
        .iter()
        .map(|chained| {
            let host = chained.entry.host.as_ref().map(|host| host.as_str());
            (&*chained.entry.who, &*chained.entry.action, host, chained.entry.outcome)
        })
        .collect();
    assert_eq!(
        brief,
        [
            ("bert", "host.probe", Some(OTHER), Outcome::Refused),
            ("vera", "command-lines.view", Some(OWN), Outcome::Done),
            ("vera", "host.probe", Some(OTHER), Outcome::Refused),
            ("vera", "command-lines.view", None, Outcome::Done),
        ]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_end_with_the_server_which_waits_for_them() {
    let front = Front::new(Site::with("web-1", family())).await;
    let mut client = front.open("").await;
    client.say(json!({"watch": "fleet"})).await;
    client.next().await;
    front.site.shared.shutdown.cancel();
    assert_eq!(client.closed().await, Some(1001));
}
