//! The rows of the tables that a window is read from, by the names of their columns.

use arrow::{
    array::{Array, RecordBatch},
    datatypes::{Int64Type, UInt32Type},
};
use duckdb::Row;
use fleetps_nats::{
    Snapshot,
    model::{
        Role,
        host::{AGENT, HOST, HOST_INFO},
        process::{FIGURES, PROCESS},
    },
    snapshot::{FORMAT, FilesystemSample, HostInfo, Process},
};

use super::Figures;
use crate::{
    fields::{arrays, figures, read, value},
    history::columns::{number_of, text_of},
};

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
    let filesystem = FilesystemSample {
        mount: row.get("mount")?,
        device: row.get("device")?,
        kind: row.get("kind")?,
        total_bytes: row.get("total_bytes")?,
        used_bytes: row.get("used_bytes")?,
    };
    Ok((row.get("captured_at_us")?, filesystem))
}

/// A process without its figures.
pub(super) fn process(row: &Row<'_>) -> duckdb::Result<(Key, Process)> {
    let mut process = Process::default();
    let all = PROCESS.iter().enumerate().filter(|(_, field)| field.role != Role::Figure);
    read(row, all, |place, value| process.set(place, value))?;
    Ok(((row.get("boot_id")?, process.pid, process.started_at_us), process))
}

/// The process, from when to when, and its figures then.
pub(super) type Span = (Key, (i64, i64), Figures);

/// The columns of spans in a batch.
pub(super) struct Spans<'a> {
    batch: &'a RecordBatch,
    figures: Vec<(usize, &'a dyn Array)>,
}

impl<'a> Spans<'a> {
    pub(super) fn of(batch: &'a RecordBatch) -> Self {
        Self { batch, figures: arrays(batch, FIGURES.into_iter().zip(figures())) }
    }

    /// A row; `None` where a column is not there that always is.
    pub(super) fn row(&self, row: usize) -> Option<Span> {
        let micros = |column| number_of::<Int64Type>(self.batch, column, row);
        let key = (
            text_of(self.batch, "boot_id", row)?.to_owned(),
            number_of::<UInt32Type>(self.batch, "pid", row)?,
            micros("started_at_us")?,
        );
        let captured_us = (micros("first_captured_at_us")?, micros("last_captured_at_us")?);
        let mut figures = Figures::default();
        for (place, array) in &self.figures {
            figures.set(*place, value(*array, row));
        }
        Some((key, captured_us, figures))
    }
}
