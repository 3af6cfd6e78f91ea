//! What the event writer knew after the last sealed message, read back from the segments.

use std::{collections::HashMap, path::Path};

use askama::Template;
use duckdb::{Connection, Row, params};
use fleetps_nats::{
    HostName, error_chain,
    model::{
        host::{self, HOST_INFO},
        process::FACTS,
    },
    snapshot::Process,
};

use crate::{
    catalog::{Narrow, Rows, attach_empty, relation},
    events::{Detector, Event, EventKind, FORGET_AFTER_MS, KnownHost, LOOP_WINDOW_MS, StreamClock},
    fields,
    segment::{SegmentName, attach_segment, open_engine, verify_segment},
    stored_events::{self, read_event},
    template::render,
};

/// For the processes of a segment, and the events of a month.
const MEMORY_MIB: u64 = 1024;

/// The last snapshot of each host in a segment.
#[derive(Template)]
#[template(path = "intake/restore/last_snapshots.sql")]
struct LastSnapshotsSql<'a> {
    host_sample: &'a str,
    host_info: &'a str,
}

/// The processes of some of these.
#[derive(Template)]
#[template(path = "intake/restore/lives.sql")]
struct LivesSql<'a> {
    /// The samples of processes at the moments in the table `wanted`.
    process_sample: &'a str,
    process: &'a str,
}

/// The loops that began before the events that are read again, and how often they were started until now.
#[derive(Template)]
#[template(path = "intake/restore/loops.sql")]
struct LoopsSql<'a> {
    event: &'a str,
}

/// The detector as it was after the last message in `segments` of `folder`. Segments that cannot be read are left out: what
/// only they know is as if it had never been. Where nothing can be read, it knows no host: events are missing then, and
/// snapshots are stored all the same.
pub fn restore_detector(folder: &Path, segments: &[SegmentName]) -> Detector {
    let restored = restore(folder, segments).or_else(|error| {
        tracing::warn!("{}; looking for the segment that is at fault", error_chain(&error));
        let readable = |name: &&SegmentName| verify_segment(folder, name).is_ok();
        let readable: Vec<SegmentName> = segments.iter().filter(readable).copied().collect();
        restore(folder, &readable)
    });
    restored.unwrap_or_else(|error| {
        let error = error_chain(&error);
        tracing::error!("what happened while the ingestor was not running will not be told: {error}");
        Detector::default()
    })
}

fn restore(folder: &Path, segments: &[SegmentName]) -> duckdb::Result<Detector> {
    let engine = open_engine(MEMORY_MIB, 1, None)?;
    engine.execute_batch(&attach_empty())?;
    let mut segments: Vec<SegmentName> = segments.to_vec();
    segments.sort_by_key(|name| (name.epoch_s, name.last_sequence));
    let newest_s = segments.iter().map(|name| name.latest_stored_s()).max().unwrap_or_default();
    let oldest_s = newest_s.saturating_sub(FORGET_AFTER_MS / 1000);
    segments
        .retain(|name| name.latest_stored_s() >= oldest_s && attach_segment(&engine, folder, name).is_ok());
    let restoring = Restoring { engine, segments };
    let mut detector = Detector::default();
    let hosts = restoring.hosts(&mut detector)?;
    let clock = restoring.clock(&hosts)?;
    let silent = restoring.last_decided(EventKind::Silent)?;
    let two_agents = restoring.last_decided(EventKind::TwoAgents)?;
    let hosts = hosts.into_iter().map(|(host, mut known)| {
        known.is_silent = silent.get(&host).is_some_and(|decided_ms| *decided_ms > known.stored_ms);
        known.two_told_ms = two_agents.get(&host).copied();
        (host, known)
    });
    detector.restore(clock, hosts.collect());
    for event in restoring.recent(clock)? {
        detector.replay(&event);
    }
    for (begun, lives) in restoring.loops(clock)? {
        detector.replay_loop(&begun, lives);
    }
    Ok(detector)
}

struct Restoring {
    engine: Connection,
    /// In the order of the stream; all are attached.
    segments: Vec<SegmentName>,
}

impl Restoring {
    /// Every host as its last snapshot had it.
    fn hosts(&self, detector: &mut Detector) -> duckdb::Result<HashMap<HostName, KnownHost>> {
        let mut found: HashMap<HostName, KnownHost> = HashMap::new();
        self.engine.execute_batch("CREATE TEMP TABLE wanted (host VARCHAR, captured_at TIMESTAMP_MS)")?;
        for name in self.segments.iter().rev() {
            let sql = LastSnapshotsSql {
                host_sample: &relation(Rows::Of("host_sample"), [name]),
                host_info: &relation(Rows::Of("host_info"), [name]),
            };
            let mut statement = self.engine.prepare(&render(&sql))?;
            let rows = statement.query_map([], known_host)?.collect::<duckdb::Result<Vec<_>>>()?;
            let new: HashMap<HostName, KnownHost> =
                rows.into_iter().flatten().filter(|(host, _)| !found.contains_key(host)).collect();
            if new.is_empty() {
                continue;
            }
            let with_lives = self.with_lives(detector, name, new)?;
            found.extend(with_lives);
        }
        Ok(found)
    }

    /// Adds the processes that these hosts had in their last snapshot, which is in the segment `name`.
    fn with_lives(
        &self,
        detector: &mut Detector,
        name: &SegmentName,
        mut hosts: HashMap<HostName, KnownHost>,
    ) -> duckdb::Result<HashMap<HostName, KnownHost>> {
        self.engine.execute_batch("DELETE FROM wanted")?;
        let mut appender = self.engine.appender_to_catalog_and_db("wanted", "temp", "main")?;
        for (host, known) in &hosts {
            let at = duckdb::types::Value::Timestamp(duckdb::types::TimeUnit::Millisecond, known.captured_ms);
            appender.append_row(params![host.as_str(), at])?;
        }
        appender.flush()?;
        drop(appender);
        let sql = LivesSql {
            process_sample: &relation(Rows::SamplesAt("wanted", Narrow::default()), [name]),
            process: &relation(Rows::Of("process"), [name]),
        };
        let mut statement = self.engine.prepare(&render(&sql))?;
        let mut rows = statement.query([])?;
        let mut lives: HashMap<HostName, Vec<Process>> = HashMap::new();
        while let Some(row) = rows.next()? {
            if let Some((host, process)) = living(row)? {
                lives.entry(host).or_default().push(process);
            }
        }
        for (host, processes) in lives {
            if let Some(known) = hosts.get_mut(&host) {
                detector.set_lives(known, &processes);
            }
        }
        Ok(hosts)
    }

    /// The time of the stream after the last sealed message.
    fn clock(&self, hosts: &HashMap<HostName, KnownHost>) -> duckdb::Result<StreamClock> {
        let heard_ms = hosts.values().map(|known| known.stored_ms).max();
        let clock = stored_events::last_clock(&self.engine, &self.segments)?;
        Ok(StreamClock { now_ms: clock.now_ms.or(heard_ms), ..clock })
    }

    /// When an event of this kind was last decided of each host, in ms since 1970 UTC.
    fn last_decided(&self, kind: EventKind) -> duckdb::Result<HashMap<HostName, i64>> {
        let event = relation(Rows::Of("event"), &self.segments);
        let sql = format!(
            "SELECT host, epoch_ms(max(decided_at)) AS decided_ms FROM {event} WHERE kind = '{}' GROUP BY host",
            kind.id()
        );
        let mut statement = self.engine.prepare(&sql)?;
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, String>("host")?, row.get::<_, i64>("decided_ms")?)))?;
        let rows = rows.collect::<duckdb::Result<Vec<_>>>()?;
        Ok(rows.into_iter().filter_map(|(host, decided_ms)| Some((host.parse().ok()?, decided_ms))).collect())
    }

    /// The events by which a loop may be found, of the time that counts, in the order of the stream.
    fn recent(&self, clock: StreamClock) -> duckdb::Result<Vec<Event>> {
        let from_ms = clock.now_ms.unwrap_or_default().saturating_sub(LOOP_WINDOW_MS);
        let lately: Vec<&SegmentName> =
            self.segments.iter().filter(|name| name.latest_stored_s() >= from_ms / 1000).collect();
        let event = relation(Rows::Of("event"), lately);
        let sql = format!(
            "SELECT {} FROM {event} WHERE decided_at >= make_timestamp_ms({from_ms}::BIGINT)::TIMESTAMP_MS \
             AND (supervisor IS NOT NULL OR kind = 'exited') ORDER BY stream_created, sequence, number",
            stored_events::COLUMNS
        );
        let mut statement = self.engine.prepare(&sql)?;
        let events = statement.query_map([], read_event)?.collect::<duckdb::Result<Vec<_>>>()?;
        Ok(events.into_iter().flatten().collect())
    }

    /// The loops that may still go on and began before that time, each with how often it was started until now.
    fn loops(&self, clock: StreamClock) -> duckdb::Result<Vec<(Event, u32)>> {
        let from_ms = clock.now_ms.unwrap_or_default().saturating_sub(LOOP_WINDOW_MS);
        let sql = render(&LoopsSql { event: &relation(Rows::Of("event"), &self.segments) });
        let mut statement = self.engine.prepare(&sql)?;
        let rows =
            statement.query_map([from_ms], |row| Ok((read_event(row)?, row.get::<_, u32>("starts")?)))?;
        let rows = rows.collect::<duckdb::Result<Vec<_>>>()?;
        Ok(rows.into_iter().filter_map(|(begun, lives)| Some((begun?, lives))).collect())
    }
}

fn known_host(row: &Row<'_>) -> duckdb::Result<Option<(HostName, KnownHost)>> {
    // Always a host's name, unless another program wrote the file.
    let Ok(host) = row.get::<_, String>("host")?.parse() else { return Ok(None) };
    let mut known = KnownHost {
        boot_id: row.get("boot_id")?,
        run_id: row.get("run_id")?,
        captured_ms: row.get("captured_ms")?,
        stored_ms: row.get("stored_ms")?,
        monotonic_ms: row.get("monotonic_ms")?,
        interval_ms: row.get("interval_ms")?,
        clock_offset_ms: row.get("clock_offset_ms")?,
        left_out: row.get::<_, Option<u32>>("processes_left_out")?.unwrap_or_default(),
        agent_version: row.get::<_, Option<String>>("agent_version")?.unwrap_or_default(),
        os_host_name: row.get::<_, Option<String>>("os_host_name")?.unwrap_or_default(),
        ..KnownHost::default()
    };
    fields::read(row, HOST_INFO.iter().enumerate(), |place, value| known.info.set(place, value))?;
    Ok(Some((host, known)))
}

fn living(row: &Row<'_>) -> duckdb::Result<Option<(HostName, Process)>> {
    let Ok(host) = row.get::<_, String>("host")?.parse() else { return Ok(None) };
    let (cpu_time_ms, resident_bytes) = (row.get("cpu_time_ms")?, row.get("resident_bytes")?);
    let (pid, started_at_us) = (row.get("pid")?, row.get("started_at_us")?);
    let start_ticks = row.get::<_, i64>("start_ticks")?.try_into().ok();
    let mut process =
        Process { pid, start_ticks, started_at_us, cpu_time_ms, resident_bytes, ..Process::default() };
    fields::read(row, FACTS.into_iter().zip(fields::facts()), |place, value| process.set(place, value))?;
    Ok(Some((host, process)))
}
