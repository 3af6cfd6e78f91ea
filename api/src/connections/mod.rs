//! Connections to the web server: how many there may be, who gives way when there are too many, and how long each may keep
//! silent.
//!
//! `limits` says how many, by the files that this process may open; `places` assigns them; `conversation` serves one
//! connection; `stall` ends one whose client does not read its answer. Every step of a client has a deadline: the
//! handshake 5 s, the head of a request 10 s (and the wait for the next one), its body 30 s, each part of an answer 30
//! s. A connection that becomes a WebSocket keeps its place ([`KeptConnection`]) and the deadline of each part.

mod conversation;
mod limits;
mod places;
mod stall;

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::Router;
use fleetps_nats::HostName;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFuture},
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

pub use limits::Limits;
use places::{Full, Owner, Register};

use crate::{
    auth::{Addresses, Person, network},
    metrics::Bounded,
    tls::TlsListener,
};

/// After the system could not give a connection, for want of descriptors or memory: some come back meanwhile.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);
/// How often it is logged that connections were pushed out or refused.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// For this long after a connection was refused, readiness says that the server is full.
const FULL_FOR: Duration = Duration::from_secs(60);
/// The answer where there is no place.
const NO_PLACE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 58\r\n\
    retry-after: 5\r\nconnection: close\r\n\r\nThis server has too many connections; try again in a while";

/// The connections of a web server. A clone is of the same ones.
#[derive(Clone)]
pub struct Connections(Arc<Inner>);

struct Inner {
    register: Mutex<Register>,
    addresses: Addresses,
    counts: Counts,
    said: Mutex<Option<Instant>>,
    refused: Mutex<Option<Instant>>,
}

/// Counts of closed connections.
#[derive(Default)]
struct Counts {
    /// Connections that made room for others.
    pushed_out: AtomicU64,
    /// Connections that were not let in.
    refused: AtomicU64,
    /// Times that the system gave none.
    failed: AtomicU64,
    /// Clients that missed a deadline.
    too_slow: AtomicU64,
}

/// One of the connections, from its first byte to its last. It leaves when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Place(Arc<Holder>);

struct Holder {
    connections: Connections,
    number: u64,
    end: CancellationToken,
    /// How many answers are under way on it.
    answers: AtomicUsize,
    /// What goes on after the answers.
    kept: TaskTracker,
}

/// A connection that goes on after its answer, as a WebSocket does. Until it is dropped it counts as being answered, and the
/// server waits for it when it ends.
pub(crate) struct KeptConnection {
    place: Place,
    _going_on: TaskTrackerToken,
}

impl Connections {
    /// None yet; those from the trusted proxies among `addresses` count for no network.
    pub fn new(limits: Limits, addresses: Addresses) -> Self {
        Self(Arc::new(Inner {
            register: Mutex::new(Register::new(limits)),
            addresses,
            counts: Counts::default(),
            said: Mutex::default(),
            refused: Mutex::default(),
        }))
    }

    /// How many there may be.
    pub fn limits(&self) -> Limits {
        self.0.register.lock().limits()
    }

    /// How many there are.
    pub fn open(&self) -> usize {
        self.0.register.lock().len()
    }

    /// Why new ones are refused, if some were within the last minute.
    pub fn problem(&self) -> Option<String> {
        let refused = (*self.0.refused.lock()).filter(|refused| refused.elapsed() < FULL_FOR);
        refused.map(|_| format!("there are too many connections, {} now; new ones are refused", self.open()))
    }

    /// Counts of connections pushed out, refused or given up, by reason; zero counts are left out.
    pub fn refused(&self) -> BTreeMap<&'static str, u64> {
        let counts = &self.0.counts;
        let by_reason = [
            ("made-room", &counts.pushed_out),
            ("full", &counts.refused),
            ("no-descriptor", &counts.failed),
            ("too-slow", &counts.too_slow),
        ];
        let counted = by_reason.map(|(reason, count)| (reason, count.load(Relaxed)));
        counted.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// How full they are; of all, and of those without a signed-in person.
    pub fn bounded(&self) -> [Bounded; 2] {
        let (register, counts) = (self.0.register.lock(), &self.0.counts);
        let (limits, strangers) = (register.limits(), register.strangers());
        let refused = [&counts.pushed_out, &counts.refused, &counts.failed];
        let refused = refused.map(|count| count.load(Relaxed)).iter().sum();
        let room = |of, in_use: usize, limit: usize, refused| Bounded {
            of,
            in_use: in_use as u64,
            limit: limit as u64,
            refused,
        };
        [
            room("connections", register.len(), limits.most, refused),
            // What is refused or makes room is counted with all of them.
            room("connections-not-signed-in", strangers, limits.strangers, 0),
        ]
    }

    /// A place for a connection with a peer; `descriptor` is its file descriptor, where the system has such a thing.
    fn enter(&self, peer: IpAddr, descriptor: u64) -> Result<Place, Full> {
        let peer = peer.to_canonical();
        let owner = match self.0.addresses.is_proxy(peer) {
            true => Owner::Anybody,
            false => Owner::Network(network(peer)),
        };
        let end = CancellationToken::new();
        let mut register = self.0.register.lock();
        // Others have taken the rest: for each that comes, one goes.
        let is_scarce = descriptor >= register.limits().highest_descriptor;
        let entered = match is_scarce && !register.push_out_anybody() {
            true => Err(Full::All),
            false => register.enter(owner, end.clone()),
        };
        drop(register);
        match entered {
            Ok((number, pushed_out)) => {
                self.count_pushed_out(pushed_out + usize::from(is_scarce));
                let (answers, kept) = (AtomicUsize::new(0), TaskTracker::new());
                Ok(Place(Arc::new(Holder { connections: self.clone(), number, end, answers, kept })))
            }
            Err(full) => {
                *self.0.refused.lock() = Some(Instant::now());
                self.count(&self.0.counts.refused, 1, "there is no room for another connection");
                Err(full)
            }
        }
    }

    fn count_pushed_out(&self, pushed_out: usize) {
        if pushed_out > 0 {
            self.count(
                &self.0.counts.pushed_out,
                pushed_out as u64,
                "connections that ask nothing make room",
            );
        }
    }

    /// Adds to a count, and says so once a minute.
    fn count(&self, count: &AtomicU64, more: u64, what: &str) {
        count.fetch_add(more, Relaxed);
        let mut said = self.0.said.lock();
        if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            *said = Some(Instant::now());
            tracing::warn!(open = self.open(), so_far = ?self.refused(), "too many connections: {what}");
        }
    }

    fn failed(&self, error: &io::Error) {
        self.count(&self.0.counts.failed, 1, &format!("the system gave none ({error})"));
        let pushed_out = self.0.register.lock().push_out_anybody();
        self.count_pushed_out(usize::from(pushed_out));
    }

    fn too_slow(&self) {
        self.0.counts.too_slow.fetch_add(1, Relaxed);
    }
}

impl Place {
    /// Counts this connection as the signed-in person's.
    ///
    /// # Errors
    /// The most that one person may have, when they have as many and all of them are being answered.
    pub(crate) fn give_to(&self, person: &Person) -> Result<(), usize> {
        let owner = match person.is_nobody_in_particular() {
            true => Owner::Anybody,
            false => Owner::Person(person.name.clone()),
        };
        self.give(owner)
    }

    /// Counts this connection as the host's that signed what came over it, so that it makes no room for strangers of its
    /// network.
    ///
    /// # Errors
    /// As of a person.
    pub(crate) fn give_to_host(&self, host: &HostName) -> Result<(), usize> {
        // No person's name has a blank.
        self.give(Owner::Person(format!("host {host}")))
    }

    fn give(&self, owner: Owner) -> Result<(), usize> {
        let Holder { connections, number, .. } = &*self.0;
        let mut register = connections.0.register.lock();
        let of_a_person = register.limits().of_a_person;
        let given = register.give(*number, owner);
        drop(register);
        connections.count_pushed_out(given.map_err(|_| of_a_person)?);
        Ok(())
    }

    /// Keeps the connection after its answer.
    pub(crate) fn keep(&self) -> KeptConnection {
        self.begin_answer();
        KeptConnection { place: self.clone(), _going_on: self.0.kept.token() }
    }

    /// Notes that an answer begins; a WebSocket begins before the answer that leads to it has ended.
    fn begin_answer(&self) {
        if self.0.answers.fetch_add(1, Relaxed) == 0 {
            self.0.connections.0.register.lock().set_busy(self.0.number, true);
        }
    }

    fn end_answer(&self) {
        if self.0.answers.fetch_sub(1, Relaxed) == 1 {
            self.0.connections.0.register.lock().set_busy(self.0.number, false);
        }
    }
}

impl KeptConnection {
    /// Ends when the connection has to make room.
    pub(crate) fn pushed_out(&self) -> WaitForCancellationFuture<'_> {
        self.place.0.end.cancelled()
    }

    /// Counts a client that missed a deadline.
    pub(crate) fn count_too_slow(&self) {
        self.place.0.connections.too_slow();
    }
}

impl Drop for KeptConnection {
    fn drop(&mut self) {
        self.place.end_answer();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.connections.0.register.lock().leave(self.number);
    }
}

/// Answers what comes in at `door` with `router`, until `shutdown`; then no new requests are taken, and it returns when
/// those under way are answered.
pub async fn serve(door: TlsListener, router: Router, connections: Connections, shutdown: CancellationToken) {
    let conversations = TaskTracker::new();
    // Dropping this future closes the connections that have not ended.
    let cut_off = CancellationToken::new();
    let _cut_off = cut_off.clone().drop_guard();
    while let Some(accepted) = shutdown.run_until_cancelled(door.accept()).await {
        match accepted {
            Ok((socket, peer)) => match connections.enter(peer.0.ip(), descriptor(&socket)) {
                Ok(place) => {
                    let acceptor = door.acceptor();
                    let talking =
                        conversation::hold(socket, peer, acceptor, place, router.clone(), shutdown.clone());
                    conversations.spawn(cut_off.clone().run_until_cancelled_owned(talking));
                }
                Err(_) if door.acceptor().is_none() => refuse(&socket),
                Err(_) => {}
            },
            // The client was gone before it was let in.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                connections.failed(&error);
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
    drop(door);
    conversations.close();
    conversations.wait().await;
}

/// Says that there is no place, without waiting: what does not go out at once stays unsaid.
fn refuse(socket: &TcpStream) {
    let _ = socket.try_write(NO_PLACE);
    // Unread bytes would make the system discard the answer.
    let _ = socket.try_read(&mut [0; 4096]);
}

#[cfg(unix)]
fn descriptor(socket: &TcpStream) -> u64 {
    u64::try_from(std::os::fd::AsRawFd::as_raw_fd(socket)).unwrap_or_default()
}

#[cfg(not(unix))]
fn descriptor(_socket: &TcpStream) -> u64 {
    0
}
