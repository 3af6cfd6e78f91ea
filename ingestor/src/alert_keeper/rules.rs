//! Follows the rules that people save, and the groups of hosts.

use std::{mem, sync::Arc};

use async_nats::Client;
use fleetps_nats::{
    bucket::{Bucket, BucketError, WatchedBucket},
    error_chain,
    hosts::{self, HostRecord},
};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::alerts::{HostGroups, Rule, SavedRule, open_rules, rules_in_force};

/// What is to be evaluated from the next message on; the latest of each counts.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) rules: Option<Vec<Rule>>,
    pub(super) groups: Option<HostGroups>,
}

/// What was not taken yet.
#[derive(Debug, Clone, Default)]
pub(super) struct LatestNews(Arc<Mutex<News>>);

impl LatestNews {
    pub(super) fn take(&self) -> News {
        mem::take(&mut *self.0.lock())
    }
}

/// The buckets.
pub(super) struct Following {
    rules: Bucket<SavedRule>,
    saved: WatchedBucket<SavedRule>,
    hosts: WatchedBucket<HostRecord>,
    news: LatestNews,
}

impl Following {
    /// Follows both, and knows their present content.
    pub(super) async fn start(client: &Client) -> Result<Self, BucketError> {
        let rules = open_rules(client).await?;
        let saved = rules.follow().await?;
        let hosts = hosts::open(client).await?.follow().await?;
        let following = Self { rules, saved, hosts, news: LatestNews::default() };
        following.tell_rules().await?;
        following.tell_groups();
        Ok(following)
    }

    pub(super) fn news(&self) -> LatestNews {
        self.news.clone()
    }

    /// Tells every change until `stop`.
    pub(super) async fn keep(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.saved.changed() => {
                    // The copy has no revisions. Where this fails the next change tells.
                    if let Err(error) = self.tell_rules().await {
                        tracing::warn!("changed rules are not evaluated yet: {}", error_chain(&error));
                    }
                }
                () = self.hosts.changed() => self.tell_groups(),
            }
        }
    }

    async fn tell_rules(&self) -> Result<(), BucketError> {
        let entries = rules_in_force(self.rules.all().await?);
        for entry in &entries {
            if let Err(error) = &entry.rule {
                tracing::error!("the rule {} is not evaluated: {error}", entry.id);
            }
        }
        let on = entries.into_iter().filter(|entry| entry.is_on());
        self.news.0.lock().rules = Some(on.filter_map(|entry| entry.rule.ok()).collect());
        Ok(())
    }

    fn tell_groups(&self) {
        let groups = |(host, record): (String, Arc<HostRecord>)| {
            let host = host.parse().ok()?;
            (!record.groups.is_empty()).then(|| (host, record.groups.clone()))
        };
        self.news.0.lock().groups = Some(self.hosts.all().into_iter().filter_map(groups).collect());
    }
}
