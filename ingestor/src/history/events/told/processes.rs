//! Processes that started and exited, by when snapshots saw them first and last.

use askama::Template;
use duckdb::params;
use fleetps_nats::HostName;

use crate::{
    events::{Event, EventKind, EventProcess, EventProgram},
    history::{
        HistoryError, Identity, Span,
        reading::Reading,
        silence::{around, of_host},
    },
    template::render,
};

/// The processes that started within a span.
#[derive(Template)]
#[template(path = "history/events/told/started.sql")]
struct StartedSql<'a> {
    process: &'a str,
    host_sample: &'a str,
    /// The condition of the host.
    of_host: &'a str,
}

/// The processes that exited within a span.
#[derive(Template)]
#[template(path = "history/events/told/exited.sql")]
struct ExitedSql<'a> {
    process: &'a str,
    host_sample: &'a str,
    /// The condition of the host.
    of_host: &'a str,
}

/// A process that started or exited, at the time of the snapshot that says so. Its texts are hostile.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    pub(super) at_us: i64,
    pub(super) identity: Identity,
    pub(super) name: String,
    pub(super) executable: Option<String>,
    pub(super) command_line: Option<String>,
    pub(super) unit: Option<String>,
}

/// The processes that started within `span`.
pub(super) fn starts(
    reading: &Reading<'_>,
    host: Option<&HostName>,
    span: Span,
) -> Result<Vec<Turn>, HistoryError> {
    let sql = |process: &str, host_sample: &str| {
        render(&StartedSql { process, host_sample, of_host: of_host(host) })
    };
    turns(reading, host, span, sql)
}

/// The processes that exited within `span`. Those that ended because their host was booted are none.
pub(super) fn exits(
    reading: &Reading<'_>,
    host: Option<&HostName>,
    span: Span,
) -> Result<Vec<Turn>, HistoryError> {
    let sql = |process: &str, host_sample: &str| {
        render(&ExitedSql { process, host_sample, of_host: of_host(host) })
    };
    turns(reading, host, span, sql)
}

/// Runs the query that `sql` makes of the relations `process` and `host_sample`.
fn turns(
    reading: &Reading<'_>,
    host: Option<&HostName>,
    span: Span,
    sql: impl FnOnce(&str, &str) -> String,
) -> Result<Vec<Turn>, HistoryError> {
    let segments = around(reading, host, span);
    let sql = sql(&reading.relation("process", &segments)?, &reading.relation("host_sample", &segments)?);
    let (from_ms, to_ms) = span.bounds_ms();
    let mut statement = reading.connection.prepare(&sql)?;
    let mut rows = statement.query(params![host.map(HostName::as_str), from_ms, to_ms])?;
    let (mut turns, mut count) = (Vec::new(), reading.count_rows());
    while let Some(row) = rows.next()? {
        count.add(1)?;
        // Always a host's name, unless another program wrote the file.
        let Ok(host) = row.get::<_, String>("host")?.parse() else { continue };
        turns.push(Turn {
            at_us: row.get("at_us")?,
            identity: Identity {
                host,
                boot_id: row.get("boot_id")?,
                pid: row.get("pid")?,
                start: row.get("start_ticks")?,
                started_at_us: row.get("started_at_us")?,
            },
            name: row.get("name")?,
            executable: row.get("executable")?,
            command_line: row.get("command_line")?,
            unit: row.get("unit")?,
        });
    }
    Ok(turns)
}

impl Turn {
    pub(super) fn into_started(self) -> Event {
        self.into_event(EventKind::Started)
    }

    pub(super) fn into_exited(self) -> Event {
        let length_ms = Some((self.at_us - self.identity.started_at_us).max(0) / 1000);
        Event { length_ms, ..self.into_event(EventKind::Exited) }
    }

    fn into_event(self, kind: EventKind) -> Event {
        let Identity { host, boot_id, pid, start, started_at_us } = self.identity;
        let program = EventProgram {
            name: self.name,
            command_line: self.command_line.or(self.executable),
            unit: self.unit,
            ..EventProgram::default()
        };
        Event {
            process: Some(EventProcess { boot_id, pid, start, started_at_us }),
            program: Some(program),
            ..Event::of_host(kind, &host, self.at_us)
        }
    }
}
