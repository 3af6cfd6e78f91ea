//! System 000: one key for the whole fleet, `POST /api/processes/`, and a page that reads the latest of every machine.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use fleetps_nats::{
    model::ProcessView,
    now_us,
    snapshot::{HostSample, Process},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    Fault, KeyHash, Legacy, Sender, System,
    body::parse,
    fault::answer,
    fields::{Fields, Given, GivenList},
    making::{Post, cut},
    reader::{From, Parameters, Reader},
    registry::MAX_NAME_CHARACTERS,
    time::written_exactly,
};
use crate::live::Moment;

const SYSTEM: System = System::S000;
/// The most processes in the one list of all machines: 100 MB of JSON at 250 bytes each.
const MAX_LISTED: u64 = 400_000;
/// The most posts in a machine's history, and as many as are listed where nothing else is asked.
const MAX_HISTORY: usize = 200;
const USUAL_HISTORY: usize = 20;

/// The routes of this system.
pub(super) fn routes() -> Router<Arc<Legacy>> {
    Router::new()
        .route("/api/processes/", post(take))
        .route("/api/processes", post(take))
        .route("/api/processes/latest/", get(latest))
        .route("/api/processes/latest", get(async || Redirect::permanent_301("/api/processes/latest/")))
        .route("/api/machines/{hostname}/history/", get(history))
}

/// 301, which axum's own redirects are not.
trait Moved {
    fn permanent_301(to: &'static str) -> Response;
}

impl Moved for Redirect {
    fn permanent_301(to: &'static str) -> Response {
        (StatusCode::MOVED_PERMANENTLY, [(axum::http::header::LOCATION, to)]).into_response()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GivenMachine {
    hostname: Given,
    processes: GivenList<GivenProcess>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GivenProcess {
    pid: Given,
    name: Given,
    cpu_usage: Given,
    memory_usage: Given,
    parent_pid: Given,
}

/// Takes the processes of a machine.
async fn take(
    State(legacy): State<Arc<Legacy>>,
    From(from): From,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let unauthorized =
        || Fault::with_body(StatusCode::UNAUTHORIZED, "no-key", json!({ "error": "Unauthorized" }));
    let key = headers.get("api-key").map(|key| KeyHash::of(key.as_bytes())).ok_or_else(unauthorized)?;
    if !legacy.registry.may_be_known(SYSTEM, &key) {
        return Err(unauthorized());
    }
    let body = legacy.room.read(&headers, body).await?;
    let _place = legacy.gate.enter_unnamed()?;
    let (name, post) = translate(parse(&body.bytes)?)?;
    let sender = Sender { system: SYSTEM, key: Some(key), name, host_name: None, from };
    let known = legacy.registry.admit(&sender, None).await?;
    legacy.store(SYSTEM, &known, post, &body.bytes).await?;
    Ok(answer(StatusCode::OK, &json!({ "status": "success" })))
}

fn translate(given: GivenMachine) -> Result<(String, Post), Fault> {
    let mut fields = Fields::default();
    let name = fields.text("hostname", given.hostname, MAX_NAME_CHARACTERS);
    // A machine that sends none has none.
    let processes = fields.list("processes", GivenList(Some(given.processes.0.unwrap_or_default())), process);
    fields.end()?;
    let count = u32::try_from(processes.len()).ok();
    let host = HostSample { process_count: count, ..HostSample::default() };
    Ok((name.clone(), Post { os_host_name: name, host, processes, ..Post::default() }))
}

fn process(fields: &mut Fields, given: GivenProcess) -> Process {
    let pid = fields.whole("pid", given.pid, i64::from(u32::MAX));
    let parent = fields.optional_whole("parent_pid", given.parent_pid, i64::from(u32::MAX));
    // It takes empty names, but none that is absent.
    let name = fields.any_text("name", given.name, MAX_NAME_CHARACTERS).unwrap_or_else(|| {
        fields.required("name");
        String::new()
    });
    let cpu_percent = fields.number("cpu_usage", given.cpu_usage);
    let memory_percent = fields.number("memory_usage", given.memory_usage);
    Process {
        pid: u32::try_from(pid).unwrap_or_default(),
        parent_pid: parent.and_then(|parent| u32::try_from(parent).ok()).filter(|parent| *parent > 0),
        name: cut(name),
        state: '?',
        cpu_percent: Some(cpu_percent as f32),
        sent_memory_percent: Some(memory_percent as f32),
        ..Process::default()
    }
}

#[derive(Debug, Serialize)]
struct ListedMachine {
    id: u64,
    hostname: String,
    last_updated: String,
    processes: Vec<ListedProcess>,
}

#[derive(Debug, Serialize)]
struct ListedProcess {
    id: u64,
    pid: u32,
    name: String,
    cpu_usage: f32,
    memory_usage: f32,
    parent_pid: Option<u32>,
    timestamp: String,
    machine: u64,
}

/// Every machine with every process.
async fn latest(State(legacy): State<Arc<Legacy>>, reader: Reader) -> Result<Response, Fault> {
    let all = reader.all(SYSTEM).await?;
    let processes: u64 = all.values().map(|summary| u64::from(summary.process_count)).sum();
    if processes > MAX_LISTED {
        let detail = "there are too many processes for one list; the server's setting readers in [legacy] can name a group";
        let wait = std::time::Duration::from_secs(60);
        return Err(Fault::for_now(StatusCode::SERVICE_UNAVAILABLE, "too-many", detail, wait));
    }
    let _turn = legacy.long_answer()?;
    let scoped = reader.scoped.clone();
    let listing = tokio::task::spawn_blocking(move || {
        let machine = |(hostname, summary): (String, Arc<crate::live::Summary>)| {
            scoped.moment(&summary.host).map(|moment| listed(hostname, &moment))
        };
        answer(StatusCode::OK, &all.into_iter().filter_map(machine).collect::<Vec<_>>())
    });
    listing.await.map_err(|_| Fault::unavailable())
}

/// Its page calls methods of numbers on the figures, so they are never null here: what an agent of fleetps does not know is 0
/// in this list only.
fn listed(hostname: String, moment: &Moment) -> ListedMachine {
    let id = number_of(moment.summary.host.as_str());
    let last_updated = written_exactly(moment.summary.last_seen_us);
    let process = |view: ProcessView<'_>| ListedProcess {
        id: (id << 24) + u64::from(view.process.pid),
        pid: view.process.pid,
        name: view.process.name.clone(),
        cpu_usage: view.process.cpu_percent.unwrap_or_default(),
        memory_usage: memory_percent(&view),
        parent_pid: view.process.parent_pid,
        timestamp: last_updated.clone(),
        machine: id,
    };
    let processes = moment.pair.processes().map(process).collect();
    ListedMachine { id, hostname, last_updated, processes }
}

fn memory_percent(view: &ProcessView<'_>) -> f32 {
    let worked_out = || view.memory_percent().map(|percent| percent as f32);
    view.process.sent_memory_percent.or_else(worked_out).unwrap_or_default()
}

/// A number for a name: 24 bits of its hash, so that it and a pid fit into the whole numbers of JavaScript.
fn number_of(name: &str) -> u64 {
    let hash = Sha256::digest(name);
    hash.iter().take(3).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

#[derive(Debug, Serialize)]
struct PastPost {
    snapshot_time: String,
    total_cpu: f32,
    total_mem: f32,
    processes: usize,
}

/// The last posts of a machine, newest first, as far as the stream has them.
async fn history(
    State(legacy): State<Arc<Legacy>>,
    reader: Reader,
    Path(hostname): Path<String>,
    asked: Parameters,
) -> Result<Response, Fault> {
    let limit = match asked.get("limit").map(str::parse::<usize>) {
        None => USUAL_HISTORY,
        Some(Ok(limit)) => limit.min(MAX_HISTORY),
        Some(Err(_)) => return Err(Fault::of_field("limit", "A valid integer is required.")),
    };
    let Some(host) = reader.host_of(SYSTEM, &hostname) else {
        return Ok(answer(StatusCode::OK, &Vec::<PastPost>::new()));
    };
    let Some(summary) = reader.scoped.summary(&host) else {
        return Ok(answer(StatusCode::OK, &Vec::<PastPost>::new()));
    };
    // Twice the time that so many posts take, because some may have come late.
    let posts = i64::try_from(limit).unwrap_or_default().saturating_add(1);
    let span_us = i64::from(summary.interval_ms).saturating_mul(2_000).saturating_mul(posts);
    let until_us = summary.last_seen_us.min(now_us());
    let mut found = legacy.since(&host, until_us.saturating_sub(span_us), 4 * MAX_HISTORY).await?;
    found.sort_by_key(|stored| std::cmp::Reverse(stored.snapshot.captured_at_us));
    found.truncate(limit);
    let past = found.iter().map(|stored| {
        let processes = &stored.snapshot.processes;
        PastPost {
            snapshot_time: written_exactly(stored.snapshot.captured_at_us),
            total_cpu: processes.iter().filter_map(|process| process.cpu_percent).sum(),
            total_mem: processes.iter().filter_map(|process| process.sent_memory_percent).sum(),
            processes: processes.len(),
        }
    });
    Ok(answer(StatusCode::OK, &past.collect::<Vec<_>>()))
}
