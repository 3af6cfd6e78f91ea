//! What a host and the fleet say to each other right after it connected: whether it is to change its key, and its next
//! key.

use nkeys::{KeyPair, KeyPairType};
use serde::{Deserialize, Serialize};

use crate::{
    HostName,
    bucket::{Bucket, BucketError, Entry},
    hosts::{Admission, HostRecord},
};

/// A host's first word.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The public half of the key that it wants to use from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_key: Option<String>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The host is to make a new key and to announce it.
    pub rotate: bool,
    /// The key that was announced is good from now on.
    pub accepted: bool,
}

/// Answers what `host` said; the broker has checked that it is this host.
pub(super) async fn welcome(
    hosts: &Bucket<HostRecord>,
    host: &HostName,
    hello: Hello,
) -> Result<Welcome, BucketError> {
    let nothing = Welcome { rotate: false, accepted: false };
    let known = hosts.get(host.as_str()).await?;
    // The agent of the broker's own machine is known by the broker's configuration alone.
    let Some(Entry { value: record, revision }) = known else { return Ok(nothing) };
    if record.admission != Admission::Admitted {
        return Ok(nothing);
    }
    let Some(next) = hello.next_key else { return Ok(Welcome { rotate: record.rotate, ..nothing }) };
    let is_key = KeyPair::from_public_key(&next).is_ok_and(|key| key.key_pair_type() == KeyPairType::User);
    let present = record.keys.first().cloned();
    if !is_key || present.as_ref() == Some(&next) {
        return Ok(nothing);
    }
    let changed = HostRecord { keys: present.into_iter().chain([next]).collect(), ..record };
    // Where somebody else changed the record just now, the host asks again when it connects the next time.
    let accepted = hosts.update(host.as_str(), &changed, revision).await?;
    Ok(Welcome { accepted, ..nothing })
}
