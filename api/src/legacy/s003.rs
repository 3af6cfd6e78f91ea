//! System 003: a token for each agent, `POST /agents/{id}/metrics`, and a page that reads servers, listens and queues actions.
//!
//! Its document leaves answers and statuses open; they are as FastAPI gives them.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use fleetps_nats::{
    HostName, Snapshot, now_us,
    snapshot::{HostInfo, HostSample, Process},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    Fault, KeyHash, Legacy, LegacyHost, NotAdmitted, Sender, System,
    actions::Action,
    body::parse,
    fault::answer,
    fields::{Fields, Given, GivenList},
    making::{Post, cut},
    reader::{From, Reader},
    registry::MAX_NAME_CHARACTERS,
};

const SYSTEM: System = System::S003;
const MIB: f64 = (1_u64 << 20) as f64;
/// The largest memory that is believed, in MiB.
const MAX_MIB: f64 = 1e11;
/// How long an agent waits for an action.
const POLL: Duration = Duration::from_secs(25);
/// The posts of a server's short history, and how far back they are looked for.
const HISTORY: usize = 30;
const HISTORY_US: i64 = 300 * 1_000_000;
/// States as its agents write them, and as `ps` does.
const STATES: [(&str, char); 12] = [
    ("running", 'R'),
    ("sleeping", 'S'),
    ("disk-sleep", 'D'),
    ("idle", 'I'),
    ("stopped", 'T'),
    ("zombie", 'Z'),
    ("dead", 'X'),
    ("tracing-stop", 'T'),
    ("waiting", 'S'),
    ("waking", 'R'),
    ("parked", 'I'),
    ("locked", 'D'),
];

/// The routes of this system.
pub(super) fn routes() -> Router<Arc<Legacy>> {
    Router::new()
        .route("/agents/register", post(register))
        .route("/agents/{id}/metrics", post(metrics))
        .route("/servers", get(servers))
        .route("/servers/{id}", get(server))
        .route("/actions/{agent}", post(act))
        .route("/actions/queue/{agent}", get(queue))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Registration {
    agent_id: Given,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metrics {
    agent_id: Given,
    ts: Given,
    procs: GivenList<GivenProcess>,
    load: Option<Load>,
    uptime_sec: Given,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Load {
    cpu: Given,
    #[serde(rename = "memUsedMB")]
    mem_used_mib: Given,
    #[serde(rename = "memTotalMB")]
    mem_total_mib: Given,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GivenProcess {
    name: Given,
    pid: Given,
    cpu: Given,
    #[serde(rename = "memMB")]
    mem_mib: Given,
    status: Given,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GivenAction {
    cmd: Given,
    target: Given,
}

/// The hash of the token.
fn token(headers: &HeaderMap) -> Result<KeyHash, Fault> {
    let token = headers.get("x-agent-token").map(|token| token.as_bytes()).filter(|token| !token.is_empty());
    let missing = || Fault::new(StatusCode::UNAUTHORIZED, "no-key", "Missing agent token");
    token.map(KeyHash::of).ok_or_else(missing)
}

fn refused(why: NotAdmitted) -> Fault {
    match why {
        NotAdmitted::OtherKey => Fault::new(StatusCode::UNAUTHORIZED, why.reason(), "Invalid agent token"),
        NotAdmitted::BadName => unprocessable(&json!({ "agentId": [why.to_string()] })),
        other => other.into(),
    }
}

/// 422 as FastAPI writes it: where, what, and a kind.
fn unprocessable(faults: &Value) -> Fault {
    let mut detail = Vec::new();
    flatten(faults, &mut vec![json!("body")], &mut detail);
    let body = json!({ "detail": detail });
    Fault::with_body(StatusCode::UNPROCESSABLE_ENTITY, "bad-field", body)
}

fn flatten(faults: &Value, place: &mut Vec<Value>, detail: &mut Vec<Value>) {
    match faults {
        Value::String(sentence) => {
            // The sentence is the only element of its list.
            let place: Vec<Value> = place.iter().take(place.len().saturating_sub(1)).cloned().collect();
            detail.push(json!({ "loc": place, "msg": sentence, "type": "value_error" }));
        }
        Value::Array(list) => {
            for (number, fault) in list.iter().enumerate() {
                place.push(number.into());
                flatten(fault, place, detail);
                place.pop();
            }
        }
        Value::Object(fields) => {
            for (field, fault) in fields {
                place.push(field.as_str().into());
                flatten(fault, place, detail);
                place.pop();
            }
        }
        _ => {}
    }
}

/// The JSON of a body; what is no JSON is 422 here.
fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    parse(bytes).map_err(|fault| match fault.status() {
        StatusCode::BAD_REQUEST => {
            let detail = json!([{ "loc": ["body"], "msg": "the body is no JSON of this shape", "type": "json_invalid" }]);
            let body = json!({ "detail": detail });
            Fault::with_body(StatusCode::UNPROCESSABLE_ENTITY, "not-json", body)
        }
        _ => fault,
    })
}

/// The fields' end in the form of this system.
fn end(fields: Fields) -> Result<(), Fault> {
    fields.faults().map_or(Ok(()), |faults| Err(unprocessable(&faults)))
}

/// Lets an agent in, or says that it is.
async fn register(
    State(legacy): State<Arc<Legacy>>,
    From(from): From,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let key = token(&headers)?;
    if !legacy.registry.may_be_known(SYSTEM, &key) {
        return Err(refused(NotAdmitted::Closed(SYSTEM)));
    }
    let body = legacy.room.read(&headers, body).await?;
    let _place = legacy.gate.enter_unnamed()?;
    let given: Registration = read(&body.bytes)?;
    let mut fields = Fields::default();
    let name = fields.text("agentId", given.agent_id, MAX_NAME_CHARACTERS);
    end(fields)?;
    let sender = Sender { system: SYSTEM, key: Some(key), name: name.clone(), host_name: None, from };
    let is_new = legacy.registry.find(&sender).map_err(refused)?.is_none();
    legacy.registry.admit(&sender, None).await.map_err(refused)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, &json!({ "agentId": name })))
}

/// Takes the metrics of an agent.
async fn metrics(
    State(legacy): State<Arc<Legacy>>,
    From(from): From,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let key = token(&headers)?;
    if !legacy.registry.may_be_known(SYSTEM, &key) {
        return Err(refused(NotAdmitted::Closed(SYSTEM)));
    }
    let body = legacy.room.read(&headers, body).await?;
    let _place = legacy.gate.enter_unnamed()?;
    let (said, post) = translate(&id, read(&body.bytes)?)?;
    if said.is_some_and(|said| said != id) {
        let detail = "the agentId of the body is another agent's";
        return Err(Fault::new(StatusCode::FORBIDDEN, "other-name", detail));
    }
    let sender = Sender { system: SYSTEM, key: Some(key), name: id, host_name: None, from };
    let known = legacy.registry.admit(&sender, None).await.map_err(refused)?;
    legacy.store(SYSTEM, &known, post, &body.bytes).await.map_err(|fault| match fault.status() {
        StatusCode::BAD_REQUEST => {
            unprocessable(&json!({ "ts": ["the post is no snapshot that can be right"] }))
        }
        _ => fault,
    })?;
    Ok(answer(StatusCode::OK, &json!({ "ok": true })))
}

/// The agent that the body names, if it names one, and its post.
fn translate(id: &str, given: Metrics) -> Result<(Option<String>, Post), Fault> {
    let mut fields = Fields::default();
    let said = fields.optional_text("agentId", given.agent_id, MAX_NAME_CHARACTERS);
    let ts = fields.number("ts", given.ts);
    let uptime = fields.optional_number("uptimeSec", given.uptime_sec);
    let mut host = HostSample::default();
    if let Some(load) = given.load {
        let mut own = Fields::default();
        host.cpu_percent = own.optional_number("cpu", load.cpu).map(|percent| percent as f32);
        let bytes = |mib: f64| (mib.min(MAX_MIB) * MIB).round() as u64;
        host.memory_used_bytes = own.optional_number("memUsedMB", load.mem_used_mib).map(bytes);
        host.memory_total_bytes = own.optional_number("memTotalMB", load.mem_total_mib).map(bytes);
        if let Some(faults) = own.faults() {
            fields.nested("load", faults);
        }
    }
    let processes = fields.list("procs", given.procs, process);
    end(fields)?;
    let info = HostInfo { memory_bytes: host.memory_total_bytes, ..HostInfo::default() };
    let post = Post {
        os_host_name: id.to_owned(),
        // A float is cut to the range of the integer; the codec judges the time.
        captured_at_us: Some((ts * 1e6).round() as i64),
        uptime_s: uptime.map(|seconds| seconds.min(1e10) as u64),
        host,
        info,
        processes,
        ..Post::default()
    };
    Ok((said, post))
}

fn process(fields: &mut Fields, given: GivenProcess) -> Process {
    let pid = fields.whole("pid", given.pid, i64::from(u32::MAX));
    let name = fields.text("name", given.name, MAX_NAME_CHARACTERS);
    let cpu_percent = fields.optional_number("cpu", given.cpu);
    let memory_mib = fields.optional_number("memMB", given.mem_mib);
    let status = fields.any_text("status", given.status, MAX_NAME_CHARACTERS).unwrap_or_default();
    let state = STATES.iter().find(|(word, _)| *word == status).map_or('?', |(_, letter)| *letter);
    Process {
        pid: u32::try_from(pid).unwrap_or_default(),
        name: cut(name),
        state,
        cpu_percent: cpu_percent.map(|percent| percent as f32),
        resident_bytes: memory_mib.map(|mib| (mib.min(MAX_MIB) * MIB).round() as u64),
        ..Process::default()
    }
}

#[derive(Debug, Serialize)]
struct ListedProcess<'a> {
    name: &'a str,
    pid: u32,
    cpu: Option<f32>,
    #[serde(rename = "memMB")]
    mem_mib: Option<f64>,
    status: &'static str,
}

/// A server's last values, without its processes.
fn head(agent: &str, snapshot: &Snapshot) -> Map<String, Value> {
    let Snapshot { host, .. } = snapshot;
    let mib = |bytes: Option<u64>| bytes.map(|bytes| (bytes as f64 / MIB * 100.0).round() / 100.0);
    // A percent of single precision, as it is written and not as it is computed.
    let cpu = host.cpu_percent.and_then(|percent| percent.to_string().parse::<f64>().ok());
    Map::from_iter([
        ("agentId".to_owned(), json!(agent)),
        ("ts".to_owned(), json!(snapshot.captured_at_us / 1_000_000)),
        (
            "load".to_owned(),
            json!({ "cpu": cpu, "memUsedMB": mib(host.memory_used_bytes), "memTotalMB": mib(host.memory_total_bytes) }),
        ),
        ("uptimeSec".to_owned(), json!(host.uptime_s)),
        ("alerts".to_owned(), json!([])),
    ])
}

/// A server's last values with its processes.
pub(super) fn in_full(agent: &str, snapshot: &Snapshot) -> Map<String, Value> {
    let status =
        |state: char| STATES.iter().find(|(_, letter)| *letter == state).map_or("unknown", |(word, _)| *word);
    let procs: Vec<ListedProcess<'_>> = snapshot
        .processes
        .iter()
        .map(|process| ListedProcess {
            name: &process.name,
            pid: process.pid,
            cpu: process.cpu_percent,
            mem_mib: process.resident_bytes.map(|bytes| (bytes as f64 / MIB * 100.0).round() / 100.0),
            status: status(process.state),
        })
        .collect();
    let mut all = head(agent, snapshot);
    // Through text, so that a percent of single precision is written as it was sent.
    let text = serde_json::to_string(&procs).unwrap_or_default();
    all.insert("procs".to_owned(), serde_json::from_str(&text).unwrap_or_default());
    all
}

/// What the agent of `known` calls itself.
pub(super) fn agent_id(known: &LegacyHost) -> &str {
    known.agent().map_or(known.host.as_str(), |agent| &agent.name)
}

/// Every server of this system.
async fn servers(reader: Reader) -> Result<Response, Fault> {
    let known = reader.hosts_of(SYSTEM);
    let scoped = reader.scoped.clone();
    let listing = tokio::task::spawn_blocking(move || {
        let server = |known: &LegacyHost| {
            scoped.moment(&known.host).map(|moment| head(agent_id(known), moment.snapshot()))
        };
        known.iter().filter_map(server).collect::<Vec<_>>()
    });
    Ok(answer(StatusCode::OK, &listing.await.map_err(|_| Fault::unavailable())?))
}

fn not_found() -> Fault {
    Fault::new(StatusCode::NOT_FOUND, "not-found", "Not Found")
}

/// One server, with its processes and its last minutes.
async fn server(
    State(legacy): State<Arc<Legacy>>,
    reader: Reader,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let host = reader.host_of(SYSTEM, &id).ok_or_else(not_found)?;
    let moment = reader.moment(host.clone()).await.ok_or_else(not_found)?;
    let mut all = in_full(&id, moment.snapshot());
    let mut past = legacy.since(&host, now_us() - HISTORY_US, 10 * HISTORY).await?;
    let first = past.len().saturating_sub(HISTORY);
    let history: Vec<Value> =
        past.drain(first..).map(|stored| Value::Object(head(&id, &stored.snapshot))).collect();
    all.insert("history".to_owned(), history.into());
    Ok(answer(StatusCode::OK, &all))
}

/// Queues an action.
async fn act(
    State(legacy): State<Arc<Legacy>>,
    reader: Reader,
    Path(agent): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    reader.may_act()?;
    let host = reader.named(SYSTEM, &agent).ok_or_else(not_found)?.host;
    let body = legacy.room.read(&headers, body).await?;
    let given: GivenAction = read(&body.bytes)?;
    let mut fields = Fields::default();
    let cmd = fields.text("cmd", given.cmd, 20);
    if !["start", "stop", "restart"].contains(&cmd.as_str()) {
        fields.fault("cmd", "expected start, stop or restart");
    }
    let target = fields.text("target", given.target, 128);
    let is_service = |character: char| character.is_ascii_alphanumeric() || "@._:-".contains(character);
    if !target.chars().all(is_service) || target.starts_with('-') {
        fields.fault("target", "expected the name of a service");
    }
    end(fields)?;
    let queued = legacy.ask(legacy.actions.queue(&host, &cmd, &target)).await?;
    let full = || {
        let detail = "too many actions wait for this agent";
        Fault::for_now(StatusCode::TOO_MANY_REQUESTS, "too-many-actions", detail, Duration::from_secs(30))
    };
    let action = queued.ok_or_else(full)?;
    reader.note("legacy.action", &host, format!("{cmd} {target}"));
    let told =
        json!({ "type": "action_enqueued", "agentId": agent, "id": action.id, "cmd": cmd, "target": target });
    legacy.actions.tell(&host, told.clone());
    let mut said = told;
    said["status"] = json!("queued");
    Ok(answer(StatusCode::ACCEPTED, &said))
}

/// Answers an agent with what waits for it.
async fn queue(
    State(legacy): State<Arc<Legacy>>,
    From(from): From,
    Path(agent): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let key = token(&headers)?;
    let sender = Sender { system: SYSTEM, key: Some(key), name: agent, host_name: None, from };
    let found = legacy.registry.find(&sender).map_err(refused)?;
    let known =
        found.ok_or_else(|| Fault::new(StatusCode::UNAUTHORIZED, "unknown-host", "Invalid agent token"))?;
    let host: HostName = known.host;
    let taking = take(&legacy, &host);
    let taken = legacy.shared.shutdown.run_until_cancelled(taking).await.unwrap_or_else(|| Ok(Vec::new()));
    let actions = taken?;
    if actions.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let what = actions.iter().map(|action| format!("{} {}", action.cmd, action.target)).collect::<Vec<_>>();
    legacy.registry.note(&sender, "legacy.action-taken", Some(&host), what.join(", "));
    Ok(answer(StatusCode::OK, &actions))
}

/// What waits for the agent of `host`, after a while of at most [`POLL`]. Only the wait is cut off: what was taken out of the
/// queue is answered.
async fn take(legacy: &Legacy, host: &HostName) -> Result<Vec<Action>, Fault> {
    let until = Instant::now() + POLL;
    loop {
        let taken = legacy.ask(legacy.actions.take(host)).await?;
        if !taken.is_empty() || tokio::time::timeout_at(until, legacy.actions.waiting(host)).await.is_err() {
            return Ok(taken);
        }
    }
}
