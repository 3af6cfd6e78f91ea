//! What all WebSockets share: how many there may be, figures of them, and the messages that several of them send.
//!
//! A message that many clients get at the same time is made once, by the first who needs it, as the page of the fleet is
//! (`fleet_views`). Only the newest are kept, and only while somebody watches. A message of more than
//! [`LARGE_BYTES`] is made when there is a place for it, so slow clients of large hosts hold a bounded amount of memory
//! together, and a person a share of it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::body::Bytes;
use fleetps_nats::HostName;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    auth::Grant,
    connections::Limits,
    live::Position,
    metrics::Bounded,
    shares::{Bounds, NoShare, Share, Shares},
};

/// WebSockets at once. Each costs some 60 KB with the connection under it, so 120 MB.
const MOST: usize = 2_000;
/// Of these, one person's: a few programs with a few sockets each; one socket has many topics.
const MOST_OF_A_PERSON: usize = 16;
/// A message of this length or more needs a place of its own: what one client may hold of this server's memory, so that
/// [`MOST`] clients hold 500 MB. A host of 300 processes has some 200 KB.
pub(crate) const LARGE_BYTES: usize = 256 << 10;
/// Large messages at once: the largest, of 20,000 processes, has some 14 MB, so 110 MB.
const LARGE: Bounds = Bounds {
    what: "large messages under way",
    most: 8,
    of_a_person: 2,
    waiting: MOST,
    waiting_of_a_person: MOST_OF_A_PERSON,
    wait: PLACE_WITHIN,
};
/// Messages that are read from the stream and unpacked at once, each some milliseconds.
const REPLAYS: Bounds = Bounds {
    what: "samples of the past being read",
    most: 4,
    of_a_person: 2,
    waiting: MOST,
    waiting_of_a_person: MOST_OF_A_PERSON,
    wait: PLACE_WITHIN,
};
/// How long a topic waits for a place or a turn before the socket's other topics have theirs.
const PLACE_WITHIN: Duration = Duration::from_secs(1);
/// Messages of one feed that are kept for others: clients that are a step behind the newest take the one before.
const KEPT: usize = 4;

/// All WebSockets. A clone is the same.
#[derive(Debug, Clone)]
pub struct Sockets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: Shares,
    large: Shares,
    replays: Shares,
    feeds: Mutex<HashMap<FeedKey, Weak<Feed>>>,
    open: AtomicUsize,
    topics: AtomicUsize,
    opened: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    skipped: AtomicU64,
    gaps: AtomicU64,
    closed: Mutex<BTreeMap<&'static str, u64>>,
}

/// Figures of all WebSockets since this server started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SocketFigures {
    /// How many are open.
    pub open: usize,
    /// How many there may be.
    pub most: usize,
    /// Topics that are watched on them.
    pub topics: usize,
    /// Large messages that are being sent, and those that wait to be made.
    pub large_messages: (usize, usize),
    /// How many were opened.
    pub opened: u64,
    /// Messages sent, without those of the protocol itself.
    pub messages: u64,
    /// Their bytes, uncompressed.
    pub bytes: u64,
    /// Samples that were not sent because a later one of the same host was.
    pub skipped: u64,
    /// Gaps that clients were told of.
    pub gaps: u64,
    /// How many were closed or refused, by reason.
    pub closed: BTreeMap<&'static str, u64>,
}

/// Whose messages several sockets send.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FeedKey {
    /// The fleet as people with these grants see it; without grants, as those who see every host.
    Fleet(Option<Vec<Grant>>),
    /// A host, with its command lines or without them.
    Host(HostName, bool),
}

/// The newest messages of something that several sockets watch.
#[derive(Debug)]
pub struct Feed {
    latest: tokio::sync::Mutex<Vec<Arc<Prepared>>>,
}

/// A version of the fleet and of its tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Of the fleet; of a host, the count of its changes.
    pub fleet: u64,
    /// Of the tags.
    pub groups: u64,
}

/// The data of a message for everybody who has seen the same before.
#[derive(Debug)]
pub struct Prepared {
    /// What a client has seen that this is for; `None` for one that has seen nothing.
    pub from: Option<Mark>,
    /// What a client has seen that got this.
    pub to: Mark,
    /// When it was made, and how long that took.
    pub made: (Instant, Duration),
    /// Until where in the stream it is.
    pub position: Position,
    /// Whether it is everything, and not only changes.
    pub is_whole: bool,
    /// Snapshots that came until then, and how many of them this has.
    pub taken: (u64, u64),
    /// The data as JSON; empty where there is nothing to be said.
    pub data: Bytes,
}

/// An open WebSocket, until it is dropped.
#[derive(Debug)]
pub struct OpenSocket {
    sockets: Sockets,
    share: Share,
}

impl Sockets {
    /// How many there are, and what they wait for.
    pub fn bounded(&self) -> Vec<Bounded> {
        let Inner { places, large, replays, .. } = &*self.0;
        [
            places.bounded("websockets", None),
            large.bounded("websocket-large-messages", Some("websocket-large-messages-waiting")),
            replays.bounded("websocket-replays", Some("websocket-replays-waiting")),
        ]
        .concat()
    }

    /// None yet. Half of the connections are left for everything else.
    pub fn new(limits: Limits) -> Self {
        let most = MOST.min(limits.most / 2);
        let places = Shares::new(Bounds {
            what: "WebSockets",
            most,
            of_a_person: MOST_OF_A_PERSON.min(most).max(1),
            waiting: 0,
            waiting_of_a_person: 0,
            wait: Duration::ZERO,
        });
        Self(Arc::new(Inner {
            places,
            large: Shares::new(LARGE),
            replays: Shares::new(REPLAYS),
            feeds: Mutex::default(),
            open: AtomicUsize::new(0),
            topics: AtomicUsize::new(0),
            opened: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
            closed: Mutex::default(),
        }))
    }

    /// A place for one more of `person`; the oldest one of a person with more may have to go.
    ///
    /// # Errors
    /// When the person has as many as one may have, or nobody has more than this person would have.
    pub fn open(&self, person: &str) -> Result<OpenSocket, NoShare> {
        let share = self.0.places.take_now(person).inspect_err(|error| match error {
            NoShare::Own { .. } => self.count_closed("too-many-of-a-person"),
            NoShare::All(_) => self.count_closed("too-many"),
        })?;
        self.0.open.fetch_add(1, Relaxed);
        self.0.opened.fetch_add(1, Relaxed);
        Ok(OpenSocket { sockets: self.clone(), share })
    }

    /// A place for a message of 256 KiB or more, when it is the turn of `person`.
    ///
    /// # Errors
    /// When that takes longer than a second.
    pub async fn large_message(&self, person: &str) -> Result<Share, NoShare> {
        self.0.large.take(person).await
    }

    /// A turn to read one sample of the past from the stream, when it is that of `person`.
    ///
    /// # Errors
    /// When that takes longer than a second.
    pub async fn replay(&self, person: &str) -> Result<Share, NoShare> {
        self.0.replays.take(person).await
    }

    /// The feed that is shared by all who watch this.
    pub fn feed(&self, key: &FeedKey) -> Arc<Feed> {
        let mut feeds = self.0.feeds.lock();
        if let Some(known) = feeds.get(key).and_then(Weak::upgrade) {
            return known;
        }
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let feed = Arc::new(Feed { latest: tokio::sync::Mutex::default() });
        feeds.insert(key.clone(), Arc::downgrade(&feed));
        feed
    }

    /// Counts a topic that is watched (1) or no longer (-1).
    pub fn count_topic(&self, change: isize) {
        self.0.topics.fetch_add(change.cast_unsigned(), Relaxed);
    }

    /// Counts a message that was sent.
    pub fn count_message(&self, bytes: usize) {
        self.0.messages.fetch_add(1, Relaxed);
        self.0.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Counts samples that a client did not get.
    pub fn count_skipped(&self, skipped: u64) {
        self.0.skipped.fetch_add(skipped, Relaxed);
    }

    /// Counts a gap that a client is told of.
    pub fn count_gap(&self) {
        self.0.gaps.fetch_add(1, Relaxed);
    }

    /// Counts a socket that was closed or refused for this reason.
    pub fn count_closed(&self, reason: &'static str) {
        *self.0.closed.lock().entry(reason).or_default() += 1;
    }

    /// The figures now.
    pub fn figures(&self) -> SocketFigures {
        let inner = &self.0;
        SocketFigures {
            open: inner.open.load(Relaxed),
            most: inner.places.bounds().most,
            topics: inner.topics.load(Relaxed),
            large_messages: inner.large.in_use(),
            opened: inner.opened.load(Relaxed),
            messages: inner.messages.load(Relaxed),
            bytes: inner.bytes.load(Relaxed),
            skipped: inner.skipped.load(Relaxed),
            gaps: inner.gaps.load(Relaxed),
            closed: inner.closed.lock().clone(),
        }
    }
}

impl Feed {
    /// The message for a client that has seen `from`: one that another client of the same got within `pace` or that leads
    /// to `now`, or a new one by `make`, for which others wait.
    ///
    /// # Errors
    /// When `make` fails.
    pub async fn prepared<E>(
        &self,
        from: Option<Mark>,
        now: Mark,
        pace: Duration,
        make: impl Future<Output = Result<Prepared, E>>,
    ) -> Result<Arc<Prepared>, E> {
        let mut latest = self.latest.lock().await;
        let is_it = |known: &&Arc<Prepared>| {
            known.from == from
                && (known.to == now || known.to.groups == now.groups && known.made.0.elapsed() < pace)
        };
        if let Some(known) = latest.iter().rev().find(is_it) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(make.await?);
        latest.retain(|known| known.from != from);
        latest.push(Arc::clone(&made));
        if latest.len() > KEPT {
            latest.remove(0);
        }
        Ok(made)
    }
}

impl OpenSocket {
    /// Ends when the place is withdrawn for a person who has fewer.
    pub fn withdrawn(&self) -> impl Future<Output = ()> + use<> {
        self.share.withdrawn()
    }
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.sockets.0.open.fetch_sub(1, Relaxed);
    }
}
