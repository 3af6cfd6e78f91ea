//! Takes entries to the broker, one after the other.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use fleetps_nats::{
    audit::{Audit, AuditEntry},
    connection::reconnect_delay,
    error_chain,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    metrics::Bounded,
    shares::{Bounds, Share, Shares},
};

/// Entries that wait for the broker, of up to 5 KiB each. Who does a lot while it is away loses entries of their own only.
const WAITING: Bounds = Bounds {
    what: "audit entries that wait",
    most: 2_000,
    of_a_person: 400,
    waiting: 0,
    waiting_of_a_person: 0,
    wait: Duration::ZERO,
};
/// How long the last entries may take when the server ends.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Where entries wait.
pub(super) struct Writer {
    waiting: mpsc::Sender<(AuditEntry, Share)>,
    room: Shares,
    lost: AtomicU64,
}

impl Writer {
    /// Begins to write.
    pub(super) fn start(audit: Audit, shutdown: CancellationToken) -> Self {
        // Twice: an entry whose share was given away is still here, and is written all the same.
        let (waiting, mut entries) = mpsc::channel(2 * WAITING.most);
        tokio::spawn(async move {
            let write_all = async {
                while let Some((entry, _share)) = entries.recv().await {
                    write(&audit, entry).await;
                }
            };
            let ended = async {
                shutdown.cancelled().await;
                tokio::time::sleep(END_TIMEOUT).await;
            };
            tokio::select! {
                () = write_all => {}
                () = ended => {}
            }
        });
        Self { waiting, room: Shares::new(WAITING), lost: AtomicU64::new(0) }
    }

    /// How full the queue is; what was refused is in the log only.
    pub(super) fn bounded(&self) -> Option<Bounded> {
        let queue = self.room.bounded("audit-entries-waiting", None).into_iter().next()?;
        Some(Bounded { refused: self.lost.load(Relaxed), ..queue })
    }

    /// Takes an entry; where too many wait already, it is logged instead.
    pub(super) fn write(&self, entry: AuditEntry) {
        let entry = match self.room.take_now(&entry.who) {
            Ok(share) => match self.waiting.try_send((entry, share)) {
                Ok(()) => return,
                Err(refused) => refused.into_inner().0,
            },
            Err(_) => entry,
        };
        let lost = self.lost.fetch_add(1, Relaxed) + 1;
        // `?` writes control characters as escapes.
        tracing::error!(?entry, lost, "an audit entry was not written down: too many wait");
    }
}

/// Writes an entry, however long the broker is gone.
async fn write(audit: &Audit, entry: AuditEntry) {
    let mut failures = 0;
    while let Err(error) = audit.record(entry.clone()).await {
        tracing::warn!("{}; trying again", error_chain(&error));
        tokio::time::sleep(reconnect_delay(failures)).await;
        failures += 1;
    }
}
