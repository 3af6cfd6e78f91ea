//! A broker that hangs or is gone. Time is paused in these tests and advances only when every task waits, so a wait for
//! the broker shows in the time that passed, on a slow machine, too.

use std::{process::Command, time::Duration};

use axum::http::StatusCode;
use fleetps::testing::{auth::SignInSettings, routes};
use fleetps_nats::server::{ManagedServer, Part, ServerSettings};
use tokio::time::Instant;

use crate::{
    guarded::{Guarded, PASSWORD, Visitor},
    support::{Answer, PATIENCE, Site, family, snapshot, snapshot_at},
};

/// A broker that answers nothing and holds its connections, until this is dropped.
struct Hung(u32);

impl Hung {
    fn new(server: &ManagedServer) -> Self {
        signal(server.pid(), "-STOP");
        Self(server.pid())
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        signal(self.0, "-CONT");
    }
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

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
    let _hung = Hung::new(&server);
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
    let changes: [(&str, &[(&str, &str)]); 5] = [
        ("/sign-out", &[]),
        ("/confirm", &[("password", PASSWORD)]),
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
    assert!(answer.body.contains("the broker cannot be reached"), "{}", answer.body);
    assert!(anna.is_in().await);
}

#[tokio::test]
async fn the_past_needs_no_broker_but_for_what_is_in_no_segment_yet() {
    let (early, late) = (snapshot_at(0, family()), snapshot_at(60, family()));
    let mut site = Site::with_history(vec![vec![("web-1", early), ("web-1", late)]]);
    let broker = tempfile::tempdir().unwrap();
    let server = ManagedServer::start(ServerSettings {
        data: broker.path().to_owned(),
        program: None,
        public: None,
        simulator: false,
        max_file_store_bytes: 1 << 30,
    })
    .await
    .unwrap();
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    site.shared.broker = Some(client.clone());
    site.router = routes::router(site.shared.clone());
    site.tell_snapshot("web-1", snapshot(100, family()), fleetps::testing::live::now_us());
    server.stop().await;
    let gone = async {
        while client.connection_state() == async_nats::connection::State::Connected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    tokio::time::pause();
    let now = fleetps::testing::display::time_exact(fleetps::testing::live::now_us() - 1_000_000);
    let begin = crate::support::time_at(30);
    for (address, expected) in [
        (format!("/hosts/web-1?at={begin}"), StatusCode::OK),
        ("/hosts/web-1/history".to_owned(), StatusCode::OK),
        (format!("/hosts/web-1?at={now}"), StatusCode::SERVICE_UNAVAILABLE),
        ("/readyz".to_owned(), StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let (answer, waited) = timed(site.get(&address)).await;
        assert_eq!((answer.status, waited), (expected, Duration::ZERO), "{address}: {}", answer.body);
    }
    let form = site.form("/hosts/web-1/groups", &[("groups", "web")]).await;
    let (answer, waited) = timed(site.send(form)).await;
    assert_eq!((answer.status, waited), (StatusCode::SERVICE_UNAVAILABLE, Duration::ZERO));
}
