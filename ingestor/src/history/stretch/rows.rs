//! The rows of the tables that a stretch is read from, in the order of its queries.

use arrow::{
    array::RecordBatch,
    datatypes::{Float32Type, Int64Type, UInt32Type},
};
use duckdb::Row;
use fleetps_nats::{
    Snapshot,
    snapshot::{AgentCost, FORMAT, FilesystemSample, HostInfo, HostSample, Process},
};

use super::Figures;
use crate::history::columns::{number, text};

/// Boot, pid and start: which process of a host.
pub(super) type Key = (String, u32, i64);

pub(super) fn host_sample(row: &Row<'_>) -> duckdb::Result<Snapshot> {
    Ok(Snapshot {
        format: FORMAT,
        captured_at_us: row.get(0)?,
        boot_id: row.get(1)?,
        run_id: row.get(2)?,
        sequence: row.get(3)?,
        interval_ms: row.get(4)?,
        monotonic_ms: row.get(5)?,
        processes_left_out: row.get(6)?,
        agent: AgentCost {
            cpu_time_ms: row.get(7)?,
            resident_bytes: row.get(8)?,
            pass_us: row.get(9)?,
            dropped_snapshots: row.get(10)?,
        },
        host: HostSample {
            cpu_percent: row.get(11)?,
            load_1: row.get(12)?,
            load_5: row.get(13)?,
            load_15: row.get(14)?,
            memory_total_bytes: row.get(15)?,
            memory_used_bytes: row.get(16)?,
            memory_available_bytes: row.get(17)?,
            swap_total_bytes: row.get(18)?,
            swap_used_bytes: row.get(19)?,
            disk_read_bytes: row.get(20)?,
            disk_written_bytes: row.get(21)?,
            network_received_bytes: row.get(22)?,
            network_sent_bytes: row.get(23)?,
            process_count: row.get(24)?,
            thread_count: row.get(25)?,
            uptime_s: row.get(26)?,
        },
        ..Snapshot::default()
    })
}

/// What a host was from some moment on.
pub(super) struct Described {
    pub(super) captured_us: i64,
    pub(super) os_host_name: String,
    pub(super) agent_version: String,
    pub(super) info: HostInfo,
}

pub(super) fn host_info(row: &Row<'_>) -> duckdb::Result<Described> {
    let info = HostInfo {
        os: row.get(3)?,
        kernel: row.get(4)?,
        architecture: row.get(5)?,
        cpu_model: row.get(6)?,
        cores: row.get(7)?,
        threads: row.get(8)?,
        frequency_mhz: row.get(9)?,
        memory_bytes: row.get(10)?,
        boot_at_us: row.get(11)?,
    };
    Ok(Described {
        captured_us: row.get(0)?,
        os_host_name: row.get::<_, Option<_>>(1)?.unwrap_or_default(),
        agent_version: row.get::<_, Option<_>>(2)?.unwrap_or_default(),
        info,
    })
}

/// When it was captured, and what.
pub(super) fn filesystem(row: &Row<'_>) -> duckdb::Result<(i64, FilesystemSample)> {
    let filesystem = FilesystemSample {
        mount: row.get(1)?,
        device: row.get(2)?,
        kind: row.get(3)?,
        total_bytes: row.get(4)?,
        used_bytes: row.get(5)?,
    };
    Ok((row.get(0)?, filesystem))
}

/// A process without its figures.
pub(super) fn process(row: &Row<'_>) -> duckdb::Result<(Key, Process)> {
    let process = Process {
        pid: row.get(1)?,
        started_at_us: row.get(2)?,
        parent_pid: row.get(3)?,
        name: row.get(4)?,
        executable: row.get(5)?,
        command_line: row.get(6)?,
        user_name: row.get(7)?,
        unit: row.get(8)?,
        container: row.get(9)?,
        ..Process::default()
    };
    Ok(((row.get(0)?, process.pid, process.started_at_us), process))
}

/// Of which process, from when to when, and what it was then.
pub(super) type Span = (Key, (i64, i64), Figures);

/// By columns: a stretch has some ten thousand. `None` where one is not there that always is.
pub(super) fn span(batch: &RecordBatch, row: usize) -> Option<Span> {
    let count = |column| u64::try_from(number::<Int64Type>(batch, column, row)?).ok();
    let key = (
        text(batch, 0, row)?.to_owned(),
        number::<UInt32Type>(batch, 1, row)?,
        number::<Int64Type>(batch, 2, row)?,
    );
    let captured_us = (number::<Int64Type>(batch, 3, row)?, number::<Int64Type>(batch, 4, row)?);
    let figures = Figures {
        state: text(batch, 5, row).and_then(|state| state.chars().next()).unwrap_or('?'),
        threads: number::<UInt32Type>(batch, 6, row),
        cpu_percent: number::<Float32Type>(batch, 7, row),
        cpu_time_ms: count(8),
        resident_bytes: count(9),
        virtual_bytes: count(10),
        read_bytes: count(11),
        written_bytes: count(12),
    };
    Some((key, captured_us, figures))
}
