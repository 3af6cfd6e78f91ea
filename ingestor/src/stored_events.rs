//! Reads what the event writer left in segments: events, from rows of the table `event`, and the time of the stream.

use duckdb::{Connection, Row};

use crate::{
    catalog::{Rows, relation},
    events::{Event, EventKind, EventPlace, EventProcess, EventProgram, StreamClock},
    segment::SegmentName,
};

/// The time of the stream after the last message of `segments`, which are attached and in its order.
pub(crate) fn last_clock(engine: &Connection, segments: &[SegmentName]) -> duckdb::Result<StreamClock> {
    let Some(last) = segments.last() else { return Ok(StreamClock::default()) };
    let segment = relation(Rows::Of("segment"), [last]);
    let sql = format!(
        "SELECT epoch_ms(last_stored_at) AS now_ms, epoch_ms(silence_from) AS counted_from_ms FROM {segment}"
    );
    engine.query_row(&sql, [], |row| {
        Ok(StreamClock { now_ms: row.get("now_ms")?, counted_from_ms: row.get("counted_from_ms")? })
    })
}

/// What [`read_event`] reads, as a list to select.
pub(crate) const COLUMNS: &str = "epoch_us(occurred_at) AS at_us, kind, host, name, boot_id, pid, \
    start_ticks, epoch_us(started_at) AS started_at_us, command_line, user_name, unit, parent_pid, parent_name, supervisor, instances, \
    cpu_time_ms, resident_bytes, length_ms, lives, epoch_us(since) AS since_us, change, \
    epoch_us(decided_at) AS decided_at_us, partition, epoch(stream_created)::BIGINT AS epoch_s, sequence, number";

/// The event in a row of [`COLUMNS`]; `None` where a later version or another program wrote what this one does not know.
///
/// # Errors
/// When the row lacks a column.
pub(crate) fn read_event(row: &Row<'_>) -> duckdb::Result<Option<Event>> {
    let kind = row.get::<_, Option<String>>("kind")?.and_then(|id| EventKind::of_id(&id));
    let host = row.get::<_, Option<String>>("host")?.and_then(|host| host.parse().ok());
    let (Some(kind), Some(host)) = (kind, host) else { return Ok(None) };
    let process = row.get::<_, Option<String>>("boot_id")?.zip(row.get::<_, Option<u32>>("pid")?);
    let start = row.get::<_, Option<i64>>("start_ticks")?.zip(row.get::<_, Option<i64>>("started_at_us")?);
    Ok(Some(Event {
        place: EventPlace {
            partition: row.get::<_, Option<u32>>("partition")?.unwrap_or_default(),
            epoch_s: row.get::<_, Option<i64>>("epoch_s")?.unwrap_or_default(),
            sequence: row.get::<_, Option<u64>>("sequence")?.unwrap_or_default(),
            number: row.get::<_, Option<u32>>("number")?.unwrap_or_default(),
        },
        at_us: row.get::<_, Option<i64>>("at_us")?.unwrap_or_default(),
        decided_at_us: row.get::<_, Option<i64>>("decided_at_us")?.unwrap_or_default(),
        kind,
        host,
        process: process.zip(start).map(|((boot_id, pid), (start, started_at_us))| EventProcess {
            boot_id,
            pid,
            start,
            started_at_us,
        }),
        program: program(row)?,
        parent_pid: row.get("parent_pid")?,
        supervisor: row.get("supervisor")?,
        instances: row.get("instances")?,
        cpu_time_ms: row.get("cpu_time_ms")?,
        resident_bytes: row.get("resident_bytes")?,
        length_ms: row.get("length_ms")?,
        lives: row.get("lives")?,
        since_us: row.get("since_us")?,
        change: row.get("change")?,
    }))
}

fn program(row: &Row<'_>) -> duckdb::Result<Option<EventProgram>> {
    let Some(name) = row.get::<_, Option<String>>("name")? else { return Ok(None) };
    Ok(Some(EventProgram {
        name,
        command_line: row.get("command_line")?,
        user_name: row.get("user_name")?,
        unit: row.get("unit")?,
        parent_name: row.get("parent_name")?,
    }))
}
