//! `/api/v1/hosts/{host}/diff`: what changed on a host between `from` and `to` (or over the last `range`), as JSON or CSV.

use std::time::Duration;

use axum::http::StatusCode;
use fleetps_ingestor::history::{Changed, Diff, NoSnapshot};
use fleetps_nats::snapshot::Process;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    diff::{Answer as Compared, End, compare},
    json::AboutPast,
    listing, no_snapshot,
};
use crate::{
    answer::{Answer, Time, shape},
    csv::{Format, InFormat},
    display::time_exact,
    extract::{Host, Query},
    live::now_us,
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    view::when::{self, SpanQuery},
};

/// The span unless one is given.
const DEFAULT_SPAN: Duration = Duration::from_secs(3_600);
/// The columns of the CSV form: the process before, and after.
const COLUMNS: [&str; 13] = [
    "change",
    "name",
    "user_name",
    "command_line",
    "pid",
    "started_at",
    "resident_bytes",
    "cpu_time_ms",
    "pid_before",
    "started_at_before",
    "resident_bytes_before",
    "cpu_time_ms_before",
    "unit",
];

/// What changed on a host between two snapshots.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Changes {
    host: String,
    from: Time,
    to: Time,
    /// Whether it booted in between.
    rebooted: bool,
    started: Vec<ProcessThen>,
    gone: Vec<ProcessThen>,
    /// The same program with another process.
    restarted: Vec<BeforeAfter>,
    /// Those whose memory changed most.
    resized: Vec<BeforeAfter>,
    /// Those that used most CPU time.
    busy: Vec<BeforeAfter>,
}

/// A process at one of the two moments.
#[derive(Serialize, JsonSchema)]
struct ProcessThen {
    pid: u32,
    started_at: Time,
    name: String,
    user_name: Option<String>,
    command_line: Option<String>,
    unit: Option<String>,
    resident_bytes: Option<u64>,
    cpu_time_ms: Option<u64>,
}

/// A process at both moments.
#[derive(Serialize, JsonSchema)]
struct BeforeAfter {
    before: ProcessThen,
    after: ProcessThen,
}

shape!(Changes);

/// The changes.
pub(crate) async fn list(
    scoped: ScopedFleet,
    Host(host): Host,
    Query(InFormat { query, format }): Query<InFormat<SpanQuery>>,
) -> Result<Answer<AboutPast<Changes>>, Refusal> {
    let span = query.resolve(now_us(), now_us(), DEFAULT_SPAN)?;
    let (diff, resolution) = match compare(&scoped, &host, span, query.from.is_some()).await? {
        Compared::Changed(diff, resolution) => (diff, resolution),
        Compared::Nothing(_, NoSnapshot::UnknownHost) => return Err(Refusal::no_such_host(host.as_str())),
        Compared::Nothing(end, nothing) => return Err(no_snapshot(end, &nothing)),
    };
    if format == Format::Csv {
        let rows = rows(&diff);
        return Ok(Answer::of_csv(listing::file(&scoped, resolution, "changes", &COLUMNS, &rows)));
    }
    let answer = Changes {
        host: host.to_string(),
        from: Time(diff.from_us),
        to: Time(diff.to_us),
        rebooted: diff.rebooted,
        started: processes(&diff.started),
        gone: processes(&diff.gone),
        restarted: pairs(&diff.restarted),
        resized: pairs(&diff.resized),
        busy: pairs(&diff.busy),
    };
    Ok(Answer::of(&AboutPast::new(&scoped, resolution, answer)))
}

fn no_snapshot(end: End, nothing: &NoSnapshot) -> Refusal {
    let (what, why) = no_snapshot::in_words(nothing);
    let parameter = match end {
        End::From => "from",
        End::To => "to",
    };
    let nearest: Vec<String> =
        no_snapshot::nearest(nothing).into_iter().map(|(_, at_us)| when::written(at_us)).collect();
    let hint = match nearest.as_slice() {
        [] => why.to_owned(),
        known => format!("{why}; the nearest snapshots are of {}", known.join(" and ")),
    };
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no snapshot at `{parameter}`: {what}"), hint)
}

fn process(process: &Process) -> ProcessThen {
    ProcessThen {
        pid: process.pid,
        started_at: Time(process.started_at_us),
        name: process.name.clone(),
        user_name: process.user_name.clone(),
        command_line: process.command_line.clone(),
        unit: process.unit.clone(),
        resident_bytes: process.resident_bytes,
        cpu_time_ms: process.cpu_time_ms,
    }
}

fn processes(all: &[Process]) -> Vec<ProcessThen> {
    all.iter().map(process).collect()
}

fn pairs(all: &[Changed]) -> Vec<BeforeAfter> {
    let pair =
        |changed: &Changed| BeforeAfter { before: process(&changed.before), after: process(&changed.after) };
    all.iter().map(pair).collect()
}

fn rows(diff: &Diff) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut add = |change: &str, before: Option<&Process>, after: Option<&Process>| {
        rows.push(row(change, before, after));
    };
    for (change, pairs) in [("restarted", &diff.restarted), ("resized", &diff.resized), ("busy", &diff.busy)]
    {
        pairs.iter().for_each(|pair| add(change, Some(&pair.before), Some(&pair.after)));
    }
    diff.started.iter().for_each(|process| add("started", None, Some(process)));
    diff.gone.iter().for_each(|process| add("gone", Some(process), None));
    rows
}

fn row(change: &str, before: Option<&Process>, after: Option<&Process>) -> Value {
    let either = after.or(before);
    json!({
        "change": change,
        "name": either.map(|process| &process.name),
        "user_name": either.and_then(|process| process.user_name.as_deref()),
        "command_line": either.and_then(|process| process.command_line.as_deref()),
        "unit": either.and_then(|process| process.unit.as_deref()),
        "pid": after.map(|process| process.pid),
        "started_at": after.map(|process| time_exact(process.started_at_us)),
        "resident_bytes": after.and_then(|process| process.resident_bytes),
        "cpu_time_ms": after.and_then(|process| process.cpu_time_ms),
        "pid_before": before.map(|process| process.pid),
        "started_at_before": before.map(|process| time_exact(process.started_at_us)),
        "resident_bytes_before": before.and_then(|process| process.resident_bytes),
        "cpu_time_ms_before": before.and_then(|process| process.cpu_time_ms),
    })
}
