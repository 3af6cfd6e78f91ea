//! What is asked of agents, what was signed for them, and what they applied, as the broker keeps it.

use std::{collections::BTreeSet, time::Duration};

use async_nats::Client;
use data_encoding::HEXLOWER;

use super::{Applied, AskedOfAgent, Resolved, SignedFrame, resolve};
use crate::{
    HostName,
    bucket::{Bucket, BucketError, Entry, WatchedBucket},
};

/// The bucket of what is asked: of a host under `host/` and its subject token, of a group under `group/` and its name
/// in hexadecimal. Hosts cannot read it.
pub const ASKED: &str = "asked_settings";
/// The bucket of signed frames, under the subject token of the host, which may read its own.
pub const SETTINGS: &str = "settings";
/// The bucket of what hosts applied, under their subject tokens.
pub const APPLIED: &str = "applied_settings";
/// How long the broker remembers that a record was brought elsewhere: as long as it takes others to see it.
const TAKEN_OVER_FOR: Duration = Duration::from_secs(600);
/// How often a change is tried that others are faster with.
const MAX_ATTEMPTS: usize = 10;

/// Opens the bucket of signed frames.
///
/// # Errors
/// When the broker does not answer or cannot make it.
pub async fn frames(client: &Client) -> Result<Bucket<SignedFrame>, BucketError> {
    Bucket::open(client, SETTINGS).await
}

/// Forgets what was asked of `host`, what was signed for it and what it applied, so that another machine of that name
/// has nothing of it.
///
/// # Errors
/// When the broker does not answer.
pub async fn forget(client: &Client, host: &HostName) -> Result<(), BucketError> {
    Bucket::<AskedOfAgent>::open(client, ASKED).await?.delete(&host_key(host)).await?;
    frames(client).await?.delete(&host.token()).await?;
    applied_bucket(client).await?.delete(&host.token()).await
}

/// Opens the bucket of what hosts applied.
///
/// # Errors
/// When the broker does not answer or cannot make it.
pub async fn applied_bucket(client: &Client) -> Result<Bucket<Applied>, BucketError> {
    Bucket::open(client, APPLIED).await
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
        let bucket = Bucket::open(client, ASKED).await?;
        take_over(client, &bucket).await?;
        let current = bucket.follow().await?;
        Ok(Self { bucket, current })
    }

    /// What is asked of the agent of `host` itself, as of a moment ago.
    pub fn of(&self, host: &HostName) -> AskedOfAgent {
        self.current.get(&host_key(host)).map(|asked| (*asked).clone()).unwrap_or_default()
    }

    /// What is asked of the hosts of `group`, as of a moment ago.
    pub fn of_group(&self, group: &str) -> AskedOfAgent {
        self.current.get(&group_key(group)).map(|asked| (*asked).clone()).unwrap_or_default()
    }

    /// What is asked of the agent of `host`, which is in `groups`, and who decided it.
    pub fn resolve(&self, host: &HostName, groups: &BTreeSet<String>) -> Resolved {
        let of_groups: Vec<_> = groups
            .iter()
            .filter_map(|group| Some((group.as_str(), self.current.get(&group_key(group))?)))
            .collect();
        let of_host = self.current.get(&host_key(host));
        resolve(of_host.as_deref(), of_groups.iter().map(|(group, asked)| (*group, &**asked)))
    }

    /// The hosts of which something is asked by themselves.
    pub fn hosts(&self) -> Vec<HostName> {
        let keys = self.current.all().into_iter();
        keys.filter_map(|(key, _)| HostName::from_token(key.strip_prefix("host/")?)).collect()
    }

    /// Returns when something may have changed since this was called last.
    pub async fn changed(&mut self) {
        self.current.changed().await;
    }

    /// Forgets what was asked of the agent of `host`.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn forget(&self, host: &HostName) -> Result<(), BucketError> {
        self.bucket.delete(&host_key(host)).await
    }

    /// Changes what is asked of the agent of `host`, and returns what it is then; `None` when others change it all the time.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn change(
        &self,
        host: &HostName,
        change: impl Fn(&mut AskedOfAgent),
    ) -> Result<Option<AskedOfAgent>, BucketError> {
        self.change_key(&host_key(host), change).await
    }

    /// The same for the hosts of `group`.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn change_group(
        &self,
        group: &str,
        change: impl Fn(&mut AskedOfAgent),
    ) -> Result<Option<AskedOfAgent>, BucketError> {
        self.change_key(&group_key(group), change).await
    }

    async fn change_key(
        &self,
        key: &str,
        change: impl Fn(&mut AskedOfAgent),
    ) -> Result<Option<AskedOfAgent>, BucketError> {
        for _ in 0..MAX_ATTEMPTS {
            let known: Option<Entry<AskedOfAgent>> = match self.bucket.get(key).await {
                // What cannot be read asks for nothing, and is written over.
                Err(error) if error.is_unreadable() => {
                    let mut asked = AskedOfAgent::default();
                    change(&mut asked);
                    return self.bucket.put(key, &asked).await.map(|()| Some(asked));
                }
                known => known?,
            };
            let mut asked = known.as_ref().map(|entry| entry.value.clone()).unwrap_or_default();
            change(&mut asked);
            let is_written = match known {
                Some(entry) => self.bucket.update(key, &asked, entry.revision).await?,
                None => self.bucket.create(key, &asked).await?,
            };
            if is_written {
                return Ok(Some(asked));
            }
        }
        Ok(None)
    }
}

fn host_key(host: &HostName) -> String {
    format!("host/{}", host.token())
}

/// Names of groups may have dots at places where keys may not.
fn group_key(group: &str) -> String {
    format!("group/{}", HEXLOWER.encode(group.as_bytes()))
}

/// Brings what was asked of hosts before there were frames, when it lay where these are now, to where it is now.
async fn take_over(client: &Client, asked: &Bucket<AskedOfAgent>) -> Result<(), BucketError> {
    let former = Bucket::<serde_json::Value>::open(client, SETTINGS).await?;
    for (token, Entry { value, revision }) in former.all().await? {
        let Some(host) = HostName::from_token(&token).filter(|_| value.get("signature").is_none()) else {
            continue;
        };
        if let Ok(value) = serde_json::from_value::<AskedOfAgent>(value)
            && !value.is_empty()
        {
            asked.create(&host_key(&host), &value).await?;
        }
        former.delete_if(&token, revision, TAKEN_OVER_FOR).await?;
    }
    Ok(())
}
