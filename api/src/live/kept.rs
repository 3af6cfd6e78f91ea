//! Snapshots as they are kept: compressed, and decoded when somebody asks.

use std::sync::Arc;

use fleetps_nats::{
    Snapshot,
    model::SnapshotPair,
    snapshot::{Columns, Decoder, Sent},
};

use super::{Moment, Summary, programs::Share, tally::Tally};

/// A snapshot as it came. A clone is the same.
#[derive(Debug, Clone)]
pub(super) struct KeptSnapshot {
    pub(super) message: Arc<[u8]>,
    pub(super) sent: Sent,
    /// When the host was booted, as it first said.
    pub(super) boot_at_us: Option<i64>,
    pub(super) decoded: Option<Arc<Snapshot>>,
}

/// One host's snapshots as they came. A clone is the same.
#[derive(Debug, Clone)]
pub(super) struct KeptHost {
    pub(super) summary: Arc<Summary>,
    pub(super) latest: KeptSnapshot,
    pub(super) previous: Option<KeptSnapshot>,
}

/// What is known of one host without decoding anything.
pub(super) struct UndecodedHost {
    pub(super) kept: KeptHost,
    /// Its programs, users and units; none unless it is up.
    pub(super) programs: Share,
    pub(super) tally: Arc<Tally>,
}

impl KeptHost {
    /// The present of the host; `None` where its latest snapshot cannot be decoded.
    pub(super) fn decode(self, decoder: &mut Decoder) -> Option<Moment> {
        let latest = self.latest.decode(decoder)?;
        let previous = self.previous.and_then(|kept| kept.decode(decoder));
        let pair = SnapshotPair::new(self.summary.host.clone(), latest, previous);
        Some(Moment { summary: self.summary, pair })
    }
}

impl KeptSnapshot {
    /// The snapshot; `None` where it cannot be decoded.
    pub(super) fn decode(&self, decoder: &mut Decoder) -> Option<Arc<Snapshot>> {
        self.decode_columns(decoder, None)
    }

    /// The same with some columns of its processes alone.
    pub(super) fn decode_columns(
        &self,
        decoder: &mut Decoder,
        columns: Option<&Columns>,
    ) -> Option<Arc<Snapshot>> {
        if let Some(decoded) = &self.decoded {
            return Some(Arc::clone(decoded));
        }
        let mut snapshot = decoder.decode_taken(&self.message, self.sent, columns).ok()?;
        if let Some(boot_at_us) = self.boot_at_us {
            snapshot.settle_boot(boot_at_us);
        }
        Some(Arc::new(snapshot))
    }
}
