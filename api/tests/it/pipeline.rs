//! With a real broker: what an agent publishes is on the page.

use std::time::Duration;

use fleetps::testing::{
    auth::{Addresses, People},
    config::QuestionSettings,
    display,
    live::now_us,
    server::{self, Health},
};
use fleetps_ingestor::{
    IngestorSettings,
    segment::{SegmentRows, seal},
};
use fleetps_nats::{
    HostName, Snapshot,
    admission::AdmissionSettings,
    server::{ManagedServer, Part, ServerSettings},
    snapshot::{Encoder, Process},
    stream, subject,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, attributes, family, process, snapshot, texts};

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Asks again until the answer holds `wanted`.
async fn until(address: std::net::SocketAddr, path: &str, wanted: &str) -> String {
    let asking = async {
        loop {
            let answer = get(address, path).await;
            if answer.contains(wanted) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{path} never had {wanted:?}"))
}

/// A broker with its streams, and the connection of its agents.
pub async fn broker(folder: &std::path::Path) -> (ManagedServer, async_nats::Client) {
    let server = ManagedServer::start(ServerSettings {
        data: folder.to_owned(),
        program: None,
        public: None,
        simulator: true,
        max_file_store_bytes: 1 << 30,
    })
    .await
    .unwrap();
    let owner = server.broker(Part::Ingestor).connect("test").await.unwrap();
    stream::ensure(&async_nats::jetstream::new(owner), 64 << 20).await.unwrap();
    let agent = server.broker(Part::Simulator);
    let agent = agent.connect_later("agent", "_INBOX_simulator").await.unwrap();
    (server, agent)
}

#[tokio::test]
async fn what_is_published_is_shown_also_by_a_server_started_later() {
    let folder = tempfile::tempdir().unwrap();
    let host: HostName = "web-1".parse().unwrap();
    let (server, agent) = broker(folder.path()).await;

    let (first, first_end) = serve(&server).await;
    let message = Encoder::new().unwrap().encode(&snapshot(1, family())).unwrap();
    agent.publish(subject::snapshot(&host), "not a snapshot".into()).await.unwrap();
    agent.publish(subject::snapshot(&host), message.into()).await.unwrap();
    until(first, "/hosts/web-1", "sshd").await;
    assert!(get(first, "/readyz").await.contains(r#""broker":{"ok":true}"#));
    agent.publish("fleetps.another.snapshot", "not a snapshot".into()).await.unwrap();
    until(first, "/readyz", r#""no-snapshot":"#).await;

    let (second, second_end) = serve(&server).await;
    assert!(get(second, "/hosts/web-1").await.contains("sshd"), "right at once after a start");
    for (token, task) in [first_end, second_end] {
        token.cancel();
        tokio::time::timeout(PATIENCE, task).await.expect("the server goes on").unwrap();
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_whose_names_differ_in_a_dot_are_each_looked_up_by_their_own_name() {
    let folder = tempfile::tempdir().unwrap();
    let (server, agent) = broker(folder.path()).await;
    let (address, (token, task)) = serve(&server).await;
    let names = ["db.example.com", "db_example_com", "db-example-com", "DB2.Example.com"];
    for (number, name) in (1_i64..).zip(names) {
        let host: HostName = name.parse().unwrap();
        let message =
            Encoder::new().unwrap().encode(&snapshot(1, vec![process(7, 0, &format!("only-{number}"))]));
        agent.publish(subject::snapshot(&host), message.unwrap().into()).await.unwrap();
    }
    let url = format!("http://{address}");
    for (number, name) in (1..).zip(names) {
        let own = format!("only-{number}");
        let page = until(address, &format!("/hosts/{name}"), &own).await;
        assert!(page.contains(&format!("<h1>{name}</h1>")), "{page}");
        assert_eq!(page.matches("only-").count(), page.matches(&own).count(), "{page}");
        let json = get(address, &format!("/api/v1/hosts/{name}/processes")).await;
        assert!(json.contains(&format!("\"host\":\"{name}\"")) && json.contains(&own), "{json}");
        let found = get(address, &format!("/api/v1/search?q=host%3D{name}")).await;
        assert!(found.contains("\"total\":1") && found.contains(&own), "{found}");
        let ps = crate::commands::said(&["ps", name, "--server", &url]).await;
        assert!(ps.contains(&own) && ps.lines().count() == 2, "{ps}");
    }
    let fleet = scraper::Html::parse_document(&get(address, "/").await);
    let mut shown = texts(&fleet, "#hosts td.host a");
    shown.sort_unstable();
    assert_eq!(shown, ["DB2.Example.com", "db-example-com", "db.example.com", "db_example_com"]);
    for unknown in
        ["db.example_com", "db.example", "DB.example.com", "db..example.com", "db.example.com.", ".."]
    {
        let answer = get(address, &format!("/api/v1/hosts/{unknown}")).await;
        assert!(answer.contains("no host is called") || answer.contains("nothing at"), "{unknown}: {answer}");
    }
    token.cancel();
    tokio::time::timeout(PATIENCE, task).await.expect("the server goes on").unwrap();
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_in_the_history_yet_is_travelled_in_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    let host: HostName = "web-1".parse().unwrap();
    let (server, agent) = broker(folder.path()).await;
    let begun_us = now_us() - 300_000_000;
    let mut encoder = Encoder::new().unwrap();
    for step in 0..30 {
        let processes = vec![process(1, 0, &format!("at-{step}"))];
        // To the microsecond, though links have milliseconds.
        let captured_at_us = begun_us + step * 10_000_000 + 321;
        let taken = Snapshot { captured_at_us, ..snapshot(step + 1, processes) };
        agent.publish(subject::snapshot(&host), encoder.encode(&taken).unwrap().into()).await.unwrap();
    }
    let (address, (token, task)) = serve(&server).await;
    let live = until(address, "/hosts/web-1", "at-29").await;
    let mut page = live;
    for step in [28, 27, 26] {
        page = get(address, &link(&page, "earlier")).await;
        assert!(page.contains(&format!("at-{step}<")) && page.contains("Snapshot of"), "{step}: {page}");
    }
    page = get(address, &link(&page, "later")).await;
    assert!(page.contains("at-27<"), "{page}");
    let long_ago = display::time_exact(begun_us - 60_000_000);
    let before = get(address, &format!("/hosts/web-1?at={long_ago}")).await;
    assert!(before.contains("before the first snapshot"), "{before}");
    token.cancel();
    tokio::time::timeout(PATIENCE, task).await.expect("the server goes on").unwrap();
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_in_the_history_yet_is_in_the_charts() {
    let (folder, history) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let host: HostName = "web-1".parse().unwrap();
    let (server, agent) = broker(folder.path()).await;
    let begun_us = now_us() - 300_000_000;
    let mut encoder = Encoder::new().unwrap();
    let mut rows = SegmentRows::new(0, 1, 1, begun_us);
    for step in 0..30 {
        let captured_at_us = begun_us + step * 10_000_000;
        let mut taken = Snapshot { captured_at_us, ..snapshot(step + 1, family()) };
        taken.host.cpu_percent = Some(if step == 29 { 97.0 } else { 10.0 });
        // Answered once it is in the stream.
        agent.request(subject::snapshot(&host), encoder.encode(&taken).unwrap().into()).await.unwrap();
        if step < 20 {
            rows.push(step.cast_unsigned() + 1, captured_at_us, &host, &taken);
        }
    }
    seal(history.path(), &mut rows).unwrap();
    let (address, (token, task)) = serve_over(&server, history.path()).await;
    until(address, "/hosts/web-1", "sshd").await;
    let span = format!("from={}&to=now", display::time_exact(begun_us - 1_000_000));
    let metrics =
        until(address, &format!("/api/v1/hosts/web-1/metrics?points=1&{span}"), "\"points\":[{").await;
    assert!(
        metrics.contains(r#""samples":30"#) && metrics.contains(r#""cpu_percent_max":97.0"#),
        "{metrics}"
    );
    let page = get(address, &format!("/hosts/web-1/history?{span}")).await;
    assert!(page.contains(">97.0</td>"), "the last value of the chart: {page}");
    token.cancel();
    tokio::time::timeout(PATIENCE, task).await.expect("the server goes on").unwrap();
    server.stop().await;
}

#[tokio::test]
async fn of_what_a_host_sends_again_and_again_only_so_much_is_unpacked_for_a_chart() {
    let (folder, history) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let host: HostName = "loud".parse().unwrap();
    let (server, agent) = broker(folder.path()).await;
    let begun_us = now_us() - 300_000_000;
    let mut encoder = Encoder::new().unwrap();
    // Ten megabytes each, in some kilobytes.
    let line = Some("x".repeat(4096));
    let processes =
        (1..2560).map(|pid| Process { command_line: line.clone(), ..process(pid, 0, "x") }).collect();
    let mut taken = snapshot(1, processes);
    for step in 0..20 {
        taken.captured_at_us = begun_us + step * 10_000_000;
        taken.sequence = step.cast_unsigned() + 1;
        // Answered once it is in the stream.
        agent.request(subject::snapshot(&host), encoder.encode(&taken).unwrap().into()).await.unwrap();
    }
    let (address, (token, task)) = serve_over(&server, history.path()).await;
    let span = format!("points=1&from={}&to=now", display::time_exact(begun_us - 1_000_000));
    let metrics = until(address, &format!("/api/v1/hosts/loud/metrics?{span}"), "\"points\":[{").await;
    assert!(metrics.contains(r#""samples":7"#), "{metrics}");
    token.cancel();
    tokio::time::timeout(PATIENCE, task).await.expect("the server goes on").unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_kept_out_of_the_broker_is_shown_by_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = broker(folder.path()).await;
    let admission = server.admission(&"here".parse().unwrap(), AdmissionSettings::default()).await.unwrap();
    let stranger = server.broker(Part::Agent).with_key(folder.path().join("stranger.nk"));
    fleetps_nats::key::make(stranger.nkey_file.as_ref().unwrap()).unwrap();
    assert!(stranger.enrol(&"stranger".parse().unwrap(), None).await.is_err());
    let refused = admission.refused()["unknown-host"];
    let (address, (token, task)) = serve(&server).await;
    until(address, "/readyz", &format!(r#""refused":{{"broker":{{"unknown-host":{refused}}}"#)).await;
    token.cancel();
    tokio::time::timeout(PATIENCE, task).await.expect("the server goes on").unwrap();
    server.stop().await;
}

/// Where the link of this id leads.
fn link(page: &str, id: &str) -> String {
    let body = page.split_once("\r\n\r\n").unwrap().1;
    attributes(&scraper::Html::parse_document(body), &format!("#{id}"), "href")[0].clone()
}

pub type End = (CancellationToken, tokio::task::JoinHandle<()>);

pub async fn serve(server: &ManagedServer) -> (std::net::SocketAddr, End) {
    serve_over(server, &std::env::temp_dir().join("fleetps-no-history")).await
}

/// The same over the history in a folder.
async fn serve_over(server: &ManagedServer, history: &std::path::Path) -> (std::net::SocketAddr, End) {
    let client = server.broker(Part::Api).connect("web").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let token = CancellationToken::new();
    let shutdown = token.clone();
    let settings = IngestorSettings { history: history.to_owned(), ..IngestorSettings::default() };
    let people = People::anybody(Addresses::default());
    let task = tokio::spawn(async move {
        let (door, health) = (fleetps::testing::tls::TlsListener::plaintext(listener), Health::default());
        server::run(door, client, health, settings, QuestionSettings::default(), people, shutdown)
            .await
            .unwrap();
    });
    // Answers once it has caught up.
    get(address, "/healthz").await;
    (address, (token, task))
}
