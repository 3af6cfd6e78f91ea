//! The broker, as requests ask it: soon, or not at all. While it is away, a request that needs it says so at once, and one
//! that does not never waits for it.

use std::time::Duration;

use async_nats::{Client, connection::State};
use axum::http::StatusCode;

use crate::refusal::Refusal;

/// How long the broker may take for one request: it answers within milliseconds, and under load within a second. One
/// that hangs counts as gone after three pings, 15 s; from then on no request waits.
const WITHIN: Duration = Duration::from_secs(3);

/// The broker did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the broker cannot be reached just now")]
pub struct Away;

impl From<Away> for Refusal {
    fn from(away: Away) -> Self {
        let hint = "what needs no broker works as always; try this again in a few seconds";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, away.to_string(), hint)
    }
}

/// Whether there is a connection to the broker.
pub fn is_there(client: &Client) -> bool {
    client.connection_state() == State::Connected
}

/// The answer to `question`, which asks the broker of `client`.
///
/// # Errors
/// At once while there is no connection, and when the answer takes longer than 3 s; the outcome is then unknown.
pub async fn ask<T>(client: &Client, question: impl Future<Output = T>) -> Result<T, Away> {
    if !is_there(client) {
        return Err(Away);
    }
    tokio::time::timeout(WITHIN, question).await.map_err(|_| Away)
}
