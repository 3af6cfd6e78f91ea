//! The rows of the tables that a window is read from, by the names of their columns.

use arrow::{
    array::{Array, AsArray, Int64Array, RecordBatch, StringArray, UInt32Array},
    datatypes::Int64Type,
};
use duckdb::Row;
use fleetps_nats::{
    Snapshot,
    model::{
        Field, FieldRole,
        filesystem::FILESYSTEM,
        host::{AGENT, HOST, HOST_INFO},
        interface::INTERFACE,
        process::PROCESS,
    },
    snapshot::{FORMAT, FilesystemSample, HostInfo, InterfaceSample, Process},
};

use super::SpanFigures;
use crate::fields::{arrays, figures, read, value};

/// Boot, pid and start: which process of a host.
pub(super) type Key = (String, u32, i64);

pub(super) fn host_sample(row: &Row<'_>) -> duckdb::Result<Snapshot> {
    let mut snapshot = Snapshot {
        format: FORMAT,
        captured_at_us: row.get("captured_at_us")?,
        boot_id: row.get("boot_id")?,
        run_id: row.get("run_id")?,
        sequence: row.get("sequence")?,
        interval_ms: row.get("interval_ms")?,
        monotonic_ms: row.get("monotonic_ms")?,
        processes_left_out: row.get("processes_left_out")?,
        clock_offset_us: row.get::<_, Option<i64>>("clock_offset_ms")?.map(|ms| ms.saturating_mul(1000)),
        texts_shortened: row.get::<_, Option<u32>>("texts_shortened")?.unwrap_or_default(),
        ..Snapshot::default()
    };
    read(row, AGENT.iter().enumerate(), |place, value| snapshot.agent.set(place, value))?;
    read(row, HOST.iter().enumerate(), |place, value| snapshot.host.set(place, value))?;
    Ok(snapshot)
}

/// The description of a host from some time on.
pub(super) struct Described {
    pub(super) captured_us: i64,
    pub(super) os_host_name: String,
    pub(super) agent_version: String,
    pub(super) info: HostInfo,
}

pub(super) fn host_info(row: &Row<'_>) -> duckdb::Result<Described> {
    let mut info = HostInfo::default();
    read(row, HOST_INFO.iter().enumerate(), |place, value| info.set(place, value))?;
    Ok(Described {
        captured_us: row.get("captured_at_us")?,
        os_host_name: row.get::<_, Option<_>>("os_host_name")?.unwrap_or_default(),
        agent_version: row.get::<_, Option<_>>("agent_version")?.unwrap_or_default(),
        info,
    })
}

/// When it was captured, and what.
pub(super) fn filesystem(row: &Row<'_>) -> duckdb::Result<(i64, FilesystemSample)> {
    let mut filesystem = FilesystemSample::default();
    read(row, FILESYSTEM.iter().enumerate(), |place, value| filesystem.set(place, value))?;
    Ok((row.get("captured_at_us")?, filesystem))
}

/// The same of an interface.
pub(super) fn interface(row: &Row<'_>) -> duckdb::Result<(i64, InterfaceSample)> {
    let mut interface = InterfaceSample::default();
    read(row, INTERFACE.iter().enumerate(), |place, value| interface.set(place, value))?;
    Ok((row.get("captured_at_us")?, interface))
}

/// A process with its identity and these facts, each with its place in the model's list; and since when it was this, in µs since
/// 1970 UTC.
pub(super) fn process(row: &Row<'_>, facts: &[(usize, &Field)]) -> duckdb::Result<(Key, (i64, Process))> {
    let mut process = Process::default();
    let identity = PROCESS.iter().enumerate().filter(|(_, field)| field.role == FieldRole::Identity);
    read(row, identity.chain(facts.iter().copied()), |place, value| process.set(place, value))?;
    let (pid, start) = process.key();
    Ok(((row.get("boot_id")?, pid, start), (row.get("facts_since_us")?, process)))
}

/// The process, from when to when, and its figures then.
pub(super) type Span = (Key, (i64, i64), SpanFigures);

/// The columns of spans in a batch, found once: a window has some ten thousand rows.
pub(super) struct Spans<'a> {
    boot_id: &'a StringArray,
    pid: &'a UInt32Array,
    /// Start in ticks; first and last capture, in µs since 1970 UTC.
    numbers: [&'a Int64Array; 3],
    /// Each with its index among the figures.
    figures: Vec<(usize, &'a dyn Array)>,
}

impl<'a> Spans<'a> {
    /// `None` where a column is missing or of another type.
    pub(super) fn of(batch: &'a RecordBatch) -> Option<Self> {
        let micros = |name| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        Some(Self {
            boot_id: batch.column_by_name("boot_id")?.as_string_opt()?,
            pid: batch.column_by_name("pid")?.as_primitive_opt()?,
            numbers: [
                micros("start_ticks")?,
                micros("first_captured_at_us")?,
                micros("last_captured_at_us")?,
            ],
            figures: arrays(batch, figures().enumerate()),
        })
    }

    /// A row; `None` where a value is NULL that never is.
    pub(super) fn row(&self, row: usize) -> Option<Span> {
        let is_whole = self.boot_id.is_valid(row)
            && self.pid.is_valid(row)
            && self.numbers.iter().all(|times| times.is_valid(row));
        if !is_whole {
            return None;
        }
        let [start, first_us, last_us] = self.numbers.map(|times| times.value(row));
        let mut figures = SpanFigures::default();
        for (index, array) in &self.figures {
            figures.set(*index, value(*array, row));
        }
        let key = (self.boot_id.value(row).to_owned(), self.pid.value(row), start);
        Some((key, (first_us, last_us), figures))
    }
}
