//! A publisher that behaves as an agent does (retries until acknowledged, under the same id), and keeps a ledger.

use std::{collections::BTreeSet, path::Path, time::Duration};

use async_nats::{HeaderMap, jetstream};
use fleetps_nats::{
    HostName, Snapshot,
    snapshot::{Encoder, FORMAT, FilesystemSample, Process},
    subject,
};

use crate::support::rows;

/// Processes in each snapshot.
pub const PROCESSES: u32 = 10;
/// An agent tries again after about as long.
const ACK_TIMEOUT: Duration = Duration::from_secs(1);

/// One stored snapshot: host, run, sequence.
pub type Entry = (String, String, u64);

/// A host that publishes.
pub struct Publisher {
    jetstream: jetstream::Context,
    pub host: HostName,
    pub run_id: String,
    sequence: u64,
    encoder: Encoder,
    pub ledger: BTreeSet<Entry>,
}

impl Publisher {
    pub fn new(jetstream: jetstream::Context, host: &str, run_id: &str) -> Self {
        let encoder = Encoder::new().unwrap();
        let (host, run_id) = (host.parse().unwrap(), run_id.to_owned());
        Self { jetstream, host, run_id, sequence: 0, encoder, ledger: BTreeSet::new() }
    }

    /// Publishes the next snapshot, until it is acknowledged; returns its stream sequence.
    pub async fn publish(&mut self) -> u64 {
        self.sequence += 1;
        let snapshot = snapshot(&self.run_id, self.sequence);
        let message = self.encoder.encode(&snapshot).unwrap();
        let id = format!("{}-boot-{}-{}", self.host, self.run_id, self.sequence);
        self.ledger.insert((self.host.to_string(), self.run_id.clone(), self.sequence));
        loop {
            if let Some(sequence) = self.try_publish(&message, &id).await {
                return sequence;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Publishes the last snapshot once more, as an agent does that heard no acknowledgement for long.
    pub async fn publish_again(&mut self) {
        let message = self.encoder.encode(&snapshot(&self.run_id, self.sequence)).unwrap();
        self.try_publish(&message, &format!("again-{}", fastrand::u64(..))).await.unwrap();
    }

    async fn try_publish(&self, message: &[u8], id: &str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", id);
        let subject = subject::snapshot(&self.host);
        let publishing = async {
            let acknowledgement =
                self.jetstream.publish_with_headers(subject, headers, message.to_vec().into()).await.ok()?;
            Some(acknowledgement.await.ok()?.sequence)
        };
        tokio::time::timeout(ACK_TIMEOUT, publishing).await.ok().flatten()
    }
}

/// A snapshot with [`PROCESSES`] processes, captured a second after the one before.
pub fn snapshot(run_id: &str, sequence: u64) -> Snapshot {
    let captured_at_us = captured_at_us(sequence);
    let processes = (1..=PROCESSES).map(|pid| Process {
        pid,
        started_at_us: captured_at_us - i64::from(pid) * 1_000_000_000,
        name: format!("process-{pid}"),
        state: 'S',
        resident_bytes: Some(u64::from(pid) << 20),
        ..Process::default()
    });
    let mut snapshot = Snapshot {
        format: FORMAT,
        agent_version: "test".to_owned(),
        boot_id: "boot".to_owned(),
        run_id: run_id.to_owned(),
        sequence,
        captured_at_us,
        // Longer than a test takes: a host that is silent makes a tick, which takes a sequence.
        interval_ms: 60_000,
        processes: processes.collect(),
        filesystems: vec![FilesystemSample { mount: "/".to_owned(), ..FilesystemSample::default() }],
        ..Snapshot::default()
    };
    snapshot.host.cpu_percent = Some(12.5);
    snapshot.host.memory_used_bytes = Some(sequence);
    snapshot
}

pub fn captured_at_us(sequence: u64) -> i64 {
    1_700_000_000_000_000 + i64::try_from(sequence).unwrap() * 1_000_000
}

/// Fails unless the history holds exactly what the ledgers say: nothing is missing, nothing is there twice, and every
/// snapshot is whole.
pub fn assert_stored(folder: &Path, publishers: &[Publisher]) {
    let expected: Vec<Entry> = publishers.iter().flat_map(|publisher| publisher.ledger.clone()).collect();
    assert_stored_entries(folder, expected.into_iter().collect());
}

pub fn assert_stored_entries(folder: &Path, expected: BTreeSet<Entry>) {
    let sql = "SELECT host, run_id, sequence FROM host_sample";
    let mut stored: Vec<Entry> =
        rows(folder, sql, |row| (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap()));
    stored.sort();
    let distinct: BTreeSet<Entry> = stored.iter().cloned().collect();
    let missing: Vec<_> = expected.difference(&distinct).collect();
    let strange: Vec<_> = distinct.difference(&expected).collect();
    assert!(missing.is_empty() && strange.is_empty(), "missing {missing:?}, not published {strange:?}");
    assert_eq!(stored.len(), distinct.len(), "some are stored twice");
    let samples: u64 = crate::support::value(folder, "SELECT count(*) FROM process_sample");
    assert_eq!(samples, expected.len() as u64 * u64::from(PROCESSES));
    let unknown: u64 = crate::support::value(
        folder,
        "SELECT count(*) FROM process_sample ANTI JOIN process USING (host, boot_id, pid, started_at)",
    );
    assert_eq!(unknown, 0, "samples without a process");
}
