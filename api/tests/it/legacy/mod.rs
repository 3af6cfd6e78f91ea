//! Agents and pages of older systems, as clients written from what those send, against a real listener and a real broker.

mod browser;
mod hostile;
mod import;
mod names;
mod s000;
mod s001;
mod s002;
mod s003;
mod sealed;
mod ws;

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use fleetps::testing::{
    auth::{Addresses, People},
    config::{LegacySettings, QuestionSettings},
    legacy::{KeyHash, LegacyDoor, System, WINDOWS, Window},
    server::{self, Doors, Health},
    tls::{TlsListener, TlsSettings},
};
use fleetps_ingestor::IngestorSettings;
use fleetps_nats::{
    bucket::Bucket,
    now_us,
    server::{ManagedServer, Part},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::support::PATIENCE;

/// A broker, a web server with both listeners, and what it takes to ask them.
pub struct Scene {
    folder: tempfile::TempDir,
    /// `None` after a test has stopped it.
    pub broker: Option<ManagedServer>,
    pub client: async_nats::Client,
    /// Where older systems are answered.
    pub legacy: SocketAddr,
    /// Where pages are.
    pub pages: SocketAddr,
    settings: LegacySettings,
    serving: Option<(CancellationToken, JoinHandle<()>)>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let name = format!("{name}:");
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&name))?;
        Some(line[name.len()..].trim())
    }
}

impl Scene {
    pub async fn open(settings: LegacySettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (broker, _) = crate::pipeline::broker(folder.path()).await;
        let client = broker.broker(Part::Api).connect("test").await.unwrap();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = LegacySettings { listen: Some(nowhere), ..settings };
        let mut scene = Self {
            folder,
            broker: Some(broker),
            client,
            legacy: nowhere,
            pages: nowhere,
            settings,
            serving: None,
        };
        scene.serve().await;
        scene
    }

    /// Readers are operators of every host.
    pub async fn with_operators() -> Self {
        Self::open(LegacySettings {
            readers: Some("operator".parse().unwrap()),
            allowed_from: vec!["127.0.0.1/32".parse().unwrap()],
            origins: vec!["null".to_owned(), "http://localhost:5173".to_owned()],
            ..LegacySettings::default()
        })
        .await
    }

    /// Starts the web server.
    pub async fn serve(&mut self) {
        let client = self.broker.as_ref().unwrap().broker(Part::Api).connect("web").await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.pages = listener.local_addr().unwrap();
        let tls = TlsSettings::default();
        let door = LegacyDoor::open(&self.settings, &tls, self.folder.path()).await.unwrap().unwrap();
        self.legacy = door.address();
        let history: PathBuf = self.folder.path().join("history");
        let settings = IngestorSettings { history, ..IngestorSettings::default() };
        let token = CancellationToken::new();
        let shutdown = token.clone();
        let serving = tokio::spawn(async move {
            let doors = Doors {
                commands_need_reason: false,
                demo: None,
                pages: TlsListener::plaintext(listener),
                metrics: None,
                legacy: Some(door),
                control_key: None,
                dispatch: None,
            };
            let people = People::anybody(Addresses::default());
            let (health, questions) = (Health::default(), QuestionSettings::default());
            server::run(doors, client, health, settings, questions, people, shutdown).await.unwrap();
        });
        self.serving = Some((token, serving));
        self.get("/api/").await;
    }

    /// Ends the web server as a kill does.
    pub async fn kill(&mut self) {
        let (token, serving) = self.serving.take().unwrap();
        serving.abort();
        token.cancel();
        let _ = serving.await;
    }

    pub async fn allow(&self, system: System, uses: u32) {
        self.allow_with(system, uses, None, false).await;
    }

    pub async fn allow_with(
        &self,
        system: System,
        uses: u32,
        shared_key: Option<&str>,
        accepts_known_keys: bool,
    ) {
        let window = Window {
            expires_at_us: now_us() + 3_600_000_000,
            uses_left: uses,
            groups: BTreeSet::from(["legacy".to_owned()]),
            shared_key: shared_key.map(|key| KeyHash::of(key.as_bytes())),
            accepts_known_keys,
        };
        let windows: Bucket<Window> = Bucket::open(&self.client, WINDOWS).await.unwrap();
        windows.put(system.number(), &window).await.unwrap();
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], None).await
    }

    /// Asks again until the answer is as `wanted`.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let asking = async {
            loop {
                let answer = self.get(path).await;
                if wanted(&answer) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{path} never was as wanted"))
    }

    pub async fn post(&self, path: &str, key: Option<(&str, &str)>, body: &Value) -> Answer {
        let keys: Vec<(&str, &str)> = key.into_iter().collect();
        self.ask("POST", path, &keys, Some(&body.to_string())).await
    }

    /// Posts until the answer is not 403: a window that was just opened is known within moments.
    pub async fn enrol(&self, path: &str, key: Option<(&str, &str)>, body: &Value) -> Answer {
        let asking = async {
            loop {
                let answer = self.post(path, key, body).await;
                if ![401, 403].contains(&answer.status) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("it is never let in")
    }

    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        ask_at(self.legacy, method, path, headers, body).await
    }

    /// JSON of the other listener.
    pub async fn fleet(&self, path: &str) -> Value {
        ask_at(self.pages, "GET", path, &[], None).await.json()
    }

    /// The hosts that the fleet knows, by name.
    pub async fn hosts(&self) -> Vec<Value> {
        self.fleet("/api/v1/hosts").await["hosts"].as_array().unwrap().clone()
    }

    /// How many messages the stream has.
    pub async fn stored(&self) -> u64 {
        let jetstream = async_nats::jetstream::new(self.client.clone());
        let stream = fleetps_nats::stream::open_snapshots(&jetstream).await.unwrap();
        stream.cached_info().state.messages
    }

    pub async fn close(mut self) {
        self.kill().await;
        if let Some(broker) = self.broker.take() {
            broker.stop().await;
        }
    }
}

pub async fn ask_at(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        request += &format!("host: {address}\r\n");
    }
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    if let Some(body) = body {
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request += "content-type: application/json\r\n";
        }
        request += &format!("content-length: {}\r\n", body.len());
    }
    request += "\r\n";
    let asking = async {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        // A server that has seen enough answers before the end of the body.
        let _ = socket.write_all(body.unwrap_or_default().as_bytes()).await;
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await.expect("no answer");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// The body of an agent of system 001 on a small machine.
pub fn ingest(hostname: &str, captured_at: &str, processes: Value) -> Value {
    json!({
        "hostname": hostname,
        "captured_at": captured_at,
        "system_info": {
            "os": "Linux 6.8.0", "processor": "x86_64", "cores": 4, "threads": 8, "cpu_freq_mhz": 2400.0,
            "ram_gb": 15.53, "used_ram_gb": 7.21, "available_ram_gb": 8.32,
            "storage_total_gb": 97.87, "storage_used_gb": 41.02, "storage_free_gb": 51.83,
        },
        "processes": processes,
    })
}

pub fn process_001(pid: u32, ppid: u32, name: &str, cmdline: &str) -> Value {
    json!({"pid": pid, "ppid": ppid, "name": name, "cpu_percent": 12.3, "memory_mb": 101.27, "cmdline": cmdline})
}
