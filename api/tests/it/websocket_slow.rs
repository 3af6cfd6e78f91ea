//! Clients that read slowly or not at all: they cost little, end, and harm nobody.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream;
use fleetps::testing::live::{Intake, Shown, follow};
use fleetps_nats::{
    server::{ManagedServer, Part, ServerSettings},
    snapshot::{Encoder, Process},
    stream, subject,
};
use futures_util::StreamExt;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::{mpsc, watch},
};

use crate::{
    chance::rounds,
    support::{PATIENCE, Site, family, process, snapshot},
    websocket::{Client, Front},
};

/// A host as a usual server is.
fn usual() -> Vec<Process> {
    (1..=300).map(|pid| process(pid, 0, &format!("a-program-with-a-name-{pid}"))).collect()
}

/// A connection whose system takes little for a client that does not read.
async fn small(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.connect(address).await.unwrap()
}

async fn watching(front: &Front, person: &str, watch: serde_json::Value) -> Client {
    let socket = small(front.address).await;
    let mut client = Client::open_on(socket, front.address, &[("x-person", person)]).await.unwrap();
    client.say(watch).await;
    client
}

/// Time is paused: a client that takes nothing is waited for at once.
#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_or_too_little_of_a_message_ends() {
    let front = Front::new(Site::with("web-1", usual())).await;
    let stalled = watching(&front, "vera viewer", json!({"watch": "host", "host": "web-1"})).await;
    let too_slow =
        |site: &Site| site.shared.sockets.figures().closed.get("too-slow").copied().unwrap_or_default();
    for sequence in 0..200 {
        front.site.tell("web-1", usual());
        if sequence % 20 == 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    front.until("it takes nothing and stays", |site| too_slow(site) == 1).await;
    drop(stalled);
    // A byte a second is taken, but no message in its time.
    let mut trickling = watching(&front, "vera viewer", json!({"watch": "host", "host": "web-1"})).await;
    let taking = async {
        loop {
            for _ in 0..20 {
                front.site.tell("web-1", usual());
            }
            let taken = trickling.stream.get_mut().read(&mut [0; 100]).await;
            if taken.is_err() || matches!(taken, Ok(0)) {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = front.until("it takes too little and stays", |site| too_slow(site) == 2) => {}
        () = taking => {}
    }
    front.until("it is not counted", |site| too_slow(site) == 2).await;
    front.until("they are still there", |site| site.shared.sockets.figures().open == 0).await;
    assert_eq!(front.connections.refused()["too-slow"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_gets_the_newest_and_is_told_what_it_skipped_and_others_get_everything() {
    let front = Front::new(Site::with("web-1", usual())).await;
    let (mut slow, mut fast) = (Vec::new(), Vec::new());
    for number in 0..rounds(20) {
        let watch = json!({"watch": "host", "host": "web-1"});
        slow.push(watching(&front, &format!("slow-{} viewer", number / 8), watch).await);
    }
    for number in 0..4 {
        let mut client = front.open(&format!("fast-{number} viewer")).await;
        client.say(json!({"watch": "host", "host": "web-1"})).await;
        client.next().await;
        fast.push(client);
    }
    let samples = 120_u64;
    for sample in 1..=samples {
        let mut processes = usual();
        processes.push(process(10_000 + u32::try_from(sample).unwrap(), 0, "newest"));
        front.site.tell("web-1", processes);
        for client in &mut fast {
            let message = client.next().await;
            assert_eq!(message["skipped"], 0);
            let has = |pid: u64| {
                message["data"]["processes"].as_array().unwrap().iter().any(|known| known["pid"] == pid)
            };
            assert!(has(10_000 + sample), "sample {sample} did not come next");
        }
    }
    // Nothing has queued: what was made for them is less than the samples.
    for client in &mut slow {
        let (mut skipped, mut messages) = (0, 0);
        while skipped + messages < samples + 1 {
            let message = client.next().await;
            messages += 1;
            skipped += message["skipped"].as_u64().unwrap();
        }
        assert_eq!(skipped + messages, samples + 1, "each is either sent or counted");
        assert!(messages < samples / 2, "{messages} messages were kept for it");
    }
    assert!(front.site.shared.sockets.figures().skipped > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_host_is_sent_in_parts_and_slow_clients_of_it_leave_places_to_others() {
    let many = (1..4_000).map(|pid| process(pid, 0, &format!("a-program-with-a-long-name-{pid}"))).collect();
    let front = Front::new(Site::with("big-1", many)).await;
    front.site.tell("web-1", family());
    let mut slow = Vec::new();
    for _ in 0..10 {
        slow.push(watching(&front, "slow viewer", json!({"watch": "host", "host": "big-1"})).await);
    }
    front.until("none is on its way", |site| site.shared.sockets.figures().large_messages.0 == 2).await;
    let mut other = front.open("vera viewer").await;
    other.say(json!({"watch": "host", "host": "big-1"})).await;
    assert_eq!(other.next().await["data"]["processes"].as_array().unwrap().len(), 3_999);
    // Another topic of a socket does not wait for a place.
    let mut waiting = slow.pop().unwrap();
    waiting.say(json!({"watch": "host", "host": "web-1"})).await;
    // At once, because two of them at a time have a place, in an order of their own.
    for message in futures_util::future::join_all(slow.iter_mut().map(Client::next)).await {
        assert_eq!(message["data"]["processes"].as_array().unwrap().len(), 3_999);
    }
    assert_eq!(front.site.shared.sockets.figures().closed.get("too-slow"), None);
}

/// Memory of this process, in KB; Linux says it.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A fleet with a real broker whose samples reach a front.
struct Fed {
    front: Front,
    server: ManagedServer,
    jetstream: jetstream::Context,
    _folder: tempfile::TempDir,
    sequence: i64,
}

impl Fed {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = ServerSettings {
            data: folder.path().to_owned(),
            program: None,
            public: None,
            simulator: false,
            max_file_store_bytes: 1 << 30,
        };
        let server = ManagedServer::start(settings).await.unwrap();
        let jetstream = jetstream::new(server.broker(Part::Ingestor).connect("test").await.unwrap());
        stream::ensure(&jetstream, 256 << 20).await.unwrap();
        let client = server.broker(Part::Api).connect("web").await.unwrap();
        let site = Site::new();
        let (fleet, shutdown) = (Arc::clone(&site.shared.fleet), site.shared.shutdown.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let shown = Shown { host_bytes_per_s: 1 << 30, down_for: Duration::from_secs(86_400) };
            let progress = watch::channel(Intake::default()).0;
            runtime.block_on(follow(client, &fleet, shown, &progress, shutdown));
        });
        Self { front: Front::new(site).await, server, jetstream, _folder: folder, sequence: 0 }
    }

    async fn publish(&mut self, encoder: &mut Encoder) {
        self.sequence += 1;
        let mut sample = snapshot(self.sequence, usual());
        let busy = u8::try_from(self.sequence % 100).unwrap();
        sample.processes.iter_mut().for_each(|process| process.cpu_percent = Some(f32::from(busy)));
        let subject = subject::snapshot(&"web-1".parse().unwrap());
        let message = encoder.encode(&sample).unwrap();
        self.jetstream.publish(subject, message.into()).await.unwrap().await.unwrap();
    }
}

/// Reads server-sent events as a program does; the number of each with data is sent on.
async fn sse(address: SocketAddr, person: String) -> TcpStream {
    let mut socket = small(address).await;
    let request = format!(
        "GET /api/v1/hosts/web-1/live HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\nx-person: {person}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// The median and the 99th percentile, in ms.
fn percentiles(mut took: Vec<Duration>) -> (f64, f64) {
    took.sort();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    (at(50), at(99))
}

/// The latency of `rounds` samples from publish to each of the sockets.
async fn latency(
    fed: &mut Fed,
    heard: &mut mpsc::Receiver<Instant>,
    sockets: usize,
    rounds: usize,
) -> (f64, f64) {
    let mut encoder = Encoder::new().unwrap();
    let mut took = Vec::new();
    for _ in 0..rounds {
        let begun = Instant::now();
        fed.publish(&mut encoder).await;
        for _ in 0..sockets {
            let at = tokio::time::timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
            took.push(at.saturating_duration_since(begun));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    percentiles(took)
}

/// Prints figures; takes about two minutes.
/// `cargo test --release -p fleetps --test it -- --ignored --nocapture websocket_slow::measures`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, and asserts nothing about time"]
async fn measures_latency_and_memory_beside_server_sent_events() {
    let mut fed = Fed::new().await;
    let mut encoder = Encoder::new().unwrap();
    fed.publish(&mut encoder).await;
    fed.front.until("the host is unknown", |site| site.shared.fleet.host_count() == 1).await;
    let (heard_in, mut heard) = mpsc::channel(10_000);
    for number in 0..100 {
        let mut client = fed.front.open(&format!("fast-{} viewer", number / 10)).await;
        client.say(json!({"watch": "host", "host": "web-1"})).await;
        client.next().await;
        let heard = heard_in.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = client.stream.next().await {
                if message.is_text() && heard.send(Instant::now()).await.is_err() {
                    return;
                }
            }
        });
    }
    let (median, most) = latency(&mut fed, &mut heard, 100, 100).await;
    println!("publish to 100 sockets: median {median:.1} ms, 99 % {most:.1} ms");
    for (what, is_socket) in [("WebSocket", true), ("server-sent events", false)] {
        let before_kb = resident_kb();
        let (mut slow, mut stalled) = (Vec::new(), Vec::new());
        for number in 0..250 {
            let person = format!("slow-{} viewer", number / 10);
            let socket = match is_socket {
                true => {
                    let watch = json!({"watch": "host", "host": "web-1"});
                    watching(&fed.front, &person, watch).await.stream.into_inner()
                }
                false => sse(fed.front.address, person).await,
            };
            if number < 200 { slow.push(socket) } else { stalled.push(socket) }
        }
        let reading = tokio::spawn(async move {
            let mut part = [0; 100];
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                for socket in &mut slow {
                    let _ = socket.try_read(&mut part);
                }
            }
        });
        let (median, most) = latency(&mut fed, &mut heard, 100, 40).await;
        let after_kb = resident_kb();
        let per_client = after_kb.saturating_sub(before_kb) as f64 / 250.0;
        println!(
            "with 200 slow and 50 stalled clients of {what}: median {median:.1} ms, 99 % {most:.1} ms; \
             {before_kb} KB, then {after_kb} KB: {per_client:.0} KB a client"
        );
        if is_socket {
            println!("{:?}", fed.front.site.shared.sockets.figures());
        }
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if fed.front.connections.open() <= 100 {
                break;
            }
        }
        println!("connections after 40 s: {}", fed.front.connections.open());
        reading.abort();
        drop(stalled);
        fed.front.until("they are still there", |_| true).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    fed.front.site.shared.shutdown.cancel();
    fed.server.stop().await;
}
