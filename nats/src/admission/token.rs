//! Enrolment tokens: a host that brings one is admitted under the name that it gives, if that name is free.
//!
//! The broker keeps only a token's hash, so a reader of the bucket or of a backup cannot enrol with it. The token has
//! 256 random bits, so a plain hash is enough.

use std::{collections::BTreeSet, time::Duration};

use async_nats::Client;
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use nkeys::KeyPair;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Denial;
use crate::{
    bucket::{Bucket, BucketError, Entry},
    hosts::Group,
    now_us,
};

/// The bucket's name; its keys are the hashes of the tokens.
pub const TOKENS: &str = "enrolment_tokens";
/// The prefix of every token, by which people and secret scanners recognise one.
const PREFIX: &str = "fpse_";
/// The length of the part of the hash that names a token for people; two of a thousand share it once in 4 million
/// fleets.
const ID_CHARACTERS: usize = 12;
/// How often using a token is tried when others use it at the same moment: as many hosts as may come at once.
const MAX_ATTEMPTS: usize = 100;

/// The record of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentToken {
    /// Until when it can be used, in µs since 1970 UTC.
    pub expires_at_us: i64,
    /// How many hosts it still admits.
    pub uses_left: u32,
    /// The groups that they get.
    pub groups: BTreeSet<String>,
}

/// The tokens; cheap to clone.
#[derive(Debug, Clone)]
pub struct EnrolmentTokens {
    bucket: Bucket<EnrolmentToken>,
}

impl EnrolmentTokens {
    /// Opens the bucket.
    ///
    /// # Errors
    /// When the broker does not answer or cannot make it.
    pub async fn open(client: &Client) -> Result<Self, BucketError> {
        Ok(Self { bucket: Bucket::open(client, TOKENS).await? })
    }

    /// Makes a token that admits `uses` hosts within `ttl`, and returns it; it cannot be read again. Expired and used
    /// tokens are removed.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn make(
        &self,
        ttl: Duration,
        uses: u32,
        groups: impl IntoIterator<Item = Group>,
    ) -> Result<String, BucketError> {
        let now_us = now_us();
        for (hash, Entry { value, .. }) in self.bucket.all().await? {
            if value.uses_left == 0 || value.expires_at_us <= now_us {
                self.bucket.delete(&hash).await?;
            }
        }
        let token = random_token();
        let ttl_us = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
        let kept = EnrolmentToken {
            expires_at_us: now_us.saturating_add(ttl_us),
            uses_left: uses,
            groups: groups.into_iter().map(String::from).collect(),
        };
        self.bucket.put(&hash(&token), &kept).await?;
        Ok(token)
    }

    /// Uses the token once: its id and the groups that it gives.
    pub(super) async fn use_up(&self, token: &str) -> Result<(String, BTreeSet<String>), Denial> {
        let hash = hash(token);
        for _ in 0..MAX_ATTEMPTS {
            let Some(Entry { value, revision }) = self.bucket.get(&hash).await? else {
                return Err(Denial::UnknownToken);
            };
            if value.expires_at_us <= now_us() {
                return Err(Denial::ExpiredToken);
            }
            let Some(uses_left) = value.uses_left.checked_sub(1) else { return Err(Denial::UsedToken) };
            let used = EnrolmentToken { uses_left, ..value };
            // Otherwise another host used it in this moment; there may be another use left.
            if self.bucket.update(&hash, &used, revision).await? {
                return Ok((hash.chars().take(ID_CHARACTERS).collect(), used.groups));
            }
        }
        Err(Denial::Busy)
    }
}

fn hash(token: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(token))
}

/// Hashes a new key pair's public key, whose bits come from the system's generator; the key pair is dropped.
fn random_token() -> String {
    let bits = Sha256::digest(KeyPair::new_user().public_key());
    format!("{PREFIX}{}", BASE32_NOPAD.encode(&bits).to_lowercase())
}
