//! Several messages of a stream at once.
//!
//! The client library asks for one message at a time; this asks the broker for several ("batched direct get", since
//! nats-server 2.11) in one round trip. The stream must allow direct gets.

use std::time::Duration;

use async_nats::{Client, jetstream::message::StreamMessage};
use futures_util::StreamExt;
use serde::Serialize;

/// How long the broker may take for one message: ten times what a busy one takes.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// Which messages.
#[derive(Debug, Clone, Serialize)]
pub struct Batch<'a> {
    /// The most messages.
    #[serde(rename = "batch")]
    pub count: usize,
    /// The subject.
    #[serde(rename = "next_by_subj")]
    pub subject: &'a str,
    /// From this sequence on.
    #[serde(rename = "seq", skip_serializing_if = "Option::is_none")]
    pub from_sequence: Option<u64>,
    /// Stored at this time (RFC 3339) or later.
    #[serde(rename = "start_time", skip_serializing_if = "Option::is_none")]
    pub from_time: Option<String>,
}

/// The stream could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the broker does not answer what is in its stream: {0}")]
pub struct DirectError(String);

impl DirectError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl Batch<'_> {
    /// The messages, in the order of the stream; fewer at the stream's end.
    ///
    /// # Errors
    /// When the broker does not answer, or refuses.
    pub async fn get(&self, client: &Client, stream: &str) -> Result<Vec<StreamMessage>, DirectError> {
        let body = serde_json::to_vec(self).map_err(DirectError::of)?;
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await.map_err(DirectError::of)?;
        let address = format!("$JS.API.DIRECT.GET.{stream}");
        client.publish_with_reply(address, inbox, body.into()).await.map_err(DirectError::of)?;
        let mut messages = Vec::new();
        loop {
            let answer =
                tokio::time::timeout(REPLY_TIMEOUT, answers.next()).await.map_err(DirectError::of)?;
            let answer = answer.ok_or_else(|| DirectError::of("the connection was closed"))?;
            match answer.status {
                Some(status) => match status.as_u16() {
                    // The end of a batch, and a batch without messages.
                    204 | 404 => return Ok(messages),
                    other => return Err(DirectError::of(format!("it answers {other}"))),
                },
                None => messages.push(StreamMessage::try_from(answer).map_err(DirectError::of)?),
            }
        }
    }
}
