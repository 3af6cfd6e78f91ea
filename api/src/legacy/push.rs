//! WebSockets of systems 002 and 003.
//!
//! What is sent is always the latest: while a slow page takes one message, later snapshots replace each other, and nothing
//! queues. A page that takes nothing for half a minute is cut off.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{
        State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use fleetps_nats::HostName;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Fault, Legacy, System, reader::Reader, s002, s003};
use crate::connections::Place;

/// Sockets at once: each has at most one message of some megabytes under way.
const MAX_SOCKETS: usize = 128;
/// The longest message of a page: a subscription has 150 bytes.
const MAX_FROM_PAGE_BYTES: usize = 64 << 10;
/// The longest message to a page: 20,000 processes.
const MAX_TO_PAGE_BYTES: usize = 16 << 20;
/// How long a page may take for a message.
const TAKEN_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a page is asked whether it is there, and how long it may say nothing.
const PING_EVERY: Duration = Duration::from_secs(20);
const SILENCE_TIMEOUT: Duration = Duration::from_secs(70);
/// Servers are looked through ten times a second at most.
const GATHERED: Duration = Duration::from_millis(100);
/// The code of a close for a message that cannot be understood, as system 002 closes.
const FAILED: u16 = 1011;

/// The routes of both systems.
pub(super) fn routes() -> Router<Arc<Legacy>> {
    Router::new().route("/ws/snapshot/", get(machines)).route("/ws", get(servers))
}

/// The sockets that are open.
#[derive(Debug)]
pub(super) struct Sockets {
    places: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Sockets {
    /// None yet.
    pub(super) fn new(shutdown: CancellationToken) -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_SOCKETS)), shutdown }
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Fault> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let detail = "too many pages listen";
            let wait = Duration::from_secs(30);
            Fault::for_now(StatusCode::SERVICE_UNAVAILABLE, "too-many-sockets", detail, wait)
        })
    }
}

/// A socket, with what it holds.
struct Socket {
    socket: WebSocket,
    heard: Instant,
    _place: OwnedSemaphorePermit,
    _connection: Option<Extension<Place>>,
}

/// The page is gone, or is to go.
struct Gone;

impl Socket {
    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        let sent = timeout(TAKEN_TIMEOUT, self.socket.send(message)).await;
        sent.map_err(|_| Gone)?.map_err(|_| Gone)
    }

    async fn text(&mut self, text: String) -> Result<(), Gone> {
        self.send(Message::Text(text.into())).await
    }

    async fn ping(&mut self) -> Result<(), Gone> {
        if self.heard.elapsed() > SILENCE_TIMEOUT {
            return Err(Gone);
        }
        self.send(Message::Ping(axum::body::Bytes::new())).await
    }

    /// The next text of the page; `None` for anything else that it says.
    async fn hear(&mut self) -> Result<Option<String>, Gone> {
        let heard = self.socket.recv().await.ok_or(Gone)?.map_err(|_| Gone)?;
        self.heard = Instant::now();
        match heard {
            Message::Text(text) => Ok(Some(text.as_str().to_owned())),
            Message::Close(_) => Err(Gone),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => Ok(None),
        }
    }
}

/// Accepts a socket, and works on it in a task of its own.
fn open<Work: Future<Output = Result<(), Gone>> + Send>(
    legacy: &Legacy,
    upgrade: WebSocketUpgrade,
    connection: Option<Extension<Place>>,
    work: impl FnOnce(Socket) -> Work + Send + 'static,
) -> Response {
    let place = match legacy.sockets.place() {
        Ok(place) => place,
        Err(fault) => return fault.into_response(),
    };
    let shutdown = legacy.sockets.shutdown.clone();
    upgrade
        .max_message_size(MAX_FROM_PAGE_BYTES)
        .max_frame_size(MAX_FROM_PAGE_BYTES)
        .max_write_buffer_size(MAX_TO_PAGE_BYTES)
        .on_upgrade(async move |socket| {
            let socket = Socket { socket, heard: Instant::now(), _place: place, _connection: connection };
            let _ = shutdown.run_until_cancelled(work(socket)).await;
        })
}

/// The socket of system 002: a page subscribes to one machine at a time.
async fn machines(
    State(legacy): State<Arc<Legacy>>,
    reader: Reader,
    connection: Option<Extension<Place>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    open(&legacy, upgrade, connection, async move |mut socket| follow_machine(&mut socket, &reader).await)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    action: Value,
    machine_id: Value,
}

/// The machine that a page listens to.
struct Followed {
    machine_id: String,
    host: Option<(HostName, watch::Receiver<()>)>,
}

impl Followed {
    /// Looks for the machine, which may not have sent anything yet.
    fn find(&mut self, reader: &Reader) {
        if self.host.is_none() {
            let host = reader.named(System::S002, &self.machine_id).map(|known| known.host);
            self.host = host.and_then(|host| Some((host.clone(), reader.scoped.watch_host(&host).ok()?)));
        }
    }

    /// Returns when the machine has sent something, or may have begun to.
    async fn changed(&mut self, fleet: &mut watch::Receiver<u64>) -> bool {
        match &mut self.host {
            Some((_, changes)) => {
                if changes.changed().await.is_err() {
                    self.host = None;
                    return false;
                }
                true
            }
            None => {
                tokio::time::sleep(GATHERED).await;
                if fleet.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                false
            }
        }
    }
}

async fn follow_machine(socket: &mut Socket, reader: &Reader) -> Result<(), Gone> {
    let mut fleet = reader.watch_fleet();
    let mut followed: Option<Followed> = None;
    let mut pings = tokio::time::interval(PING_EVERY);
    let mut sent = None;
    loop {
        let changed = async {
            match &mut followed {
                Some(followed) => followed.changed(&mut fleet).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            heard = socket.hear() => {
                let Some(text) = heard? else { continue };
                let Ok(said) = serde_json::from_str::<Said>(&text) else {
                    let frame = CloseFrame { code: FAILED, reason: "not JSON".into() };
                    return socket.send(Message::Close(Some(frame))).await;
                };
                if said.action == "subscribe" {
                    let machine_id = said.machine_id.as_str().unwrap_or_default().to_owned();
                    let answer = json!({ "type": "subscribed", "message": { "machine_id": said.machine_id } });
                    let mut new = Followed { machine_id, host: None };
                    new.find(reader);
                    // What came before is not sent.
                    sent = new.host.as_ref().and_then(|(host, _)| version(reader, host));
                    followed = Some(new);
                    socket.text(answer.to_string()).await?;
                }
            }
            is_of_machine = changed => {
                let Some(followed) = &mut followed else { continue };
                let was_unknown = !is_of_machine && followed.host.is_none();
                followed.find(reader);
                let Some((host, _)) = followed.host.clone().filter(|_| is_of_machine || was_unknown) else { continue };
                let now = version(reader, &host);
                if now == sent || now.is_none() {
                    continue;
                }
                if let Some(moment) = reader.moment(host).await {
                    socket.text(s002::message(&followed.machine_id, moment.snapshot())).await?;
                    sent = now;
                }
            }
            _ = pings.tick() => socket.ping().await?,
        }
    }
}

/// Which snapshot of a host is its latest.
fn version(reader: &Reader, host: &HostName) -> Option<(String, u64)> {
    reader.scoped.summary(host).map(|summary| (summary.run_id.clone(), summary.sequence))
}

/// The socket of system 003: every post of every server, and every queued action.
async fn servers(
    State(legacy): State<Arc<Legacy>>,
    reader: Reader,
    connection: Option<Extension<Place>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let told = legacy.actions.listen();
    open(&legacy, upgrade, connection, async move |mut socket| {
        follow_servers(&mut socket, &reader, told).await
    })
}

async fn follow_servers(
    socket: &mut Socket,
    reader: &Reader,
    mut told: tokio::sync::broadcast::Receiver<(HostName, Value)>,
) -> Result<(), Gone> {
    let mut fleet = reader.watch_fleet();
    let mut pings = tokio::time::interval(PING_EVERY);
    let mut sent: HashMap<HostName, (String, u64)> = HashMap::new();
    for known in reader.hosts_of(System::S003) {
        sent.extend(version(reader, &known.host).map(|version| (known.host, version)));
    }
    loop {
        let changed = async {
            let is_over = fleet.changed().await.is_err();
            if is_over {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            heard = socket.hear() => { heard?; }
            action = told.recv() => {
                // One that fell behind has missed some.
                if let Ok((host, action)) = action
                    && reader.sees(&host)
                {
                    socket.text(action.to_string()).await?;
                }
            }
            () = changed => {
                for known in reader.hosts_of(System::S003) {
                    let now = version(reader, &known.host);
                    if now.is_none() || now.as_ref() == sent.get(&known.host) {
                        continue;
                    }
                    let Some(moment) = reader.moment(known.host.clone()).await else { continue };
                    let mut message = s003::in_full(s003::agent_id(&known), moment.snapshot());
                    message.insert("type".to_owned(), json!("metrics"));
                    socket.text(Value::Object(message).to_string()).await?;
                    sent.extend(now.map(|now| (known.host, now)));
                }
                tokio::time::sleep(GATHERED).await;
            }
            _ = pings.tick() => socket.ping().await?,
        }
    }
}
