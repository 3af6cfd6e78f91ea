//! The rows of a segment as columns, in the order of `schema.sql`.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray,
        TimestampMillisecondArray, UInt16Array, UInt32Array,
    },
    error::ArrowError,
    record_batch::RecordBatch,
};
use fleetps_nats::{
    Snapshot,
    model::{
        Field, Value,
        filesystem::FILESYSTEM,
        host::{AGENT, HOST, HOST_INFO},
        interface::INTERFACE,
    },
    snapshot::{AgentCost, FilesystemSample, HostInfo, HostSample, InterfaceSample},
};

use super::{
    paced::{Pace, PacedSpan},
    process_row::{EarlierRow, ProcessRow},
    programs::Facts,
    row::{FilesystemRow, GapRow, InfoRow, InterfaceRow, ProcessKey, RunRow, SnapshotRow},
    rows::SegmentRows,
    spans::CaptureRow,
    started::{halves, start_us},
};
use crate::{
    events::{Event, EventProcess, EventProgram},
    fields::{array, facts_with_places, figure_arrays},
};

/// Rows laid out at a time: one row group of DuckDB. More would only take more memory.
pub(super) const BATCH_ROWS: usize = 122_880;

fn text<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

/// When something started, from µs: as it was reported.
fn start(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>())
}

/// When something was seen, from µs: to the millisecond.
fn time(values: impl Iterator<Item = i64>) -> ArrayRef {
    let milliseconds = values.map(|at_us| Some(at_us.div_euclid(1000)));
    Arc::new(milliseconds.collect::<TimestampMillisecondArray>())
}

/// The same where there may be none.
fn maybe_time(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let milliseconds = values.map(|at_us| at_us.map(|at_us| at_us.div_euclid(1000)));
    Arc::new(milliseconds.collect::<TimestampMillisecondArray>())
}

/// A counter, as SQL has it; received values were checked to fit.
fn count(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    let fitting = values.map(|value| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)));
    Arc::new(fitting.collect::<Int64Array>())
}

/// A start in ticks.
fn ticks(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn number(values: impl Iterator<Item = Option<u32>>) -> ArrayRef {
    Arc::new(values.collect::<UInt32Array>())
}

type Column = (&'static str, ArrayRef);

fn batch<const N: usize>(columns: [Column; N]) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_from_iter(columns)
}

/// The columns of `fields`, of rows whose values are read by place.
fn columns<'a, R: 'a>(
    fields: impl Iterator<Item = (usize, &'static Field)>,
    rows: impl Iterator<Item = &'a R> + Clone,
    value: fn(&'a R, usize) -> Value<'a>,
) -> Vec<Column> {
    fields.map(|(place, field)| array(field, rows.clone().map(|row| value(row, place)))).collect()
}

impl SegmentRows {
    /// The columns of the identity of processes. When one started by its host's clock is the same for all that is in the segment
    /// of it.
    fn identity<'a>(&'a self, keys: impl Iterator<Item = &'a ProcessKey> + Clone) -> [Column; 6] {
        let counted_from_us = |key: &ProcessKey| {
            let started_at_us = self.processes.get(key)?.started_at_us;
            Some(started_at_us.saturating_sub(start_us(key.start)))
        };
        [
            ("host", text(keys.clone().map(|key| Some(self.names.text(key.host))))),
            ("boot_id", text(keys.clone().map(|key| Some(self.names.text(key.boot))))),
            ("pid", number(keys.clone().map(|key| Some(key.pid)))),
            ("start_high", ticks(keys.clone().map(|key| Some(halves(key.start).0)))),
            (
                "start_low",
                Arc::new(keys.clone().map(|key| Some(halves(key.start).1)).collect::<UInt16Array>()),
            ),
            ("ticks_from", start(keys.map(counted_from_us))),
        ]
    }

    /// The columns of what processes are.
    fn facts(&self, rows: impl Iterator<Item = Facts> + Clone) -> Vec<Column> {
        let values = |place| rows.clone().map(move |facts| self.programs.value(facts, place, &self.names));
        facts_with_places().map(|(place, field)| array(field, values(place))).collect()
    }

    pub(super) fn gap_batch(&self, rows: &[GapRow]) -> Result<RecordBatch, ArrowError> {
        let epoch_us = self.epoch_s.saturating_mul(1_000_000);
        batch([
            ("partition", number(rows.iter().map(|_| Some(self.partition)))),
            ("stream_created", start(rows.iter().map(|_| Some(epoch_us)))),
            ("first_sequence", count(rows.iter().map(|row| Some(row.first_sequence)))),
            ("last_sequence", count(rows.iter().map(|row| Some(row.last_sequence)))),
            ("noticed_at", time(rows.iter().map(|row| row.noticed_at_us))),
            ("reason", text(rows.iter().map(|row| Some(row.reason)))),
        ])
    }

    pub(super) fn info_batch(&self, rows: &[InfoRow]) -> Result<RecordBatch, ArrowError> {
        let before = [
            ("host", text(rows.iter().map(|row| Some(self.names.text(row.host))))),
            ("captured_at", time(rows.iter().map(|row| row.captured_at_us))),
            ("os_host_name", text(rows.iter().map(|row| Some(row.os_host_name.as_str())))),
        ];
        let infos = rows.iter().map(|row| &row.info);
        let infos = columns(HOST_INFO.iter().enumerate(), infos, HostInfo::value);
        let after = ("agent_version", text(rows.iter().map(|row| Some(row.agent_version.as_str()))));
        RecordBatch::try_from_iter(before.into_iter().chain(infos).chain([after]))
    }

    pub(super) fn snapshot_batch(&self, rows: &[&SnapshotRow]) -> Result<RecordBatch, ArrowError> {
        let all = || rows.iter().map(|row| &row.snapshot);
        let before = [
            ("host", text(rows.iter().map(|row| Some(self.names.text(row.host))))),
            ("boot_id", text(rows.iter().map(|row| Some(self.names.text(row.boot))))),
            ("run_id", text(all().map(|snapshot| Some(snapshot.run_id.as_str())))),
            ("sequence", count(all().map(|snapshot| Some(snapshot.sequence)))),
            ("captured_at", time(all().map(|snapshot| snapshot.captured_at_us))),
            ("stored_at", time(rows.iter().map(|row| row.stored_at_us))),
            ("interval_ms", number(all().map(|snapshot| Some(snapshot.interval_ms)))),
            ("monotonic_ms", count(all().map(|snapshot| Some(snapshot.monotonic_ms)))),
        ];
        let hosts = columns(HOST.iter().enumerate(), all().map(|snapshot| &snapshot.host), HostSample::value);
        let counts = [
            ("processes_left_out", number(all().map(|snapshot| Some(snapshot.processes_left_out)))),
            ("texts_shortened", number(all().map(|snapshot| Some(snapshot.texts_shortened)))),
        ];
        let agents =
            columns(AGENT.iter().enumerate(), all().map(|snapshot| &snapshot.agent), AgentCost::value);
        // Only thinning takes them away.
        let has_processes: Column = ("has_processes", Arc::new(BooleanArray::from(vec![true; rows.len()])));
        let place: Column = ("stream_sequence", count(rows.iter().map(|row| Some(row.stream_sequence))));
        let offset_ms = |snapshot: &Snapshot| snapshot.clock_offset_us.map(|us| us.div_euclid(1000));
        let offsets = all().map(offset_ms).collect::<Int64Array>();
        let last = [has_processes, place, ("clock_offset_ms", Arc::new(offsets) as ArrayRef)];
        let columns = before.into_iter().chain(hosts).chain(counts).chain(agents).chain(last);
        RecordBatch::try_from_iter(columns)
    }

    pub(super) fn filesystem_batch(&self, rows: &[&FilesystemRow]) -> Result<RecordBatch, ArrowError> {
        let all = rows.iter().map(|row| &row.filesystem);
        let columns = columns(FILESYSTEM.iter().enumerate(), all, FilesystemSample::value);
        let moments = rows.iter().map(|row| (row.host, row.captured_at_us));
        RecordBatch::try_from_iter(self.moments(moments).into_iter().chain(columns))
    }

    pub(super) fn interface_batch(&self, rows: &[&InterfaceRow]) -> Result<RecordBatch, ArrowError> {
        let all = rows.iter().map(|row| &row.interface);
        let columns = columns(INTERFACE.iter().enumerate(), all, InterfaceSample::value);
        let moments = rows.iter().map(|row| (row.host, row.captured_at_us));
        RecordBatch::try_from_iter(self.moments(moments).into_iter().chain(columns))
    }

    /// The columns that say of which host a row is, and when it was captured, in µs.
    fn moments(&self, rows: impl Iterator<Item = (u32, i64)> + Clone) -> [Column; 2] {
        [
            ("host", text(rows.clone().map(|(host, _)| Some(self.names.text(host))))),
            ("captured_at", time(rows.map(|(_, captured_at_us)| captured_at_us))),
        ]
    }

    pub(super) fn process_batch(
        &self,
        rows: &[(&ProcessKey, &ProcessRow)],
    ) -> Result<RecordBatch, ArrowError> {
        let after = [
            ("first_seen", time(rows.iter().map(|(_, row)| row.first_seen_us))),
            ("last_seen", time(rows.iter().map(|(_, row)| row.last_seen_us))),
            ("facts_since", time(rows.iter().map(|(_, row)| row.facts_since_us))),
        ];
        let identity = self.identity(rows.iter().map(|(key, _)| *key));
        let facts = self.facts(rows.iter().map(|(_, row)| row.facts));
        RecordBatch::try_from_iter(identity.into_iter().chain(facts).chain(after))
    }

    pub(super) fn earlier_batch(
        &self,
        rows: &[(&ProcessKey, &EarlierRow)],
    ) -> Result<RecordBatch, ArrowError> {
        let after = [
            ("facts_since", time(rows.iter().map(|(_, row)| row.facts_since_us))),
            ("last_seen", time(rows.iter().map(|(_, row)| row.last_seen_us))),
        ];
        let identity = self.identity(rows.iter().map(|(key, _)| *key));
        let facts = self.facts(rows.iter().map(|(_, row)| row.facts));
        RecordBatch::try_from_iter(identity.into_iter().chain(facts).chain(after))
    }

    pub(super) fn event_batch(&self, rows: &[&Event]) -> Result<RecordBatch, ArrowError> {
        fn process<'a>(row: &&'a Event) -> Option<&'a EventProcess> {
            row.process.as_ref()
        }
        let program = |of: fn(&EventProgram) -> Option<&str>| {
            text(rows.iter().map(|row| row.program.as_ref().and_then(of)))
        };
        batch([
            ("occurred_at", time(rows.iter().map(|row| row.at_us))),
            ("kind", text(rows.iter().map(|row| Some(row.kind.id())))),
            ("host", text(rows.iter().map(|row| Some(row.host.as_str())))),
            ("name", program(|program| Some(program.name.as_str()))),
            ("boot_id", text(rows.iter().map(|row| process(row).map(|process| process.boot_id.as_str())))),
            ("pid", number(rows.iter().map(|row| process(row).map(|process| process.pid)))),
            ("start_ticks", ticks(rows.iter().map(|row| process(row).map(|process| process.start)))),
            ("started_at", start(rows.iter().map(|row| process(row).map(|process| process.started_at_us)))),
            ("command_line", program(|program| program.command_line.as_deref())),
            ("user_name", program(|program| program.user_name.as_deref())),
            ("unit", program(|program| program.unit.as_deref())),
            ("parent_pid", number(rows.iter().map(|row| row.parent_pid))),
            ("parent_name", program(|program| program.parent_name.as_deref())),
            ("supervisor", text(rows.iter().map(|row| row.supervisor.as_deref()))),
            ("instances", number(rows.iter().map(|row| row.instances))),
            ("cpu_time_ms", count(rows.iter().map(|row| row.cpu_time_ms))),
            ("resident_bytes", count(rows.iter().map(|row| row.resident_bytes))),
            ("length_ms", Arc::new(rows.iter().map(|row| row.length_ms).collect::<Int64Array>())),
            ("lives", number(rows.iter().map(|row| row.lives))),
            ("since", maybe_time(rows.iter().map(|row| row.since_us))),
            ("change", text(rows.iter().map(|row| row.change.as_deref()))),
            ("decided_at", time(rows.iter().map(|row| row.decided_at_us))),
            ("partition", number(rows.iter().map(|row| Some(row.place.partition)))),
            (
                "stream_created",
                start(rows.iter().map(|row| Some(row.place.epoch_s.saturating_mul(1_000_000)))),
            ),
            ("sequence", count(rows.iter().map(|row| Some(row.place.sequence)))),
            ("number", number(rows.iter().map(|row| Some(row.place.number)))),
        ])
    }

    pub(super) fn capture_batch(&self, rows: &[CaptureRow]) -> Result<RecordBatch, ArrowError> {
        batch([
            ("host", text(rows.iter().map(|row| Some(self.names.text(row.host))))),
            ("number", number(rows.iter().map(|row| Some(row.number)))),
            ("captured_at", time(rows.iter().map(|row| row.captured_at_us))),
        ])
    }

    /// The spans of hosts with these paces, by the numbers of the hosts.
    pub(super) fn span_batch(
        &self,
        rows: &[RunRow],
        paces: &HashMap<u32, Pace>,
    ) -> Result<RecordBatch, ArrowError> {
        // Every run is of a host that was captured.
        let none = Pace { from_ms: 0, interval_ms: 1 };
        let pace = |row: &RunRow| paces.get(&row.key.host).copied().unwrap_or(none);
        let spans: Vec<(Pace, PacedSpan)> = rows
            .iter()
            .map(|row| {
                let ms =
                    (row.first_captured_at_us.div_euclid(1000), row.last_captured_at_us.div_euclid(1000));
                (pace(row), pace(row).of_span(ms, row.snapshots))
            })
            .collect();
        let whole = |of: fn(&(Pace, PacedSpan)) -> i64| ticks(spans.iter().map(|span| Some(of(span))));
        let after = [
            ("captured_from_ms", whole(|(pace, _)| pace.from_ms)),
            ("interval_ms", whole(|(pace, _)| pace.interval_ms)),
            ("intervals", whole(|(_, span)| span.intervals)),
            ("late_ms", whole(|(_, span)| span.late_ms)),
            ("longer_ms", whole(|(_, span)| span.longer_ms)),
            ("snapshots", number(rows.iter().map(|row| Some(row.snapshots)))),
        ];
        let figures = figure_arrays(rows.iter().map(|row| &row.figures));
        let identity = self.identity(rows.iter().map(|row| &row.key));
        RecordBatch::try_from_iter(identity.into_iter().chain(after).chain(figures))
    }
}
