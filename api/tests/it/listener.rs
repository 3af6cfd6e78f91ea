//! Idle and slow clients against real listeners: they end, and keep no other client out.

use std::{
    net::{IpAddr, SocketAddr, TcpStream as Blocking},
    process::Command,
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use fleetps::testing::{
    auth::{Addresses, SignInSettings},
    connections::{Connections, Limits, serve},
    tls::{Certificates, TlsFiles, TlsListener, make},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

use crate::{
    chance::rounds,
    described::got,
    guarded::Guarded,
    program::{Running, fleetps, until},
    support::{PATIENCE, Site, family, process},
};

/// A site at a real address.
struct Front {
    _site: Site,
    connections: Connections,
    address: SocketAddr,
}

impl Front {
    async fn plain(site: Site, limits: Limits, addresses: Addresses) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::at(address, TlsListener::plaintext(listener), site, limits, addresses)
    }

    fn at(address: SocketAddr, door: TlsListener, site: Site, limits: Limits, addresses: Addresses) -> Self {
        let connections = Connections::new(limits, addresses);
        let shutdown = site.shared.shutdown.clone();
        tokio::spawn(serve(door, site.router.clone(), connections.clone(), shutdown));
        Self { _site: site, connections, address }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection from another address of this machine.
    async fn connect_from(&self, last: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(IpAddr::from([127, 0, 0, last]), 0)).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Connections) -> bool) {
        let waiting = async {
            while !is_so(&self.connections) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect(what);
    }
}

/// As for a process with this many descriptors; this one has those of all tests open.
fn limits(descriptors: u64) -> Limits {
    Limits { highest_descriptor: u64::MAX, ..Limits::of(Some(descriptors)) }
}

/// The status of the answer to one request on a connection that stays open; `None` where it was closed.
async fn ask(socket: &mut TcpStream, path: &str, cookie: &str) -> Option<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\ncookie: {cookie}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    let head = async {
        loop {
            let mut part = [0; 16 << 10];
            let read = socket.read(&mut part).await.ok().filter(|read| *read > 0)?;
            answer.extend_from_slice(&part[..read]);
            if let Some(end) = answer.windows(4).position(|end| end == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.map_or(0, |length| length.parse().unwrap());
                if answer.len() >= end + 4 + length {
                    return head.get(9..12)?.parse().ok();
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, head).await.expect("no answer")
}

/// Everything that still comes; ends when the server has closed.
async fn rest(socket: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest).await;
    String::from_utf8_lossy(&rest).into_owned()
}

/// The clock runs ahead as soon as everybody waits, so what ends by itself ends at once, and what does not hangs.
#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_never_comes_to_an_end_is_closed() {
    let front = Front::plain(Site::with("web-1", family()), limits(1_024), Addresses::default()).await;
    for begun in ["", "G", "GET / HTTP/1.1\r\nhost: localhost\r\n", "GET / HTTP/1.1\r\nhost: loc"] {
        let mut socket = front.connect().await;
        socket.write_all(begun.as_bytes()).await.unwrap();
        rest(&mut socket).await;
    }
    // One byte a second is no end either.
    let mut socket = front.connect().await;
    socket.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    while socket.write_all(b"y").await.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // Nor does an answered connection without a next request.
    let mut socket = front.connect().await;
    assert_eq!(ask(&mut socket, "/healthz", "").await, Some(200));
    rest(&mut socket).await;
    front.until("some are still there", |connections| connections.open() == 0).await;
    assert!(front.connections.refused()["too-slow"] >= 5, "{:?}", front.connections.refused());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_to_an_end_is_refused() {
    let front = Front::plain(Site::with("web-1", family()), limits(1_024), Addresses::default()).await;
    for address in ["/sql", "/api/v1/sql", "/sign-in", "/nothing"] {
        let mut socket = front.connect().await;
        let head = format!("POST {address} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        let (mut reading, mut writing) = socket.split();
        let trickling = async {
            while writing.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        };
        let mut answer = String::new();
        tokio::select! {
            _ = reading.read_to_string(&mut answer) => {}
            () = trickling => {}
        }
        assert!(answer.starts_with("HTTP/1.1 408"), "{address}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_take_an_answer_is_closed() {
    // An answer that is longer than what systems take for a client that does not read.
    let many = (1..5_000).map(|pid| process(pid, 0, &format!("a-program-with-a-long-name-{pid}"))).collect();
    let front = Front::plain(Site::with("web-1", many), limits(1_024), Addresses::default()).await;
    let mut socket = front.connect().await;
    let request = b"GET /api/v1/hosts/web-1/processes HTTP/1.1\r\nhost: localhost\r\n\r\n";
    socket.write_all(request).await.unwrap();
    front.until("it never began", |connections| connections.open() == 1).await;
    front.until("it is still there", |connections| connections.open() == 0).await;
    assert_eq!(front.connections.refused()["too-slow"], 1);
    let came = rest(&mut socket).await;
    assert!(
        came.starts_with("HTTP/1.1 200") && !came.ends_with('}'),
        "{} {}",
        came.len(),
        &came[..came.len().min(700)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stops_halfway_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &[]).unwrap();
    let files =
        TlsFiles { certificate: folder.path().join("server.pem"), key: folder.path().join("server.key") };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let door = TlsListener::secure(listener, Certificates::load(files).unwrap());
    let site = Site::with("web-1", family());
    let front = Front::at(address, door, site, limits(1_024), Addresses::default());
    for begun in [&[][..], &[0x16], &[0x16, 3, 1, 2, 0, 1]] {
        let mut socket = front.connect().await;
        socket.write_all(begun).await.unwrap();
        rest(&mut socket).await;
    }
    front.until("some are still there", |connections| connections.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_keep_nobody_out_who_is_signed_in_and_push_out_each_other() {
    let guarded = Guarded::new(SignInSettings::default()).await;
    let anna = guarded.anna().await;
    let (site, _server) = guarded.into_parts();
    let front = Front::plain(site, limits(1_024), Addresses::default()).await;
    let cookie = anna.cookie();
    let mut kept = front.connect().await;
    assert_eq!(ask(&mut kept, "/api/v1/hosts", &cookie).await, Some(200));
    let mut silent = Vec::new();
    for count in 0..rounds(1_000) {
        let mut socket = front.connect_from(2 + u8::try_from(count % 3).unwrap()).await;
        if count % 2 == 0 {
            let _ = socket.write_all(b"GET / HTTP/1.1\r\nhost: ").await;
        }
        silent.push(socket);
        // Fifty times, which is within what one person may ask.
        if count % rounds(20) == 0 {
            assert_eq!(ask(&mut kept, "/api/v1/hosts", &cookie).await, Some(200));
            assert_eq!(ask(&mut front.connect().await, "/api/v1/hosts", &cookie).await, Some(200));
        }
    }
    let limits = front.connections.limits();
    let most = limits.strangers + limits.of_a_person;
    front.until("they push out nobody", |connections| connections.open() <= most).await;
    assert!(front.connections.refused()["made-room"] > 0);
    assert!(!front.connections.refused().contains_key("full"));
    // From one's own network, too.
    for _ in 0..limits.of_a_network * 2 {
        silent.push(front.connect().await);
    }
    assert_eq!(ask(&mut kept, "/api/v1/hosts", &cookie).await, Some(200));
    assert_eq!(ask(&mut front.connect().await, "/api/v1/hosts", &cookie).await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_has_a_share_of_the_connections() {
    let guarded = Guarded::new(SignInSettings::default()).await;
    let anna = guarded.anna().await;
    let (site, _server) = guarded.into_parts();
    let front = Front::plain(site, limits(256), Addresses::default()).await;
    let most = front.connections.limits().of_a_person;
    let mut own = Vec::new();
    for _ in 0..3 * most {
        let mut socket = front.connect().await;
        assert_eq!(ask(&mut socket, "/api/v1/hosts", &anna.cookie()).await, Some(200));
        own.push(socket);
    }
    front.until("she has more", |connections| connections.open() <= most).await;
    for socket in &mut own[..most] {
        assert_eq!(rest(socket).await, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_trusted_counts_for_no_network() {
    let proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let settings = SignInSettings { trusted_proxies: proxies, ..SignInSettings::default() };
    let site = Site::with("web-1", family());
    let front = Front::plain(site, limits(256), Addresses::new(&settings, false)).await;
    let limits = front.connections.limits();
    assert!(limits.most > limits.strangers);
    let mut all = Vec::new();
    for _ in 0..limits.most {
        all.push(front.connect().await);
    }
    front.until("some are missing", |connections| connections.open() == limits.most).await;
    assert!(front.connections.refused().is_empty());
    // One more: the one that has been silent for the longest makes room.
    assert_eq!(ask(&mut front.connect().await, "/healthz", "").await, Some(200));
    assert_eq!(rest(&mut all[0]).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_everybody_is_being_answered_another_is_told_to_come_later() {
    let front = Front::plain(Site::with("web-1", family()), limits(8), Addresses::default()).await;
    let most = front.connections.limits().most;
    let mut open = Vec::new();
    for _ in 0..most {
        let mut socket = front.connect().await;
        socket.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        assert!(socket.read(&mut [0; 9]).await.unwrap() > 0);
        open.push(socket);
    }
    let refused = rest(&mut front.connect().await).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 5\r\n"), "{refused}");
    let body = refused.split("\r\n\r\n").nth(1).unwrap();
    assert!(refused.contains(&format!("content-length: {}\r\n", body.len())), "{refused}");
    assert!(front.connections.refused()["full"] > 0 && front.connections.problem().is_some());
    open.clear();
    front.until("they are still there", |connections| connections.open() == 0).await;
    assert_eq!(ask(&mut front.connect().await, "/healthz", "").await, Some(200));
}

#[tokio::test]
async fn a_stranger_sends_a_short_form_only() {
    let guarded = Guarded::new(SignInSettings::default()).await;
    let request = |length| {
        let body = Body::from(vec![b'x'; length]);
        Request::post("/sign-in").header("host", "localhost").body(body).unwrap()
    };
    assert_eq!(guarded.site.send(request(17 << 10)).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(guarded.site.send(request(15 << 10)).await.status, StatusCode::FORBIDDEN);
}

/// A command that is run under this limit of open files; `kind` is `-n` for both limits, `-Sn` for the soft one.
fn under(limit: u32, kind: &str, program: &Command) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit {kind} {limit}; exec \"$0\" \"$@\"")).arg(program.get_program());
    command.args(program.get_args());
    for (name, value) in program.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
}

#[cfg(target_os = "linux")]
#[test]
fn the_limit_of_open_files_is_raised_for_the_program_and_its_broker() {
    let data = tempfile::tempdir().unwrap();
    let running = Running::start_command(&mut under(300, "-Sn", &fleetps(data.path())));
    let soft = |pid: &str| {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let numbers: Vec<_> = files.split_whitespace().skip(3).take(2).map(str::to_owned).collect();
        (numbers[0].clone(), numbers[1].clone())
    };
    let pid = running.pid().to_string();
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let children: Vec<String> = threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .flat_map(|pids| pids.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert!(!children.is_empty(), "where is the broker?");
    for pid in std::iter::once(&pid).chain(&children) {
        let (soft, hard) = soft(pid);
        assert_eq!(soft, hard, "{pid}");
    }
    running.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn silent_connections_beyond_the_open_files_end_nothing_and_the_history_goes_on() {
    fleetps_ingestor::descriptors::raise_limit();
    let data = tempfile::tempdir().unwrap();
    let settings = data.path().join("settings.toml");
    std::fs::write(&settings, "[history]\nseal_interval = \"1s\"\n").unwrap();
    let mut program = fleetps(data.path());
    program.arg("--config").arg(&settings);
    let running = Running::start_command(&mut under(512, "-n", &program));
    let address = running.address.strip_prefix("http://").unwrap().to_owned();
    let mut silent: Vec<Blocking> = Vec::new();
    let json = |path: &str| -> Option<Value> {
        let (status, body) = got(&running.address, path)?;
        serde_json::from_str(&body).ok().filter(|_| status < 400)
    };
    let segments = || std::fs::read_dir(data.path().join("history")).map_or(0, |files| files.count());
    until("the history begins", || (segments() > 1).then_some(()));
    let before = segments();
    for count in 0..rounds(1_500) {
        silent.extend(Blocking::connect(&address));
        if count % 100 == 0 {
            until("an answer", || json("/healthz"));
        }
    }
    until("the history goes on", || (segments() > before + 2).then_some(()));
    let sql = "SELECT count(*) FROM process_sample";
    until("a question is answered", || {
        ureq::post(format!("{}/api/v1/sql", running.address)).send(sql).is_ok().then_some(())
    });
    let refused = until("readiness", || json("/readyz"))["refused"]["connections"].clone();
    assert!(refused["made-room"].as_u64().unwrap() > 0, "{refused}");
    running.stop();
}
