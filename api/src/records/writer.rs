//! Takes entries to the broker, one after the other.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use fleetps_nats::{
    audit::{Audit, AuditEntry},
    connection::reconnect_delay,
    with_causes,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Entries that wait for the broker, of up to 5 KiB each.
const MAX_WAITING: usize = 2_000;
/// How long the last entries may take when the server ends.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Where entries wait.
pub(super) struct Writer {
    waiting: mpsc::Sender<AuditEntry>,
    lost: AtomicU64,
}

impl Writer {
    /// Begins to write.
    pub(super) fn start(audit: Audit, shutdown: CancellationToken) -> Self {
        let (waiting, mut entries) = mpsc::channel(MAX_WAITING);
        tokio::spawn(async move {
            let write_all = async {
                while let Some(entry) = entries.recv().await {
                    write(&audit, entry).await;
                }
            };
            let ended = async {
                shutdown.cancelled().await;
                tokio::time::sleep(END_WITHIN).await;
            };
            tokio::select! {
                () = write_all => {}
                () = ended => {}
            }
        });
        Self { waiting, lost: AtomicU64::new(0) }
    }

    /// Takes an entry; where too many wait already, it is logged instead.
    pub(super) fn write(&self, entry: AuditEntry) {
        if let Err(refused) = self.waiting.try_send(entry) {
            let lost = self.lost.fetch_add(1, Relaxed) + 1;
            // `?` writes control characters as escapes.
            tracing::error!(entry = ?refused.into_inner(), lost, "an audit entry was not written down: too many wait");
        }
    }
}

/// Writes an entry, however long the broker is gone.
async fn write(audit: &Audit, entry: AuditEntry) {
    let mut failures = 0;
    while let Err(error) = audit.record(entry.clone()).await {
        tracing::warn!("{}; trying again", with_causes(&error));
        tokio::time::sleep(reconnect_delay(failures)).await;
        failures += 1;
    }
}
