//! The rows of a segment as columns, in the order of `schema.sql`.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float32Array, Int64Array, StringArray, TimestampMicrosecondArray,
        TimestampMillisecondArray, UInt8Array, UInt32Array,
    },
    error::ArrowError,
    record_batch::RecordBatch,
};

use super::{
    rows::{FilesystemRow, GapRow, InfoRow, ProcessKey, ProcessRow, SegmentRows, SnapshotRow},
    spans::{CaptureRow, SpanRow},
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

/// A counter, as SQL has it; what was received was checked to fit.
fn count(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    let fitting = values.map(|value| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)));
    Arc::new(fitting.collect::<Int64Array>())
}

fn number(values: impl Iterator<Item = Option<u32>>) -> ArrayRef {
    Arc::new(values.collect::<UInt32Array>())
}

fn share(values: impl Iterator<Item = Option<f32>>) -> ArrayRef {
    Arc::new(values.collect::<Float32Array>())
}

fn batch<const N: usize>(columns: [(&'static str, ArrayRef); N]) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_from_iter(columns)
}

impl SegmentRows {
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
        batch([
            ("host", text(rows.iter().map(|row| Some(self.names.text(row.host))))),
            ("captured_at", time(rows.iter().map(|row| row.captured_at_us))),
            ("os_host_name", text(rows.iter().map(|row| Some(row.os_host_name.as_str())))),
            ("os", text(rows.iter().map(|row| row.info.os.as_deref()))),
            ("kernel", text(rows.iter().map(|row| row.info.kernel.as_deref()))),
            ("architecture", text(rows.iter().map(|row| row.info.architecture.as_deref()))),
            ("cpu_model", text(rows.iter().map(|row| row.info.cpu_model.as_deref()))),
            ("cores", number(rows.iter().map(|row| row.info.cores))),
            ("threads", number(rows.iter().map(|row| row.info.threads))),
            ("frequency_mhz", count(rows.iter().map(|row| row.info.frequency_mhz))),
            ("memory_bytes", count(rows.iter().map(|row| row.info.memory_bytes))),
            ("boot_at", start(rows.iter().map(|row| row.info.boot_at_us))),
            ("agent_version", text(rows.iter().map(|row| Some(row.agent_version.as_str())))),
        ])
    }

    pub(super) fn snapshot_batch(&self, rows: &[&SnapshotRow]) -> Result<RecordBatch, ArrowError> {
        let all = || rows.iter().map(|row| &row.snapshot);
        let hosts = || rows.iter().map(|row| &row.snapshot.host);
        let agents = || rows.iter().map(|row| &row.snapshot.agent);
        batch([
            ("host", text(rows.iter().map(|row| Some(self.names.text(row.host))))),
            ("boot_id", text(rows.iter().map(|row| Some(self.names.text(row.boot))))),
            ("run_id", text(all().map(|snapshot| Some(snapshot.run_id.as_str())))),
            ("sequence", count(all().map(|snapshot| Some(snapshot.sequence)))),
            ("captured_at", time(all().map(|snapshot| snapshot.captured_at_us))),
            ("stored_at", time(rows.iter().map(|row| row.stored_at_us))),
            ("interval_ms", number(all().map(|snapshot| Some(snapshot.interval_ms)))),
            ("monotonic_ms", count(all().map(|snapshot| Some(snapshot.monotonic_ms)))),
            ("cpu_percent", share(hosts().map(|host| host.cpu_percent))),
            ("load_1", share(hosts().map(|host| host.load_1))),
            ("load_5", share(hosts().map(|host| host.load_5))),
            ("load_15", share(hosts().map(|host| host.load_15))),
            ("memory_total_bytes", count(hosts().map(|host| host.memory_total_bytes))),
            ("memory_used_bytes", count(hosts().map(|host| host.memory_used_bytes))),
            ("memory_available_bytes", count(hosts().map(|host| host.memory_available_bytes))),
            ("swap_total_bytes", count(hosts().map(|host| host.swap_total_bytes))),
            ("swap_used_bytes", count(hosts().map(|host| host.swap_used_bytes))),
            ("disk_read_bytes", count(hosts().map(|host| host.disk_read_bytes))),
            ("disk_written_bytes", count(hosts().map(|host| host.disk_written_bytes))),
            ("network_received_bytes", count(hosts().map(|host| host.network_received_bytes))),
            ("network_sent_bytes", count(hosts().map(|host| host.network_sent_bytes))),
            ("process_count", number(hosts().map(|host| host.process_count))),
            ("thread_count", number(hosts().map(|host| host.thread_count))),
            ("uptime_s", count(hosts().map(|host| host.uptime_s))),
            ("processes_left_out", number(all().map(|snapshot| Some(snapshot.processes_left_out)))),
            ("agent_cpu_time_ms", count(agents().map(|agent| agent.cpu_time_ms))),
            ("agent_resident_bytes", count(agents().map(|agent| agent.resident_bytes))),
            ("agent_pass_us", count(agents().map(|agent| agent.pass_us))),
            ("agent_dropped_snapshots", count(agents().map(|agent| Some(agent.dropped_snapshots)))),
            // Only thinning takes them away.
            ("has_processes", Arc::new(BooleanArray::from(vec![true; rows.len()]))),
        ])
    }

    pub(super) fn filesystem_batch(&self, rows: &[&FilesystemRow]) -> Result<RecordBatch, ArrowError> {
        let all = || rows.iter().map(|row| &row.filesystem);
        batch([
            ("host", text(rows.iter().map(|row| Some(self.names.text(row.host))))),
            ("captured_at", time(rows.iter().map(|row| row.captured_at_us))),
            ("mount", text(all().map(|filesystem| Some(filesystem.mount.as_str())))),
            ("device", text(all().map(|filesystem| filesystem.device.as_deref()))),
            ("kind", text(all().map(|filesystem| filesystem.kind.as_deref()))),
            ("total_bytes", count(all().map(|filesystem| Some(filesystem.total_bytes)))),
            ("used_bytes", count(all().map(|filesystem| Some(filesystem.used_bytes)))),
        ])
    }

    pub(super) fn process_batch(
        &self,
        rows: &[(&ProcessKey, &ProcessRow)],
    ) -> Result<RecordBatch, ArrowError> {
        let all = || rows.iter().map(|(_, row)| &row.process);
        batch([
            ("host", text(rows.iter().map(|(key, _)| Some(self.names.text(key.host))))),
            ("boot_id", text(rows.iter().map(|(key, _)| Some(self.names.text(key.boot))))),
            ("pid", number(rows.iter().map(|(key, _)| Some(key.pid)))),
            ("started_at", start(rows.iter().map(|(key, _)| Some(key.started_at_us)))),
            ("parent_pid", number(all().map(|process| process.parent_pid))),
            ("name", text(all().map(|process| Some(process.name.as_str())))),
            ("executable", text(all().map(|process| process.executable.as_deref()))),
            ("command_line", text(all().map(|process| process.command_line.as_deref()))),
            ("user_name", text(all().map(|process| process.user_name.as_deref()))),
            ("unit", text(all().map(|process| process.unit.as_deref()))),
            ("container", text(all().map(|process| process.container.as_deref()))),
            ("first_seen", time(rows.iter().map(|(_, row)| row.first_seen_us))),
            ("last_seen", time(rows.iter().map(|(_, row)| row.last_seen_us))),
        ])
    }

    pub(super) fn capture_batch(&self, rows: &[CaptureRow]) -> Result<RecordBatch, ArrowError> {
        batch([
            ("host", text(rows.iter().map(|row| Some(self.names.text(row.host))))),
            ("number", number(rows.iter().map(|row| Some(row.number)))),
            ("captured_at", time(rows.iter().map(|row| row.captured_at_us))),
        ])
    }

    pub(super) fn span_batch(&self, rows: &[SpanRow]) -> Result<RecordBatch, ArrowError> {
        let figures = || rows.iter().map(|row| &row.figures);
        batch([
            ("host", text(rows.iter().map(|row| Some(self.names.text(row.key.host))))),
            ("boot_id", text(rows.iter().map(|row| Some(self.names.text(row.key.boot))))),
            ("pid", number(rows.iter().map(|row| Some(row.key.pid)))),
            ("started_at", start(rows.iter().map(|row| Some(row.key.started_at_us)))),
            ("first_captured_at", time(rows.iter().map(|row| row.first_captured_at_us))),
            ("last_captured_at", time(rows.iter().map(|row| row.last_captured_at_us))),
            ("snapshots", number(rows.iter().map(|row| Some(row.snapshots())))),
            ("state_code", Arc::new(figures().map(|of| of.state_code).collect::<UInt8Array>())),
            ("threads", number(figures().map(|of| of.threads))),
            ("cpu_tenths", number(figures().map(|of| of.cpu_tenths))),
            ("cpu_ticks", count(figures().map(|of| of.cpu_ticks))),
            ("resident_pages", number(figures().map(|of| of.resident_pages))),
            ("virtual_pages", count(figures().map(|of| of.virtual_pages))),
            ("read_sectors", count(figures().map(|of| of.read_sectors))),
            ("written_sectors", count(figures().map(|of| of.written_sectors))),
        ])
    }
}
