//! What people say of notifications, as the broker keeps it, and what is decided by it.

use std::{collections::BTreeSet, time::Duration};

use async_nats::Client;
use fleetps_ingestor::alerts::{SavedRule, built_in, open_rules};
use fleetps_nats::{
    bucket::{Bucket, BucketError, WatchedBucket},
    patience::patiently,
};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;

use super::Failure;
use crate::notify::{
    ACKNOWLEDGEMENTS, Acknowledgement, Channel, Grouping, ROUTES, Route, RouteList, Rules, SILENCES, Silence,
    built_in_route,
};

/// What people say, as the broker keeps it.
pub(super) struct People {
    pub(super) channels: WatchedBucket<Channel>,
    /// Not as [`RouteList`]: a list of a later version must not count as none.
    routes: WatchedBucket<Value>,
    /// The saved routes that were understood last.
    understood: Mutex<Option<Vec<Route>>>,
    silences: WatchedBucket<Silence>,
    pub(super) acknowledged: WatchedBucket<Acknowledgement>,
    rules: WatchedBucket<SavedRule>,
}

impl People {
    pub(super) async fn follow(
        client: &Client,
        channels: WatchedBucket<Channel>,
    ) -> Result<Self, BucketError> {
        let routes = || async { Bucket::open(client, ROUTES).await?.follow().await };
        let silences = || async { Bucket::open(client, SILENCES).await?.follow().await };
        let acknowledged = || async { Bucket::open(client, ACKNOWLEDGEMENTS).await?.follow().await };
        let rules = || async { open_rules(client).await?.follow().await };
        Ok(Self {
            channels,
            routes: patiently("notifications", routes).await?,
            understood: Mutex::default(),
            silences: patiently("notifications", silences).await?,
            acknowledged: patiently("notifications", acknowledged).await?,
            rules: patiently("notifications", rules).await?,
        })
    }

    /// The channels that hear of alerts.
    pub(super) fn channel_ids(&self) -> BTreeSet<String> {
        let all = self.channels.all();
        all.into_iter().filter(|(_, channel)| channel.hears_of_alerts()).map(|(id, _)| id).collect()
    }

    /// What is decided by now. A burst is cut already, so grouping does not cut it once more. An error where the saved routes
    /// cannot be understood and never were: neither everybody nor nobody is told then, alerts wait.
    pub(super) fn rules(&self, grouping: Grouping) -> Result<Rules, Failure> {
        let mut routes = match self.routes.all().into_iter().next() {
            Some((_, saved)) => understand(&saved, &mut self.understood.lock())?,
            None => self.built_in(),
        };
        let existing = self.channel_ids();
        routes.iter_mut().for_each(|route| route.channels.retain(|channel| existing.contains(channel)));
        let silences =
            self.silences.all().into_iter().map(|(id, silence)| (id, (*silence).clone())).collect();
        let grouping = Grouping { quiet: Duration::MAX, longest: Duration::MAX, ..grouping };
        Ok(Rules { routes, silences, grouping })
    }

    fn built_in(&self) -> Vec<Route> {
        let channels = self.channels.all();
        let route = built_in_route(channels.iter().map(|(id, channel)| (id.as_str(), &**channel)));
        route.into_iter().collect()
    }

    /// What a rule says to do.
    pub(super) fn note(&self, rule: &str) -> String {
        let saved = self.rules.get(rule).map(|saved| saved.note.clone()).filter(|note| !note.is_empty());
        let built_in = || built_in().iter().find(|it| it.id == rule).map(|it| it.note.to_owned());
        saved.or_else(built_in).unwrap_or_default()
    }
}

/// The routes of a saved list; where it cannot be understood, those that were understood `last`.
fn understand(saved: &Value, last: &mut Option<Vec<Route>>) -> Result<Vec<Route>, Failure> {
    match RouteList::deserialize(saved) {
        Ok(list) => Ok(last.insert(list.routes).clone()),
        Err(error) => {
            let Some(last) = last else {
                return Err(format!("the saved list of routes cannot be understood: {error}").into());
            };
            tracing::error!(%error, "the saved list of routes cannot be understood; the one before it holds");
            Ok(last.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_of_routes_that_cannot_be_understood_is_not_the_built_in_route() {
        let route = |channel: &str| json!({ "channels": [channel] });
        let list = |routes: Vec<Value>| json!({ "routes": routes, "changed_by": "anna", "changed_at_us": 1 });
        let of_later_version = list(vec![json!({ "channels": ["b"], "new_field": 1 })]);
        let mut last = None;
        let error = understand(&of_later_version, &mut last).unwrap_err();
        assert!(error.to_string().contains("new_field"), "{error}");
        let understood = understand(&list(vec![route("a")]), &mut last).unwrap();
        assert_eq!(understood[0].channels, ["a"]);
        assert_eq!(understand(&of_later_version, &mut last).unwrap(), understood);
        assert_eq!(understand(&json!(7), &mut last).unwrap(), understood);
        assert_eq!(understand(&list(Vec::new()), &mut last).unwrap(), [], "nobody is to be told");
    }
}
