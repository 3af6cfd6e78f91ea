//! What a post costs: hosts that post signed snapshots over kept connections, as fast as the server answers, to a web server in
//! a process of its own; beside it the time of the signature check alone, and how soon a snapshot is on the page.
//!
//! `cargo bench -p fleetps --bench ingest -- 20`, with the seconds that it takes. Posts for each second of processor time of the
//! web server are what one core does, whatever else the machine does; the broker's are beside it.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on should panic")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use fleetps_nats::{
    HostName, Snapshot, hosts, key, now_us,
    server::{ManagedServer, Part, ServerSettings},
    signed::{self, Label, SignedRequest},
    snapshot::{Encoder, FORMAT, Process},
    stream,
};

/// Hosts, each with a connection.
const HOSTS: usize = 50;
/// Processes of a snapshot.
const PROCESSES: u32 = 300;
/// Signature checks that are measured.
const CHECKS: u32 = 20_000;
/// Snapshots whose way to the page is measured.
const SHOWN: u64 = 50;
/// Nothing takes as long.
const GIVE_UP: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() {
    let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(20);
    let folder = tempfile::tempdir().unwrap();
    let broker = ManagedServer::start(ServerSettings {
        data: folder.path().to_owned(),
        program: None,
        public: None,
        simulator: false,
        max_file_store_bytes: 20 << 30,
    })
    .await
    .unwrap();
    let client = broker.broker(Part::Ingestor).connect("bench").await.unwrap();
    stream::ensure(&async_nats::jetstream::new(client.clone()), 10 << 30).await.unwrap();
    let bucket = hosts::open(&client).await.unwrap();
    let mut senders = Vec::new();
    for number in 0..HOSTS {
        let sender = Sender::new(folder.path(), number);
        assert!(
            hosts::admit(&bucket, &sender.host, &key::read(&sender.key_file).unwrap().public_key())
                .await
                .unwrap()
        );
        senders.push(sender);
    }
    let server = Server::start(folder.path(), &broker);
    let broker_pid = broker.pid();
    tokio::task::spawn_blocking(move || {
        check_signatures(&senders[0]);
        show(&server, &mut senders[0]);
        post(&server, broker_pid, senders, Duration::from_secs(seconds));
    })
    .await
    .unwrap();
    broker.stop().await;
}

/// A host that posts.
struct Sender {
    host: HostName,
    key_file: PathBuf,
    sequence: u64,
    encoder: Encoder,
}

impl Sender {
    fn new(folder: &Path, number: usize) -> Self {
        let file = folder.join(format!("host-{number}.nk"));
        key::make(&file).unwrap();
        let host = format!("host-{number}").parse().unwrap();
        Self { host, key_file: file, sequence: 0, encoder: Encoder::new().unwrap() }
    }

    fn snapshot(&mut self) -> Snapshot {
        self.sequence += 1;
        let process = |pid: u32| Process {
            pid,
            started_at_us: 1_790_000_000_000_000 + i64::from(pid),
            name: format!("worker-{}", pid % 40),
            command_line: Some(format!(
                "/usr/lib/service-{}/bin/worker --shard={pid} --id={:x}",
                pid % 40,
                fastrand::u64(..)
            )),
            user_name: Some("www-data".to_owned()),
            state: 'S',
            cpu_percent: Some(fastrand::f32()),
            resident_bytes: Some(fastrand::u64(1 << 20..1 << 30)),
            ..Process::default()
        };
        Snapshot {
            format: FORMAT,
            boot_id: "boot".to_owned(),
            run_id: "run".to_owned(),
            sequence: self.sequence,
            captured_at_us: now_us(),
            interval_ms: 10_000,
            monotonic_ms: self.sequence * 10_000,
            processes: (1..=PROCESSES).map(process).collect(),
            ..Snapshot::default()
        }
    }

    /// The next post, signed.
    fn post(&mut self) -> Vec<u8> {
        let snapshot = self.snapshot();
        let body = self.encoder.encode(&snapshot).unwrap();
        let label = Label { run: "run".to_owned(), sequence: self.sequence, age: None, after: 0 };
        let key = key::read(&self.key_file).unwrap();
        let signed = SignedRequest::new(signed::INGEST, &self.host, &key, Some(label), &body);
        let headers = signed.sign(&key).unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n{headers}\r\n",
            signed::INGEST,
            body.len()
        );
        [head.into_bytes(), body].concat()
    }
}

/// The web server, killed when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(data: &Path, broker: &ManagedServer) -> Self {
        let broker = broker.broker(Part::Api);
        let mut child = Command::new(env!("CARGO_BIN_EXE_fleetps"))
            .args(["--listen", "127.0.0.1:0", "--auth", "off", "--nats", &broker.url, "--nkey"])
            .arg(broker.nkey_file.unwrap())
            .arg("--data")
            .arg(data)
            .arg("serve")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address =
            lines.find_map(|line| line.unwrap().strip_prefix("fleetps serves http://").map(str::to_owned));
        Self { child, address: address.unwrap().trim().to_owned() }
    }

    fn connect(&self) -> Connection {
        let socket = TcpStream::connect(&self.address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(GIVE_UP)).unwrap();
        Connection(BufReader::new(socket))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A kept connection.
struct Connection(BufReader<TcpStream>);

impl Connection {
    /// The status of the answer, and its body.
    fn ask(&mut self, request: &[u8]) -> (u16, String) {
        self.0.get_mut().write_all(request).unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let line = line.trim().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some(bytes) = line.strip_prefix("content-length: ") {
                length = bytes.parse().unwrap();
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (status, String::from_utf8(body).unwrap())
    }
}

fn check_signatures(sender: &Sender) {
    let label = Label { run: "run".to_owned(), sequence: 1, age: None, after: 0 };
    let key = key::read(&sender.key_file).unwrap();
    let signed = SignedRequest::new(signed::INGEST, &sender.host, &key, Some(label), b"body");
    let headers = signed.sign(&key).unwrap();
    let header =
        |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
    let before_s = processor_time(std::process::id());
    for _ in 0..CHECKS {
        let read = SignedRequest::read(signed::INGEST, header).unwrap();
        read.verify(header(signed::SIGNATURE)).unwrap();
    }
    let each_us = (processor_time(std::process::id()) - before_s) * 1e6 / f64::from(CHECKS);
    println!("reading and checking one signature: {each_us:.1} µs of processor time");
}

/// How soon a snapshot is in the JSON of its host, from the beginning of its post.
fn show(server: &Server, sender: &mut Sender) {
    let (mut posting, mut looking) = (server.connect(), server.connect());
    let look = format!("GET /api/v1/hosts/{} HTTP/1.1\r\nhost: localhost\r\n\r\n", sender.host);
    let mut took_ms = Vec::new();
    for _ in 0..SHOWN {
        let post = sender.post();
        let begun = Instant::now();
        let (status, said) = posting.ask(&post);
        assert_eq!(status, 202, "{said}");
        let wanted = format!("\"sequence\":{},", sender.sequence);
        while !looking.ask(look.as_bytes()).1.contains(&wanted) {
            assert!(begun.elapsed() < GIVE_UP, "{} is not shown", sender.sequence);
            thread::sleep(Duration::from_millis(1));
        }
        took_ms.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    took_ms.sort_by(f64::total_cmp);
    println!(
        "from the post to the page: half within {:.1} ms, all within {:.1} ms",
        took_ms[took_ms.len() / 2],
        took_ms[took_ms.len() - 1]
    );
}

fn post(server: &Server, broker_pid: u32, senders: Vec<Sender>, lasting: Duration) {
    let (posts, bytes, is_over) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let before = (processor_time(server.child.id()), processor_time(broker_pid));
    let begun = Instant::now();
    let threads: Vec<_> = senders
        .into_iter()
        .map(|mut sender| {
            let mut connection = server.connect();
            let (posts, bytes, is_over) = (Arc::clone(&posts), Arc::clone(&bytes), Arc::clone(&is_over));
            thread::spawn(move || {
                let mut took_ms = Vec::new();
                while !is_over.load(Relaxed) {
                    let post = sender.post();
                    let begun = Instant::now();
                    match connection.ask(&post) {
                        (202, _) => {}
                        (429, _) => {
                            sender.sequence -= 1;
                            thread::sleep(Duration::from_millis(100));
                            continue;
                        }
                        (status, said) => panic!("{status}: {said}"),
                    }
                    took_ms.push(begun.elapsed().as_secs_f64() * 1e3);
                    posts.fetch_add(1, Relaxed);
                    bytes.fetch_add(post.len() as u64, Relaxed);
                }
                took_ms
            })
        })
        .collect();
    thread::sleep(lasting);
    is_over.store(true, Relaxed);
    let mut took_ms: Vec<f64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    took_ms.sort_by(f64::total_cmp);
    let (count, took_s) = (posts.load(Relaxed) as f64, begun.elapsed().as_secs_f64());
    let server_s = processor_time(server.child.id()) - before.0;
    let broker_s = processor_time(broker_pid) - before.1;
    let at = |share: f64| took_ms[((took_ms.len() - 1) as f64 * share) as usize];
    println!(
        "{count} posts of {:.1} kB by {HOSTS} hosts in {took_s:.1} s: {:.0} a second; answered within {:.1} ms (half), {:.1} ms (99 %)",
        bytes.load(Relaxed) as f64 / count / 1e3,
        count / took_s,
        at(0.5),
        at(0.99)
    );
    println!(
        "posts for each second of processor time: {:.0} of the web server (with its live pages), {:.0} of the broker",
        count / server_s,
        count / broker_s
    );
}

/// The processor time that a process has had, in s.
fn processor_time(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // User and system time, in steps of 10 ms.
    [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}
