//! The runs of a segment as spans: what stays the same from one snapshot of a host to the next is one row.

use std::collections::HashMap;

use super::{paced::Pace, row::RunRow, rows::SegmentRows};

/// When a host was captured, numbered in the order of hosts and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CaptureRow {
    pub(super) host: u32,
    pub(super) number: u32,
    pub(super) captured_at_us: i64,
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

    /// The pace of each host: as it said itself at its first capture here. `captures` are all of [`SegmentRows::captures`].
    pub(super) fn paces(&self, captures: &[CaptureRow]) -> HashMap<u32, Pace> {
        let mut paces = HashMap::new();
        for row in captures {
            let from_ms = row.captured_at_us.div_euclid(1000);
            paces.entry(row.host).or_insert(Pace { from_ms, interval_ms: 1 });
        }
        for row in &self.snapshots {
            if let Some(pace) = paces.get_mut(&row.host).filter(|pace| pace.interval_ms == 1) {
                pace.interval_ms = i64::from(row.snapshot.interval_ms).max(1);
            }
        }
        paces
    }

    /// Makes the runs the spans of the segment, in the order of (host, program, pid, start, capture): neighbours of one program
    /// have figures that pack well. `ranks` say the order of names and of programs. `captures` are all of
    /// [`SegmentRows::captures`].
    pub(super) fn make_spans(&mut self, (ranks, programs): (&[u32], &[u32]), captures: &[CaptureRow]) {
        let has_late = !self.late.is_empty();
        // Rarely needed, so not kept for each run.
        let places: HashMap<(u32, i64), usize> = match has_late {
            true => {
                captures.iter().zip(0..).map(|(row, place)| ((row.host, row.captured_at_us), place)).collect()
            }
            false => HashMap::new(),
        };
        if has_late {
            self.divide_around_late(captures, &places);
        }
        self.runs.sort_unstable_by_key(|run| {
            let host = ranks.get(run.key.host as usize).copied();
            let program = programs.get(run.program as usize).copied();
            (host, program, run.key.pid, run.key.start, run.key.boot, run.first_captured_at_us)
        });
        if has_late {
            join_neighbours(&mut self.runs, &places);
        }
    }

    /// Divides the runs that a late capture lies within: it may have said something else of the process.
    fn divide_around_late(&mut self, captures: &[CaptureRow], places: &HashMap<(u32, i64), usize>) {
        let mut parts = Vec::new();
        for run in &mut self.runs {
            let (first, last) = ends(run, places);
            let within = captures.get(first..=last).unwrap_or_default();
            if run.snapshots as usize == within.len() {
                continue;
            }
            let is_late = |row: &CaptureRow| self.late.contains(&(row.host, row.captured_at_us));
            let pieces =
                within.split(is_late).filter_map(|piece| Some((piece.first()?, piece.last()?, piece.len())));
            let mut pieces = pieces.map(|(first, last, snapshots)| RunRow {
                first_captured_at_us: first.captured_at_us,
                last_captured_at_us: last.captured_at_us,
                snapshots: u32::try_from(snapshots).unwrap_or(u32::MAX),
                ..run.clone()
            });
            let first = pieces.next();
            parts.extend(pieces);
            if let Some(first) = first {
                *run = first;
            }
        }
        self.runs.extend(parts);
    }
}

/// The places of a run's first and last capture: each is one of its host's.
fn ends(run: &RunRow, places: &HashMap<(u32, i64), usize>) -> (usize, usize) {
    let place = |at_us| places.get(&(run.key.host, at_us)).copied().unwrap_or_default();
    (place(run.first_captured_at_us), place(run.last_captured_at_us))
}

/// Puts runs together that a late capture lies between and says the same.
fn join_neighbours(runs: &mut Vec<RunRow>, places: &HashMap<(u32, i64), usize>) {
    runs.dedup_by(|next, run| {
        let is_next = ends(run, places).1 + 1 == ends(next, places).0;
        let joins = is_next && run.key == next.key && run.figures == next.figures;
        if joins {
            run.last_captured_at_us = next.last_captured_at_us;
            run.snapshots += next.snapshots;
        }
        joins
    });
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
        let programs = rows.programs.places();
        rows.make_spans((&ranks, &programs), &captures);
        let spans = rows.runs.iter();
        spans
            .map(|span| {
                let ms = |us: i64| us / 1000;
                (span.key.pid, ms(span.first_captured_at_us), ms(span.last_captured_at_us), span.snapshots)
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
        // Sealing is tried again.
        assert_eq!(spans(&mut rows), expected);
    }

    /// Samples in any order, and the spans that they are in the order of time.
    #[test]
    fn in_whatever_order_snapshots_come_spans_are_the_same() {
        for seed in 0..300 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut samples: Vec<(i64, Vec<(u32, u64)>)> = (1..12)
                .map(|at_ms| {
                    let processes = (1..4).filter(|_| rng.u8(0..8) > 0).collect::<Vec<u32>>();
                    let resident = |pid| (pid, 4096 * u64::from(rng.u8(0..8) == 0));
                    (at_ms, processes.into_iter().map(resident).collect())
                })
                .collect();
            let in_order = spans_of(&samples);
            // Few come late in practice, and many here.
            for _ in 0..rng.usize(0..8) {
                let (one, other) = (rng.usize(0..samples.len()), rng.usize(0..samples.len()));
                samples.swap(one, other);
            }
            assert_eq!(spans_of(&samples), in_order, "seed {seed}");
        }
    }

    fn spans_of(samples: &[(i64, Vec<(u32, u64)>)]) -> Vec<(u32, i64, i64, u32)> {
        let mut rows = SegmentRows::new(0, 0, 1, 0);
        samples.iter().for_each(|(at_ms, processes)| push(&mut rows, *at_ms, processes));
        spans(&mut rows)
    }
}
