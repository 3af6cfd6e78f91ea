//! One socket, from its first message to its last.

use std::time::Duration;

use axum::http::{StatusCode, Uri};
use futures_util::{Sink, Stream, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message},
};

use super::{
    message::Outgoing,
    request::{Request, Topic},
    topics::{EventsTopic, FleetTopic, HostTopic, Topics, Watched},
    wire::{self, NotSent},
};
use crate::{
    auth::{Accounts, ClientInfo, Credential, People, Principal},
    connections::KeptConnection,
    refusal::Refusal,
    scoped_fleet::{Look, ScopedFleet},
    sockets::OpenSocket,
};

/// How often the client is asked whether it is there: proxies take a connection for dead after a minute of silence.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A client that says nothing for this long after it was asked is gone: two more pings had no answer.
const PONG_TIMEOUT: Duration = Duration::from_secs(45);
/// How often to look whether a session or token has ended by itself: a socket ends within a second. From memory.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// How long a socket without a topic stays.
const IDLE_FOR: Duration = Duration::from_secs(60);
/// Messages that a client may send at once, pongs included: as many topics as a socket has.
const BURST: u32 = 64;
/// After that one in this time, which is more than a person or program that reads the answers needs. Faster ones wait.
const PACE: Duration = Duration::from_millis(50);
/// How long a client may take to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(300);

/// Who opened a socket, and how that is known.
pub(super) struct Access {
    pub(super) credential: Credential,
    pub(super) principal: Principal,
    pub(super) came: ClientInfo,
}

/// One socket.
pub(super) struct Session {
    pub(super) people: People,
    pub(super) scoped: ScopedFleet,
    /// Absent where sign-in is off.
    pub(super) access: Option<Access>,
    /// Its connection; tests have none.
    pub(super) kept: Option<KeptConnection>,
    pub(super) socket: OpenSocket,
}

/// What a client sent.
enum Said {
    Text(String),
    Binary,
}

/// Why a socket ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Shutdown,
    MadeRoom,
    SignedOut,
    OtherGrants,
    LastTopicGone,
    Idle,
    NoPong,
    TooSlow,
    Fault(u16, &'static str),
    ByClient,
}

impl End {
    /// The word by which it is counted.
    fn word(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::MadeRoom => "made-room",
            Self::SignedOut => "signed-out",
            Self::OtherGrants => "other-grants",
            Self::LastTopicGone => "last-topic-gone",
            Self::Idle => "idle",
            Self::NoPong => "no-pong",
            Self::TooSlow => "too-slow",
            Self::Fault(..) => "bad-message",
            Self::ByClient => "by-client",
        }
    }

    /// The code and the reason that the client is told, where it can be told.
    fn told(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Shutdown => Some((1001, "this server ends; connect again in a few seconds")),
            Self::MadeRoom => Some((1013, "there are too many sockets; connect again in a while")),
            Self::SignedOut => Some((4401, "the session or token has ended")),
            Self::OtherGrants => Some((4403, "something else was granted; connect again")),
            Self::LastTopicGone => Some((4403, "nothing that was watched may be seen any longer")),
            Self::Idle => Some((4408, "nothing was watched for a minute")),
            Self::Fault(code, reason) => Some((code, reason)),
            Self::NoPong | Self::TooSlow | Self::ByClient => None,
        }
    }
}

impl From<NotSent> for End {
    fn from(not_sent: NotSent) -> Self {
        match not_sent {
            NotSent::TooSlow => Self::TooSlow,
            NotSent::Broken => Self::ByClient,
        }
    }
}

impl Session {
    /// Serves the socket until it ends.
    pub(super) async fn run<T: AsyncRead + AsyncWrite + Unpin>(self, stream: WebSocketStream<T>) {
        let (mut sink, mut source) = stream.split();
        let (heard_in, heard) = watch::channel(Instant::now());
        // One, so that a client that sends faster than it is answered waits.
        let (said_in, said) = mpsc::channel(1);
        let end = tokio::select! {
            end = self.until_ended() => end,
            end = read(&mut source, &heard_in, &said_in) => end,
            end = self.write(&mut sink, said, &heard) => end,
        };
        self.scoped.sockets().count_closed(end.word());
        if let (End::TooSlow, Some(kept)) = (end, &self.kept) {
            kept.count_too_slow();
        }
        if let Some((code, reason)) = end.told() {
            wire::close(&mut sink, code, reason).await;
            // What the client has sent meanwhile must be read, or the system discards the close.
            let rest = async { while let Some(Ok(_)) = source.next().await {} };
            let _ = timeout(CLOSE_TIMEOUT, rest).await;
        }
    }

    /// Ends when the socket may no longer be there.
    async fn until_ended(&self) -> End {
        let pushed_out = async {
            match &self.kept {
                Some(kept) => kept.pushed_out().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.scoped.shutdown().cancelled() => End::Shutdown,
            () = self.socket.withdrawn() => End::MadeRoom,
            () = pushed_out => End::MadeRoom,
            end = self.until_other() => end,
        }
    }

    async fn until_other(&self) -> End {
        let (Some(accounts), Some(access)) = (self.people.accounts(), &self.access) else {
            return std::future::pending().await;
        };
        let Access { credential, principal, came } = access;
        // What ends by itself, such as a token whose time is over, tells nobody.
        let ended_by_itself = async {
            while accounts.recognise(credential, *came).as_ref() == Some(principal) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            () = Accounts::until_other(accounts, credential, principal, *came) => {}
            () = ended_by_itself => {}
        }
        match accounts.recognise(credential, *came) {
            Some(_) => End::OtherGrants,
            None => End::SignedOut,
        }
    }

    /// Sends what the topics have, and follows what the client says.
    async fn write(
        &self,
        sink: &mut (impl Sink<Message, Error = Error> + Unpin),
        mut said: mpsc::Receiver<Said>,
        heard: &watch::Receiver<Instant>,
    ) -> End {
        let mut topics = Topics::new(self.scoped.clone());
        let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut idle_since, mut asked_at) = (Instant::now(), None);
        loop {
            if !topics.is_empty() {
                idle_since = Instant::now();
            }
            let (message, is_last) = tokio::select! {
                biased;
                Some(said) = said.recv() => match self.follow(&mut topics, said) {
                    Some(message) => (message, false),
                    None => continue,
                },
                _ = ping.tick() => {
                    let has_answered = |asked: Instant| *heard.borrow() >= asked;
                    match asked_at {
                        Some(asked) if has_answered(asked) => asked_at = None,
                        Some(asked) if asked.elapsed() >= PONG_TIMEOUT => return End::NoPong,
                        _ => {}
                    }
                    if let Err(not_sent) = wire::ping(sink).await {
                        return not_sent.into();
                    }
                    asked_at = asked_at.or_else(|| Some(Instant::now()));
                    continue;
                }
                () = sleep_until(idle_since + IDLE_FOR), if topics.is_empty() => return End::Idle,
                next = topics.next() => next,
            };
            let begun = Instant::now();
            match wire::send(sink, message).await {
                Ok(bytes) => self.scoped.sockets().count_message(bytes),
                Err(not_sent) => return not_sent.into(),
            }
            if is_last {
                return End::LastTopicGone;
            }
            // A message that took so long may have kept the client from being asked and heard.
            if begun.elapsed() >= PING_EVERY {
                asked_at = None;
            }
        }
    }

    /// Does what a client says; the answer, where there is one.
    fn follow(&self, topics: &mut Topics, said: Said) -> Option<Outgoing> {
        let text = match said {
            Said::Text(text) => text,
            Said::Binary => {
                let hint = "send JSON as a text message";
                let error =
                    Refusal::new(StatusCode::BAD_REQUEST, "a binary message is none that is known", hint);
                return Some(Outgoing::error(None, error));
            }
        };
        match Request::read(&text) {
            Ok(Request::Unwatch(topic)) => Some(match topics.remove(&topic) {
                true => Outgoing::end(&topic, None),
                false => Outgoing::error(Some(&topic), not_watched()),
            }),
            Ok(Request::Watch(topic, since, query)) => {
                let begun = self.scoped.check_rate().and_then(|()| {
                    let watched = self.watched(&topic, since, *query)?;
                    topics.add(topic.clone(), watched)
                });
                begun.err().map(|refusal| Outgoing::error(Some(&topic), refusal))
            }
            Err(refusal) => Some(Outgoing::error(None, refusal)),
        }
    }

    /// A topic from now on, and on record as the look that it is.
    fn watched(
        &self,
        topic: &Topic,
        since: Option<crate::live::Position>,
        query: fleetps_ingestor::history::EventQuery,
    ) -> Result<Watched, Refusal> {
        let scoped = &self.scoped;
        match topic {
            Topic::Fleet => Ok(Watched::Fleet(FleetTopic::new(scoped, since))),
            Topic::Host(name) => {
                let watched = HostTopic::new(scoped, name, since);
                let status = watched.as_ref().map_or_else(|refusal| refusal.status, |_| StatusCode::OK);
                let host =
                    watched.as_ref().map_or_else(|_| name.parse().ok(), |host| Some(host.host().clone()));
                let uri = Uri::from_static("/api/v1/ws?watch=host");
                let page = "/hosts/{host}/live";
                scoped.note_look(Look { uri: &uri, host, page, shows_command_lines: true, status });
                watched.map(Watched::Host)
            }
            Topic::Events => {
                let uri = Uri::from_static("/api/v1/ws?watch=events");
                let (host, status) = (None, StatusCode::OK);
                scoped.note_look(Look {
                    uri: &uri,
                    host,
                    page: "/events",
                    shows_command_lines: true,
                    status,
                });
                Ok(Watched::Events(EventsTopic::new(scoped, since, query)))
            }
        }
    }
}

fn not_watched() -> Refusal {
    let hint = "it may have ended by itself; what is watched sends messages";
    Refusal::new(StatusCode::NOT_FOUND, "this is not watched here", hint)
}

/// Reads what the client sends, no faster than it may.
async fn read(
    source: &mut (impl Stream<Item = Result<Message, Error>> + Unpin),
    heard: &watch::Sender<Instant>,
    said: &mpsc::Sender<Said>,
) -> End {
    // Each message costs its time; a client may be ahead by as much as a burst.
    let mut due = Instant::now();
    loop {
        let message = match source.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                return wire::fault(&error).map_or(End::ByClient, |(code, reason)| End::Fault(code, reason));
            }
            None => return End::ByClient,
        };
        heard.send_replace(Instant::now());
        due = due.max(Instant::now()) + PACE;
        let ahead = due.saturating_duration_since(Instant::now()).saturating_sub(PACE * BURST);
        tokio::time::sleep(ahead).await;
        let said_now = match message {
            Message::Text(text) => Said::Text(text.as_str().to_owned()),
            Message::Binary(_) => Said::Binary,
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => continue,
        };
        if said.send(said_now).await.is_err() {
            return End::ByClient;
        }
    }
}
