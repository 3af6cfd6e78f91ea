//! A broker that hangs or is gone. Time is paused in these tests and advances only when every task waits, so a wait for
//! the broker shows in the time that passed, on a slow machine, too.

use std::time::Duration;

use axum::http::StatusCode;
use fleetps::testing::{auth::SignInSettings, display::time_exact, live::now_us};
use fleetps_nats::server::{ManagedServer, Part, ServerSettings};
use tokio::time::Instant;

use crate::{
    guarded::{Guarded, PASSWORD, Visitor},
    hung::Hung,
    support::{Answer, BEGIN_US, PATIENCE, Site, attributes, family, snapshot, snapshot_at, texts, time_at},
};

/// The answer, and how long it was waited for.
async fn timed(answering: impl Future<Output = Answer>) -> (Answer, Duration) {
    let begun = Instant::now();
    let answer = answering.await;
    (answer, begun.elapsed())
}

/// Anna, who was last seen two minutes ago, so that her next request is one to note.
async fn anna_of_two_minutes_ago() -> (Guarded, Visitor) {
    let guarded = Guarded::new(SignInSettings::default()).await;
    let anna = guarded.anna().await;
    let sessions = &guarded.accounts().sessions;
    for (key, _) in sessions.all() {
        let age = |session: &mut fleetps::testing::auth::Session| {
            session.used_at_us -= 120_000_000;
            true
        };
        assert!(sessions.change(&key, age).await.unwrap());
    }
    (guarded, anna)
}

/// Pages, JSON and what asks whether this server is well; each is answered from memory.
const PAGES: [&str; 9] = [
    "/",
    "/hosts/web-1",
    "/hosts/web-1/system",
    "/account",
    "/users",
    "/sql",
    "/search?q=worker",
    "/api/v1/hosts/web-1/processes",
    "/healthz",
];

#[tokio::test]
async fn no_page_waits_for_a_broker_that_hangs_and_what_needs_it_says_so() {
    let (guarded, anna) = anna_of_two_minutes_ago().await;
    let (_site, server) = guarded.into_parts();
    let _hung = Hung::new(server.pid());
    tokio::time::pause();
    for page in PAGES.into_iter().cycle().take(2 * PAGES.len()) {
        let (answer, waited) = timed(anna.get(page)).await;
        assert_eq!((answer.status, waited), (StatusCode::OK, Duration::ZERO), "{page}");
    }
    let (answer, waited) = timed(anna.fill("/account", "/sign-out", &[])).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert!(answer.headers.contains_key("retry-after"));
    assert!(waited <= Duration::from_secs(5), "{waited:?}");
}

#[tokio::test]
async fn while_the_broker_is_gone_pages_work_and_what_needs_it_says_so_at_once() {
    let (guarded, anna) = anna_of_two_minutes_ago().await;
    let visitor = guarded.visitor();
    let (_site, server) = guarded.into_parts();
    server.stop().await;
    let gone = async {
        while anna.fill("/account", "/sign-out", &[]).await.status != StatusCode::SERVICE_UNAVAILABLE {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    tokio::time::pause();
    for page in PAGES {
        let (answer, waited) = timed(anna.get(page)).await;
        assert_eq!((answer.status, waited), (StatusCode::OK, Duration::ZERO), "{page}");
    }
    let changes: [(&str, &[(&str, &str)]); 4] = [
        ("/sign-out", &[]),
        (
            "/account/password",
            &[("old", PASSWORD), ("password", "another horse 1"), ("repeated", "another horse 1")],
        ),
        ("/account/tokens", &[("name", "t"), ("days", "1"), ("role", "viewer")]),
        ("/users", &[("name", "bert"), ("role", "viewer")]),
    ];
    for (address, fields) in changes {
        let (answer, waited) = timed(anna.fill("/account", address, fields)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{address}: {}", answer.body);
        assert_eq!(waited, Duration::ZERO, "{address}");
    }
    let (answer, waited) = timed(visitor.sign_in("anna", PASSWORD)).await;
    assert_eq!((answer.status, waited), (StatusCode::SERVICE_UNAVAILABLE, Duration::ZERO));
    assert!(answer.body.contains("The broker cannot be reached"), "{}", answer.body);
    assert!(anna.is_in().await);
}

/// A site whose history has two snapshots of web-1, and which holds one of now; with its broker.
async fn site_with_broker() -> (Site, ManagedServer) {
    let (early, late) = (snapshot_at(0, family()), snapshot_at(60, family()));
    let mut site = Site::with_history(vec![vec![("web-1", early), ("web-1", late)]]);
    let server = ManagedServer::start(ServerSettings {
        data: site.folder.path().join("broker"),
        program: None,
        public: None,
        simulator: false,
        max_file_store_bytes: 1 << 30,
    })
    .await
    .unwrap();
    site.shared.broker = Some(server.broker(Part::Api).connect("test").await.unwrap());
    site.router = crate::described::router(site.shared.clone());
    site.tell_snapshot("web-1", snapshot(100, family()), now_us());
    (site, server)
}

/// The same after the broker is gone.
async fn site_without_broker() -> Site {
    let (site, server) = site_with_broker().await;
    server.stop().await;
    let client = site.shared.broker.clone().unwrap();
    let gone = async {
        while client.connection_state() == async_nats::connection::State::Connected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    site
}

/// Pages and JSON that look at hosts, now, at the moment `AT` or over the time until then.
const LOOKS: [&str; 29] = [
    "/",
    "/hosts/web-1",
    "/hosts/web-1?at=AT",
    "/hosts/web-1?at=AT&q=worker",
    "/hosts/web-1/system",
    "/hosts/web-1/system?at=AT",
    "/hosts/web-1/history",
    "/hosts/web-1/history?at=AT",
    "/hosts/web-1/events",
    "/hosts/web-1/events?at=AT",
    "/hosts/web-1/diff?at=AT",
    "/top",
    "/top?to=AT&range=1h",
    "/events",
    "/events?to=AT&range=1h",
    "/search?q=worker",
    "/search?q=worker&at=AT",
    "/api/v1/hosts",
    "/api/v1/hosts/web-1",
    "/api/v1/hosts/web-1?at=AT",
    "/api/v1/hosts/web-1/processes",
    "/api/v1/hosts/web-1/processes?at=AT",
    "/api/v1/hosts/web-1/metrics?to=AT",
    "/api/v1/hosts/web-1/breakdown?to=AT",
    "/api/v1/hosts/web-1/snapshots?to=AT",
    "/api/v1/top?to=AT&range=1h",
    "/api/v1/events?to=AT&range=1h",
    "/api/v1/search?q=worker",
    "/api/v1/search?q=worker&at=AT",
];

#[tokio::test]
async fn while_the_broker_is_gone_every_look_at_hosts_is_answered_at_once_and_says_so() {
    let site = site_without_broker().await;
    tokio::time::pause();
    let (soon, sealed) = (time_exact(now_us() + 1_000_000), time_at(30));
    for look in LOOKS {
        for at in [&soon, &sealed] {
            let address = look.replace("AT", at);
            let (answer, waited) = timed(site.get(&address)).await;
            assert_eq!(
                (answer.status, waited),
                (StatusCode::OK, Duration::ZERO),
                "{address}: {}",
                answer.body
            );
            assert!(answer.headers.contains_key("fleetps-broker-away-since"), "{address}");
            let is_page = !address.starts_with("/api/");
            assert_eq!(answer.body.contains("The broker is away"), is_page, "{address}");
        }
    }
}

#[tokio::test]
async fn while_the_broker_is_gone_the_last_snapshot_that_is_known_stands_in_for_newer_ones() {
    let site = site_without_broker().await;
    let last_stored = |page: &scraper::Html| texts(page, "#last-stored").len();
    let page = site.page(&format!("/hosts/web-1?at={}", time_at(30))).await;
    assert_eq!(last_stored(&page), 0, "it is stored, with the one after it");
    for (at_us, shown) in [
        // What this server holds.
        (now_us() + 1_000_000, false),
        // Older than that, and newer than what is stored: it would be in the stream.
        (BEGIN_US + 3_600_000_000, true),
        (BEGIN_US + 61_000_000, true),
    ] {
        let at = time_exact(at_us);
        let page = site.page(&format!("/hosts/web-1?at={at}")).await;
        assert_eq!(last_stored(&page), 1, "{at}");
        let is_stored = attributes(&page, "#bar time.at", "datetime")[0] == time_exact(BEGIN_US + 60_000_000);
        assert_eq!(is_stored, shown, "{at}");
        assert!(texts(&page, "td.name, .name").join(" ").contains("worker"), "{at}");
        let processes = site.json(&format!("/api/v1/hosts/web-1/processes?at={at}")).await;
        assert!(processes["broker_away_since"].is_string(), "{processes}");
        assert_eq!(processes["total"], 5);
    }
    let charts = site.page("/hosts/web-1/history").await;
    assert_eq!(texts(&charts, "#charts-end").len(), 1);
    let now = time_exact(now_us() - 1_000_000);
    let found = site.json(&format!("/api/v1/search?q=worker&at={now}")).await;
    assert_eq!((&found["total"], &found["at"]), (&2.into(), &time_exact(BEGIN_US + 60_000_000).into()));
    assert_eq!(last_stored(&site.page(&format!("/search?q=worker&at={now}")).await), 1);
    assert_eq!(last_stored(&site.page(&format!("/search?q=worker&at={}", time_at(30))).await), 0);
}

#[tokio::test]
async fn a_broker_that_hangs_is_waited_for_a_moment_once_and_then_not() {
    let (site, server) = site_with_broker().await;
    let _hung = Hung::new(server.pid());
    tokio::time::pause();
    let at = time_exact(now_us() + 1_000_000);
    let address = format!("/hosts/web-1?at={at}");
    let (answer, waited) = timed(site.get(&address)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert!(waited <= Duration::from_millis(300), "{waited:?}");
    assert!(answer.body.contains("this is the last snapshot that is stored"), "{}", answer.body);
    for _ in 0..5 {
        let (answer, waited) = timed(site.get(&address)).await;
        assert_eq!((answer.status, waited), (StatusCode::OK, Duration::ZERO));
        assert!(answer.headers.contains_key("fleetps-broker-away-since"));
    }
}

#[tokio::test]
async fn changes_and_readiness_say_that_the_broker_is_gone() {
    let site = site_without_broker().await;
    tokio::time::pause();
    let (answer, waited) = timed(site.get("/readyz")).await;
    assert_eq!((answer.status, waited), (StatusCode::SERVICE_UNAVAILABLE, Duration::ZERO));
    let form = site.form("/hosts/web-1/groups", &[("groups", "web")]).await;
    let (answer, waited) = timed(site.send(form)).await;
    assert_eq!((answer.status, waited), (StatusCode::SERVICE_UNAVAILABLE, Duration::ZERO));
}
