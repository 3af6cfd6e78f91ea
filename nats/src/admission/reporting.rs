//! Publishes the counts of refusals: when they grow, and every few seconds.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::service::Shared;
use crate::{
    status::{AdmissionStatus, STATUS_LOOK, StatusTimer},
    subject,
};

/// The most full networks that are named: more than a person reads.
const MAX_NETWORKS: usize = 20;

impl Shared {
    /// Tells it as long as this service runs.
    pub(super) async fn report(self: Arc<Self>) {
        let service = format!("{:016x}", fastrand::u64(..));
        let (mut ticks, mut timer) = (tokio::time::interval(STATUS_LOOK), StatusTimer::default());
        loop {
            ticks.tick().await;
            let refused = self.refusals.all().into_iter();
            let refused: BTreeMap<_, _> = refused.map(|(reason, count)| (reason.to_owned(), count)).collect();
            let mut full_networks = self.rules.roll().waiting.full_networks();
            full_networks.truncate(MAX_NETWORKS);
            let queues = self.queues();
            let status = AdmissionStatus { service: service.clone(), refused, full_networks, queues };
            if !timer.is_due(status.clone(), Instant::now()) {
                continue;
            }
            let message = status.to_message();
            if let Err(error) = self.fleet.publish(subject::ADMISSION_STATUS, message.into()).await {
                tracing::debug!(%error, "what was refused could not be told");
            }
        }
    }
}
