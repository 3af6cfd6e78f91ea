//! Posts of snapshots, which this system calls batches.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use fleetps_nats::snapshot::{FilesystemSample, HostInfo, HostSample, Process};
use serde::Deserialize;
use serde_json::json;

use super::{
    super::{
        Fault, Legacy,
        body::parse,
        fault::answer,
        fields::{Fields, Given, GivenList},
        making::{Post, cut},
        reader::From,
        registry::MAX_NAME_CHARACTERS,
    },
    SYSTEM, check_from,
    machines::Machine,
    sender,
};

const MIB: f64 = (1_u64 << 20) as f64;
/// The largest resident set that is believed, in MiB.
const MAX_MIB: f64 = 1e11;
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Batch {
    machine_id: Given,
    machine_snapshot: Option<GivenSnapshot>,
    processes: GivenList<GivenProcess>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GivenSnapshot {
    total_ram: Given,
    used_ram: Given,
    available_ram: Given,
    total_disk: Given,
    used_disk: Given,
    available_disk: Given,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GivenProcess {
    pid: Given,
    ppid: Given,
    name: Given,
    cpu_usage: Given,
    memory_usage: Given,
}

/// Takes a batch.
pub(in super::super) async fn take(
    State(legacy): State<Arc<Legacy>>,
    From(from): From,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    check_from(&legacy, from)?;
    let body = legacy.room.read(&headers, body).await?;
    let _place = legacy.gate.enter_unnamed()?;
    let (machine_id, mut post) = translate(parse(&body.bytes)?)?;
    let sender = sender(machine_id, None, from);
    let Some(known) = legacy.registry.find(&sender)? else {
        let sentence = format!("Machine with ID '{}' not found.", sender.name);
        return Err(Fault::with_body(StatusCode::BAD_REQUEST, "unknown-host", json!([sentence])));
    };
    // Known: this only keeps its address.
    let known = legacy.registry.admit(&sender, None).await.unwrap_or(known);
    describe(&mut post, &Machine::of(&known));
    legacy.store(SYSTEM, &known, post, &body.bytes).await?;
    Ok(answer(StatusCode::CREATED, &json!({ "status": "success" })))
}

/// Puts what a machine said when it registered into its post.
fn describe(post: &mut Post, machine: &Machine) {
    let text = |text: &str| Some(cut(text.to_owned())).filter(|text| !text.is_empty());
    let count = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    post.os_host_name.clone_from(&machine.hostname);
    post.info = HostInfo {
        os: text(&machine.os_name),
        architecture: text(&machine.architecture),
        cpu_model: text(&machine.processor),
        cores: count(machine.cpu_cores),
        threads: count(machine.cpu_threads),
        memory_bytes: machine.total_ram.and_then(|bytes| u64::try_from(bytes).ok()),
        ..HostInfo::default()
    };
}

fn translate(given: Batch) -> Result<(String, Post), Fault> {
    let mut fields = Fields::default();
    let machine_id = fields.text("machine_id", given.machine_id, MAX_NAME_CHARACTERS);
    let (mut host, mut filesystems) = (HostSample::default(), Vec::new());
    match given.machine_snapshot {
        Some(snapshot) => {
            let mut own = Fields::default();
            let mut bytes = |field: &str, given| u64::try_from(own.whole(field, given, i64::MAX)).ok();
            host.memory_total_bytes = bytes("total_ram", snapshot.total_ram);
            host.memory_used_bytes = bytes("used_ram", snapshot.used_ram);
            host.memory_available_bytes = bytes("available_ram", snapshot.available_ram);
            filesystems.push(FilesystemSample {
                mount: "/".to_owned(),
                total_bytes: bytes("total_disk", snapshot.total_disk),
                used_bytes: bytes("used_disk", snapshot.used_disk),
                available_bytes: bytes("available_disk", snapshot.available_disk),
                ..FilesystemSample::default()
            });
            if let Some(faults) = own.faults() {
                fields.nested("machine_snapshot", faults);
            }
        }
        None => fields.fault("machine_snapshot", "This field is required."),
    }
    let processes = fields.list("processes", given.processes, process);
    fields.end()?;
    Ok((machine_id, Post { host, filesystems, processes, ..Post::default() }))
}

fn process(fields: &mut Fields, given: GivenProcess) -> Process {
    let pid = fields.whole("pid", given.pid, i64::from(u32::MAX));
    let ppid = fields.whole("ppid", given.ppid, i64::from(u32::MAX));
    let name = fields.text("name", given.name, MAX_NAME_CHARACTERS);
    let cpu_percent = fields.number("cpu_usage", given.cpu_usage);
    let memory_mib = fields.number("memory_usage", given.memory_usage);
    Process {
        pid: u32::try_from(pid).unwrap_or_default(),
        parent_pid: u32::try_from(ppid).ok().filter(|ppid| *ppid > 0),
        name: cut(name),
        state: '?',
        cpu_percent: Some(cpu_percent as f32),
        resident_bytes: Some((memory_mib.min(MAX_MIB) * MIB).round() as u64),
        ..Process::default()
    }
}
