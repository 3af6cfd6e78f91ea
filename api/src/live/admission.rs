//! Who was kept out and what was refused, by what the services that answer the broker say every few seconds.

use std::{collections::BTreeMap, time::Instant};

use async_nats::Client;
use fleetps_nats::{status::AdmissionStatus, subject};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::readiness::{BELIEVED_FOR, listen, sums};

/// The last words of every service that answers the broker.
#[derive(Debug, Default)]
pub struct AdmissionReports {
    by_service: Mutex<BTreeMap<String, Report>>,
}

#[derive(Debug)]
struct Report {
    refused: BTreeMap<String, u64>,
    received: Instant,
}

impl AdmissionReports {
    /// Takes a status; who has not been heard of for long is forgotten.
    pub fn take(&self, status: AdmissionStatus, now: Instant) {
        let mut reports = self.by_service.lock();
        reports.retain(|_, report| now.saturating_duration_since(report.received) <= BELIEVED_FOR);
        reports.insert(status.service, Report { refused: status.refused, received: now });
    }

    /// How many connections and subjects were refused, by reason, since each of those that run was started.
    pub fn refused(&self) -> BTreeMap<String, u64> {
        let reports = self.by_service.lock();
        sums(reports.values().flat_map(|report| report.refused.clone()))
    }
}

/// Listens to admission until `shutdown`.
pub async fn watch_admission(client: Client, reports: &AdmissionReports, shutdown: CancellationToken) {
    listen(client, subject::ADMISSION_STATUS, shutdown, |message| {
        if let Some(status) = AdmissionStatus::from_message(message) {
            reports.take(status, Instant::now());
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_services_refused_is_added_up_and_who_is_gone_is_forgotten() {
        let (reports, start) = (AdmissionReports::default(), Instant::now());
        let status = |service: &str, count| AdmissionStatus {
            service: service.to_owned(),
            refused: BTreeMap::from([("revoked".to_owned(), count)]),
        };
        let refused = || reports.refused().get("revoked").copied();
        reports.take(status("a", 1), start);
        reports.take(status("b", 2), start);
        reports.take(status("b", 3), start + BELIEVED_FOR);
        assert_eq!(refused(), Some(4));
        reports.take(status("b", 3), start + 2 * BELIEVED_FOR);
        assert_eq!(refused(), Some(3));
    }
}
