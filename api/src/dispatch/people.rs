//! What people say of notifications, as the broker keeps it, and what is decided by it.

use std::{collections::BTreeSet, time::Duration};

use async_nats::Client;
use fleetps_ingestor::alerts::{SavedRule, built_in, open_rules};
use fleetps_nats::{
    bucket::{Bucket, BucketError, WatchedBucket},
    patience::patiently,
};

use crate::notify::{
    ACKNOWLEDGEMENTS, Acknowledgement, Channel, Grouping, ROUTES, RouteList, Rules, SILENCES, Silence,
    built_in_route,
};

/// What people say, as the broker keeps it.
pub(super) struct People {
    pub(super) channels: WatchedBucket<Channel>,
    routes: WatchedBucket<RouteList>,
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

    /// What is decided by now. A burst is cut already, so grouping does not cut it once more.
    pub(super) fn rules(&self, grouping: Grouping) -> Rules {
        let channels = self.channels.all();
        let saved = self.routes.all().into_iter().next();
        let mut routes = match saved {
            Some((_, list)) => list.routes.clone(),
            None => built_in_route(channels.iter().map(|(id, channel)| (id.as_str(), &**channel)))
                .into_iter()
                .collect(),
        };
        let existing = self.channel_ids();
        routes.iter_mut().for_each(|route| route.channels.retain(|channel| existing.contains(channel)));
        let silences =
            self.silences.all().into_iter().map(|(id, silence)| (id, (*silence).clone())).collect();
        let grouping = Grouping { quiet: Duration::MAX, longest: Duration::MAX, ..grouping };
        Rules { routes, silences, grouping }
    }

    /// What a rule says to do.
    pub(super) fn note(&self, rule: &str) -> String {
        let saved = self.rules.get(rule).map(|saved| saved.note.clone()).filter(|note| !note.is_empty());
        let built_in = || built_in().iter().find(|it| it.id == rule).map(|it| it.note.to_owned());
        saved.or_else(built_in).unwrap_or_default()
    }
}
