//! How the ingestors are doing, by what they say themselves every few seconds.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use async_nats::Client;
use fleetps_nats::{
    status::{IngestorStatus, STATUS_INTERVAL_S},
    subject,
};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// A status is believed for three times the interval: two may be lost.
pub(crate) const BELIEVED_FOR: Duration = Duration::from_secs(3 * STATUS_INTERVAL_S);
/// How long to wait before subscribing again after it failed.
const SUBSCRIBE_AGAIN: Duration = Duration::from_secs(2);
/// Partitions are few; what claims to be more of them is not kept.
const MAX_PARTITIONS: usize = 1024;

/// Fresh segments are merged when their hour has passed. With two hours more, merging is not just busy.
const MERGES_WITHIN_S: i64 = 3 * 3600;

/// Whether one thing that readiness needs is there; `Err` has the problem.
pub(crate) type Check = Result<(), String>;

/// How old the oldest fresh segment of an ingestor is, in s.
fn merge_lag_s(status: &IngestorStatus, now_us: i64) -> Option<i64> {
    (status.unmerged_since_s > 0).then(|| (now_us / 1_000_000).saturating_sub(status.unmerged_since_s).max(0))
}

/// The last words of every ingestor.
#[derive(Debug, Default)]
pub struct IngestorReports {
    by_partition: Mutex<BTreeMap<u32, Report>>,
}

#[derive(Debug)]
struct Report {
    status: IngestorStatus,
    received: Instant,
    /// When it last had nothing to read, or read something.
    advanced: Instant,
}

impl IngestorReports {
    /// Takes a status.
    pub fn take(&self, status: IngestorStatus, now: Instant) {
        let mut reports = self.by_partition.lock();
        let advanced = match reports.get(&status.partition) {
            Some(before) if status.pending > 0 && status.read_sequence == before.status.read_sequence => {
                before.advanced
            }
            Some(_) => now,
            None if reports.len() >= MAX_PARTITIONS => return,
            None => now,
        };
        reports.insert(status.partition, Report { status, received: now, advanced });
    }

    /// The last word of every ingestor, and how long ago that was.
    pub fn all(&self, now: Instant) -> Vec<(IngestorStatus, Duration)> {
        let reports = self.by_partition.lock();
        let age = |report: &Report| now.saturating_duration_since(report.received);
        reports.values().map(|report| (report.status.clone(), age(report))).collect()
    }

    /// How many messages were refused, by reason, since each of them started.
    pub fn refused(&self) -> BTreeMap<String, u64> {
        let reports = self.by_partition.lock();
        let refused = reports.values().flat_map(|report| report.status.refused.iter().cloned());
        sums(refused)
    }

    /// The segments whose content is missing, each with the reason.
    pub fn set_aside(&self, now: Instant) -> Vec<(String, String)> {
        self.named(now, |status| &status.set_aside_reasons)
    }

    /// The first segment of each merge that failed and is tried again, with the reason.
    pub fn failed_merges(&self, now: Instant) -> Vec<(String, String)> {
        self.named(now, |status| &status.failed_merges)
    }

    fn named(
        &self,
        now: Instant,
        which: impl Fn(&IngestorStatus) -> &Vec<(String, String)>,
    ) -> Vec<(String, String)> {
        self.of_fresh(now, |status| which(status).clone())
    }

    /// The reports of ingestors that were heard of lately; the last report of one that is gone expires.
    fn of_fresh<T>(&self, now: Instant, which: impl Fn(&IngestorStatus) -> Vec<T>) -> Vec<T> {
        let reports = self.by_partition.lock();
        let fresh = |report: &&Report| now.saturating_duration_since(report.received) <= BELIEVED_FOR;
        reports.values().filter(fresh).flat_map(|report| which(&report.status)).collect()
    }

    /// Why the audit is not in segments, or cannot all be read.
    pub fn audit_error(&self, now: Instant) -> Option<String> {
        self.of_fresh(now, |status| status.audit_error.iter().cloned().collect()).into_iter().next()
    }

    /// Notices of the ingestors while everything works: they wait for the clock to be confirmed, or keep less of a
    /// host.
    pub fn notices(&self, now: Instant) -> Vec<String> {
        self.of_fresh(now, |status| {
            status.waits_for_clock.iter().chain(&status.beyond_share).cloned().collect()
        })
    }

    /// How old the oldest fresh segment is, in s at `now_us` (since 1970 UTC): how far merging is behind. `None` where none waits.
    pub fn merge_lag_s(&self, now: Instant, now_us: i64) -> Option<i64> {
        self.of_fresh(now, |status| merge_lag_s(status, now_us).into_iter().collect()).into_iter().max()
    }

    /// The ingestors' warnings, at `now_us` (µs since 1970 UTC).
    pub fn warnings(&self, now: Instant, now_us: i64) -> Vec<String> {
        self.of_fresh(now, |status| {
            let alerts = status.alerts.error.as_ref();
            let alerts = alerts.map(|error| format!("alerts cannot be evaluated or published: {error}"));
            let behind = merge_lag_s(status, now_us).filter(|lag_s| *lag_s > MERGES_WITHIN_S).map(|lag_s| {
                format!(
                    "merging is behind: the oldest fresh segment is {} h old, so questions about the past open more files; \
                     failed_merges and the log of the ingestor say why, or the machine is too small for the fleet",
                    lag_s / 3600
                )
            });
            status.disk_warning.iter().cloned().chain(alerts).chain(behind).collect()
        })
    }

    /// Whether snapshots are being read from the stream.
    pub fn intake(&self, now: Instant) -> Check {
        let reports = self.by_partition.lock();
        if reports.is_empty() {
            return Err("no ingestor has reported yet; is fleetps-ingestor running?".to_owned());
        }
        for (partition, report) in reports.iter() {
            let quiet_s = now.saturating_duration_since(report.received).as_secs();
            if quiet_s > BELIEVED_FOR.as_secs() {
                return Err(format!(
                    "the ingestor of partition {partition} has not reported for {quiet_s} s"
                ));
            }
            let stuck_s = now.saturating_duration_since(report.advanced).as_secs();
            if stuck_s > BELIEVED_FOR.as_secs() {
                let pending = report.status.pending;
                return Err(format!(
                    "the ingestor of partition {partition} has read nothing for {stuck_s} s, and {pending} messages wait"
                ));
            }
        }
        Ok(())
    }

    /// Whether the history can be written.
    pub fn history(&self, now: Instant) -> Check {
        let reports = self.by_partition.lock();
        for (partition, report) in reports.iter() {
            let fresh = now.saturating_duration_since(report.received) <= BELIEVED_FOR;
            let IngestorStatus { write_error, upkeep_error, .. } = &report.status;
            if let Some(problem) = write_error.as_ref().filter(|_| fresh) {
                return Err(format!("the history of partition {partition} cannot be written: {problem}"));
            }
            if let Some(problem) = upkeep_error.as_ref().filter(|_| fresh) {
                return Err(format!(
                    "the history of partition {partition} cannot be looked after: {problem}"
                ));
            }
        }
        match reports.values().any(|report| now.saturating_duration_since(report.received) <= BELIEVED_FOR) {
            true => Ok(()),
            false => Err("unknown: no ingestor reports".to_owned()),
        }
    }
}

/// Adds up by reason; what there was nothing of is left out.
pub(super) fn sums(counts: impl Iterator<Item = (String, u64)>) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (reason, count) in counts.filter(|(_, count)| *count > 0) {
        *sums.entry(reason).or_default() += count;
    }
    sums
}

/// Listens to the ingestors until `shutdown`.
pub(crate) async fn watch_ingestors(client: Client, reports: &IngestorReports, shutdown: CancellationToken) {
    listen(client, subject::ALL_INGESTOR_STATUS, shutdown, |message| {
        if let Some(status) = IngestorStatus::from_message(message) {
            reports.take(status, Instant::now());
        }
    })
    .await;
}

/// Takes every message on `subject` until `shutdown`.
pub(super) async fn listen(
    client: Client,
    subject: &'static str,
    shutdown: CancellationToken,
    mut take: impl FnMut(&[u8]),
) {
    let listening = async {
        loop {
            match client.subscribe(subject).await {
                Ok(mut messages) => {
                    while let Some(message) = messages.next().await {
                        take(&message.payload);
                    }
                }
                Err(error) => tracing::warn!(%error, subject, "cannot listen; trying again"),
            }
            tokio::time::sleep(SUBSCRIBE_AGAIN).await;
        }
    };
    shutdown.run_until_cancelled(listening).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_says_which_part_is_not_ready() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let reports = IngestorReports::default();
        assert!(reports.intake(start).unwrap_err().contains("no ingestor"));
        assert!(reports.history(start).is_err());

        let refused = [("flood", 2), ("not_zstd", 0)].map(|(reason, count)| (reason.to_owned(), count));
        for partition in [7, 8] {
            let status = IngestorStatus { partition, refused: refused.to_vec(), ..IngestorStatus::default() };
            reports.take(status, start);
        }
        assert_eq!(reports.refused(), BTreeMap::from([("flood".to_owned(), 4)]));
        let reports = IngestorReports::default();
        let waits = IngestorStatus {
            waits_for_clock: Some("the clock".to_owned()),
            beyond_share: vec!["a host".to_owned()],
            ..IngestorStatus::default()
        };
        reports.take(waits, start);
        assert_eq!(reports.notices(start), ["the clock", "a host"]);
        assert!(reports.notices(start + 2 * BELIEVED_FOR).is_empty());
        let reports = IngestorReports::default();
        let hours_us = |hours: i64| 1_764_000_000_000_000 + hours * 3_600_000_000;
        assert_eq!(reports.merge_lag_s(start, hours_us(0)), None);
        for (partition, unmerged_since_s) in
            [(0, 0), (1, hours_us(0) / 1_000_000), (2, hours_us(2) / 1_000_000)]
        {
            reports.take(IngestorStatus { partition, unmerged_since_s, ..IngestorStatus::default() }, start);
        }
        let said = |hours| {
            (reports.merge_lag_s(start, hours_us(hours)), reports.warnings(start, hours_us(hours)).len())
        };
        assert_eq!([said(3), said(4), said(6)], [(Some(10_800), 0), (Some(14_400), 1), (Some(21_600), 2)]);
        let reports = IngestorReports::default();

        let status = IngestorStatus { pending: 9, read_sequence: 5, ..IngestorStatus::default() };
        reports.take(status.clone(), start);
        assert_eq!((reports.intake(after(1)), reports.history(after(1))), (Ok(()), Ok(())));
        assert!(reports.intake(after(16)).unwrap_err().contains("not reported for 16 s"));

        for seconds in (5..=20).step_by(5) {
            reports.take(status.clone(), after(seconds));
        }
        assert!(reports.intake(after(20)).unwrap_err().contains("9 messages wait"));
        reports.take(IngestorStatus { read_sequence: 6, ..status.clone() }, after(21));
        assert_eq!(reports.intake(after(21)), Ok(()));

        let lost = IngestorStatus { upkeep_error: Some("no folder".to_owned()), ..status.clone() };
        reports.take(lost, after(22));
        assert!(reports.history(after(22)).unwrap_err().contains("no folder"));
        let full = IngestorStatus { write_error: Some("disk full".to_owned()), ..status };
        reports.take(full, after(22));
        assert!(reports.history(after(22)).unwrap_err().contains("disk full"));
    }
}
