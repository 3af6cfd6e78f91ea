//! Rebuilds snapshots of a host from one segment, a window of them at a time, and reads ahead for sequential requests.
//!
//! Finding the process table of one moment takes DuckDB some milliseconds, and of the next two hundred two to three
//! times as long. So a sequential request reads ahead, and the next steps come from memory.

mod read;
mod rows;
mod spans;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, mem::size_of, sync::Arc};

use fleetps_nats::{
    HostName, Snapshot,
    model::{Value, process::FIGURES},
    snapshot::{FilesystemSample, InterfaceSample, Process},
};

pub(super) use read::Wanted;
pub(super) use spans::SpansAsked;

use super::{
    HistoryError,
    cache::{Bytes, SizedCache},
    reading::Reading,
};
use crate::{catalog::SegmentIndex, segment::SegmentName};

/// Samples of processes that are read ahead: 200 snapshots of 300 processes. With fewer, every hundredth step would
/// have to wait for the next.
const AHEAD_SAMPLES: usize = 60_000;
/// Snapshots that are read ahead at most, of hosts with few processes.
const MAX_AHEAD: usize = 500;
/// A request within this many snapshots of the cached window is sequential and triggers read-ahead: a minute, at one
/// snapshot every 10 s.
const NEAR: usize = 8;
/// The memory limit of all windows; one takes some 3 MB.
pub(super) const MAX_BYTES: usize = 64 << 20;
/// The number of windows of 3 MB that fit.
pub(super) const USUAL_COUNT: usize = 20;

/// How many rows of each kind are read. What a host has further on is unknown, and may be as much as a host may send.
#[derive(Debug, Clone, Copy)]
struct RowLimits {
    spans: usize,
    /// Processes and file systems, each with texts.
    texts: usize,
}

impl RowLimits {
    /// The limit for read-ahead, a few times a typical host's rows. Above it nothing is prefetched.
    const AHEAD: Self = Self { spans: 2 * AHEAD_SAMPLES, texts: 20_000 };
    /// The limit for the requested two snapshots.
    const ALL: Self = Self { spans: usize::MAX >> 1, texts: usize::MAX >> 1 };
}

/// The last window that was read of each host and segment; with command lines and without, for different readers.
pub(super) type SnapshotWindows = SizedCache<(SegmentName, HostName, bool), SnapshotWindow>;

/// The rows of a host in a segment, from one time to another, both included, in µs since 1970 UTC.
#[derive(Debug, Default)]
pub(super) struct SnapshotWindow {
    first_us: i64,
    last_us: i64,
    /// The snapshots without their processes, in the order of time.
    snapshots: Vec<Snapshot>,
    processes: Vec<KnownProcess>,
    spans: Vec<ProcessSpan>,
}

/// A process without figures.
#[derive(Debug)]
pub(in crate::history) struct KnownProcess {
    pub(in crate::history) boot_id: String,
    /// What it was, and since when (µs since 1970 UTC), in the order of time; never empty.
    pub(in crate::history) phases: Vec<(i64, Process)>,
}

impl KnownProcess {
    /// What it was at a moment; before all that is known, what it was first.
    fn at(&self, captured_us: i64) -> Option<&Process> {
        let begun = self.phases.partition_point(|(since_us, _)| *since_us <= captured_us);
        self.phases.get(begun.saturating_sub(1)).map(|(_, process)| process)
    }
}

/// A process from one snapshot of its host to another, the same in all between.
#[derive(Debug)]
pub(in crate::history) struct ProcessSpan {
    /// Its place among the processes.
    pub(in crate::history) process: usize,
    pub(in crate::history) first_us: i64,
    pub(in crate::history) last_us: i64,
    pub(in crate::history) figures: SpanFigures,
}

/// The figures of a process, in the order of [`FIGURES`].
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::history) struct SpanFigures([Number; FIGURES.len()]);

/// A figure, in a third less memory than a [`Value`], which could be a text.
#[derive(Debug, Clone, Copy, Default)]
enum Number {
    #[default]
    Absent,
    Letter(char),
    Integer(i64),
    Float(f32),
}

impl SnapshotWindow {
    /// The snapshot that was captured at `captured_us`, if it is in the window. Its processes are in the order of their
    /// pids.
    pub(super) fn snapshot(&self, captured_us: i64) -> Option<Snapshot> {
        let place = self.snapshots.partition_point(|snapshot| snapshot.captured_at_us <= captured_us);
        let found = self.snapshots.get(..place)?.last()?;
        let mut snapshot = (found.captured_at_us == captured_us).then(|| found.clone())?;
        let then = self.spans.iter().filter(|span| span.covers(captured_us));
        let processes = then.filter_map(|span| {
            let known = self.processes.get(span.process)?;
            let process = known.at(captured_us)?;
            (known.boot_id == snapshot.boot_id).then(|| span.figures.of(process))
        });
        snapshot.processes = processes.collect();
        snapshot.processes.sort_by_key(|process| (process.pid, process.started_at_us));
        Some(snapshot)
    }

    fn covers(&self, first_us: i64, last_us: i64) -> bool {
        self.first_us <= first_us && last_us <= self.last_us
    }
}

/// The snapshots of a window one after the other, in the order of time: each costs as much as it has processes.
#[derive(Debug)]
pub(super) struct Sweep {
    window: SnapshotWindow,
    /// The snapshot that is next.
    at: usize,
    /// The first span that has not begun; they are in the order of their beginnings.
    next_span: usize,
    /// The spans that have begun and may go on.
    going_on: Vec<usize>,
}

impl Sweep {
    fn of(mut window: SnapshotWindow) -> Self {
        window.spans.sort_by_key(|span| span.first_us);
        Self { window, at: 0, next_span: 0, going_on: Vec::new() }
    }
}

impl Iterator for Sweep {
    type Item = Snapshot;

    fn next(&mut self) -> Option<Snapshot> {
        let mut snapshot = self.window.snapshots.get_mut(self.at).map(std::mem::take)?;
        self.at += 1;
        let (at_us, spans) = (snapshot.captured_at_us, &self.window.spans);
        while spans.get(self.next_span).is_some_and(|span| span.first_us <= at_us) {
            self.going_on.push(self.next_span);
            self.next_span += 1;
        }
        self.going_on.retain(|place| spans.get(*place).is_some_and(|span| span.covers(at_us)));
        let processes = self.going_on.iter().filter_map(|place| {
            let span = spans.get(*place)?;
            let known = self.window.processes.get(span.process)?;
            let process = known.at(at_us)?;
            (known.boot_id == snapshot.boot_id).then(|| span.figures.of(process))
        });
        snapshot.processes = processes.collect();
        snapshot.processes.sort_by_key(|process| (process.pid, process.started_at_us));
        Some(snapshot)
    }
}

impl ProcessSpan {
    fn covers(&self, captured_us: i64) -> bool {
        self.first_us <= captured_us && captured_us <= self.last_us
    }
}

impl SpanFigures {
    /// Sets the figure at `index` in [`FIGURES`].
    fn set(&mut self, index: usize, value: Value<'_>) {
        if let Some(figure) = self.0.get_mut(index) {
            *figure = value.into();
        }
    }

    /// Gives `process` those of these figures that are at `places` in the model's list of its fields.
    pub(in crate::history) fn give(&self, process: &mut Process, places: &BTreeSet<usize>) {
        for (place, figure) in FIGURES.into_iter().zip(self.0).filter(|(place, _)| places.contains(place)) {
            process.set(place, figure.into());
        }
    }

    /// The process with these figures.
    fn of(self, process: &Process) -> Process {
        let mut process = process.clone();
        for (place, figure) in FIGURES.into_iter().zip(self.0) {
            process.set(place, figure.into());
        }
        process
    }
}

impl From<Value<'_>> for Number {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Integer(number) => Self::Integer(number),
            Value::Float(number) => Self::Float(number),
            Value::Letter(letter) => Self::Letter(letter),
            // A letter is a text in SQL.
            Value::Text(text) => text.chars().next().map_or(Self::Absent, Self::Letter),
            Value::Absent => Self::Absent,
        }
    }
}

impl From<Number> for Value<'_> {
    fn from(number: Number) -> Self {
        match number {
            Number::Absent => Self::Absent,
            Number::Letter(letter) => Self::Letter(letter),
            Number::Integer(number) => Self::Integer(number),
            Number::Float(number) => Self::Float(number),
        }
    }
}

impl Bytes for SnapshotWindow {
    fn bytes(&self) -> usize {
        // Every text by its length: a host may send some of a few letters, and some of 4 KiB.
        let of_phase = |(_, process): &(i64, Process)| {
            let of_texts = process.values().into_iter().filter_map(Value::text).map(str::len);
            size_of::<(i64, Process)>() + of_texts.sum::<usize>()
        };
        let of_process = |known: &KnownProcess| {
            let of_phases = known.phases.iter().map(of_phase);
            size_of::<KnownProcess>() + known.boot_id.len() + of_phases.sum::<usize>()
        };
        let lengths =
            |values: &[Value<'_>]| values.iter().filter_map(|it| it.text()).map(str::len).sum::<usize>();
        let of_filesystem = |it: &FilesystemSample| size_of::<FilesystemSample>() + lengths(&it.values());
        let of_interface = |it: &InterfaceSample| size_of::<InterfaceSample>() + lengths(&it.values());
        let of_snapshot = |snapshot: &Snapshot| {
            let Snapshot { agent_version, os_host_name, boot_id, run_id, filesystems, interfaces, .. } =
                snapshot;
            size_of::<Snapshot>()
                + [agent_version, os_host_name, boot_id, run_id].map(String::len).iter().sum::<usize>()
                + lengths(&snapshot.host_info.values())
                + filesystems.iter().map(of_filesystem).sum::<usize>()
                + interfaces.iter().map(of_interface).sum::<usize>()
        };
        size_of::<Self>()
            + self.spans.len() * size_of::<ProcessSpan>()
            + self.processes.iter().map(of_process).sum::<usize>()
            + self.snapshots.iter().map(of_snapshot).sum::<usize>()
    }
}

impl Reading<'_> {
    /// The window of `host` in a segment that reaches at least from `first_us` to `last_us`, two times with process
    /// tables; nothing where the host is outside the scope.
    pub(super) fn window(
        &self,
        segment: &SegmentIndex,
        host: &HostName,
        first_us: i64,
        last_us: i64,
    ) -> Result<Arc<SnapshotWindow>, HistoryError> {
        if !self.scope.sees(host) {
            return Ok(Arc::default());
        }
        let windows = &self.state.engine.windows;
        let key = (segment.name, host.clone(), self.scope.sees_command_lines(host));
        let wanted = (first_us, last_us);
        let further = match windows.get(&key) {
            Some(known) if known.covers(first_us, last_us) => return Ok(known),
            Some(known) => self.ahead(&known, segment, host, wanted)?,
            None => wanted,
        };
        let ahead = match further == wanted {
            true => None,
            false => self.read_window(segment, host, further, RowLimits::AHEAD)?,
        };
        let window = match ahead {
            Some(window) => window,
            None => self.read_window(segment, host, wanted, RowLimits::ALL)?.unwrap_or_default(),
        };
        Ok(windows.insert(key, window))
    }

    /// From where to where to read when this is `wanted` after `known`: further in the same direction, if that is near.
    fn ahead(
        &self,
        known: &SnapshotWindow,
        segment: &SegmentIndex,
        host: &HostName,
        wanted: (i64, i64),
    ) -> Result<(i64, i64), HistoryError> {
        let now = known.spans.iter().filter(|span| span.covers(known.last_us)).count();
        let count = (AHEAD_SAMPLES / now.max(1)).min(MAX_AHEAD);
        let (first_us, last_us) = wanted;
        let moments = self.sample_index(segment, host)?;
        let is_on = known.last_us < last_us && known.last_us >= moments.tables_before(first_us, NEAR);
        let is_back = known.first_us > first_us && known.first_us <= moments.tables_after(last_us, NEAR);
        Ok(match (is_on, is_back) {
            (true, _) => (first_us, moments.tables_after(last_us, count)),
            (_, true) => (moments.tables_before(first_us, count), last_us),
            _ => wanted,
        })
    }
}
