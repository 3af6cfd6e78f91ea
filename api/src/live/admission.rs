//! The refusals of the broker's services, by the status that they publish every few seconds.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use async_nats::Client;
use fleetps_nats::{
    status::{AdmissionStatus, QueueStatus},
    subject,
};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::readiness::{BELIEVED_FOR, Check, listen, sums};

/// The last words of every service that answers the broker.
#[derive(Debug, Default)]
pub struct AdmissionReports {
    by_service: Mutex<BTreeMap<String, Report>>,
}

#[derive(Debug)]
struct Report {
    refused: BTreeMap<String, u64>,
    full_networks: Vec<String>,
    queues: Vec<QueueStatus>,
    received: Instant,
}

impl AdmissionReports {
    /// Takes a status; services that were silent for long are forgotten.
    pub fn take(&self, status: AdmissionStatus, now: Instant) {
        let mut reports = self.by_service.lock();
        reports.retain(|_, report| now.saturating_duration_since(report.received) <= BELIEVED_FOR);
        let AdmissionStatus { service, refused, full_networks, queues } = status;
        reports.insert(service, Report { refused, full_networks, queues, received: now });
    }

    /// How many connections and subjects were refused, by reason, since each of those that run was started.
    pub fn refused(&self) -> BTreeMap<String, u64> {
        let reports = self.by_service.lock();
        sums(reports.values().flat_map(|report| report.refused.clone()))
    }

    /// What each of them works on at a time.
    pub fn queues(&self) -> Vec<QueueStatus> {
        self.by_service.lock().values().flat_map(|report| report.queues.clone()).collect()
    }

    /// Whether hosts that wait to be approved all have a place.
    pub fn waiting(&self, now: Instant) -> Check {
        let reports = self.by_service.lock();
        let fresh = |report: &&Report| now.saturating_duration_since(report.received) <= BELIEVED_FOR;
        let full: BTreeSet<&String> =
            reports.values().filter(fresh).flat_map(|report| &report.full_networks).collect();
        if full.is_empty() {
            return Ok(());
        }
        let full = full.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        Err(format!(
            "hosts of {full} wait to be approved in all places that there are, so those that have waited longest make room; \
             `fleetps host list` shows them, `fleetps host forget --waiting` removes them, and a host with a token \
             (`fleetps enrol-token`) needs no place"
        ))
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
            full_networks: if count == 2 { vec!["192.0.2.0/24".to_owned()] } else { Vec::new() },
            ..AdmissionStatus::default()
        };
        let refused = || reports.refused().get("revoked").copied();
        reports.take(status("a", 1), start);
        assert_eq!(reports.waiting(start), Ok(()));
        reports.take(status("b", 2), start);
        assert!(reports.waiting(start).unwrap_err().contains("192.0.2.0/24"));
        assert_eq!(reports.waiting(start + 2 * BELIEVED_FOR), Ok(()));
        reports.take(status("b", 3), start + BELIEVED_FOR);
        assert_eq!(refused(), Some(4));
        reports.take(status("b", 3), start + 2 * BELIEVED_FOR);
        assert_eq!(refused(), Some(3));
    }
}
