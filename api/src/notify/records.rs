//! What people say about notifications, as the broker keeps it: channels, the list of routes, silences, acknowledgements.
//!
//! Reading makes no bucket; the first change does. A change names the revision that it replaces, so the later of two writers
//! learns of the conflict.

use std::collections::{BTreeMap, BTreeSet};

use async_nats::Client;
use data_encoding::HEXLOWER;
use fleetps_nats::bucket::{Bucket, BucketError, Entry};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    channel::{BUCKET as CHANNELS, BadChannel, Channel, MAX_CHANNELS, check_id, short},
    outbox::{Outbox, OutboxError},
    route::{MAX_ROUTES, Route},
    send::check,
    silence::{Silence, When},
};

/// The bucket of the list of routes.
pub const ROUTES: &str = "notify_routes";
/// The key of the list: it is one value, because the order of routes matters.
const LIST: &str = "routes";
/// The bucket of silences; a key is a silence's id.
pub const SILENCES: &str = "notify_silences";
/// The bucket of acknowledgements; a key is an alert's id.
pub const ACKNOWLEDGEMENTS: &str = "notify_acknowledged";
/// Silences at most: each is asked for every alert.
pub const MAX_SILENCES: usize = 500;
/// Acknowledgements at most: one for each of ten thousand hosts. Those of alerts that have ended make room.
pub const MAX_ACKNOWLEDGEMENTS: usize = 10_000;
/// The largest list, in bytes as JSON: what a value of the broker takes.
const MAX_LIST_BYTES: usize = 60 << 10;
/// Bytes of a silence's id: 64 bits, drawn at random.
const ID_BYTES: usize = 8;
/// How long a silence that is over is listed, in µs: a week, so that what it kept back can be looked up.
const LISTED_US: i64 = 7 * 24 * 3600 * 1_000_000;

/// All routes, in the order in which they are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteList {
    /// The routes.
    pub routes: Vec<Route>,
    /// Who changed the list last.
    pub changed_by: String,
    /// When, in µs since 1970 UTC.
    pub changed_at_us: i64,
}

impl RouteList {
    /// Whether it can be kept.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn check(&self) -> Result<(), BadChannel> {
        if self.routes.len() > MAX_ROUTES {
            return Err(BadChannel::new("routes", format!("expected at most {MAX_ROUTES}")));
        }
        self.routes.iter().try_for_each(Route::check)?;
        short("changed_by", &self.changed_by)?;
        // Lists and texts always become JSON.
        match serde_json::to_vec(self).map_or(0, |json| json.len()) {
            0..=MAX_LIST_BYTES => Ok(()),
            bytes => {
                Err(BadChannel::new("routes", format!("take {bytes} bytes, at most {MAX_LIST_BYTES} fit")))
            }
        }
    }
}

/// Somebody looks after an alert: it is not escalated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// Who.
    pub who: String,
    /// Why, or what is done about it; may be empty.
    #[serde(default)]
    pub why: String,
    /// When, in µs since 1970 UTC.
    pub at_us: i64,
}

/// A record could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is wrong.
    #[error("{0}")]
    Bad(#[from] BadChannel),
    /// There are too many.
    #[error("there are {most} {what} already, and no more are kept; remove one first")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// The broker did not take it.
    #[error(transparent)]
    Broker(#[from] BucketError),
    /// What waits for a channel could not be removed.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// The records of the broker of a client; cheap to clone.
#[derive(Debug, Clone)]
pub struct Records {
    client: Client,
}

impl Records {
    /// Those of the broker of `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The channels by id, with their secrets.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn channels(&self) -> Result<BTreeMap<String, Entry<Channel>>, BucketError> {
        self.all(CHANNELS).await
    }

    /// Writes a channel; `false` where it has another revision than `replaces` by now (`None`: it is to be new). Where it
    /// has no secret and goes to the same place, it keeps the one that it had.
    ///
    /// # Errors
    /// When the channel is wrong, there are too many, or the broker does not answer.
    pub async fn save_channel(
        &self,
        id: &str,
        mut channel: Channel,
        replaces: Option<u64>,
    ) -> Result<bool, RecordError> {
        check_id(id)?;
        let known = self.channels().await?;
        if let Some(before) = known.get(id) {
            channel.keep_secret_of(&before.value);
        }
        check(&channel)?;
        if replaces.is_none() && !known.contains_key(id) && known.len() >= MAX_CHANNELS {
            return Err(RecordError::Full { what: "channels", most: MAX_CHANNELS });
        }
        self.write(CHANNELS, id, &channel, replaces).await
    }

    /// Removes a channel with what waits for it; `false` where it has another revision by now.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn remove_channel(&self, id: &str, revision: u64) -> Result<bool, RecordError> {
        check_id(id)?;
        let is_removed = self.remove::<Channel>(CHANNELS, id, revision).await?;
        if is_removed {
            Outbox::open(&self.client).await?.forget(id).await?;
        }
        Ok(is_removed)
    }

    /// The list of routes with its revision; `None` until the first one is saved.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn routes(&self) -> Result<Option<Entry<RouteList>>, BucketError> {
        match Bucket::find(&self.client, ROUTES).await? {
            Some(bucket) => bucket.get(LIST).await,
            None => Ok(None),
        }
    }

    /// Writes the list of routes; `false` where it has another revision than `replaces` by now (`None`: there is none yet).
    ///
    /// # Errors
    /// When a route is wrong, or the broker does not answer.
    pub async fn save_routes(&self, list: &RouteList, replaces: Option<u64>) -> Result<bool, RecordError> {
        list.check()?;
        self.write(ROUTES, LIST, list, replaces).await
    }

    /// The silences by id, also those that were over within the last week.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn silences(&self) -> Result<BTreeMap<String, Entry<Silence>>, BucketError> {
        self.all(SILENCES).await
    }

    /// Keeps a new silence; its id. Those that were over a week ago make room.
    ///
    /// # Errors
    /// When it is wrong, there are too many, or the broker does not answer.
    pub async fn add_silence(&self, silence: &Silence, now_us: i64) -> Result<String, RecordError> {
        silence.check()?;
        let known = self.silences().await?;
        let (old, kept): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|(_, entry)| is_long_over(&entry.value, now_us));
        for (id, entry) in old {
            self.remove::<Silence>(SILENCES, &id, entry.revision).await?;
        }
        if kept.len() >= MAX_SILENCES {
            return Err(RecordError::Full { what: "silences", most: MAX_SILENCES });
        }
        let id = HEXLOWER.encode(&random());
        self.write(SILENCES, &id, silence, None).await?;
        Ok(id)
    }

    /// Ends a silence now, and removes a maintenance window; `false` where it has another revision by now.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn end_silence(
        &self,
        id: &str,
        entry: Entry<Silence>,
        now_us: i64,
    ) -> Result<bool, RecordError> {
        let Entry { value: silence, revision } = entry;
        match silence.when {
            // One that has begun is listed for a while: somebody may ask what it kept back.
            When::Once { from_us, until_us } if (from_us..until_us).contains(&now_us) && from_us < now_us => {
                let ended = Silence { when: When::Once { from_us, until_us: now_us }, ..silence };
                self.write(SILENCES, id, &ended, Some(revision)).await
            }
            _ => self.remove::<Silence>(SILENCES, id, revision).await,
        }
    }

    /// The acknowledgements by the alert's id.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn acknowledgements(&self) -> Result<BTreeMap<String, Entry<Acknowledgement>>, BucketError> {
        self.all(ACKNOWLEDGEMENTS).await
    }

    /// Acknowledges an alert; `false` where somebody did before. The caller knows that there is such an alert.
    ///
    /// # Errors
    /// When it is wrong, or the broker does not answer or is full.
    pub async fn acknowledge(&self, alert: &str, by: &Acknowledgement) -> Result<bool, RecordError> {
        check_alert(alert)?;
        short("who", &by.who)?;
        if !by.why.is_empty() {
            short("why", &by.why)?;
        }
        self.write(ACKNOWLEDGEMENTS, alert, by, None).await
    }

    /// Takes an acknowledgement back; `false` where there is none.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn withdraw_acknowledgement(&self, alert: &str) -> Result<bool, RecordError> {
        check_alert(alert)?;
        let bucket = Bucket::<Acknowledgement>::find(&self.client, ACKNOWLEDGEMENTS).await?;
        let Some(bucket) = bucket else { return Ok(false) };
        match bucket.get(alert).await? {
            Some(entry) => Ok(bucket.delete_if(alert, entry.revision, REMEMBERED).await?),
            None => Ok(false),
        }
    }

    /// Removes acknowledgements of alerts that are not among `open`, and where there are too many the oldest of the others.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn forget_acknowledgements(&self, open: &BTreeSet<String>) -> Result<usize, RecordError> {
        let known = self.acknowledgements().await?;
        let (mut kept, mut gone): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|(alert, _)| open.contains(alert));
        kept.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.value.at_us));
        gone.extend(kept.drain(kept.len().min(MAX_ACKNOWLEDGEMENTS)..));
        for (alert, entry) in &gone {
            self.remove::<Acknowledgement>(ACKNOWLEDGEMENTS, alert, entry.revision).await?;
        }
        Ok(gone.len())
    }

    async fn all<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<BTreeMap<String, Entry<T>>, BucketError> {
        match Bucket::find(&self.client, name).await? {
            Some(bucket) => Ok(bucket.all().await?.into_iter().collect()),
            None => Ok(BTreeMap::new()),
        }
    }

    async fn write<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        key: &str,
        value: &T,
        replaces: Option<u64>,
    ) -> Result<bool, RecordError> {
        let bucket = Bucket::open(&self.client, name).await?;
        let written = match replaces {
            Some(revision) => bucket.update(key, value, revision).await,
            None => bucket.create(key, value).await,
        };
        Ok(written?)
    }

    async fn remove<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        key: &str,
        revision: u64,
    ) -> Result<bool, RecordError> {
        match Bucket::<T>::find(&self.client, name).await? {
            Some(bucket) => Ok(bucket.delete_if(key, revision, REMEMBERED).await?),
            None => Ok(false),
        }
    }
}

/// How long the broker tells followers that a record was removed.
const REMEMBERED: std::time::Duration = std::time::Duration::from_secs(3600);

/// An alert's id: hexadecimal digits.
fn check_alert(alert: &str) -> Result<(), BadChannel> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    match (1..=64).contains(&alert.len()) && alert.bytes().all(is_digit) {
        true => Ok(()),
        false => Err(BadChannel::new("alert", "expected the id of an alert, as /api/v1/alerts lists them")),
    }
}

fn is_long_over(silence: &Silence, now_us: i64) -> bool {
    matches!(silence.when, When::Once { until_us, .. } if until_us.saturating_add(LISTED_US) < now_us)
}

fn random() -> [u8; ID_BYTES] {
    fastrand::u64(..).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_routes_is_bounded_and_each_route_is_checked() {
        let list = |count: usize, channel: &str| RouteList {
            routes: vec![
                serde_json::from_value(serde_json::json!({ "channels": [channel] })).unwrap();
                count
            ],
            changed_by: "anna".to_owned(),
            changed_at_us: 1,
        };
        let field = |list: RouteList| list.check().map_err(|bad| bad.field);
        assert_eq!(field(list(3, "mail")), Ok(()));
        assert_eq!(field(list(0, "mail")), Ok(()), "nobody is to be told");
        assert_eq!(field(list(MAX_ROUTES + 1, "mail")), Err("routes"));
        assert_eq!(field(list(1, "Mail!")), Err("id"));
        let mut large = list(MAX_ROUTES, "mail");
        large.routes.iter_mut().for_each(|route| route.matcher.hosts = vec!["h".repeat(250); 100]);
        assert_eq!(field(large), Err("routes"));
    }

    #[test]
    fn only_ids_of_alerts_are_acknowledged() {
        assert_eq!(check_alert("0f3a9c0011223344"), Ok(()));
        for bad in ["", "x", "0F", "../a", "a.b", "*"] {
            assert!(check_alert(bad).is_err(), "{bad}");
        }
    }
}
