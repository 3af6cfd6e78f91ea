//! The samples of a segment as spans: what stays the same from one snapshot of a host to the next is one row.

use std::collections::HashMap;

use super::rows::{ProcessKey, SegmentRows};
use crate::fields::StoredFigures;

/// When a host was captured, numbered in the order of hosts and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CaptureRow {
    pub(super) host: u32,
    pub(super) number: u32,
    pub(super) captured_at_us: i64,
}

/// A process, as it was in one or more of its host's snapshots, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SpanRow {
    pub(super) key: ProcessKey,
    pub(super) first_captured_at_us: i64,
    pub(super) last_captured_at_us: i64,
    first_number: u32,
    last_number: u32,
    pub(super) figures: StoredFigures,
}

impl SpanRow {
    /// In how many snapshots.
    pub(super) fn snapshots(&self) -> u32 {
        self.last_number - self.first_number + 1
    }
}

impl SegmentRows {
    /// When each host was captured, in the order of hosts and times. `ranks` say the order of names.
    pub(super) fn captures(&self, ranks: &[u32]) -> Vec<CaptureRow> {
        let mut captures: Vec<_> = self
            .snapshots
            .iter()
            .map(|row| CaptureRow { host: row.host, number: 0, captured_at_us: row.snapshot.captured_at_us })
            .collect();
        captures.sort_unstable_by_key(|row| (ranks.get(row.host as usize).copied(), row.captured_at_us));
        for (row, number) in captures.iter_mut().zip(0..) {
            row.number = number;
        }
        captures
    }

    /// The samples as spans, in the order of (host, pid, start, capture). `captures` are all of [`SegmentRows::captures`].
    pub(super) fn spans(&mut self, ranks: &[u32], captures: &[CaptureRow]) -> Vec<SpanRow> {
        let numbers: HashMap<(u32, i64), u32> =
            captures.iter().map(|row| ((row.host, row.captured_at_us), row.number)).collect();
        self.samples.sort_unstable_by_key(|row| {
            let host = ranks.get(row.key.host as usize).copied();
            (host, row.key.pid, row.key.start, row.key.boot, row.captured_at_us)
        });
        let mut spans: Vec<SpanRow> = Vec::new();
        for sample in &self.samples {
            let at = (sample.key.host, sample.captured_at_us);
            // Every sample came with its snapshot.
            let Some(number) = numbers.get(&at).copied() else { continue };
            let figures = sample.figures;
            match spans.last_mut() {
                Some(last)
                    if last.last_number + 1 == number
                        && last.key == sample.key
                        && last.figures == figures =>
                {
                    last.last_number = number;
                    last.last_captured_at_us = sample.captured_at_us;
                }
                _ => spans.push(SpanRow {
                    key: sample.key,
                    first_captured_at_us: sample.captured_at_us,
                    last_captured_at_us: sample.captured_at_us,
                    first_number: number,
                    last_number: number,
                    figures,
                }),
            }
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    use fleetps_nats::{Snapshot, snapshot::Process};

    use super::*;

    fn push(rows: &mut SegmentRows, at_ms: i64, resident_bytes: &[(u32, u64)]) {
        let process = |(pid, resident_bytes): &(u32, u64)| Process {
            pid: *pid,
            state: 'S',
            resident_bytes: Some(*resident_bytes),
            ..Process::default()
        };
        let processes = resident_bytes.iter().map(process).collect();
        let captured_at_us = at_ms * 1000;
        rows.push(
            1,
            0,
            &"host".parse().unwrap(),
            &Snapshot { captured_at_us, processes, ..Snapshot::default() },
        );
    }

    fn spans(rows: &mut SegmentRows) -> Vec<(u32, i64, i64, u32)> {
        let ranks = rows.names.ranks();
        let captures = rows.captures(&ranks);
        rows.spans(&ranks, &captures)
            .iter()
            .map(|span| {
                let ms = |us: i64| us / 1000;
                (span.key.pid, ms(span.first_captured_at_us), ms(span.last_captured_at_us), span.snapshots())
            })
            .collect()
    }

    #[test]
    fn a_span_ends_where_a_figure_changes_by_a_unit_or_a_snapshot_lacks_the_process() {
        let mut rows = SegmentRows::new(0, 0, 1, 0);
        // The last came late.
        push(&mut rows, 10, &[(1, 4096), (2, 0)]);
        push(&mut rows, 20, &[(1, 4097), (2, 0)]);
        push(&mut rows, 30, &[(1, 8192)]);
        push(&mut rows, 40, &[(1, 8192), (2, 0)]);
        push(&mut rows, 25, &[(1, 4096), (2, 0)]);
        let expected = [(1, 10, 25, 3), (1, 30, 40, 2), (2, 10, 25, 3), (2, 40, 40, 1)];
        assert_eq!(spans(&mut rows), expected);
    }
}
