//! Reads a window.

use std::{collections::HashMap, panic::resume_unwind, thread};

use askama::Template;
use duckdb::{Connection, Row, Statement, params_from_iter, types::Value};
use fleetps_nats::{
    HostName, Snapshot,
    model::{Field, filesystem, host, interface},
    snapshot::Process,
};

use super::{
    KnownProcess, ProcessSpan, RowLimits, SnapshotWindow, Sweep,
    rows::{self, Key},
};
use crate::{
    catalog::SegmentIndex,
    fields,
    history::{HistoryError, reading::Reading},
    query::RowCount,
    template::render,
    time::floor_ms,
};

/// A process with its identity, and since when it was this, in µs since 1970 UTC.
type SeenProcess = (Key, (i64, Process));

/// The spans of a host's processes between two moments.
#[derive(Template)]
#[template(path = "history/read_ahead/spans.sql")]
struct SpansSql<'a> {
    process_span: &'a str,
    figures: Vec<&'a Field>,
    /// The condition of spans that are wanted.
    condition: Option<&'a str>,
    /// The condition of spans whose processes are wanted, where not all are.
    relevant: Option<&'a str>,
}

/// The samples of a host between two moments.
#[derive(Template)]
#[template(path = "history/read_ahead/samples.sql")]
struct SamplesSql<'a> {
    host_sample: &'a str,
}

/// The filesystems of a host between two moments.
#[derive(Template)]
#[template(path = "history/read_ahead/filesystems.sql")]
struct FilesystemsSql<'a> {
    filesystem_sample: &'a str,
}

/// The network interfaces of a host between two moments.
#[derive(Template)]
#[template(path = "history/read_ahead/interfaces.sql")]
struct InterfacesSql<'a> {
    interface_sample: &'a str,
}

/// What a host is, at all times.
#[derive(Template)]
#[template(path = "history/read_ahead/infos.sql")]
struct InfosSql<'a> {
    host_info: &'a str,
}

/// The processes of a host between two moments.
#[derive(Template)]
#[template(path = "history/read_ahead/processes.sql")]
struct ProcessesSql<'a> {
    process_history: &'a str,
    facts: Vec<&'a Field>,
}

impl Reading<'_> {
    /// Reads what a segment has of `host` from one moment to another, or `None` where that reaches `limits`.
    pub(super) fn read_window(
        &self,
        segment: &SegmentIndex,
        host: &HostName,
        (first_us, last_us): (i64, i64),
        limits: RowLimits,
    ) -> Result<Option<SnapshotWindow>, HistoryError> {
        let part = Part { reading: self, segment, host, first_us, last_us, limits };
        let figures = fields::figures().collect();
        let spans = SpansSql {
            process_span: &part.relation("process_span")?,
            figures,
            condition: None,
            relevant: None,
        };
        let spans = part.question(&spans, Some(limits.spans));
        // Beside the others, which together take as long.
        let (rest, spans) = thread::scope(|scope| {
            let (engine, budget) = (&self.state.engine, self.budget);
            let spans = scope.spawn(|| {
                engine.with_connection(budget, |pooled| {
                    let mut statement = pooled.connection.prepare_cached(&spans.sql)?;
                    read_spans(&mut statement, &spans.values, &mut budget.count_rows())
                })
            });
            let rest = part.snapshots(true, true).and_then(|snapshots| Ok((snapshots, part.processes()?)));
            (rest, spans.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        let ((snapshots, phases), spans) = (rest?, spans?);
        let filesystems = snapshots.iter().map(|snapshot| snapshot.filesystems.len()).sum();
        let interfaces = snapshots.iter().map(|snapshot| snapshot.interfaces.len()).sum();
        if spans.len() >= limits.spans || phases.len().max(filesystems).max(interfaces) >= limits.texts {
            return Ok(None);
        }
        let (processes, spans) = KnownProcesses::of(phases).with(spans);
        Ok(Some(SnapshotWindow { first_us, last_us, snapshots, processes, spans }))
    }
}

impl Reading<'_> {
    /// The snapshots of `host` in a segment from one moment to another, in the order of time, with what is `wanted` of them and
    /// without interfaces.
    pub(in crate::history) fn snapshots_between(
        &self,
        segment: &SegmentIndex,
        host: &HostName,
        (first_us, last_us): (i64, i64),
        wanted: Wanted<'_>,
    ) -> Result<Sweep, HistoryError> {
        let limits = RowLimits::ALL;
        let part = Part { reading: self, segment, host, first_us, last_us, limits };
        let snapshots = part.snapshots(wanted.filesystems, false)?;
        let (mut processes, mut spans) = (Vec::new(), Vec::new());
        if wanted.processes {
            (processes, spans) = part.spans(wanted.relevant)?;
        }
        Ok(Sweep::of(SnapshotWindow { first_us, last_us, snapshots, processes, spans }))
    }
}

/// Processes, and the place of each.
#[derive(Default)]
pub(super) struct KnownProcesses {
    places: HashMap<Key, usize>,
    all: Vec<KnownProcess>,
}

impl KnownProcesses {
    /// Those of which these are the phases, in any order.
    pub(super) fn of(phases: Vec<(Key, (i64, Process))>) -> Self {
        let mut processes = Self::default();
        for (key, phase) in phases {
            let place = processes.place_or_new(key);
            if let Some(known) = processes.all.get_mut(place) {
                known.phases.push(phase);
            }
        }
        for known in &mut processes.all {
            known.phases.sort_by_key(|(since_us, _)| *since_us);
        }
        processes
    }

    /// The processes with these spans.
    pub(super) fn with(mut self, spans: Vec<rows::Span>) -> (Vec<KnownProcess>, Vec<ProcessSpan>) {
        let place = |(key, (first_us, last_us), figures)| ProcessSpan {
            process: self.place(key),
            first_us,
            last_us,
            figures,
        };
        let spans = spans.into_iter().map(place).collect();
        (self.all, spans)
    }

    /// The place of a process. Every span has its process, unless another program wrote the file.
    fn place(&mut self, key: Key) -> usize {
        let (_, pid, start) = key;
        let place = self.place_or_new(key);
        if let Some(known) = self.all.get_mut(place).filter(|known| known.phases.is_empty()) {
            let process = Process { pid, start_ticks: start.try_into().ok(), ..Process::default() };
            known.phases.push((i64::MIN, process));
        }
        place
    }

    fn place_or_new(&mut self, key: Key) -> usize {
        let all = &mut self.all;
        *self.places.entry(key).or_insert_with_key(|(boot_id, ..)| {
            all.push(KnownProcess { boot_id: boot_id.clone(), phases: Vec::new() });
            all.len() - 1
        })
    }
}

fn read_spans(
    statement: &mut Statement<'_>,
    values: &[Value],
    count: &mut RowCount,
) -> Result<Vec<rows::Span>, HistoryError> {
    let mut spans = Vec::new();
    for batch in statement.query_arrow(params_from_iter(values))? {
        count.add(batch.num_rows())?;
        let Some(columns) = rows::Spans::of(&batch) else { continue };
        spans.extend((0..batch.num_rows()).filter_map(|row| columns.row(row)));
    }
    Ok(spans)
}

/// What is read of snapshots.
#[derive(Debug, Clone, Copy)]
pub(in crate::history) struct Wanted<'a> {
    pub(in crate::history) filesystems: bool,
    pub(in crate::history) processes: bool,
    /// The SQL condition that some span of a process must meet; all processes are read where there is none.
    pub(in crate::history) relevant: Option<&'a str>,
}

/// The rows to read of a segment and host: everything between two times (µs since 1970 UTC), both included.
pub(super) struct Part<'a> {
    pub(super) reading: &'a Reading<'a>,
    pub(super) segment: &'a SegmentIndex,
    pub(super) host: &'a HostName,
    pub(super) first_us: i64,
    pub(super) last_us: i64,
    pub(super) limits: RowLimits,
}

impl Part<'_> {
    /// The snapshots without their processes, in the order of time.
    fn snapshots(
        &self,
        with_filesystems: bool,
        with_interfaces: bool,
    ) -> Result<Vec<Snapshot>, HistoryError> {
        let samples = SamplesSql { host_sample: &self.relation("host_sample")? };
        let mut snapshots = self.rows(&samples, None, rows::host_sample)?;
        // Here and not in SQL, where each sort of a few rows takes a millisecond.
        snapshots.sort_by_key(|snapshot| snapshot.captured_at_us);
        let (mut filesystems, mut interfaces) = (HashMap::new(), HashMap::new());
        if with_filesystems {
            let all = FilesystemsSql { filesystem_sample: &self.relation("filesystem_sample")? };
            filesystems = self.by_moment(&all, rows::filesystem)?;
        }
        if with_interfaces {
            let all = InterfacesSql { interface_sample: &self.relation("interface_sample")? };
            interfaces = self.by_moment(&all, rows::interface)?;
        }
        let infos = self.question_of_all_times(&InfosSql { host_info: &self.relation("host_info")? });
        let mut infos = infos.rows(self.reading.connection, rows::host_info)?;
        infos.sort_by_key(|info| info.captured_us);
        for snapshot in &mut snapshots {
            snapshot.filesystems = filesystems.remove(&snapshot.captured_at_us).unwrap_or_default();
            snapshot.filesystems.sort_by(|a, b| a.mount.cmp(&b.mount));
            snapshot.interfaces = interfaces.remove(&snapshot.captured_at_us).unwrap_or_default();
            snapshot.interfaces.sort_by(|a, b| a.name.cmp(&b.name));
            // The facts of the last change before it, else the first known ones.
            let changes = infos.partition_point(|info| info.captured_us <= snapshot.captured_at_us);
            if let Some(info) = infos.get(changes.saturating_sub(1)) {
                snapshot.os_host_name.clone_from(&info.os_host_name);
                snapshot.agent_version.clone_from(&info.agent_version);
                snapshot.host_info.clone_from(&info.info);
            }
        }
        Ok(snapshots)
    }

    /// The processes of which some span is `relevant`, and their spans with all figures.
    fn spans(&self, relevant: Option<&str>) -> Result<(Vec<KnownProcess>, Vec<ProcessSpan>), HistoryError> {
        let count = &mut self.reading.budget.count_rows();
        let spans = self.rows_of_spans(fields::figures().collect(), None, relevant, count)?;
        match spans.is_empty() {
            true => Ok((Vec::new(), Vec::new())),
            false => Ok(KnownProcesses::of(self.processes()?).with(spans)),
        }
    }

    /// The spans between two times that meet these conditions, in any order; `count` has the rows that the question holds.
    pub(super) fn rows_of_spans(
        &self,
        figures: Vec<&Field>,
        condition: Option<&str>,
        relevant: Option<&str>,
        count: &mut RowCount,
    ) -> Result<Vec<rows::Span>, HistoryError> {
        let is_usual = condition.is_none() && relevant.is_none();
        let sql = SpansSql { process_span: &self.relation("process_span")?, figures, condition, relevant };
        let Question { sql, values } = self.question(&sql, Some(self.limits.spans));
        let connection = self.reading.connection;
        // A statement with a threshold or a list of processes is of no use to another question, and may take 100 KB.
        match is_usual {
            true => read_spans(&mut *connection.prepare_cached(&sql)?, &values, count),
            false => read_spans(&mut connection.prepare(&sql)?, &values, count),
        }
    }

    /// The processes that were seen meanwhile, without figures.
    fn processes(&self) -> Result<Vec<SeenProcess>, HistoryError> {
        self.processes_with(&fields::facts_with_places().collect::<Vec<_>>())
    }

    /// The same with these facts and no others, each with its place in the model's list.
    pub(super) fn processes_with(&self, facts: &[(usize, &Field)]) -> Result<Vec<SeenProcess>, HistoryError> {
        let read = facts.iter().map(|(_, field)| *field).collect();
        let sql = ProcessesSql { process_history: &self.relation("process_history")?, facts: read };
        Ok(self.rows(&sql, Some(self.limits.texts), |row| rows::process(row, facts))?)
    }

    /// The rows of each moment of capture, in µs since 1970 UTC.
    fn by_moment<T>(
        &self,
        sql: &impl Template,
        read: fn(&Row<'_>) -> duckdb::Result<(i64, T)>,
    ) -> duckdb::Result<HashMap<i64, Vec<T>>> {
        let mut by_moment: HashMap<i64, Vec<T>> = HashMap::new();
        for (captured_us, row) in self.rows(sql, Some(self.limits.texts), read)? {
            by_moment.entry(captured_us).or_default().push(row);
        }
        Ok(by_moment)
    }

    fn rows<T>(
        &self,
        sql: &impl Template,
        max_rows: Option<usize>,
        read: impl FnMut(&Row<'_>) -> duckdb::Result<T>,
    ) -> duckdb::Result<Vec<T>> {
        self.question(sql, max_rows).rows(self.reading.connection, read)
    }

    fn question(&self, sql: &impl Template, max_rows: Option<usize>) -> Question {
        let mut question = self.question_of_all_times(sql);
        question.values.extend([self.first_us, self.last_us].map(|us| Value::BigInt(floor_ms(us))));
        question
            .values
            .extend(max_rows.map(|max_rows| Value::BigInt(i64::try_from(max_rows).unwrap_or(i64::MAX))));
        question
    }

    fn question_of_all_times(&self, sql: &impl Template) -> Question {
        Question { sql: render(sql), values: vec![Value::Text(self.host.to_string())] }
    }

    fn relation(&self, table: &str) -> Result<String, HistoryError> {
        self.reading.relation_of_host(table, self.segment, self.host)
    }
}

/// A query, and the meaning of its parameters.
struct Question {
    sql: String,
    values: Vec<Value>,
}

impl Question {
    fn rows<T>(
        &self,
        connection: &Connection,
        read: impl FnMut(&Row<'_>) -> duckdb::Result<T>,
    ) -> duckdb::Result<Vec<T>> {
        let mut statement = connection.prepare_cached(&self.sql)?;
        statement.query_map(params_from_iter(&self.values), read)?.collect()
    }
}
