//! The hosts that are known to the broker: which keys may speak for a name, and what a host belongs to.

use std::{collections::BTreeSet, net::IpAddr, str::FromStr, time::Duration};

use async_nats::Client;
use serde::{Deserialize, Serialize};

use crate::{
    HostName,
    bucket::{Bucket, BucketError, Entry},
    stream,
};

/// The bucket's name; its keys are host names.
pub const HOSTS: &str = "hosts";
/// Groups of one host; more would say nothing.
pub const MAX_GROUPS: usize = 32;
/// The longest group, in bytes: a word, or a name and a value.
const MAX_GROUP_BYTES: usize = 64;

/// How long the broker remembers that a host no longer waits. A follower of the bucket learns it within milliseconds,
/// and reads everything anew after a pause of seconds. If it were longer, invented names would fill the bucket with
/// markers.
const WAITING_REMEMBERED: Duration = Duration::from_secs(60);

/// Opens the bucket.
///
/// # Errors
/// When the broker does not answer or cannot make it.
pub async fn open(client: &Client) -> Result<Bucket<HostRecord>, BucketError> {
    Bucket::open(client, HOSTS).await
}

/// Forgets `name`, whose connections are then ended. The broker remembers for as long as the stream keeps messages that it is
/// gone, so that what it had sent leaves the live pages of every server, also of one that starts later.
///
/// # Errors
/// When the broker does not answer.
pub async fn forget(bucket: &Bucket<HostRecord>, name: &HostName) -> Result<(), BucketError> {
    bucket.delete_for(name.as_str(), stream::SNAPSHOT_MAX_AGE).await
}

/// Ends a host's waiting, unless it was approved meanwhile; returns whether it waited. A host that an administrator put
/// into groups beforehand keeps that record.
///
/// # Errors
/// When the broker does not answer.
pub async fn end_waiting(bucket: &Bucket<HostRecord>, name: &str) -> Result<bool, BucketError> {
    let Some(Entry { value, revision }) = bucket.get(name).await? else { return Ok(false) };
    if value.admission != Admission::Waiting {
        return Ok(false);
    }
    if value.groups.is_empty() && value.legacy.is_none() {
        return bucket.delete_if(name, revision, WAITING_REMEMBERED).await;
    }
    let before = HostRecord { keys: Vec::new(), admission: Admission::Admitted, network: None, ..value };
    bucket.update(name, &before, revision).await
}

/// Ends the waiting of all hosts, or of those of one network (`192.0.2.0/24`), and returns their number.
///
/// # Errors
/// When the broker does not answer.
pub async fn end_all_waiting(
    bucket: &Bucket<HostRecord>,
    network: Option<&str>,
) -> Result<usize, BucketError> {
    let mut ended = 0;
    for (name, Entry { value, .. }) in bucket.all().await? {
        let is_meant = network.is_none_or(|network| value.network.as_deref() == Some(network));
        if is_meant && value.admission == Admission::Waiting && end_waiting(bucket, &name).await? {
            ended += 1;
        }
    }
    Ok(ended)
}

/// Lets `key` speak for `host`, by the authority of the broker's owner: for the agent beside it. Returns `false` when
/// the name belongs to another key.
///
/// # Errors
/// When the broker does not answer.
pub async fn admit(bucket: &Bucket<HostRecord>, host: &HostName, key: &str) -> Result<bool, BucketError> {
    let mut record = HostRecord { keys: vec![key.to_owned()], ..HostRecord::in_groups(BTreeSet::new()) };
    record.admit();
    if bucket.create(host.as_str(), &record).await? {
        return Ok(true);
    }
    let Some(Entry { value: known, revision }) = bucket.get(host.as_str()).await? else { return Ok(false) };
    if known.has_key() || known.admission == Admission::Revoked {
        return Ok(known.keys.iter().any(|known| known == key));
    }
    // An administrator has put it into groups before it ever came.
    let record = HostRecord { groups: known.groups, legacy: known.legacy, ..record };
    bucket.update(host.as_str(), &record, revision).await
}

/// The record of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// The public keys that may speak for this name, the one in use first; up to three more while the key is being changed,
    /// the last announced first.
    pub keys: Vec<String>,
    /// Whether it may.
    pub admission: Admission,
    /// The groups that it belongs to, each as [`Group`] allows: `web`, `env=prod`.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// When it first asked to be admitted, in µs since 1970 UTC.
    pub first_contact_at_us: i64,
    /// When it was admitted, in µs since 1970 UTC; absent before, and of hosts that were before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted_at_us: Option<i64>,
    /// The id of the enrolment token that it used; `None` where it was approved.
    #[serde(default)]
    pub token: Option<String>,
    /// Whether the host is to make itself a new key.
    #[serde(default)]
    pub rotate: bool,
    /// The network that a host waits in, as in `192.0.2.0/24`; `None` for any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The agent of an older system that posts as this host; `None` for hosts of which only agents of fleetps speak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy: Option<LegacyAgent>,
}

/// An agent of an older system, which posts JSON over HTTP. Its key is none of [`HostRecord::keys`], so that an agent of
/// fleetps can take the name with an enrolment token. What the older agent posts from then on is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyAgent {
    /// The older system: `000` to `003`.
    pub system: String,
    /// The SHA-256 of its key, as hexadecimal digits; absent where its system has no keys.
    pub key: Option<String>,
    /// What it calls itself, letter for letter: its host name, machine id or agent id.
    pub name: String,
    /// Whether nobody else has its key. Otherwise any machine with the key may post as this host.
    pub verified: bool,
    /// The address that it first posted from.
    #[serde(default)]
    pub first_from: Option<IpAddr>,
    /// What it said of its machine when it registered, as JSON; for systems whose agents do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<serde_json::Value>,
}

impl LegacyAgent {
    /// Whether `other` is the same agent: of the same system, with the same key, under the same name.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.system, &self.key, &self.name) == (&other.system, &other.key, &other.name)
    }
}

impl HostRecord {
    /// The record of a host that an agent of an older system posts as.
    pub fn of_legacy(agent: LegacyAgent, groups: BTreeSet<String>) -> Self {
        Self { legacy: Some(agent), ..Self::in_groups(groups) }
    }

    /// The record of a host that has no key of its own: its broker knows it by its configuration, or not yet.
    pub fn in_groups(groups: BTreeSet<String>) -> Self {
        Self {
            keys: Vec::new(),
            admission: Admission::Admitted,
            groups,
            first_contact_at_us: crate::now_us(),
            admitted_at_us: None,
            token: None,
            rotate: false,
            network: None,
            legacy: None,
        }
    }

    /// Admits the host that has this record.
    pub fn admit(&mut self) {
        (self.admission, self.network) = (Admission::Admitted, None);
        self.admitted_at_us = Some(crate::now_us());
    }

    /// Whether an agent of fleetps has taken the place of the older one, whose posts are no longer stored.
    pub fn is_superseded(&self) -> bool {
        self.legacy.is_some() && self.has_key() && self.admission == Admission::Admitted
    }

    /// Whether some key may speak for this name, or would if it were admitted. A host that was put into groups before it came
    /// has none, and is otherwise as good as unknown.
    pub fn has_key(&self) -> bool {
        !self.keys.is_empty()
    }
}

/// Whether a host may publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Admission {
    /// It asked without a token and waits for approval.
    Waiting,
    /// It may.
    Admitted,
    /// It may no longer publish.
    Revoked,
}

/// A group that hosts can belong to: one word (`web`) or a name with a value (`env=prod`), of letters, digits and `-_.`
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group(String);

/// The text is not a group.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is not a group: expected one word as in web, or a name and a value as in env=prod, of letters, digits and -_. \
     beginning with a letter or digit (at most 64)"
)]
pub struct NotAGroup(String);

impl FromStr for Group {
    type Err = NotAGroup;

    fn from_str(text: &str) -> Result<Self, NotAGroup> {
        let is_word = |word: &str| {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            // `-`, `--help` and `..` would be a flag or a folder to some program.
            word.starts_with(|first: char| first.is_ascii_alphanumeric()) && word.bytes().all(is_allowed)
        };
        let is_group = match text.split_once('=') {
            Some((name, value)) => is_word(name) && is_word(value),
            None => is_word(text),
        };
        if is_group && text.len() <= MAX_GROUP_BYTES {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAGroup(text.to_owned()))
        }
    }
}

/// Reads groups as people write them: with blanks, commas or line ends between.
///
/// # Errors
/// When one of them is not a group.
pub fn read_groups(text: &str) -> Result<BTreeSet<String>, NotAGroup> {
    let words = text.split(|letter: char| letter == ',' || letter.is_ascii_whitespace());
    words.filter(|word| !word.is_empty()).map(|word| word.parse::<Group>().map(String::from)).collect()
}

impl From<Group> for String {
    fn from(group: Group) -> Self {
        group.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_a_word_or_a_name_with_a_value() {
        for text in ["web", "env=prod", "team=web-2", "v1.2"] {
            assert!(text.parse::<Group>().is_ok(), "{text} was refused");
        }
        for text in [
            "",
            "=",
            "env=",
            "=prod",
            "a=b=c",
            "a b",
            "<b>",
            "a,b",
            "ü",
            "-",
            "--help",
            "..",
            "-x=1",
            "env=-",
            &"x".repeat(65),
        ] {
            assert!(text.parse::<Group>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_record_of_an_earlier_version_is_understood() {
        let record: HostRecord =
            serde_json::from_str(r#"{"keys":["UA"],"admission":"admitted","first_contact_at_us":1}"#)
                .unwrap();
        assert_eq!((record.admission, record.groups.len(), record.rotate), (Admission::Admitted, 0, false));
    }
}
