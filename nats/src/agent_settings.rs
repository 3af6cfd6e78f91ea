//! What the fleet asks of a host's agent: how often it samples, and whether it does. Kept by the broker in the bucket
//! `settings`, under the host's subject token, where the host itself may read it.
//!
//! The web server answers agents of the older system 002 with it (`api/src/legacy/`), and an import of that system writes it.
//! `fleetps-agent` does not read it yet: its own settings alone count.

use std::time::Duration;

use async_nats::Client;
use serde::{Deserialize, Serialize};

use crate::{
    HostName,
    bucket::{Bucket, BucketError, Entry, WatchedBucket},
};

/// The bucket's name; its keys are the subject tokens of hosts.
pub const SETTINGS: &str = "settings";
/// How often a change is tried that others are faster with.
const MAX_ATTEMPTS: usize = 10;

/// What is asked of a host's agent; absent where its own settings count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AskedOfAgent {
    /// The time between two samples, in ms.
    pub interval_ms: Option<u32>,
    /// Whether it samples at all.
    pub enabled: Option<bool>,
}

impl AskedOfAgent {
    /// The time between two samples.
    pub fn interval(&self) -> Option<Duration> {
        self.interval_ms.map(|ms| Duration::from_millis(u64::from(ms)))
    }
}

/// The bucket, kept current in memory; cheap to clone.
#[derive(Debug, Clone)]
pub struct AgentSettingsBucket {
    bucket: Bucket<AskedOfAgent>,
    current: WatchedBucket<AskedOfAgent>,
}

impl AgentSettingsBucket {
    /// Opens and follows it.
    ///
    /// # Errors
    /// When the broker does not answer or cannot make it.
    pub async fn open(client: &Client) -> Result<Self, BucketError> {
        let bucket = Bucket::open(client, SETTINGS).await?;
        let current = bucket.follow().await?;
        Ok(Self { bucket, current })
    }

    /// What is asked of the agent of `host`, as of a moment ago.
    pub fn of(&self, host: &HostName) -> AskedOfAgent {
        self.current.get(&host.token()).map(|asked| *asked).unwrap_or_default()
    }

    /// Forgets what was asked of the agent of `host`.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn forget(&self, host: &HostName) -> Result<(), BucketError> {
        self.bucket.delete(&host.token()).await
    }

    /// Changes what is asked of the agent of `host`, and returns what it is then; `None` where it was not changed, because
    /// others changed it first 10 times in a row.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn change(
        &self,
        host: &HostName,
        change: impl Fn(&mut AskedOfAgent),
    ) -> Result<Option<AskedOfAgent>, BucketError> {
        let key = host.token();
        for _ in 0..MAX_ATTEMPTS {
            let known: Option<Entry<AskedOfAgent>> = self.bucket.get(&key).await?;
            let mut asked = known.as_ref().map(|entry| entry.value).unwrap_or_default();
            change(&mut asked);
            let is_written = match known {
                Some(entry) => self.bucket.update(&key, &asked, entry.revision).await?,
                None => self.bucket.create(&key, &asked).await?,
            };
            if is_written {
                return Ok(Some(asked));
            }
        }
        Ok(None)
    }
}
