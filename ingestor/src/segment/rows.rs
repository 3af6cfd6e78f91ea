//! The rows of one segment, collected from snapshots.
//!
//! Strings that repeat (hosts, boots, what a process is) are kept once, and samples of a process in which nothing changed are
//! one small struct. The segment is self-contained: every identity among the samples has its row in `processes`.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    time::Duration,
};

use fleetps_nats::{HostName, Snapshot, model::Value, snapshot::Process};

use super::{
    Level, SCHEMA_VERSION, SegmentName, Shard,
    process_row::{EarlierRow, ProcessRow},
    programs::Programs,
    row::{FilesystemRow, GapRow, InfoRow, InterfaceRow, ProcessKey, RunRow, SnapshotRow},
    strings::Strings,
};
use crate::{
    events::{Event, StreamClock},
    fields::StoredFigures,
};

/// The memory of one segment's processes and their texts: 2,000 hosts with 200 processes take 170 MB in a minute. Two more may
/// wait and be sealed.
const MAX_BYTES: usize = 512 << 20;
/// Text kept for one segment, of which DuckDB has a copy while it seals: 500,000 command lines of 4 KiB are 2 GB.
const MAX_TEXT_BYTES: usize = 64 << 20;
/// Rows after the seal interval of a large fleet, of some hundred hosts with 300 processes: files of 30 s would be 3 MB each.
const LARGE_ROWS: usize = 100_000;
/// What a segment of 90 s has at the agent's interval of 10 s. What hosts send of their past has more, and need not wait.
const ENOUGH_SAMPLES: usize = 9;
/// Snapshots in one segment, for hosts that report without processes; each takes about half a kilobyte.
const MAX_SNAPSHOTS: usize = 100_000;

/// The rows of one segment.
#[derive(Debug)]
pub struct SegmentRows {
    pub(super) partition: u32,
    pub(super) epoch_s: i64,
    pub(super) first_sequence: u64,
    pub(super) last_sequence: u64,
    first_stored_us: i64,
    last_stored_us: i64,
    /// Names of hosts, boot ids, and names of containers and pods, by their number.
    pub(super) names: Strings,
    pub(super) programs: Programs,
    pub(super) gaps: Vec<GapRow>,
    pub(super) infos: Vec<InfoRow>,
    last_info: HashMap<u32, usize>,
    pub(super) snapshots: Vec<SnapshotRow>,
    pub(super) filesystems: Vec<FilesystemRow>,
    pub(super) interfaces: Vec<InterfaceRow>,
    pub(super) processes: HashMap<ProcessKey, ProcessRow>,
    /// How many of what processes were before: the sum of [`ProcessRow::earlier`].
    earlier: usize,
    pub(super) runs: Vec<RunRow>,
    /// Rows of processes: the sum of [`RunRow::snapshots`].
    samples: usize,
    /// When each host was captured last, in µs.
    latest: HashMap<u32, i64>,
    /// The captures of hosts that came after a later one.
    pub(super) late: HashSet<(u32, i64)>,
    pub(super) events: Vec<Event>,
    pub(super) clock: StreamClock,
    /// For each host and millisecond of capture that is taken: where to look for a free one.
    later_ms: HashMap<(u32, i64), i64>,
    text_bytes: usize,
    /// The memory of figures beyond that of their rows.
    figure_bytes: usize,
}

impl SegmentRows {
    /// The seal intervals of a large fleet's segment: with three times the samples of each process, a row takes half the bytes.
    pub const LARGE_INTERVALS: u32 = 3;

    /// An empty one, for the sequences from `first_sequence`; `begun_at_us` (µs since 1970 UTC, the broker's clock)
    /// is the time of the first.
    pub fn new(partition: u32, epoch_s: i64, first_sequence: u64, begun_at_us: i64) -> Self {
        Self {
            partition,
            epoch_s,
            first_sequence,
            last_sequence: first_sequence,
            first_stored_us: begun_at_us,
            last_stored_us: begun_at_us,
            names: Strings::default(),
            programs: Programs::default(),
            gaps: Vec::new(),
            infos: Vec::new(),
            last_info: HashMap::new(),
            snapshots: Vec::new(),
            filesystems: Vec::new(),
            interfaces: Vec::new(),
            processes: HashMap::new(),
            earlier: 0,
            runs: Vec::new(),
            samples: 0,
            latest: HashMap::new(),
            late: HashSet::new(),
            events: Vec::new(),
            clock: StreamClock::default(),
            later_ms: HashMap::new(),
            text_bytes: 0,
            figure_bytes: 0,
        }
    }

    /// Marks the sequences up to `last_sequence` as read, also those without a row.
    pub fn cover(&mut self, last_sequence: u64) {
        self.last_sequence = last_sequence;
    }

    /// Notes that the broker no longer had these sequences.
    pub fn push_gap(&mut self, first_sequence: u64, last_sequence: u64, noticed_at_us: i64) {
        let reason = "dropped by the broker before it was stored";
        self.gaps.push(GapRow { first_sequence, last_sequence, noticed_at_us, reason });
        self.cover(last_sequence);
    }

    /// Notes that the message `sequence` was left out because its host had sent too much. What follows on another one is one
    /// gap with it.
    pub fn push_left_out(&mut self, sequence: u64, noticed_at_us: i64) {
        let reason = "left out because its host had sent too much (host_bytes_per_s)";
        let before = self.gaps.last_mut();
        match before.filter(|gap| gap.reason == reason && gap.last_sequence + 1 == sequence) {
            Some(gap) => gap.last_sequence = sequence,
            None => {
                let (first_sequence, last_sequence) = (sequence, sequence);
                self.gaps.push(GapRow { first_sequence, last_sequence, noticed_at_us, reason });
            }
        }
        self.cover(sequence);
    }

    /// Adds what the messages that it covers decided, and the time of the stream after the last of them.
    pub fn set_events(&mut self, events: Vec<Event>, clock: StreamClock) {
        (self.events, self.clock) = (events, clock);
    }

    /// When the broker took the last snapshot in it, in µs since 1970 UTC; `None` without one.
    pub(crate) fn last_stored_us(&self) -> Option<i64> {
        self.snapshots.last().map(|snapshot| snapshot.stored_at_us)
    }

    /// Adds the snapshot of `host` that the broker took at `stored_at_us` as `sequence`.
    pub fn push(&mut self, sequence: u64, stored_at_us: i64, host: &HostName, snapshot: &Snapshot) {
        self.cover(sequence);
        self.last_stored_us = stored_at_us;
        let host = self.names.number(host.as_str());
        let boot = self.names.number(&snapshot.boot_id);
        let captured_at_us = self.free_millisecond_us(host, snapshot.captured_at_us);
        self.push_info(host, captured_at_us, snapshot);
        let before_us = self.capture(host, captured_at_us);
        for process in &snapshot.processes {
            self.push_process((host, boot), (before_us, captured_at_us), process);
        }
        let filesystems = snapshot.filesystems.clone();
        self.text_bytes += filesystems.iter().map(|it| texts_bytes(&it.values())).sum::<usize>();
        let rows =
            filesystems.into_iter().map(|filesystem| FilesystemRow { host, captured_at_us, filesystem });
        self.filesystems.extend(rows);
        let interfaces = snapshot.interfaces.clone();
        self.text_bytes += interfaces.iter().map(|it| texts_bytes(&it.values())).sum::<usize>();
        let rows = interfaces.into_iter().map(|interface| InterfaceRow { host, captured_at_us, interface });
        self.interfaces.extend(rows);
        let snapshot = Snapshot {
            run_id: snapshot.run_id.clone(),
            sequence: snapshot.sequence,
            captured_at_us,
            clock_offset_us: snapshot.clock_offset_us,
            interval_ms: snapshot.interval_ms,
            monotonic_ms: snapshot.monotonic_ms,
            agent: snapshot.agent.clone(),
            host: snapshot.host.clone(),
            processes_left_out: snapshot.processes_left_out,
            texts_shortened: snapshot.texts_shortened,
            // Each of these has a row of its own.
            ..Snapshot::default()
        };
        self.snapshots.push(SnapshotRow { host, boot, stream_sequence: sequence, stored_at_us, snapshot });
    }

    /// The millisecond of `captured_at_us`, to which times are kept; the next free one where a clock that was set back
    /// brings another snapshot of the host into the same, because host and time are what tables are joined by.
    fn free_millisecond_us(&mut self, host: u32, captured_at_us: i64) -> i64 {
        let captured_at_ms = captured_at_us.div_euclid(1000);
        let mut free_ms = captured_at_ms;
        while let Some(later_ms) = self.later_ms.get(&(host, free_ms)) {
            free_ms = *later_ms;
        }
        self.later_ms.insert((host, free_ms), free_ms + 1);
        self.later_ms.insert((host, captured_at_ms), free_ms + 1);
        free_ms * 1000
    }

    fn push_info(&mut self, host: u32, captured_at_us: i64, snapshot: &Snapshot) {
        let unchanged =
            self.last_info.get(&host).and_then(|place| self.infos.get(*place)).is_some_and(|last| {
                last.info == snapshot.host_info
                    && last.os_host_name == snapshot.os_host_name
                    && last.agent_version == snapshot.agent_version
            });
        if !unchanged {
            let row = InfoRow {
                host,
                captured_at_us,
                os_host_name: snapshot.os_host_name.clone(),
                agent_version: snapshot.agent_version.clone(),
                info: snapshot.host_info.clone(),
            };
            self.text_bytes += info_text_bytes(&row);
            self.last_info.insert(host, self.infos.len());
            self.infos.push(row);
        }
    }

    /// Notes when a host was captured. Returns when it was captured before; `None` for one that comes late, or first.
    fn capture(&mut self, host: u32, captured_at_us: i64) -> Option<i64> {
        match self.latest.entry(host) {
            Entry::Occupied(latest) if *latest.get() > captured_at_us => {
                self.late.insert((host, captured_at_us));
                None
            }
            Entry::Occupied(mut latest) => Some(latest.insert(captured_at_us)),
            Entry::Vacant(vacant) => {
                vacant.insert(captured_at_us);
                None
            }
        }
    }

    /// Adds a process of a snapshot that was captured at `captured_at_us`, the next of its host after one at `before_us`.
    fn push_process(
        &mut self,
        (host, boot): (u32, u32),
        (before_us, captured_at_us): (Option<i64>, i64),
        process: &Process,
    ) {
        let (pid, start) = process.key();
        let key = ProcessKey { host, boot, pid, start };
        let figures = StoredFigures::of(&process.values());
        self.samples += 1;
        let program = match self.processes.entry(key) {
            Entry::Occupied(known) => {
                let row = known.into_mut();
                let is_same = self.programs.are(row.facts, process, &self.names);
                let facts = if is_same { row.facts } else { self.programs.facts(process, &mut self.names) };
                self.earlier += row.see(captured_at_us, facts, process.started_at_us);
                let run = self
                    .runs
                    .get_mut(row.last_run)
                    .filter(|run| Some(run.last_captured_at_us) == before_us && run.figures == figures);
                if let Some(run) = run {
                    run.last_captured_at_us = captured_at_us;
                    run.snapshots += 1;
                    return;
                }
                row.last_run = self.runs.len();
                row.first_program
            }
            Entry::Vacant(vacant) => {
                let facts = self.programs.facts(process, &mut self.names);
                let row = ProcessRow::new(captured_at_us, facts, process.started_at_us);
                vacant.insert(ProcessRow { last_run: self.runs.len(), ..row });
                facts.program
            }
        };
        let (first_captured_at_us, last_captured_at_us) = (captured_at_us, captured_at_us);
        self.figure_bytes += figures.more_bytes();
        self.runs.push(RunRow {
            key,
            program,
            snapshots: 1,
            first_captured_at_us,
            last_captured_at_us,
            figures,
        });
    }

    /// Rows of processes so far.
    pub fn len(&self) -> usize {
        self.samples
    }

    /// Whether these are of a large fleet, after the seal interval, and should wait for more: a segment then stays open until
    /// [`SegmentRows::LARGE_INTERVALS`] of them have passed. Not where it has enough samples of each process already.
    pub fn are_of_a_large_fleet(&self) -> bool {
        self.samples >= LARGE_ROWS && self.samples < ENOUGH_SAMPLES * self.processes.len()
    }

    /// Whether no snapshot is in it; it may still cover sequences.
    pub fn is_empty(&self) -> bool {
        self.snapshots.is_empty()
    }

    /// Snapshots so far.
    pub fn snapshot_count(&self) -> usize {
        self.snapshots.len()
    }

    /// Whether it should be sealed before more is added; `max_rows` are rows of processes.
    pub fn is_full(&self, max_rows: usize) -> bool {
        self.samples >= max_rows || self.takes_too_much()
    }

    /// Whether it takes as much memory as a segment may.
    pub fn takes_too_much(&self) -> bool {
        self.texts_bytes() >= MAX_TEXT_BYTES
            || self.process_bytes() >= MAX_BYTES
            || self.snapshots.len() >= MAX_SNAPSHOTS
            || self.gaps.len() >= MAX_SNAPSHOTS
    }

    fn texts_bytes(&self) -> usize {
        self.text_bytes + self.programs.text_bytes() + self.names.text_bytes()
    }

    /// The memory of what grows with the processes, about.
    fn process_bytes(&self) -> usize {
        self.runs.len() * size_of::<RunRow>()
            + self.processes.len() * size_of::<(ProcessKey, ProcessRow)>()
            + self.earlier * size_of::<EarlierRow>()
            + self.figure_bytes
    }

    /// Over how long the broker took its messages.
    pub(crate) fn spans(&self) -> Duration {
        let us = self.last_stored_us.saturating_sub(self.first_stored_us);
        Duration::from_micros(u64::try_from(us).unwrap_or_default())
    }

    /// The name of the segment it becomes.
    pub fn name(&self) -> SegmentName {
        SegmentName {
            level: Level::Fresh,
            partition: self.partition,
            epoch_s: self.epoch_s,
            first_sequence: self.first_sequence,
            last_sequence: self.last_sequence,
            first_stored_s: self.first_stored_us.max(0) / 1_000_000,
            schema_version: SCHEMA_VERSION,
            shard: Shard::WHOLE,
        }
    }
}

fn texts_bytes(values: &[Value<'_>]) -> usize {
    values.iter().filter_map(|value| value.text()).map(str::len).sum()
}

fn info_text_bytes(row: &InfoRow) -> usize {
    row.os_host_name.len() + row.agent_version.len() + texts_bytes(&row.info.values())
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
