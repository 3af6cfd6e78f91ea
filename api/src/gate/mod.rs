//! The gate: the way into the stream for snapshots that come over HTTP.
//!
//! An agent that speaks NATS publishes by itself; for one that speaks HTTP the web server does, under the subject of the host
//! that the caller has authenticated. [`Gate::store`] answers when the stream has the snapshot, so what it accepted survives a
//! kill of the web server. Nothing is kept here that could be lost: `record` says in headers of each message what came before
//! it, and after a start that is read back from the host's last message.
//!
//! **Each snapshot once, in order.** A host's posts are stored one at a time. Each is published on the condition that the host's
//! last message in the stream is the one that is known here, so neither a second web server nor a publication that arrives late
//! comes between. A repeat is recognised by run and sequence, or by the body of a post that has neither.
//!
//! **Replays.** A snapshot of a run that is not known is taken only after the message that its sender names
//! ([`Incoming::after`]). A recorded post of an earlier run names another one, at whatever time it is replayed. While the stream
//! has no message of the host, its sender must name a random number of this gate.
//!
//! **Limits** are those of readers of the stream (`fleetps_nats::decode`), applied before the message is decoded; what remains of
//! a host's allowance is in the headers too. A bounded number of posts is under way at once ([`Gate::enter`]).

mod decoders;
mod record;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use async_nats::jetstream::{
    self, Context,
    context::{PublishError, PublishErrorKind},
    message::PublishMessage,
    publish::PublishAck,
    stream::DirectGetErrorKind,
};
use bytes::Bytes;
use fleetps_nats::{
    HostName,
    admission::Refusals,
    dead_letter::DeadLetter,
    decode::{Allowance, RateLimit},
    now_us,
    snapshot::{BadSnapshot, MAX_COMPRESSED_BYTES},
    stream, subject,
};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{broker, metrics::Bounded};
use decoders::Decoders;
use record::Last;

pub use record::BodyHash;

/// How long the stream may take to acknowledge: agents of earlier systems wait 10 s, and a leader election takes as long.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(8);
/// How often the state of the connection is looked at while an acknowledgement is waited for.
const CONNECTION_POLL: Duration = Duration::from_millis(100);
/// Posts under way at once: each holds a message of at most 1 MiB, and 1,000 posts/s that take 50 ms each are 50.
const MAX_POSTS: usize = 256;
/// Posts of one host under way at once: an agent has one, and another of a connection that broke.
const MAX_POSTS_OF_A_HOST: usize = 4;
/// How often a post is tried again because another message of its host came first.
const MAX_TRIES: usize = 4;
/// Hosts remembered, of up to a kilobyte. Beyond them all are forgotten, and read back from the stream.
const MAX_HOSTS: usize = 50_000;
/// Within this time a host that sends too much is told to try again.
const RETRY_AFTER_S: std::ops::RangeInclusive<u64> = 1..=30;

/// The way into the stream for snapshots that come over HTTP. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    shared: Arc<Shared>,
}

struct Shared {
    client: async_nats::Client,
    jetstream: Context,
    rate: RateLimit,
    decoders: Decoders,
    posts: Arc<Semaphore>,
    hosts: Mutex<HashMap<HostName, Arc<Host>>>,
    refusals: Refusals,
}

/// What is known of a host.
#[derive(Debug, Default)]
struct Host {
    /// What came last; `None` while it is not known. Locked while a post of the host is stored.
    last: tokio::sync::Mutex<Option<Last>>,
    /// Posts under way.
    posts: AtomicUsize,
}

/// A snapshot of an authenticated host.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The packed snapshot: MessagePack, compressed by zstd.
    pub message: Bytes,
    /// The run that the snapshot inside names.
    pub run: String,
    /// The sequence that the snapshot inside names; it grows within a run.
    pub sequence: u64,
    /// How old the snapshot is, where that is known.
    pub age: Option<Duration>,
    /// The hash of the post that the snapshot was made from, where the post itself had no sequence: a repeat is then recognised
    /// by it alone.
    pub body: Option<BodyHash>,
    /// Takes a snapshot of a run that is not known only if this is what [`NotStored::Unproven`] asks for. `None` takes it in any
    /// case.
    pub after: Option<u64>,
}

/// The stream has the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its sequence in the stream. Of a repeat that is recognised by its run, that of the host's last message.
    pub sequence: u64,
    /// It came before, and was not stored again.
    pub is_repeat: bool,
}

/// The stream does not have the snapshot, as far as is known.
#[derive(Debug, thiserror::Error)]
pub enum NotStored {
    /// The host sends more than one host may.
    #[error("the host sends more than one host may (setting host_bytes_per_s)")]
    TooMuch {
        /// It may send again after this time, of 1 to 30 s.
        retry_after: Duration,
    },
    /// Too many posts of the host are under way.
    #[error("too many posts of this host are under way")]
    AtOnce,
    /// Too many posts are under way.
    #[error("too many posts are under way")]
    Busy,
    /// The stream did not acknowledge in time, or the broker is away. The snapshot may be stored all the same; a repeat is
    /// recognised.
    #[error("the stream does not acknowledge just now")]
    Unavailable,
    /// It is no snapshot that readers would take.
    #[error(transparent)]
    Invalid(#[from] BadSnapshot),
    /// The snapshot inside has another run or sequence than the post.
    #[error("the snapshot has another run or sequence than its post names")]
    Mislabelled,
    /// The run is not known, and [`Incoming::after`] is not what it must be.
    #[error(
        "the first snapshot of a run names the host's last message in the stream, or what stands for it: {after}"
    )]
    Unproven {
        /// The sequence of the host's last message in the stream; where there is none, a random number of 2⁵² and above.
        after: u64,
    },
}

impl NotStored {
    /// A short name to count by; of an invalid snapshot, that of dead letters.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooMuch { .. } => "flood",
            Self::AtOnce => "at-once",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::Invalid(refusal) => refusal.reason(),
            Self::Mislabelled => "mislabelled",
            Self::Unproven { .. } => "unproven",
        }
    }
}

/// The place of one post among those under way; the next may enter when it is dropped.
#[derive(Debug)]
pub struct Entered {
    _place: OwnedSemaphorePermit,
    _of_host: Option<Counted>,
}

impl Gate {
    /// A gate to the stream of `client`, where every host may send `host_bytes_per_s` over a longer time.
    pub fn new(client: async_nats::Client, host_bytes_per_s: u64) -> Self {
        let jetstream = jetstream::ContextBuilder::new().timeout(PUBLISH_TIMEOUT).build(client.clone());
        let shared = Shared {
            client,
            jetstream,
            rate: RateLimit::of_senders(host_bytes_per_s),
            decoders: Decoders::default(),
            posts: Arc::new(Semaphore::new(MAX_POSTS)),
            hosts: Mutex::default(),
            refusals: Refusals::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A place for one post of `host`, to be held from before its body is read until it is answered.
    ///
    /// # Errors
    /// [`NotStored::AtOnce`] when 4 of this host are under way, [`NotStored::Busy`] when 256 of all are, and
    /// [`NotStored::Unavailable`] while there is no connection to the broker.
    pub fn enter(&self, host: &HostName) -> Result<Entered, NotStored> {
        let of_host = Counted::one_more(self.shared.host(host)).ok_or(NotStored::AtOnce);
        let entered = of_host.and_then(|of_host| self.shared.place(Some(of_host)));
        entered.inspect_err(|refused| self.shared.count(Some(host), refused))
    }

    /// The same for a post whose host is not known before its body is read; who reads it bounds the posts of one host.
    ///
    /// # Errors
    /// [`NotStored::Busy`] when 256 are under way, and [`NotStored::Unavailable`] while there is no connection to the broker.
    pub fn enter_unnamed(&self) -> Result<Entered, NotStored> {
        self.shared.place(None).inspect_err(|refused| self.shared.count(None, refused))
    }

    /// Puts a snapshot of `host` into the stream; returns when the stream has it, after 8 s at most. Safe to cancel: the
    /// snapshot may then be stored or not, and a repeat is recognised.
    ///
    /// # Errors
    /// When it cannot be stored, or the stream does not say that it was.
    pub async fn store(&self, host: &HostName, incoming: Incoming) -> Result<Stored, NotStored> {
        if incoming.message.len() > MAX_COMPRESSED_BYTES {
            return Err(BadSnapshot::TooLong(incoming.message.len()).into());
        }
        let known = self.shared.host(host);
        let storing = async {
            let mut last = known.last.lock().await;
            self.shared.store(host, &incoming, &mut last).await
        };
        let stored =
            tokio::time::timeout(PUBLISH_TIMEOUT, storing).await.unwrap_or(Err(NotStored::Unavailable));
        if let Err(refused) = &stored {
            self.shared.note(host, &incoming, refused).await;
        }
        stored
    }

    /// How many posts are under way.
    pub fn bounded(&self) -> Bounded {
        let under_way = MAX_POSTS.saturating_sub(self.shared.posts.available_permits());
        let refused = self.refused().get("busy").copied().unwrap_or_default();
        Bounded { of: "http-posts", in_use: under_way as u64, limit: MAX_POSTS as u64, refused }
    }

    /// How many posts were not stored, by reason.
    pub fn refused(&self) -> BTreeMap<&'static str, u64> {
        self.shared.refusals.all()
    }
}

impl Shared {
    fn place(&self, of_host: Option<Counted>) -> Result<Entered, NotStored> {
        if !broker::is_there(&self.client) {
            return Err(NotStored::Unavailable);
        }
        let place = Arc::clone(&self.posts).try_acquire_owned().map_err(|_| NotStored::Busy)?;
        Ok(Entered { _place: place, _of_host: of_host })
    }

    /// Counts a refusal; one of each reason is logged in a minute.
    fn count(&self, host: Option<&HostName>, refused: &NotStored) {
        if let Some(times) = self.refusals.count(refused.reason(), Instant::now()) {
            let host = host.map(tracing::field::display);
            tracing::warn!(host, times, reason = %refused, "did not store a post");
        }
    }

    /// Counts a refusal, and keeps what can be no snapshot.
    async fn note(&self, host: &HostName, incoming: &Incoming, refused: &NotStored) {
        // Every run begins with it.
        if matches!(refused, NotStored::Unproven { .. }) {
            return;
        }
        self.count(Some(host), refused);
        if let NotStored::Invalid(refusal) = refused {
            let letter = DeadLetter::new(Some(host), &incoming.message, None, refusal);
            if let Err(error) = letter.publish(&self.client).await {
                tracing::warn!(%error, "a refused post could not be put into the stream DEAD");
            }
        }
    }

    fn host(&self, name: &HostName) -> Arc<Host> {
        let mut hosts = self.hosts.lock();
        if let Some(host) = hosts.get(name) {
            return Arc::clone(host);
        }
        if hosts.len() >= MAX_HOSTS {
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        Arc::clone(hosts.entry(name.clone()).or_default())
    }

    /// Stores a post; `known` is `None` afterwards where the outcome is not known.
    async fn store(
        &self,
        host: &HostName,
        incoming: &Incoming,
        known: &mut Option<Last>,
    ) -> Result<Stored, NotStored> {
        let mut paid_bytes = None;
        for _ in 0..MAX_TRIES {
            let last = match known {
                Some(last) => last,
                None => known.insert(self.read_last(host).await?),
            };
            if let Some(answer) = last.answer(incoming) {
                return answer;
            }
            match paid_bytes {
                Some(paid_bytes) => last.allowance.left_bytes -= paid_bytes,
                None => paid_bytes = Some(self.check(incoming, &mut last.allowance).await?),
            }
            let mut last = last.clone();
            *known = None;
            let published = tokio::select! {
                published = self.publish(host, incoming, &last) => published,
                // The acknowledgement was lost with the connection: no use waiting for the timeout.
                () = self.disconnected() => return Err(NotStored::Unavailable),
            };
            match published {
                Ok(sequence) => {
                    last.stored(incoming, sequence);
                    *known = Some(last);
                    return Ok(Stored { sequence, is_repeat: false });
                }
                // Another message of the host came first.
                Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {}
                Err(error) => {
                    tracing::debug!(host = %host, error = %error, "a snapshot was not stored");
                    return Err(NotStored::Unavailable);
                }
            }
        }
        Err(NotStored::Unavailable)
    }

    /// Checks that the snapshot is one, and within `allowance`; returns its cost in bytes. When this is cancelled, as by a sender
    /// that hangs up, decoding goes on all the same, and the cost is that of a message that is refused.
    async fn check(&self, incoming: &Incoming, allowance: &mut Allowance) -> Result<f64, NotStored> {
        let bytes = incoming.message.len();
        let Some(of_message) = allowance.take(&self.rate, bytes, now_us()) else {
            return Err(NotStored::TooMuch { retry_after: retry_after(self.rate.wait(allowance, bytes)) });
        };
        let of_refused = allowance.charge(bytes, None);
        let decoded = self.decoders.decode(incoming).await?;
        allowance.left_bytes += of_refused;
        let of_content = allowance.charge(bytes, Some(decoded.inside));
        if decoded.run_id != incoming.run || decoded.sequence != incoming.sequence {
            return Err(NotStored::Mislabelled);
        }
        Ok(of_message + of_content)
    }

    async fn read_last(&self, host: &HostName) -> Result<Last, NotStored> {
        let full = self.rate.full(now_us());
        let stream = self.jetstream.get_stream_no_info(stream::SNAPSHOTS).await;
        let stream = stream.map_err(|_| NotStored::Unavailable)?;
        match stream.direct_get_last_for_subject(subject::snapshot(host)).await {
            Ok(message) => Ok(Last::of(&message, full)),
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => {
                let random = getrandom::u64().map_err(|_| NotStored::Unavailable)?;
                Ok(Last::none(full, random))
            }
            Err(error) => {
                tracing::debug!(host = %host, error = %error, "the last snapshot of a host cannot be read");
                Err(NotStored::Unavailable)
            }
        }
    }

    async fn disconnected(&self) {
        while broker::is_there(&self.client) {
            tokio::time::sleep(CONNECTION_POLL).await;
        }
    }

    async fn publish(&self, host: &HostName, incoming: &Incoming, last: &Last) -> Result<u64, PublishError> {
        let mut message = PublishMessage::build()
            .payload(incoming.message.clone())
            .expected_last_subject_sequence(last.sequence)
            .header(stream::SEQUENCE_HEADER, incoming.sequence.to_string().as_str());
        if let Some(age) = incoming.age {
            message = message.header(stream::AGE_HEADER, age.as_micros().to_string().as_str());
        }
        for (name, value) in last.headers_with(incoming) {
            message = message.header(name, value.as_str());
        }
        let acknowledgement: PublishAck =
            self.jetstream.send_publish(subject::snapshot(host), message).await?.await?;
        let is_stored = acknowledgement.stream == stream::SNAPSHOTS && !acknowledgement.duplicate;
        if is_stored { Ok(acknowledgement.sequence) } else { Err(PublishError::new(PublishErrorKind::Other)) }
    }
}

/// One of the posts of a host under way.
#[derive(Debug)]
struct Counted(Arc<Host>);

impl Counted {
    /// `None` where there are too many.
    fn one_more(host: Arc<Host>) -> Option<Self> {
        let counted = Self(host);
        (counted.0.posts.fetch_add(1, Relaxed) < MAX_POSTS_OF_A_HOST).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.posts.fetch_sub(1, Relaxed);
    }
}

fn retry_after(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs().saturating_add(1).clamp(*RETRY_AFTER_S.start(), *RETRY_AFTER_S.end()))
}
