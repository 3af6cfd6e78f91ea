//! The columns of each table of a segment, by the version of its schema.

use fleetps_nats::model::{
    filesystem::FILESYSTEM,
    host::{AGENT, HOST, HOST_INFO},
    interface::INTERFACE,
};

use crate::{
    fields::{columns_in, facts, figures, stored, worked_out},
    segment::{
        EVENTS_SINCE_VERSION, STORED_START, STORED_TIMES, TICKS_SINCE_VERSION, sql_read_start, sql_read_times,
    },
};

/// Since then, `host_sample` says which samples have processes, and there is `process_hour`.
pub(super) const HOURS_SINCE_VERSION: u32 = 2;
/// Since then, samples of processes are kept as spans.
pub(super) const SPANS_SINCE_VERSION: u32 = 4;
/// The identity of a process, and when it started by the host's clock.
pub(super) const IDENTITY: &str = "host, boot_id, pid, start_ticks, started_at";
/// The start of a process in ticks, where a segment has only the time. Agents derived that from the boot, so it is a whole
/// number of ticks after one of the boots that its host told of. Elsewhere the time is what a process is known by.
const TICKS_OF_TIME: &str = "coalesce((epoch_us(started_at) - list_filter(boots, lambda boot_us: \
    boot_us <= epoch_us(started_at) AND (epoch_us(started_at) - boot_us) % 10000 = 0)[1]) // 10000, -1 - epoch_us(started_at))";
/// Of `process_hour`, behind the identity.
const HOUR_COLUMNS: &str = "hour, samples, first_captured_at, last_captured_at, \
    cpu_percent_max, cpu_time_first_ms, cpu_time_last_ms, resident_samples, resident_bytes_sum, resident_bytes_max, \
    read_bytes_first, read_bytes_last, written_bytes_first, written_bytes_last";
/// Of `segment`.
const SEGMENT_COLUMNS: &str = "partition, stream_created, first_sequence, last_sequence, first_captured_at, \
    last_captured_at, level, \"rows\", schema_version, writer";

/// The columns of a table as the latest version stores them, and those that are worked out from them; `None` for one that is
/// stored as it is read.
pub(super) fn packing(table: &str) -> Option<(String, String)> {
    let (start, read) = (format!("host, boot_id, pid, {STORED_START}"), sql_read_start());
    let with_facts = |times: &str| {
        let worked_out = std::iter::once(read.clone()).chain(worked_out(facts()));
        (format!("{start}, {}, {times}", stored(facts())), worked_out.collect::<Vec<_>>().join(", "))
    };
    Some(match table {
        "process" => with_facts("first_seen, last_seen, facts_since"),
        "process_earlier" => with_facts("facts_since, last_seen"),
        "process_span" => {
            let worked_out = [read, sql_read_times()].into_iter().chain(worked_out(figures()));
            (
                format!("{start}, {STORED_TIMES}, snapshots, {}", stored(figures())),
                worked_out.collect::<Vec<_>>().join(", "),
            )
        }
        "process_hour" => (format!("{start}, {HOUR_COLUMNS}, ended_children_cpu_ms, shared_bytes_sum"), read),
        _ => return None,
    })
}

/// The columns of a table as a segment of `schema_version` has them: by name, so that a column that is more in one file
/// shifts no other, and NULL for what a later version added.
pub(super) fn columns_of(table: &str, schema_version: u32) -> String {
    let identity = &identity_in(schema_version);
    match table {
        "segment" if schema_version < EVENTS_SINCE_VERSION => format!(
            "{SEGMENT_COLUMNS}, NULL::TIMESTAMP_MS AS last_stored_at, NULL::TIMESTAMP_MS AS silence_from"
        ),
        "segment" => format!("{SEGMENT_COLUMNS}, last_stored_at, silence_from"),
        "event" => format!(
            "occurred_at, kind, host, name, {}, command_line, user_name, unit, parent_pid, parent_name, supervisor, \
             instances, cpu_time_ms, resident_bytes, length_ms, lives, since, change, decided_at, partition, \
             stream_created, sequence, number",
            identity.trim_start_matches("host, ")
        ),
        "gap" => "partition, stream_created, first_sequence, last_sequence, noticed_at, reason".to_owned(),
        "host_info" => {
            let info = columns_in(&HOST_INFO, schema_version);
            format!("host, captured_at, os_host_name, {info}, agent_version")
        }
        "host_sample" => {
            let (host, agent) = (columns_in(&HOST, schema_version), columns_in(&AGENT, schema_version));
            let shortened = if schema_version < TICKS_SINCE_VERSION { "NULL::UINTEGER AS " } else { "" };
            format!(
                "host, boot_id, run_id, sequence, captured_at, stored_at, interval_ms, monotonic_ms, {host}, \
                 processes_left_out, {shortened}texts_shortened, {agent}"
            )
        }
        "filesystem_sample" => format!("host, captured_at, {}", columns_in(&FILESYSTEM, schema_version)),
        "interface_sample" => format!("host, captured_at, {}", columns_in(&INTERFACE, schema_version)),
        "process" => {
            let since = if schema_version < TICKS_SINCE_VERSION {
                "first_seen AS facts_since"
            } else {
                "facts_since"
            };
            let facts = columns_in(facts(), schema_version);
            format!("{identity}, {facts}, first_seen, last_seen, {since}")
        }
        "process_earlier" => {
            format!("{identity}, {}, facts_since, last_seen", columns_in(facts(), schema_version))
        }
        "process_span" => {
            let figures = columns_in(figures(), schema_version);
            format!("{identity}, first_captured_at, last_captured_at, snapshots, {figures}")
        }
        "capture" => "host, number, captured_at".to_owned(),
        "process_hour" if schema_version < TICKS_SINCE_VERSION => format!(
            "{identity}, {HOUR_COLUMNS}, NULL::BIGINT AS ended_children_cpu_ms, NULL::BIGINT AS shared_bytes_sum"
        ),
        "process_hour" => format!("{identity}, {HOUR_COLUMNS}, ended_children_cpu_ms, shared_bytes_sum"),
        _ => "*".to_owned(),
    }
}

/// The columns of [`IDENTITY`] as a segment of `schema_version` has them.
pub(super) fn identity_in(schema_version: u32) -> String {
    match schema_version < TICKS_SINCE_VERSION {
        true => format!("host, boot_id, pid, {TICKS_OF_TIME} AS start_ticks, started_at"),
        false => IDENTITY.to_owned(),
    }
}
