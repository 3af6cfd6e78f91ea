//! System 001: a key for each host, `POST /api/v1/ingest`, and a page that reads hosts, their latest snapshot and its processes.
//!
//! A snapshot's number is its sequence in the stream, a whole number that grows.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{get, post},
};
use fleetps_agent::sample::scrubbed_line;
use fleetps_nats::{
    Snapshot,
    snapshot::{FilesystemSample, HostInfo, HostSample, Process},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Fault, KeyHash, Legacy, NotAdmitted, Sender, System,
    body::parse,
    fault::answer,
    fields::{Fields, Given, GivenList},
    making::{Post, cut},
    reader::{From, Parameters, Reader},
    registry::MAX_NAME_CHARACTERS,
    time::{read_time, written_time},
};
use crate::live::Summary;

const SYSTEM: System = System::S001;
/// The longest command line that is taken, in characters; less of it is kept.
const MAX_COMMAND_LINE: usize = 8_192;
const GIB: f64 = (1_u64 << 30) as f64;
const MIB: f64 = (1_u64 << 20) as f64;
/// The largest size that is believed, in GiB: a thousand times the memory of the largest machine.
const MAX_GIB: f64 = 1e8;

/// The routes of this system.
pub(super) fn routes() -> Router<Arc<Legacy>> {
    Router::new()
        .route("/api/v1/ingest", post(ingest))
        .route("/api/v1/hosts", get(hosts))
        .route("/api/v1/snapshots/latest", get(latest))
        .route("/api/v1/snapshots/{id}/processes", get(processes))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ingest {
    hostname: Given,
    captured_at: Given,
    system_info: Option<SystemInfo>,
    processes: GivenList<GivenProcess>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SystemInfo {
    os: Given,
    processor: Given,
    cores: Given,
    threads: Given,
    cpu_freq_mhz: Given,
    ram_gb: Given,
    used_ram_gb: Given,
    available_ram_gb: Given,
    storage_total_gb: Given,
    storage_used_gb: Given,
    storage_free_gb: Given,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GivenProcess {
    pid: Given,
    ppid: Given,
    name: Given,
    cpu_percent: Given,
    memory_mb: Given,
    cmdline: Given,
}

/// Takes a snapshot.
async fn ingest(
    State(legacy): State<Arc<Legacy>>,
    From(from): From,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let key = headers.get("x-api-key").map(|key| key.as_bytes()).filter(|key| !key.is_empty());
    let missing = || Fault::new(StatusCode::FORBIDDEN, "no-key", "Missing API key");
    let key = KeyHash::of(key.ok_or_else(missing)?);
    if !legacy.registry.may_be_known(SYSTEM, &key) {
        return Err(refused(NotAdmitted::Closed(SYSTEM)));
    }
    let body = legacy.room.read(&headers, body).await?;
    let _place = legacy.gate.enter_unnamed()?;
    let (name, post) = translate(parse(&body.bytes)?, legacy.settings.command_lines)?;
    let sender = Sender { system: SYSTEM, key: Some(key), name, host_name: None, from };
    let known = legacy.registry.admit(&sender, None).await.map_err(refused)?;
    let processes = post.processes.len();
    let accepted = legacy.store(SYSTEM, &known, post, &body.bytes).await?;
    let said = json!({ "snapshot_id": accepted.sequence, "processes": processes });
    Ok(answer(StatusCode::CREATED, &said))
}

/// Why a post is not taken, in the words of this system.
fn refused(why: NotAdmitted) -> Fault {
    match why {
        NotAdmitted::OtherKey | NotAdmitted::OtherName => {
            Fault::new(StatusCode::FORBIDDEN, why.reason(), "Invalid API key for host")
        }
        other => other.into(),
    }
}

/// What the machine calls itself, and its post.
fn translate(given: Ingest, keeps_command_lines: bool) -> Result<(String, Post), Fault> {
    let mut fields = Fields::default();
    let name = fields.text("hostname", given.hostname, MAX_NAME_CHARACTERS);
    let captured_at_us = match given.captured_at {
        Given::Text(text) => read_time(&text),
        Given::Absent => {
            fields.fault("captured_at", "This field is required.");
            Some(0)
        }
        _ => None,
    };
    if captured_at_us.is_none() {
        fields.fault("captured_at", "Datetime has wrong format. Use ISO 8601, as in 2026-11-28T12:00:00Z.");
    }
    let (mut host, mut info, mut filesystems) = (HostSample::default(), HostInfo::default(), Vec::new());
    match given.system_info {
        Some(system) => {
            let mut own = Fields::default();
            (host, info, filesystems) = machine(&mut own, system);
            if let Some(faults) = own.faults() {
                fields.nested("system_info", faults);
            }
        }
        None => fields.fault("system_info", "This field is required."),
    }
    let mut texts_shortened = 0;
    let processes = fields.list("processes", given.processes, |own, given| {
        let (process, is_shortened) = process(own, given, keeps_command_lines);
        texts_shortened += u32::from(is_shortened);
        process
    });
    fields.end()?;
    let post = Post {
        os_host_name: name.clone(),
        captured_at_us,
        uptime_s: None,
        host,
        info,
        filesystems,
        processes,
        texts_shortened,
        left_out: 0,
    };
    Ok((name, post))
}

fn machine(fields: &mut Fields, given: SystemInfo) -> (HostSample, HostInfo, Vec<FilesystemSample>) {
    let os = fields.text("os", given.os, 255);
    let processor = fields.any_text("processor", given.processor, 255).filter(|text| !text.is_empty());
    let cores = fields.whole("cores", given.cores, i64::from(u32::MAX));
    let threads = fields.whole("threads", given.threads, i64::from(u32::MAX));
    let frequency = fields.optional_number("cpu_freq_mhz", given.cpu_freq_mhz);
    let mut size = |field: &str, given| {
        let gib = fields.number(field, given);
        if gib > MAX_GIB {
            fields.fault(field, "Ensure this value is less than or equal to 100000000.");
        }
        Some((gib.min(MAX_GIB) * GIB).round() as u64)
    };
    let memory_total_bytes = size("ram_gb", given.ram_gb);
    let host = HostSample {
        memory_total_bytes,
        memory_used_bytes: size("used_ram_gb", given.used_ram_gb),
        memory_available_bytes: size("available_ram_gb", given.available_ram_gb),
        ..HostSample::default()
    };
    let root = FilesystemSample {
        mount: "/".to_owned(),
        total_bytes: size("storage_total_gb", given.storage_total_gb),
        used_bytes: size("storage_used_gb", given.storage_used_gb),
        available_bytes: size("storage_free_gb", given.storage_free_gb),
        ..FilesystemSample::default()
    };
    let info = HostInfo {
        os: Some(cut(os)),
        cpu_model: processor.map(cut),
        cores: u32::try_from(cores).ok(),
        threads: u32::try_from(threads).ok(),
        frequency_mhz: frequency.map(|mhz| mhz.min(1e9).round() as u64),
        memory_bytes: memory_total_bytes,
        ..HostInfo::default()
    };
    (host, info, vec![root])
}

/// A process, and whether its command line was shortened.
fn process(fields: &mut Fields, given: GivenProcess, keeps_command_lines: bool) -> (Process, bool) {
    let pid = fields.whole("pid", given.pid, i64::from(u32::MAX));
    let ppid = fields.whole("ppid", given.ppid, i64::from(u32::MAX));
    let name = fields.text("name", given.name, 255);
    let cpu_percent = fields.number("cpu_percent", given.cpu_percent);
    let memory_mib = fields.number("memory_mb", given.memory_mb);
    let command_line = fields.any_text("cmdline", given.cmdline, MAX_COMMAND_LINE);
    let command_line = command_line.filter(|_| keeps_command_lines).and_then(|line| scrubbed_line(&line));
    let is_shortened = command_line.as_ref().is_some_and(|(_, is_shortened)| *is_shortened);
    let process = Process {
        pid: u32::try_from(pid).unwrap_or_default(),
        parent_pid: u32::try_from(ppid).ok().filter(|ppid| *ppid > 0),
        name: cut(name),
        command_line: command_line.map(|(line, _)| line),
        state: '?',
        cpu_percent: Some(cpu_percent as f32),
        resident_bytes: Some((memory_mib.min(MAX_GIB * 1024.0) * MIB).round() as u64),
        ..Process::default()
    };
    (process, is_shortened)
}

#[derive(Debug, Serialize)]
struct ListedHost {
    hostname: String,
    last_seen: String,
}

/// Every host, by what it calls itself.
async fn hosts(State(legacy): State<Arc<Legacy>>, reader: Reader) -> Result<Response, Fault> {
    let all = reader.all(SYSTEM).await?;
    // The last one may have come late.
    let greatest_us = |summary: &Summary| {
        let latest = legacy.posting.latest(&summary.host);
        latest.map_or(summary.captured_at_us, |(latest_us, _)| latest_us.max(summary.captured_at_us))
    };
    let listed: Vec<ListedHost> = all
        .into_iter()
        .map(|(hostname, summary)| ListedHost { hostname, last_seen: written_time(greatest_us(&summary)) })
        .collect();
    Ok(answer(StatusCode::OK, &listed))
}

/// A host's snapshot with the greatest time of capture.
async fn latest(
    State(legacy): State<Arc<Legacy>>,
    reader: Reader,
    asked: Parameters,
) -> Result<Response, Fault> {
    let hostname = asked.get("hostname").unwrap_or_default();
    if hostname.is_empty() {
        return Err(Fault::new(StatusCode::BAD_REQUEST, "no-hostname", "hostname is required"));
    }
    let unknown = || Fault::new(StatusCode::NOT_FOUND, "not-found", "unknown host");
    let Some(host) = reader.host_of(SYSTEM, hostname) else {
        let is_enrolled =
            legacy.registry.named(SYSTEM, hostname).iter().any(|known| reader.sees(&known.host));
        let none = || Fault::new(StatusCode::NOT_FOUND, "not-found", "no snapshots");
        return Err(if is_enrolled { none() } else { unknown() });
    };
    let none = || Fault::new(StatusCode::NOT_FOUND, "not-found", "no snapshots");
    let mut last = legacy.last_snapshot(&host).await?.ok_or_else(none)?;
    // One that came late is not the latest.
    if let Some((latest_us, sequence)) = legacy.posting.latest(&host)
        && latest_us > last.snapshot.captured_at_us
        && let Some(latest) = legacy.by_sequence(sequence).await?.filter(|latest| latest.host == host)
    {
        last = latest;
    }
    let said = json!({
        "snapshot_id": last.sequence,
        "captured_at": written_time(last.snapshot.captured_at_us),
        "process_count": last.snapshot.processes.len(),
        "system": system(hostname, &last.snapshot),
    });
    Ok(answer(StatusCode::OK, &said))
}

fn system(hostname: &str, snapshot: &Snapshot) -> Value {
    let (info, host) = (&snapshot.host_info, &snapshot.host);
    let gib = |bytes: Option<u64>| bytes.map(|bytes| hundredths(bytes as f64 / GIB));
    let root = snapshot.filesystems.iter().find(|filesystem| filesystem.mount == "/");
    json!({
        "hostname": hostname,
        "os": info.os,
        "processor": info.cpu_model.as_deref().unwrap_or_default(),
        "cores": info.cores,
        "threads": info.threads,
        "cpu_freq_mhz": info.frequency_mhz,
        "ram_gb": gib(host.memory_total_bytes.or(info.memory_bytes)),
        "used_ram_gb": gib(host.memory_used_bytes),
        "available_ram_gb": gib(host.memory_available_bytes),
        "storage_total_gb": gib(root.and_then(|root| root.total_bytes)),
        "storage_used_gb": gib(root.and_then(|root| root.used_bytes)),
        "storage_free_gb": gib(root.and_then(|root| root.available_bytes)),
    })
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[derive(Debug, Serialize)]
struct ListedProcess<'a> {
    pid: u32,
    ppid: u32,
    name: &'a str,
    cpu_percent: f32,
    memory_mb: f64,
    cmdline: &'a str,
}

/// The processes of a snapshot. Its page calls methods of numbers on the figures, so they are never null here: an agent of
/// fleetps may not know the CPU use of a process in its first snapshot, which is 0 in this list only.
async fn processes(
    State(legacy): State<Arc<Legacy>>,
    reader: Reader,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let unknown = || Fault::new(StatusCode::NOT_FOUND, "not-found", "snapshot not found");
    let sequence = id.parse::<u64>().map_err(|_| unknown())?;
    let found = match legacy.by_sequence(sequence).await? {
        Some(found) => Some(found),
        None => reader.sealed_by_sequence(sequence).await,
    };
    let found = found.filter(|found| reader.sees(&found.host)).ok_or_else(unknown)?;
    let shows_command_lines = reader.scoped.scope().sees_command_lines(&found.host);
    let listed: Vec<ListedProcess<'_>> = found
        .snapshot
        .processes
        .iter()
        .map(|process| ListedProcess {
            pid: process.pid,
            ppid: process.parent_pid.unwrap_or_default(),
            name: &process.name,
            cpu_percent: process.cpu_percent.unwrap_or_default(),
            memory_mb: hundredths(process.resident_bytes.unwrap_or_default() as f64 / MIB),
            cmdline: process.command_line.as_deref().filter(|_| shows_command_lines).unwrap_or_default(),
        })
        .collect();
    if shows_command_lines && listed.iter().any(|process| !process.cmdline.is_empty()) {
        reader.note_command_lines(&found.host);
    }
    Ok(answer(StatusCode::OK, &listed))
}
