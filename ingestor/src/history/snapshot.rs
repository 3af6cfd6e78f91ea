//! Makes snapshots again from the rows that one segment has of them.

use std::{collections::HashMap, panic::resume_unwind, thread};

use duckdb::{Connection, Row, params_from_iter, types::Value};
use fleetps_nats::{
    HostName, Snapshot,
    snapshot::{AgentCost, FORMAT, FilesystemSample, HostInfo, HostSample, Process},
};

use super::{
    HistoryError,
    held::Held,
    reading::{Reading, floor_ms},
};

/// Boot, pid and start: which process of a host.
type Key = (String, u32, i64);

/// What a process was from one snapshot of its host to another, the same in all between.
struct ProcessSpan {
    key: Key,
    first_us: i64,
    last_us: i64,
    figures: Process,
}

/// What of the segment and host is read: everything between two moments (µs since 1970 UTC), both included.
struct Part<'a> {
    reading: &'a Reading<'a>,
    held: &'a Held,
    host: &'a HostName,
    first_us: i64,
    last_us: i64,
}

impl Reading<'_> {
    /// The snapshots of `host` with a process table that were captured from `first_us` to `last_us`, in order, as far as
    /// the segment has them. The processes of each are in the order of their pids. Where it is `described`, the last one says
    /// what the host is, and has its file systems.
    pub(super) fn snapshots(
        &self,
        held: &Held,
        host: &HostName,
        first_us: i64,
        last_us: i64,
        described: bool,
    ) -> Result<Vec<Snapshot>, HistoryError> {
        let part = Part { reading: self, held, host, first_us, last_us };
        let spans = part.question("process_span", include_str!("snapshot_spans.sql"));
        // Beside the others, which together take as long.
        let (rest, spans) = thread::scope(|scope| {
            let engine = &self.state.engine;
            let spans = scope
                .spawn(|| engine.with_connection(|connection| Ok(spans.rows(connection, process_span)?)));
            (part.without_processes(described), spans.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        let (mut snapshots, known) = rest?;
        for span in spans? {
            let within = snapshots
                .iter_mut()
                .skip_while(|snapshot| snapshot.captured_at_us < span.first_us)
                .take_while(|snapshot| snapshot.captured_at_us <= span.last_us)
                .filter(|snapshot| snapshot.boot_id == span.key.0);
            for snapshot in within {
                snapshot.processes.push(with_figures(known.get(&span.key), &span.figures));
            }
        }
        for snapshot in &mut snapshots {
            snapshot.processes.sort_by_key(|process| (process.pid, process.started_at_us));
        }
        Ok(snapshots)
    }
}

impl Part<'_> {
    /// The snapshots without their processes, and what hardly changes of these.
    fn without_processes(
        &self,
        described: bool,
    ) -> Result<(Vec<Snapshot>, HashMap<Key, Process>), HistoryError> {
        let connection = self.reading.connection;
        // In order here and not in SQL, where each sort of a few rows takes a millisecond.
        let mut snapshots =
            self.question("host_sample", include_str!("snapshot.sql")).rows(connection, host_sample)?;
        snapshots.sort_by_key(|snapshot| snapshot.captured_at_us);
        if let Some(last) = snapshots.last_mut().filter(|_| described) {
            self.describe(last)?;
        }
        let known =
            self.question("process", include_str!("snapshot_processes.sql")).rows(connection, process)?;
        Ok((snapshots, known.into_iter().collect()))
    }

    /// Adds what the host was when a snapshot was captured, and its file systems.
    fn describe(&self, snapshot: &mut Snapshot) -> Result<(), HistoryError> {
        let connection = self.reading.connection;
        let captured_us = snapshot.captured_at_us;
        let then = Part { first_us: captured_us, last_us: captured_us, ..*self };
        snapshot.filesystems = then
            .question("filesystem_sample", include_str!("snapshot_filesystems.sql"))
            .rows(connection, filesystem)?;
        snapshot.filesystems.sort_by(|a, b| a.mount.cmp(&b.mount));
        let mut infos = then
            .question_of_all_times("host_info", include_str!("snapshot_info.sql"))
            .rows(connection, host_info)?;
        infos.sort_by_key(|info| info.captured_us);
        // Of the last time that it was seen to change, or what is known of it first.
        let changes = infos.partition_point(|info| info.captured_us <= captured_us);
        if let Some(info) = infos.into_iter().nth(changes.saturating_sub(1)) {
            snapshot.os_host_name = info.os_host_name;
            snapshot.agent_version = info.agent_version;
            snapshot.host_info = info.info;
        }
        Ok(())
    }

    fn question(&self, table: &str, sql: &str) -> Question {
        let mut question = self.question_of_all_times(table, sql);
        question.values.extend([self.first_us, self.last_us].map(|us| Value::BigInt(floor_ms(us))));
        question
    }

    fn question_of_all_times(&self, table: &str, sql: &str) -> Question {
        let sql = sql.replace(&format!("${table}"), &self.reading.relation(table, &[self.held]));
        Question { sql, values: vec![Value::Text(self.host.to_string())] }
    }
}

/// A query, and what its parameters stand for.
struct Question {
    sql: String,
    values: Vec<Value>,
}

impl Question {
    fn rows<T>(
        &self,
        connection: &Connection,
        read: fn(&Row<'_>) -> duckdb::Result<T>,
    ) -> duckdb::Result<Vec<T>> {
        let mut statement = connection.prepare_cached(&self.sql)?;
        statement.query_map(params_from_iter(&self.values), read)?.collect()
    }
}

/// What hardly changes of a process, with what one snapshot says.
fn with_figures(known: Option<&Process>, figures: &Process) -> Process {
    let Some(known) = known.cloned() else { return figures.clone() };
    Process {
        state: figures.state,
        threads: figures.threads,
        cpu_percent: figures.cpu_percent,
        cpu_time_ms: figures.cpu_time_ms,
        resident_bytes: figures.resident_bytes,
        virtual_bytes: figures.virtual_bytes,
        read_bytes: figures.read_bytes,
        written_bytes: figures.written_bytes,
        ..known
    }
}

fn host_sample(row: &Row<'_>) -> duckdb::Result<Snapshot> {
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
struct Described {
    captured_us: i64,
    os_host_name: String,
    agent_version: String,
    info: HostInfo,
}

fn host_info(row: &Row<'_>) -> duckdb::Result<Described> {
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

fn filesystem(row: &Row<'_>) -> duckdb::Result<FilesystemSample> {
    Ok(FilesystemSample {
        mount: row.get(0)?,
        device: row.get(1)?,
        kind: row.get(2)?,
        total_bytes: row.get(3)?,
        used_bytes: row.get(4)?,
    })
}

fn process(row: &Row<'_>) -> duckdb::Result<(Key, Process)> {
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

/// In the order of `snapshot_spans.sql`.
fn process_span(row: &Row<'_>) -> duckdb::Result<ProcessSpan> {
    let figures = Process {
        pid: row.get(1)?,
        started_at_us: row.get(2)?,
        state: row.get::<_, String>(5)?.chars().next().unwrap_or('?'),
        threads: row.get(6)?,
        cpu_percent: row.get(7)?,
        cpu_time_ms: row.get(8)?,
        resident_bytes: row.get(9)?,
        virtual_bytes: row.get(10)?,
        read_bytes: row.get(11)?,
        written_bytes: row.get(12)?,
        ..Process::default()
    };
    let key = (row.get(0)?, figures.pid, figures.started_at_us);
    Ok(ProcessSpan { key, first_us: row.get(3)?, last_us: row.get(4)?, figures })
}
