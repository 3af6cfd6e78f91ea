//! The actions of system 003: queued by people, answered once to the agent that asks for them.
//!
//! A queue is a value in a bucket, and whoever answers with an action has taken it out before, by the revision of the value. So
//! no two servers answer with the same one, and one whose answer is lost is not repeated: it may have been carried out. An action
//! that was not asked for soon is dropped: who queued it does not expect it any longer.

use async_nats::Client;
use fleetps_nats::{
    HostName,
    bucket::{Bucket, BucketError, Entry, WatchedBucket},
    now_us,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::broadcast;

/// The bucket's name; its keys are host names.
const BUCKET: &str = "legacy_actions";
/// Actions that may wait for one agent.
const MAX_WAITING: usize = 50;
/// How long an action waits: an agent asks all the time.
const WAITS_US: i64 = 300 * 1_000_000;
/// How often a change is tried that others are faster with.
const MAX_ATTEMPTS: usize = 20;
/// What open pages are told of before they read it; what is more is left out.
const MAX_TOLD: usize = 64;

/// An action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Action {
    /// Its number: when it was queued, in µs since 1970 UTC.
    pub id: i64,
    /// `start`, `stop` or `restart`.
    pub cmd: String,
    /// The service.
    pub target: String,
}

/// The queues of all agents.
pub(super) struct Actions {
    bucket: Bucket<Vec<Action>>,
    current: WatchedBucket<Vec<Action>>,
    told: broadcast::Sender<(HostName, Value)>,
}

impl Actions {
    /// Opens the bucket, and follows it.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(super) async fn open(client: &Client) -> Result<Self, BucketError> {
        let bucket = Bucket::open(client, BUCKET).await?;
        let current = bucket.follow().await?;
        Ok(Self { bucket, current, told: broadcast::Sender::new(MAX_TOLD) })
    }

    /// Queues an action; `None` where too many wait.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(super) async fn queue(
        &self,
        host: &HostName,
        cmd: &str,
        target: &str,
    ) -> Result<Option<Action>, BucketError> {
        let action = Action { id: now_us(), cmd: cmd.to_owned(), target: target.to_owned() };
        for _ in 0..MAX_ATTEMPTS {
            let known = self.bucket.get(host.as_str()).await?;
            let mut waiting = known.as_ref().map(|entry| entry.value.clone()).unwrap_or_default();
            waiting.retain(is_current);
            if waiting.len() >= MAX_WAITING {
                return Ok(None);
            }
            waiting.push(action.clone());
            let is_written = match known {
                Some(Entry { revision, .. }) => self.bucket.update(host.as_str(), &waiting, revision).await?,
                None => self.bucket.create(host.as_str(), &waiting).await?,
            };
            if is_written {
                return Ok(Some(action));
            }
        }
        Ok(None)
    }

    /// Returns when something waits for the agent of `host`.
    pub(super) async fn waiting(&self, host: &HostName) {
        let mut current = self.current.clone();
        while current.get(host.as_str()).is_none_or(|waiting| !waiting.iter().any(is_current)) {
            current.changed().await;
        }
    }

    /// Takes what waits for the agent of `host` out of its queue.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(super) async fn take(&self, host: &HostName) -> Result<Vec<Action>, BucketError> {
        let Some(Entry { mut value, revision }) = self.bucket.get(host.as_str()).await? else {
            return Ok(Vec::new());
        };
        if value.is_empty() || !self.bucket.update(host.as_str(), &Vec::new(), revision).await? {
            return Ok(Vec::new());
        }
        value.retain(is_current);
        Ok(value)
    }

    /// Tells open pages of this server.
    pub(super) fn tell(&self, host: &HostName, message: Value) {
        // Nobody may listen.
        let _ = self.told.send((host.clone(), message));
    }

    /// What open pages are told from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<(HostName, Value)> {
        self.told.subscribe()
    }
}

fn is_current(action: &Action) -> bool {
    now_us().saturating_sub(action.id) < WAITS_US
}
