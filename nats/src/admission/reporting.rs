//! Tells the fleet what was refused: when there is more of it, and every few seconds.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::service::Shared;
use crate::{
    status::{AdmissionStatus, STATUS_LOOK, StatusTimer},
    subject,
};

impl Shared {
    /// Tells it as long as this service runs.
    pub(super) async fn report(self: Arc<Self>) {
        let service = format!("{:016x}", fastrand::u64(..));
        let (mut ticks, mut timer) = (tokio::time::interval(STATUS_LOOK), StatusTimer::default());
        loop {
            ticks.tick().await;
            let refused = self.refusals.all().into_iter();
            let refused: BTreeMap<_, _> = refused.map(|(reason, count)| (reason.to_owned(), count)).collect();
            if !timer.is_due(refused.clone(), Instant::now()) {
                continue;
            }
            let message = AdmissionStatus { service: service.clone(), refused }.to_message();
            if let Err(error) = self.fleet.publish(subject::ADMISSION_STATUS, message.into()).await {
                tracing::debug!(%error, "what was refused could not be told");
            }
        }
    }
}
