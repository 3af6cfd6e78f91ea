//! What clients are sent: a head, and the data that several clients may share.

use axum::body::Bytes;
use serde::Serialize;

use super::request::{Kind, Topic};
use crate::{live::Position, refusal::Refusal, shares::Share};

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Type {
    /// Everything of a topic.
    Snapshot,
    /// What changed of it.
    Patch,
    /// Events.
    Events,
    /// Until where everything was told, where nothing was to be told.
    Position,
    /// What stood between two positions can no longer be told.
    Gap,
    /// The topic has ended.
    End,
    /// A message of the client could not be followed.
    Error,
}

/// The head of a message.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Head {
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(rename = "type")]
    type_: Type,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<f64>,
}

/// A message on its way to a client.
#[derive(Debug)]
pub(super) struct Outgoing {
    head: Head,
    data: Bytes,
    /// The place of a large one, until it is sent.
    _place: Option<Share>,
}

impl Head {
    fn of(topic: Option<&Topic>, type_: Type) -> Self {
        Self {
            topic: topic.map(Topic::kind),
            host: topic.and_then(Topic::host).map(str::to_owned),
            type_,
            position: None,
            from: None,
            to: None,
            skipped: None,
            error: None,
            hint: None,
            retry_after_s: None,
        }
    }

    fn saying(mut self, refusal: Refusal) -> Self {
        (self.error, self.hint) = (Some(refusal.error), Some(refusal.hint));
        self.retry_after_s = refusal.retry_after.map(|wait| (wait.as_secs_f64() * 1e3).ceil() / 1e3);
        self
    }
}

impl From<Head> for Outgoing {
    fn from(head: Head) -> Self {
        Self { head, data: Bytes::new(), _place: None }
    }
}

impl Outgoing {
    /// Data of a topic, as it is at `position`.
    pub(super) fn data(topic: &Topic, type_: Type, position: Position, data: Bytes) -> Self {
        let head = Head { position: Some(position), ..Head::of(Some(topic), type_) };
        Self { head, data, _place: None }
    }

    /// The same, with how many samples were left out before it.
    pub(super) fn skipping(mut self, skipped: u64) -> Self {
        self.head.skipped = Some(skipped);
        self
    }

    /// The same, with the place that it has while it is sent.
    pub(super) fn at(self, place: Option<Share>) -> Self {
        Self { _place: place, ..self }
    }

    /// Until where everything was told.
    pub(super) fn position(topic: &Topic, position: Position) -> Self {
        Head { position: Some(position), ..Head::of(Some(topic), Type::Position) }.into()
    }

    /// What stood between two positions can no longer be told.
    pub(super) fn gap(topic: &Topic, (from, to): (Position, Position)) -> Self {
        Head { from: Some(from), to: Some(to), position: Some(to), ..Head::of(Some(topic), Type::Gap) }.into()
    }

    /// A topic has ended, for this reason where it was not the client's wish.
    pub(super) fn end(topic: &Topic, reason: Option<Refusal>) -> Self {
        let head = Head::of(Some(topic), Type::End);
        reason.map_or(head.clone(), |reason| head.saying(reason)).into()
    }

    /// A message could not be followed.
    pub(super) fn error(topic: Option<&Topic>, refusal: Refusal) -> Self {
        Head::of(topic, Type::Error).saying(refusal).into()
    }

    /// The text in three parts, of which the second is shared with other clients.
    pub(super) fn into_parts(self) -> ([Bytes; 3], Option<Share>) {
        let mut head = serde_json::to_vec(&self.head).unwrap_or_default();
        if self.data.is_empty() {
            return ([head.into(), Bytes::new(), Bytes::new()], self._place);
        }
        head.pop();
        head.extend_from_slice(b",\"data\":");
        ([head.into(), self.data, Bytes::from_static(b"}")], self._place)
    }
}
