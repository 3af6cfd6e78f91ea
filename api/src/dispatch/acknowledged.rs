//! Who looks after which alert: a copy of the broker's records, for pages and for escalation.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::Client;
use fleetps_nats::{
    bucket::{Bucket, WatchedBucket},
    error_chain,
};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use crate::{
    live::Alerts,
    notify::{ACKNOWLEDGEMENTS, Acknowledgement},
};

/// How often it is looked whether there is an acknowledgement, until there was one.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How soon the copy has what was written: the broker tells followers at once.
const COPIED_WITHIN: Duration = Duration::from_secs(2);

/// The acknowledgements by the alert's id; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Acknowledged(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    followed: Option<WatchedBucket<Acknowledgement>>,
    /// What this server wrote itself, and when; the copy has it a moment later.
    noted: BTreeMap<String, (Option<Arc<Acknowledgement>>, Instant)>,
}

impl Acknowledged {
    /// Who looks after an alert.
    pub fn of(&self, alert: &str) -> Option<Arc<Acknowledgement>> {
        let known = self.0.read();
        match (known.noted.get(alert), &known.followed) {
            (Some((noted, at)), followed) if followed.is_none() || at.elapsed() < COPIED_WITHIN => {
                noted.clone()
            }
            (_, Some(followed)) => followed.get(alert),
            (_, None) => None,
        }
    }

    /// Notes what was just written, that somebody looks after an alert or nobody does, so that the page that follows shows it.
    pub fn note(&self, alert: &str, by: Option<Acknowledgement>) {
        let mut known = self.0.write();
        if known.followed.is_some() {
            known.noted.retain(|_, (_, at)| at.elapsed() < COPIED_WITHIN);
        }
        known.noted.insert(alert.to_owned(), (by.map(Arc::new), Instant::now()));
    }

    /// Follows the records until `shutdown`, and tells those who watch `alerts` of every change, whichever server made it. Makes no
    /// records.
    pub async fn follow(self, client: Client, alerts: Arc<Alerts>, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.keep_current(&client, &alerts)).await;
    }

    async fn keep_current(&self, client: &Client, alerts: &Alerts) {
        let mut followed = Self::wait_for(client).await;
        {
            let mut known = self.0.write();
            known.noted.clear();
            known.followed = Some(followed.clone());
        }
        loop {
            alerts.touch();
            followed.changed().await;
        }
    }

    /// The copy of the records, once there is one.
    async fn wait_for(client: &Client) -> WatchedBucket<Acknowledgement> {
        loop {
            match Self::find(client).await {
                Ok(Some(followed)) => return followed,
                Ok(None) => {}
                Err(error) => tracing::debug!("acknowledgements: {}", error_chain(&error)),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn find(
        client: &Client,
    ) -> Result<Option<WatchedBucket<Acknowledgement>>, fleetps_nats::bucket::BucketError> {
        match Bucket::find(client, ACKNOWLEDGEMENTS).await? {
            Some(bucket) => bucket.follow().await.map(Some),
            None => Ok(None),
        }
    }
}
