//! Losses of the broker: saved records that are gone although they were not removed, and records that cannot be parsed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use async_nats::Client;
use fleetps_ingestor::backup::SavedState;
use fleetps_nats::{
    admission::{EnrolmentToken, TOKENS as ENROLMENT_TOKENS},
    bucket::{self, BucketError, Census},
    hosts::{HOSTS, HostRecord},
};
use serde_json::Value;

use crate::auth::{API_TOKENS, ApiToken, USERS, User};

/// Buckets whose records are checked even where nothing was saved.
const WATCHED: [&str; 4] = [USERS, API_TOKENS, HOSTS, ENROLMENT_TOKENS];
/// Names that a message lists; the rest is a number.
const LISTED: usize = 5;

/// The losses of each bucket.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Losses(BTreeMap<String, Loss>);

/// The losses of one bucket.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Loss {
    /// Keys that were saved, and are gone.
    pub missing: BTreeSet<String>,
    /// Keys whose record cannot be read.
    pub unreadable: BTreeSet<String>,
}

impl Losses {
    /// Compares the broker's records with the `saved` ones.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub(crate) async fn find(client: &Client, saved: Option<&SavedState>) -> Result<Self, BucketError> {
        let saved = saved.map(|saved| &saved.buckets);
        let names: BTreeSet<&str> =
            WATCHED.into_iter().chain(saved.into_iter().flatten().map(|(name, _)| name.as_str())).collect();
        let mut losses = BTreeMap::new();
        for name in names {
            let census = bucket::census::<Value>(client, name).await?;
            let saved = saved.and_then(|saved| saved.get(name));
            let loss = Loss::of(name, census, saved);
            if loss != Loss::default() {
                losses.insert(name.to_owned(), loss);
            }
        }
        Ok(Self(losses))
    }

    /// Whether nothing is lost.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether users are.
    pub(crate) fn of_users(&self) -> Option<&Loss> {
        self.0.get(USERS)
    }

    /// Each bucket with its loss.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Loss)> {
        self.0.iter().map(|(name, loss)| (name.as_str(), loss))
    }
}

impl Loss {
    fn of(name: &str, census: Option<Census<Value>>, saved: Option<&BTreeMap<String, Value>>) -> Self {
        let Some(Census { values, mut unreadable, removed }) = census else {
            return Self {
                missing: saved.into_iter().flatten().map(|(key, _)| key.clone()).collect(),
                ..Self::default()
            };
        };
        unreadable.extend(
            values.iter().filter(|(_, value)| !is_understood(name, value)).map(|(key, _)| key.clone()),
        );
        let is_missing = |key: &&String| {
            !values.contains_key(*key) && !unreadable.contains(*key) && !removed.contains(*key)
        };
        let missing = saved.into_iter().flatten().map(|(key, _)| key).filter(is_missing).cloned().collect();
        Self { missing, unreadable }
    }
}

/// Whether a value is a record of its bucket; the values of other buckets are not checked.
fn is_understood(bucket: &str, value: &Value) -> bool {
    fn is<T: serde::de::DeserializeOwned>(value: &Value) -> bool {
        T::deserialize(value).is_ok()
    }
    match bucket {
        USERS => is::<User>(value),
        API_TOKENS => is::<ApiToken>(value),
        HOSTS => is::<HostRecord>(value),
        ENROLMENT_TOKENS => is::<EnrolmentToken>(value),
        _ => true,
    }
}

impl fmt::Display for Losses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.iter().map(|(name, loss)| format!("in the bucket {name} {loss}")).collect();
        formatter.write_str(&texts.join("; "))
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [(&self.missing, "gone"), (&self.unreadable, "not readable")];
        let texts = lists.into_iter().filter(|(keys, _)| !keys.is_empty());
        let texts: Vec<_> = texts
            .map(|(keys, what)| match keys.len() {
                1 => format!("{} is {what}", list(keys)),
                _ => format!("{} are {what}", list(keys)),
            })
            .collect();
        formatter.write_str(&texts.join(", "))
    }
}

/// Keys as people read them.
pub(super) fn list(keys: &BTreeSet<String>) -> String {
    // The keys of tokens are hashes.
    let short = |key: &String| crate::display::cut(key, 20).into_owned();
    let mut text = keys.iter().take(LISTED).map(short).collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = keys.len().checked_sub(LISTED) {
        text += &format!(" and {more} more");
    }
    crate::display::visible(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user() -> Value {
        json!({"signs_in": "not_yet", "grants": [], "added_at_us": 1, "sessions_since_us": 1})
    }

    fn map(keys: &[&str]) -> BTreeMap<String, Value> {
        keys.iter().map(|key| ((*key).to_owned(), user())).collect()
    }

    fn set(keys: &[&str]) -> BTreeSet<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn what_is_gone_or_cannot_be_read_is_a_loss_and_what_somebody_removed_is_none() {
        let saved = map(&["anna", "bert", "carl", "dora"]);
        let mut values = map(&["anna", "new"]);
        values.insert("bert".to_owned(), json!({"grants": 7}));
        let census = Census { values, unreadable: set(&["emil"]), removed: set(&["carl"]) };
        let loss = Loss::of(USERS, Some(census), Some(&saved));
        assert_eq!(loss, Loss { missing: set(&["dora"]), unreadable: set(&["bert", "emil"]) });
        assert_eq!(loss.to_string(), "dora is gone, bert, emil are not readable");
        let all = Loss::of(USERS, None, Some(&saved));
        assert_eq!(all.missing, set(&["anna", "bert", "carl", "dora"]));
        assert_eq!(Loss::of(USERS, None, None), Loss::default());
    }
}
