//! The top users of CPU, memory and disk.

use askama::Template;
use duckdb::{Row, params};
use fleetps_nats::{
    HostName,
    model::{rate, sums},
};

use super::{
    History, HistoryError, Identity, Listing, Resolution, Span,
    reading::{Reading, coarsest},
    silence::of_host,
};
use crate::{
    catalog::{Rows, SegmentIndex},
    template::render,
    time::at,
};

/// By what the top is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TopBy {
    /// CPU time.
    #[default]
    Cpu,
    /// Memory, all of a group together.
    Memory,
    /// Greatest resident set of one process.
    Peak,
    /// Bytes read.
    Read,
    /// Bytes written.
    Written,
}

/// The grouping of a top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TopGroup {
    /// Nothing: every process by itself.
    Process,
    /// Processes of one name.
    #[default]
    Name,
    /// Processes of one user.
    User,
    /// Processes of one systemd unit.
    Unit,
    /// Processes of one host.
    Host,
}

/// A question for the top.
#[derive(Debug, Clone)]
pub struct TopQuery {
    /// By what it is ordered.
    pub by: TopBy,
    /// How processes are grouped.
    pub group: TopGroup,
    /// Over which time.
    pub span: Span,
    /// Only this host.
    pub host: Option<HostName>,
    /// The largest number of rows.
    pub limit: usize,
}

/// One line of the top. Usage is what counters say between the first and last sample of the process within the span; all
/// that they say for a process that started within it.
#[derive(Debug, Clone, PartialEq)]
pub struct TopRow {
    /// The group: a name, user, unit or host; absent where there is none. Hostile.
    pub key: Option<String>,
    /// The process, where nothing was put together.
    pub process: Option<Identity>,
    /// On how many hosts.
    pub hosts: u64,
    /// How many processes.
    pub processes: u64,
    /// CPU time used, with that of children that ended and that no sample has shown.
    pub cpu_time_ms: Option<u64>,
    /// The memory that they had together, as the mean of their hosts' snapshots: what processes of one host share is counted
    /// once, and snapshots without one of them count. Of a time that is thinned, the snapshots that are kept.
    pub memory_bytes: Option<f64>,
    /// The greatest resident set that one of them had.
    pub peak_resident_bytes: Option<u64>,
    /// Bytes read.
    pub read_bytes: Option<u64>,
    /// Bytes written.
    pub written_bytes: Option<u64>,
}

/// The top, and what it is part of.
#[derive(Debug, Clone, PartialEq)]
pub struct Top {
    /// The first lines.
    pub lines: Listing<TopRow>,
    /// The CPU time of all; absent where a machine does not say how much it used, or only sums of hours are kept.
    pub cpu: Option<CpuUse>,
}

/// CPU time over a span, in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuUse {
    /// Of all processes that were seen, and of their children that were not.
    pub processes_ms: u64,
    /// Of the machines, by their own count.
    pub machines_ms: u64,
}

impl CpuUse {
    /// What no process had: interrupts, and processes between two snapshots whom no parent waited for.
    pub fn elsewhere_ms(&self) -> u64 {
        self.machines_ms.saturating_sub(self.processes_ms)
    }
}

impl History {
    /// The top over a span. Where only the sums of hours are kept, the span reaches to whole hours.
    ///
    /// # Errors
    /// When a query fails.
    pub fn top(&self, query: &TopQuery) -> Result<Top, HistoryError> {
        let query = TopQuery { span: query.span.bounded(), ..query.clone() };
        self.ask(|reading| top(reading, &query))
    }
}

fn top(reading: &Reading<'_>, query: &TopQuery) -> Result<Top, HistoryError> {
    let (span, host) = (query.span, query.host.as_ref());
    let segments = reading.overlapping(host, span);
    let mut statement = reading.connection.prepare(&sql(reading, query, &segments)?)?;
    let ((from_ms, to_ms), inside, around) = (span.bounds_ms(), span.hours_inside(), span.hours_around());
    let ((first_hour_ms, end_hour_ms), (around_from_ms, around_to_ms)) =
        (inside.bounds_ms(), around.bounds_ms());
    let (host, limit) = (host.map(HostName::as_str), i64::try_from(query.limit).unwrap_or(i64::MAX));
    let mut rows = statement.query(params![
        host,
        from_ms,
        to_ms,
        first_hour_ms,
        end_hour_ms,
        around_from_ms,
        around_to_ms,
        limit
    ])?;
    let (mut items, mut total, mut processes_ms) = (Vec::new(), 0, Some(0));
    while let Some(row) = rows.next()? {
        items.push(top_row(row)?);
        total = row.get("total")?;
        processes_ms = count(row, "all_cpu_time_ms")?;
    }
    let lines = Listing { items, total, resolution: coarsest(&segments) };
    // Sums of whole hours are of another time than the samples of the machines.
    let machines_ms = match lines.resolution {
        Resolution::Hours => None,
        _ => machine_cpu_ms(reading, query, &segments)?,
    };
    let cpu = processes_ms.zip(machines_ms);
    Ok(Top { lines, cpu: cpu.map(|(processes_ms, machines_ms)| CpuUse { processes_ms, machines_ms }) })
}

/// The CPU time that the machines of the query used, in ms; `None` where one of them does not say.
fn machine_cpu_ms(
    reading: &Reading<'_>,
    query: &TopQuery,
    segments: &[&SegmentIndex],
) -> Result<Option<u64>, HistoryError> {
    let (host_sample, host) = (reading.relation("host_sample", segments)?, query.host.as_ref());
    let sql = render(&MachineCpuSql { host_sample: &host_sample, of_host: of_host(host) });
    let (from_ms, to_ms) = query.span.bounds_ms();
    let values = params![host.map(HostName::as_str), from_ms, to_ms];
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>("used_ms")?, row.get::<_, u64>("silent")?));
    let (ms, silent) = reading.connection.query_row(&sql, values, read)?;
    Ok(u64::try_from(ms).ok().filter(|_| silent == 0))
}

/// What groups of processes used.
#[derive(Template)]
#[template(path = "history/top.sql")]
struct TopSql {
    /// The summed hours of segments that lie within the time, also where the time begins or ends within an hour.
    whole_hour: String,
    /// The hours of segments that reach beyond.
    process_hour: String,
    /// The hours of segments that have nothing else.
    rolled_up_hour: String,
    /// The spans of segments within the time without summed hours.
    whole_span: String,
    /// Of segments that reach beyond, and of which no whole hour is within, the spans within the time.
    span: String,
    /// The spans before the first whole hour.
    first_edge: String,
    /// The spans after the last whole hour.
    last_edge: String,
    /// What the processes were called, from one time to another.
    programs: String,
    /// The condition of the host.
    of_host: &'static str,
    /// The fact of a process that names its group; NULL where none does.
    fact: &'static str,
    /// What names a group.
    key: &'static str,
    /// Whether each process is a group.
    is_alone: bool,
    /// The column that the groups are sorted by.
    by: &'static str,
}

/// The CPU time of machines.
#[derive(Template)]
#[template(path = "history/machine_cpu.sql")]
struct MachineCpuSql<'a> {
    host_sample: &'a str,
    /// The condition of the host.
    of_host: &'static str,
}

impl TopSql {
    /// The columns of a group of pieces.
    fn summed_up() -> &'static str {
        "min(cpu_time_first_ms) AS cpu_time_first_ms, max(cpu_time_last_ms) AS cpu_time_last_ms, \
         max(resident_bytes_max) AS resident_bytes, \
         min(read_bytes_first) AS read_bytes_first, max(read_bytes_last) AS read_bytes_last, \
         min(written_bytes_first) AS written_bytes_first, max(written_bytes_last) AS written_bytes_last, \
         sum(ended_children_cpu_ms) AS ended_children_cpu_ms, sum(samples) AS samples, \
         sum(resident_bytes_sum) AS resident_bytes_sum, sum(shared_bytes_sum) AS shared_bytes_sum"
    }

    /// How many snapshots of a span lie from one time until before another, both in ms: as many as there would be at equal
    /// distances. One that reaches out of the time has a length, unless another program wrote it.
    fn within(from_ms: &str, to_ms: &str) -> String {
        let (from, to) = (format!("{from_ms}::BIGINT"), format!("{to_ms}::BIGINT"));
        let (first, last) = ("epoch_us(first_captured_at) // 1000", "epoch_us(last_captured_at) // 1000");
        format!(
            "CASE WHEN {first} >= {from} AND {last} < {to} THEN snapshots \
             ELSE 1 + round((least({last}, {to}) - greatest({first}, {from})) / greatest({last} - {first}, 1) * (snapshots - 1))::BIGINT END"
        )
    }

    /// How much a counter grew from its column `first` to its column `last`.
    fn growth(first: &str, last: &str) -> String {
        rate::sql_growth_within(first, last, "is_new")
    }

    /// How much a counter grew in a phase of a process: since the phase before; since the start where that is within the span.
    fn growth_of_phase(first: &str, last: &str) -> String {
        let first = format!("coalesce(lag({last} IGNORE NULLS) OVER life, if(is_new, 0, {first}))");
        format!("{last} - {first}")
    }
}

fn sql(reading: &Reading<'_>, query: &TopQuery, segments: &[&SegmentIndex]) -> Result<String, HistoryError> {
    let (host, inside) = (query.host.as_ref(), query.span.hours_inside());
    let (rolled_up, finer): (Vec<&SegmentIndex>, Vec<&SegmentIndex>) =
        segments.iter().partition(|segment| segment.resolution() == Resolution::Hours);
    // Hours say more than what thinning left, which would then be told of a part of the time.
    let is_whole = |segment: &&SegmentIndex| {
        segment.is_within(query.span) && segment.resolution() == Resolution::Samples
    };
    let (whole, cut): (Vec<&SegmentIndex>, Vec<&SegmentIndex>) =
        finer.iter().partition(|segment| is_whole(segment));
    let (whole_summed, whole_sampled): (Vec<&SegmentIndex>, Vec<&SegmentIndex>) =
        whole.iter().partition(|segment| segment.has_hours());
    let (summed, sampled): (Vec<&SegmentIndex>, Vec<&SegmentIndex>) =
        cut.iter().partition(|segment| segment.has_hours() && inside.length_us() > 0);
    let edges = [Span { to_us: inside.from_us, ..query.span }, Span { from_us: inside.to_us, ..query.span }];
    let at_edge = |segment: &&SegmentIndex| {
        edges.iter().any(|edge| edge.length_us() > 0 && segment.overlaps(host, *edge))
    };
    let edge: Vec<&SegmentIndex> = summed.iter().copied().filter(at_edge).collect();
    // Only processes by themselves have an identity.
    let (fact, key, is_alone) = match query.group {
        TopGroup::Process => ("name", "fact", true),
        TopGroup::Name => ("name", "fact", false),
        TopGroup::User => ("user_name", "fact", false),
        TopGroup::Unit => ("unit", "fact", false),
        TopGroup::Host => ("NULL::VARCHAR", "host", false),
    };
    let by = match query.by {
        TopBy::Cpu => "cpu_time_ms",
        TopBy::Memory => "memory_bytes",
        TopBy::Peak => "peak_resident_bytes",
        TopBy::Read => "read_bytes",
        TopBy::Written => "written_bytes",
    };
    Ok(render(&TopSql {
        process_hour: reading.relation("process_hour", &summed)?,
        rolled_up_hour: reading.relation("process_hour", &rolled_up)?,
        whole_hour: reading.relation("process_hour", &whole_summed)?,
        whole_span: reading.relation("process_span", &whole_sampled)?,
        span: reading.rows(Rows::SpansBetween(&at("$2"), &at("$3")), &sampled)?,
        first_edge: reading.rows(Rows::SpansBetween(&at("$2"), &at("$4")), &edge)?,
        last_edge: reading.rows(Rows::SpansBetween(&at("$5"), &at("$3")), &edge)?,
        programs: reading.relation("process_history", segments)?,
        of_host: of_host(host),
        fact,
        key,
        is_alone,
        by,
    }))
}

fn top_row(row: &Row<'_>) -> duckdb::Result<TopRow> {
    let host = row.get::<_, Option<String>>("host")?.and_then(|host| host.parse().ok());
    let process = match host {
        Some(host) => Some(Identity {
            host,
            boot_id: row.get("boot_id")?,
            pid: row.get("pid")?,
            start: row.get("start_ticks")?,
            started_at_us: row.get("started_at_us")?,
        }),
        None => None,
    };
    Ok(TopRow {
        key: row.get("key")?,
        process,
        hosts: row.get("hosts")?,
        processes: row.get("processes")?,
        cpu_time_ms: count(row, "cpu_time_ms")?,
        memory_bytes: row.get("memory_bytes")?,
        peak_resident_bytes: count(row, "peak_resident_bytes")?,
        read_bytes: count(row, "read_bytes")?,
        written_bytes: count(row, "written_bytes")?,
    })
}

/// A sum, which may be beyond its type where a host makes counters up.
fn count(row: &Row<'_>, column: &str) -> duckdb::Result<Option<u64>> {
    let sum: Option<i128> = row.get(column)?;
    Ok(sum.map(|sum| u64::try_from(sum.max(0)).unwrap_or(u64::MAX)))
}
