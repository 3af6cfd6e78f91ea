//! Enrolment windows: until when, and how many, new hosts of an older system are let in. `fleetps legacy allow` opens one.
//!
//! The agents of older systems bring no enrolment token. A new host is therefore admitted only while a window is open, and
//! each window has a number of uses. Hosts that are known need none.

use std::collections::BTreeSet;

use async_nats::Client;
use data_encoding::HEXLOWER;
use fleetps_nats::{
    bucket::{Bucket, BucketError, Entry, WatchedBucket},
    now_us,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::System;

/// The bucket's name; its keys are the numbers of the systems.
pub const BUCKET: &str = "legacy_windows";
/// How often using a window is tried when others use it at the same moment.
const MAX_ATTEMPTS: usize = 20;
/// Keys that are in the public copies of the older systems: everybody has them.
const KNOWN_KEYS: [&str; 1] = ["TESTKEY123"];

/// The SHA-256 of a key, as hexadecimal digits. Keys are never kept or compared in another form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHash(pub String);

impl KeyHash {
    /// The hash of `key`.
    pub fn of(key: &[u8]) -> Self {
        Self(HEXLOWER.encode(&Sha256::digest(key)))
    }

    /// Whether everybody has this key.
    pub fn is_known(&self) -> bool {
        KNOWN_KEYS.iter().any(|known| Self::of(known.as_bytes()) == *self)
    }
}

/// A window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Until when it is open, in µs since 1970 UTC.
    pub expires_at_us: i64,
    /// How many hosts it still admits.
    pub uses_left: u32,
    /// The groups that they get.
    pub groups: BTreeSet<String>,
    /// The key that several hosts have in common, if this is for them. They are unverified.
    pub shared_key: Option<KeyHash>,
    /// Whether a key that everybody has is taken, as one that several hosts have in common.
    pub accepts_known_keys: bool,
}

impl Window {
    /// Whether a new host may come now.
    pub fn is_open(&self) -> bool {
        self.uses_left > 0 && now_us() < self.expires_at_us
    }
}

/// The windows, kept current in memory.
#[derive(Debug, Clone)]
pub(super) struct Windows {
    bucket: Bucket<Window>,
    current: WatchedBucket<Window>,
}

impl Windows {
    /// Opens the bucket, and follows it.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(super) async fn open(client: &Client) -> Result<Self, BucketError> {
        let bucket = Bucket::open(client, BUCKET).await?;
        let current = bucket.follow().await?;
        Ok(Self { bucket, current })
    }

    /// The window of `system`, as of a moment ago; `None` where it is closed.
    pub(super) fn of(&self, system: System) -> Option<Window> {
        let window = self.current.get(system.number())?;
        window.is_open().then(|| (*window).clone())
    }

    /// Whether several hosts of `system` have this key in common.
    pub(super) fn is_shared(&self, system: System, key: &KeyHash) -> bool {
        self.of(system).is_some_and(|window| window.shared_key.as_ref() == Some(key))
    }

    /// Uses the window of `system` once; `None` where it is closed.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(super) async fn use_up(&self, system: System) -> Result<Option<Window>, BucketError> {
        for _ in 0..MAX_ATTEMPTS {
            let Some(Entry { value, revision }) = self.bucket.get(system.number()).await? else {
                return Ok(None);
            };
            if !value.is_open() {
                return Ok(None);
            }
            let used = Window { uses_left: value.uses_left - 1, ..value };
            if self.bucket.update(system.number(), &used, revision).await? {
                return Ok(Some(used));
            }
        }
        Ok(None)
    }
}
