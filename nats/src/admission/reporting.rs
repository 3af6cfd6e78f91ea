//! Tells the fleet every few seconds what was refused.

use std::{sync::Arc, time::Duration};

use super::service::Shared;
use crate::{
    status::{AdmissionStatus, STATUS_INTERVAL_S},
    subject,
};

impl Shared {
    /// Tells it as long as this service runs.
    pub(super) async fn report(self: Arc<Self>) {
        let service = format!("{:016x}", fastrand::u64(..));
        let mut ticks = tokio::time::interval(Duration::from_secs(STATUS_INTERVAL_S));
        loop {
            ticks.tick().await;
            let refused = self.refusals.all().into_iter();
            let refused = refused.map(|(reason, count)| (reason.to_owned(), count)).collect();
            let message = AdmissionStatus { service: service.clone(), refused }.to_message();
            if let Err(error) = self.fleet.publish(subject::ADMISSION_STATUS, message.into()).await {
                tracing::debug!(%error, "what was refused could not be told");
            }
        }
    }
}
