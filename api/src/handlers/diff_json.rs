//! `/api/v1/hosts/{host}/diff`: what changed on a host between `from` and `to` (or over the last `range`), as JSON or CSV.

use std::time::Duration;

use axum::{http::StatusCode, response::Response};
use fleetps_ingestor::history::{Changed, Diff, NoSnapshot};
use fleetps_nats::snapshot::Process;
use serde_json::{Value, json};

use super::{
    diff::{Answer, End, compare},
    json::{self, AboutPast},
    listing::{self, List},
    no_snapshot,
};
use crate::{
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

/// The changes.
pub async fn list(
    scoped: ScopedFleet,
    Host(host): Host,
    Query(InFormat { query, format }): Query<InFormat<SpanQuery>>,
) -> Result<Response, Refusal> {
    let span = query.resolve(now_us(), now_us(), DEFAULT_SPAN)?;
    let (diff, resolution) = match compare(&scoped, &host, span, query.from.is_some()).await? {
        Answer::Changed(diff, resolution) => (diff, resolution),
        Answer::Nothing(_, NoSnapshot::UnknownHost) => return Err(Refusal::no_such_host(host.as_str())),
        Answer::Nothing(end, nothing) => return Err(no_snapshot(end, &nothing)),
    };
    if format == Format::Csv {
        let rows = rows(&diff);
        let list =
            List { name: "changes", columns: &COLUMNS, rows, resolution, about: listing::fields(json!({})) };
        return Ok(listing::answer(&scoped, format, list));
    }
    let answer = json!({
        "host": host.as_str(),
        "from": time_exact(diff.from_us),
        "to": time_exact(diff.to_us),
        "rebooted": diff.rebooted,
        "started": processes(&diff.started),
        "gone": processes(&diff.gone),
        "restarted": pairs(&diff.restarted),
        "resized": pairs(&diff.resized),
        "busy": pairs(&diff.busy),
    });
    Ok(json::answer(StatusCode::OK, &AboutPast::new(&scoped, resolution, answer)))
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

fn process(process: &Process) -> Value {
    json!({
        "pid": process.pid,
        "started_at": time_exact(process.started_at_us),
        "name": process.name,
        "user_name": process.user_name,
        "command_line": process.command_line,
        "unit": process.unit,
        "resident_bytes": process.resident_bytes,
        "cpu_time_ms": process.cpu_time_ms,
    })
}

fn processes(all: &[Process]) -> Vec<Value> {
    all.iter().map(process).collect()
}

fn pairs(all: &[Changed]) -> Vec<Value> {
    let pair =
        |changed: &Changed| json!({"before": process(&changed.before), "after": process(&changed.after)});
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
