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

/// Services whose counts are kept one by one, those that ended included: each start of one is another. Of more, the counts
/// of those that were silent for longest are added up, and would count twice if they spoke again.
const MAX_SERVICES: usize = 64;

/// The last words of every service that answers the broker.
#[derive(Debug, Default)]
pub struct AdmissionReports {
    reports: Mutex<Reports>,
}

#[derive(Debug, Default)]
struct Reports {
    by_service: BTreeMap<String, Report>,
    /// What services refused that are no longer known by name.
    refused_before: BTreeMap<String, u64>,
    /// What their queues dropped.
    dropped_before: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Report {
    refused: BTreeMap<String, u64>,
    full_networks: Vec<String>,
    queues: Vec<QueueStatus>,
    received: Instant,
}

impl Report {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.received) <= BELIEVED_FOR
    }

    fn dropped(&self) -> impl Iterator<Item = (String, u64)> {
        self.queues.iter().map(|queue| (queue.name.clone(), queue.dropped))
    }
}

impl Reports {
    fn forget_oldest(&mut self) {
        let oldest = self.by_service.iter().min_by_key(|(_, report)| report.received);
        let Some(report) =
            oldest.map(|(service, _)| service.clone()).and_then(|service| self.by_service.remove(&service))
        else {
            return;
        };
        self.dropped_before =
            sums(std::mem::take(&mut self.dropped_before).into_iter().chain(report.dropped()));
        self.refused_before =
            sums(std::mem::take(&mut self.refused_before).into_iter().chain(report.refused));
    }
}

impl AdmissionReports {
    /// Takes a status.
    pub fn take(&self, status: AdmissionStatus, now: Instant) {
        let mut reports = self.reports.lock();
        let AdmissionStatus { service, refused, full_networks, queues } = status;
        reports.by_service.insert(service, Report { refused, full_networks, queues, received: now });
        if reports.by_service.len() > MAX_SERVICES {
            reports.forget_oldest();
        }
    }

    /// How many connections and subjects were refused, by reason, by all services that were heard of.
    pub fn refused(&self) -> BTreeMap<String, u64> {
        let reports = self.reports.lock();
        let of_each = reports.by_service.values().flat_map(|report| report.refused.clone());
        sums(of_each.chain(reports.refused_before.clone()))
    }

    /// What those that run work on at a time, added up. `dropped` is of all that were heard of, so it does not fall.
    pub fn queues(&self, now: Instant) -> Vec<QueueStatus> {
        let reports = self.reports.lock();
        let of_each = reports.by_service.values().flat_map(Report::dropped);
        let dropped = sums(of_each.chain(reports.dropped_before.clone()));
        let mut queues: Vec<QueueStatus> = Vec::new();
        let fresh = reports.by_service.values().filter(|report| report.is_fresh(now));
        for queue in fresh.flat_map(|report| &report.queues) {
            match queues.iter_mut().find(|known| known.name == queue.name) {
                Some(known) => {
                    known.waiting = known.waiting.saturating_add(queue.waiting);
                    known.bound = known.bound.saturating_add(queue.bound);
                }
                None => queues.push(QueueStatus {
                    dropped: dropped.get(&queue.name).copied().unwrap_or_default(),
                    ..queue.clone()
                }),
            }
        }
        queues
    }

    /// Whether hosts that wait to be approved all have a place.
    pub fn waiting(&self, now: Instant) -> Check {
        let reports = self.reports.lock();
        let fresh = reports.by_service.values().filter(|report| report.is_fresh(now));
        let full: BTreeSet<&String> = fresh.flat_map(|report| &report.full_networks).collect();
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
pub(crate) async fn watch_admission(client: Client, reports: &AdmissionReports, shutdown: CancellationToken) {
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
    fn what_several_services_refused_is_added_up_and_does_not_fall_when_one_is_gone() {
        let (reports, start) = (AdmissionReports::default(), Instant::now());
        let status = |service: &str, count| AdmissionStatus {
            service: service.to_owned(),
            refused: BTreeMap::from([("revoked".to_owned(), count)]),
            full_networks: if count == 2 { vec!["192.0.2.0/24".to_owned()] } else { Vec::new() },
            queues: vec![QueueStatus {
                name: "hellos".to_owned(),
                waiting: 1,
                bound: 64,
                dropped: 10 * count,
            }],
        };
        let refused = || reports.refused().get("revoked").copied();
        let queue = |now| {
            let queues = reports.queues(now);
            queues.first().map(|queue| (queue.waiting, queue.bound, queue.dropped))
        };
        reports.take(status("a", 1), start);
        assert_eq!(reports.waiting(start), Ok(()));
        reports.take(status("b", 2), start);
        assert!(reports.waiting(start).unwrap_err().contains("192.0.2.0/24"));
        assert_eq!(queue(start), Some((2, 128, 30)));
        assert_eq!(reports.waiting(start + 2 * BELIEVED_FOR), Ok(()));
        reports.take(status("b", 3), start + BELIEVED_FOR);
        assert_eq!(refused(), Some(4));
        let later = start + 2 * BELIEVED_FOR;
        reports.take(status("b", 3), later);
        assert_eq!((refused(), queue(later)), (Some(4), Some((1, 64, 40))), "a ended");
        reports.take(status("a", 2), later);
        assert_eq!((refused(), queue(later)), (Some(5), Some((2, 128, 50))), "a was only silent");
        for number in 0..3 * MAX_SERVICES {
            reports.take(status(&format!("c{number}"), 1), later + BELIEVED_FOR);
        }
        let last = later + BELIEVED_FOR;
        assert_eq!(refused(), Some(5 + 3 * MAX_SERVICES as u64));
        assert_eq!(queue(last).unwrap().2, 50 + 30 * MAX_SERVICES as u64);
        assert_eq!(queue(last + 2 * BELIEVED_FOR), None);
        assert!(reports.reports.lock().by_service.len() <= MAX_SERVICES);
    }
}
