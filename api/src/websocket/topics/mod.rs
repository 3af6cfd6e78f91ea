//! The topics of one socket: which are ready, and what each sends next.
//!
//! A topic keeps where its client is, and no message. What it sends is made when the socket has room for it, so the newest
//! state wins for a client that reads slowly. Ready topics take turns.

mod events;
mod fleet;
mod host;

use futures_util::future::select_all;

use super::{message::Outgoing, request::Topic};
use crate::{
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    shares::{NoShare, Share},
    sockets::LARGE_BYTES,
};

pub(super) use events::EventsTopic;
pub(super) use fleet::FleetTopic;
pub(super) use host::HostTopic;

/// Topics on one socket: a page of hosts. Who follows more of them follows the fleet.
const MAX_TOPICS: usize = 64;

/// What a topic does next.
#[derive(Debug)]
pub(super) enum Step {
    /// Sends a message.
    Send(Box<Outgoing>),
    /// Nothing, or not now.
    Nothing,
    /// Ends, for this reason.
    End(Box<Refusal>),
}

impl Step {
    fn send(message: Outgoing) -> Self {
        Self::Send(Box::new(message))
    }

    fn end(reason: Refusal) -> Self {
        Self::End(Box::new(reason))
    }
}

/// A place for a message of about this length; a small one needs none. A topic that finds none lets the socket's other
/// topics have a turn.
///
/// # Errors
/// When none is free within a second.
async fn place_for(scoped: &ScopedFleet, bytes: usize) -> Result<Option<Share>, NoShare> {
    match bytes < LARGE_BYTES {
        true => Ok(None),
        false => scoped.sockets().large_message(scoped.who()).await.map(Some),
    }
}

/// A topic with where its client is.
pub(super) enum Watched {
    /// The fleet.
    Fleet(FleetTopic),
    /// A host.
    Host(HostTopic),
    /// Events.
    Events(EventsTopic),
}

impl Watched {
    /// Returns when there may be something to send. Safe to cancel.
    async fn ready(&mut self) {
        match self {
            Self::Fleet(topic) => topic.ready().await,
            Self::Host(topic) => topic.ready().await,
            Self::Events(topic) => topic.ready().await,
        }
    }

    /// What it sends now. Safe to cancel: then it is as before.
    async fn step(&mut self, scoped: &ScopedFleet) -> Step {
        match self {
            Self::Fleet(topic) => topic.step(scoped).await,
            Self::Host(topic) => topic.step(scoped).await,
            Self::Events(topic) => topic.step(scoped),
        }
    }
}

/// The topics of one socket.
pub(super) struct Topics {
    scoped: ScopedFleet,
    watched: Vec<(Topic, Watched)>,
}

impl Topics {
    /// None yet.
    pub(super) fn new(scoped: ScopedFleet) -> Self {
        Self { scoped, watched: Vec::new() }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// Adds a topic, in the place of the one that was watched before, if it was.
    ///
    /// # Errors
    /// When there are too many.
    pub(super) fn add(&mut self, topic: Topic, watched: Watched) -> Result<(), Refusal> {
        self.remove(&topic);
        if self.watched.len() >= MAX_TOPICS {
            let error = format!("this socket has {MAX_TOPICS} topics already");
            let hint = "end some of them with \"unwatch\", or watch the fleet";
            return Err(Refusal::new(axum::http::StatusCode::TOO_MANY_REQUESTS, error, hint));
        }
        self.scoped.sockets().count_topic(1);
        self.watched.push((topic, watched));
        Ok(())
    }

    /// Removes a topic; whether it was there.
    pub(super) fn remove(&mut self, topic: &Topic) -> bool {
        let place = self.watched.iter().position(|(known, _)| known == topic);
        if let Some(place) = place {
            self.watched.remove(place);
            self.scoped.sockets().count_topic(-1);
        }
        place.is_some()
    }

    /// The next message, when there is one; forever, while there is no topic. The second is whether the last topic ended by
    /// itself. Safe to cancel.
    pub(super) async fn next(&mut self) -> (Outgoing, bool) {
        loop {
            if self.watched.is_empty() {
                return std::future::pending().await;
            }
            let ready = self.watched.iter_mut().map(|(_, watched)| Box::pin(watched.ready()));
            let ((), place, _) = select_all(ready).await;
            let (topic, watched) = &mut self.watched[place];
            match watched.step(&self.scoped).await {
                Step::Send(message) => {
                    self.watched[place..].rotate_left(1);
                    return (*message, false);
                }
                Step::Nothing => self.watched[place..].rotate_left(1),
                Step::End(reason) => {
                    let topic = topic.clone();
                    self.remove(&topic);
                    return (Outgoing::end(&topic, Some(*reason)), self.watched.is_empty());
                }
            }
        }
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        self.scoped.sockets().count_topic(-self.watched.len().cast_signed());
    }
}
