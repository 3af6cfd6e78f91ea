//! The broker, as requests ask it: soon, or not at all. While it is away, a request that needs it says so at once, and one
//! that does not never waits for it.
//!
//! A change ([`ask`]) may take as long as a busy broker takes. An answer that a page can do without ([`Absence::ask`]) is
//! waited for a quarter of a second, and not at all for a while after that was in vain: a broker that hangs holds its
//! connection for up to 15 s. [`Absence`] knows since when it is away, so that pages can say what they cannot know.

use std::{sync::Arc, time::Duration};

use async_nats::{Client, connection::State};
use axum::http::StatusCode;
use fleetps_nats::now_us;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::refusal::Refusal;

/// How long the broker may take for a change: it answers within milliseconds, and under load within a second. One
/// that hangs counts as gone after three pings, 15 s; from then on no request waits.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// How long pages wait in all for what they can do without.
pub(crate) const SOON: Duration = Duration::from_millis(250);
/// How long a broker that did not answer is not asked again by pages that can do without.
const NOT_ASKED_FOR: Duration = Duration::from_secs(5);
/// How often the connection is looked at, so that pages name the time at which it broke.
const LOOK_EVERY: Duration = Duration::from_millis(250);

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
pub(crate) fn is_there(client: &Client) -> bool {
    client.connection_state() == State::Connected
}

/// The answer to `question`, which asks the broker of `client`.
///
/// # Errors
/// At once while there is no connection, and when the answer takes longer than 3 s; the outcome is then unknown.
pub(crate) async fn ask<T>(client: &Client, question: impl Future<Output = T>) -> Result<T, Away> {
    if !is_there(client) {
        return Err(Away);
    }
    tokio::time::timeout(REQUEST_TIMEOUT, question).await.map_err(|_| Away)
}

/// Since when the broker is away, as far as this server has noticed. A clone is the same.
#[derive(Debug, Clone, Default)]
pub struct Absence(Arc<Mutex<Noticed>>);

#[derive(Debug, Default)]
struct Noticed {
    /// In µs since 1970 UTC.
    since_us: Option<i64>,
    /// Until when a broker that holds its connection counts as away, because it did not answer.
    silent_until: Option<Instant>,
}

/// Since when the broker is away, in µs since 1970 UTC: an extension of each request that comes meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AwaySince(pub i64);

impl Absence {
    /// Since when the broker of `client` is away; `None` while it is there.
    pub fn since(&self, client: &Client) -> Option<AwaySince> {
        let mut noticed = self.0.lock();
        let is_silent = noticed.silent_until.is_some_and(|until| Instant::now() < until);
        if is_there(client) && !is_silent {
            *noticed = Noticed::default();
        } else {
            noticed.since_us.get_or_insert_with(now_us);
        }
        noticed.since_us.map(AwaySince)
    }

    /// The answer to `question`, which asks the broker of `client` for what a page can do without.
    ///
    /// # Errors
    /// At once while it is away, and when the answer takes longer than `within`.
    pub async fn ask<T>(
        &self,
        client: &Client,
        within: Duration,
        question: impl Future<Output = T>,
    ) -> Result<T, Away> {
        if self.since(client).is_some() {
            return Err(Away);
        }
        match tokio::time::timeout(within, question).await {
            Ok(answer) => Ok(answer),
            Err(_) => {
                let mut noticed = self.0.lock();
                noticed.since_us.get_or_insert_with(now_us);
                noticed.silent_until = Some(Instant::now() + NOT_ASKED_FOR);
                Err(Away)
            }
        }
    }

    /// Notices when the connection breaks, until `shutdown`.
    pub async fn watch(self, client: Client, shutdown: CancellationToken) {
        let watching = async {
            loop {
                self.since(&client);
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        shutdown.run_until_cancelled(watching).await;
    }
}
