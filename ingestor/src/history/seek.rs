//! Finds the snapshots next to a moment, in whichever segment they are. What comes first and last is decided by when it
//! was captured.

use std::sync::Arc;

use fleetps_nats::HostName;

use super::{
    HistoryError,
    host_index::Held,
    reading::Reading,
    sample_index::{SampleIndex, SampleKind},
};
use crate::catalog::SegmentIndex;

/// Where a snapshot is.
#[derive(Debug, Clone, Copy)]
pub(super) struct SampleLocation<'a> {
    /// When it was captured, in µs since 1970 UTC.
    pub(super) captured_us: i64,
    /// The time to the next, in ms, as it was set then.
    pub(super) interval_ms: u32,
    /// The segment that holds it.
    pub(super) segment: &'a SegmentIndex,
}

impl<'a> Reading<'a> {
    /// When `host` was sampled, as a segment has it; nothing where the host is not in the scope.
    pub(super) fn sample_index(
        &self,
        segment: &SegmentIndex,
        host: &HostName,
    ) -> Result<Arc<SampleIndex>, HistoryError> {
        // The index in memory is the same for every scope.
        if !self.scope.sees(host) {
            return Ok(Arc::default());
        }
        let (index, key) = (&self.state.engine.sample_indexes, (segment.name, host.clone()));
        if let Some(known) = index.get(&key) {
            return Ok(known);
        }
        let read = self.in_passing(|| {
            let host_sample = self.relation_of_host("host_sample", segment, host)?;
            Ok(SampleIndex::read(self.connection, &host_sample, host)?)
        })?;
        Ok(index.insert(key, read))
    }

    /// What segments hold of `host`, in the order of the stream.
    fn held(&self, host: &HostName, which: SampleKind) -> &'a [Held] {
        match which {
            SampleKind::Any => self.state.index.of_host(host),
            SampleKind::WithTable => self.state.index.tables_of(host),
        }
    }

    /// The last snapshot of `host` that was captured at `at_us` or before.
    pub(super) fn latest(
        &self,
        host: &HostName,
        at_us: i64,
        which: SampleKind,
    ) -> Result<Option<SampleLocation<'a>>, HistoryError> {
        let mut best: Option<SampleLocation<'a>> = None;
        for held in self.held(host, which).iter().filter(|held| held.range.first_us <= at_us) {
            let (segment, range) = (held.segment(), held.range);
            let (captured_us, interval_ms) = if range.last_us <= at_us {
                (range.last_us, range.interval_ms)
            } else {
                let index = self.sample_index(segment, host)?;
                let Some(latest) = index.latest(at_us, which) else { continue };
                (latest.captured_us, latest.interval_ms)
            };
            // Of two at the same time, the one stored later.
            if best.is_none_or(|best| captured_us >= best.captured_us) {
                best = Some(SampleLocation { captured_us, interval_ms, segment });
            }
        }
        Ok(best)
    }

    /// When the first snapshot of `host` was captured that was captured after `at_us`.
    pub(super) fn next(
        &self,
        host: &HostName,
        at_us: i64,
        which: SampleKind,
    ) -> Result<Option<i64>, HistoryError> {
        let mut best: Option<i64> = None;
        for held in self.held(host, which).iter().filter(|held| held.range.last_us > at_us) {
            let (segment, range) = (held.segment(), held.range);
            let captured_us = if range.first_us > at_us {
                range.first_us
            } else {
                let index = self.sample_index(segment, host)?;
                let Some(next) = index.next(at_us, which) else { continue };
                next.captured_us
            };
            best = Some(best.map_or(captured_us, |best| best.min(captured_us)));
        }
        Ok(best)
    }
}
