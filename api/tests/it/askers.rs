//! Questions about the past that go on for ever: they end when their asker is gone, their time is over or the server stops,
//! and keep nobody else from an answer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::Path, routing::get};
use fleetps::testing::{
    auth::Addresses,
    config::QuestionSettings,
    connections::{Connections, Limits, serve},
    history_service::{AskedFor, HistoryService},
    tls::TlsListener,
};
use fleetps_ingestor::history::{History, Scope, Span};
use fleetps_nats::Snapshot;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{PATIENCE, Site, family, snapshot};

/// So long that no question ends by its deadline before its test has failed.
const LONG: Duration = Duration::from_secs(600);
/// Hostile askers, each a person of their own.
const ASKERS: usize = 10;
/// Questions of the person who shares the server with them.
const SMALL_QUESTIONS: usize = 30;

/// A server at a real address, with a past of one host, where `/endless/NAME` asks for ever: for an export where the name
/// begins with that, else for a page.
struct Front {
    site: Site,
    address: SocketAddr,
}

impl Front {
    async fn with(page_within: Duration) -> Self {
        let captured_at_us = fleetps::testing::live::now_us() - 600_000_000;
        let then = Snapshot { captured_at_us, ..snapshot(1, family()) };
        let mut site = Site::with_history(vec![vec![("web-1", then)]]);
        let limits = QuestionSettings { page_within, ..QuestionSettings::default() };
        let history = History::open(site.folder.path()).unwrap();
        site.shared.past = HistoryService::new(limits, site.shared.shutdown.clone()).over(history);
        let router = crate::described::router(site.shared.clone());
        let endless =
            Router::new().route("/endless/{name}", get(endless)).with_state(site.shared.past.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Connections::new(Limits::of(Some(1_024)), Addresses::default());
        let (door, shutdown) = (TlsListener::plaintext(listener), site.shared.shutdown.clone());
        tokio::spawn(serve(door, router.merge(endless), connections, shutdown));
        Self { site, address }
    }

    /// A connection on which this was asked.
    async fn ask(&self, path: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        send(&mut socket, path).await;
        socket
    }

    /// Waits until the questions under way, and those that wait, are these.
    async fn until(&self, questions: (usize, usize)) {
        let past = &self.site.shared.past;
        let waiting = async {
            while past.questions() != questions {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "{:?} and not {questions:?}", past.questions());
    }
}

/// Asks the history again and again, until it says that this must end.
async fn endless(
    Path(name): Path<String>,
    past: axum::extract::State<HistoryService>,
) -> impl axum::response::IntoResponse {
    let scope = Arc::new(Scope::everything());
    let (host, span) = ("web-1".parse().unwrap(), Span { from_us: 0, to_us: i64::MAX / 2 });
    let asked_for = if name.starts_with("export") { AskedFor::Export } else { AskedFor::Page };
    let asked = past.ask(&name, asked_for, scope, move |history| {
        loop {
            history.snapshots(&host, span, 1)?;
        }
    });
    asked.await.map(|()| "it has ended")
}

async fn send(socket: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
}

/// The beginning of the next answer.
async fn answer(socket: &mut TcpStream) -> String {
    let mut part = [0; 16 << 10];
    let read = tokio::time::timeout(PATIENCE, socket.read(&mut part)).await.expect("no answer").unwrap();
    String::from_utf8_lossy(&part[..read]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_ends_when_its_asker_disconnects() {
    let front = Front::with(LONG).await;
    for _ in 0..5 {
        let asking = front.ask("/endless/mallory").await;
        front.until((1, 0)).await;
        drop(asking);
        front.until((0, 0)).await;
    }
    // So do those that wait for their turn.
    let mut asking = Vec::new();
    for _ in 0..4 {
        asking.push(front.ask("/endless/mallory").await);
    }
    front.until((2, 2)).await;
    drop(asking);
    front.until((0, 0)).await;
    // A connection that goes on to be used is not one that is gone.
    let mut socket = TcpStream::connect(front.address).await.unwrap();
    for _ in 0..3 {
        send(&mut socket, "/api/v1/hosts/web-1/metrics").await;
        let answer = answer(&mut socket).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_takes_too_long_is_refused_and_so_is_one_that_waits_too_long() {
    let front = Front::with(Duration::from_secs(1)).await;
    let refused = answer(&mut front.ask("/endless/mallory").await).await;
    assert!(refused.starts_with("HTTP/1.1 504"), "{refused}");
    front.until((0, 0)).await;
    // Others keep all there is for a minute.
    let mut exports = Vec::new();
    for name in ["export-1", "export-1", "export-2", "export-2"] {
        exports.push(front.ask(&format!("/endless/{name}")).await);
    }
    front.until((4, 0)).await;
    for (path, kind) in [("/top", "text/html"), ("/api/v1/top", "application/json")] {
        let refused = answer(&mut front.ask(path).await).await;
        assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
        for expected in ["retry-after: ", kind, "here are too many questions about the past under way"] {
            assert!(refused.contains(expected), "{expected}: {refused}");
        }
    }
    drop(exports);
    front.until((0, 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_end_when_the_server_stops() {
    let front = Front::with(LONG).await;
    let mut asking = front.ask("/endless/mallory").await;
    front.until((1, 0)).await;
    front.site.shared.shutdown.cancel();
    let answer = answer(&mut asking).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    front.until((0, 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_askers_keep_nobody_from_an_answer_and_nothing_when_they_are_gone() {
    let front = Arc::new(Front::with(LONG).await);
    let askers: Vec<_> = (0..ASKERS)
        .map(|number| {
            let front = Arc::clone(&front);
            tokio::spawn(async move {
                let path = format!("/endless/mallory-{number}");
                loop {
                    let asking = front.ask(&path).await;
                    // Others ask meanwhile, and then this one is gone, whether it has had its turn or not.
                    tokio::time::sleep(Duration::from_millis(10 + 7 * number as u64)).await;
                    drop(asking);
                }
            })
        })
        .collect();
    let mut person = TcpStream::connect(front.address).await.unwrap();
    for number in 0..SMALL_QUESTIONS {
        send(&mut person, &format!("/api/v1/hosts/web-1/metrics?points={}", number + 1)).await;
        let answer = answer(&mut person).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    askers.iter().for_each(|asker| asker.abort());
    front.until((0, 0)).await;
}
