//! `/api/v1/hosts`: every host; `/api/v1/hosts/{host}`: one in full, now or `at` a moment.

use std::sync::Arc;

use axum::{http::StatusCode, response::Response};
use fleetps_nats::snapshot::{AgentCost, HostInfo, HostSample};
use serde::Serialize;

use super::{json, page};
use crate::{
    display::time_exact,
    extract::{Host, Query},
    live::{Summary, now_us},
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    view::travel::TimeQuery,
};

#[derive(Serialize)]
struct Hosts<'a> {
    hosts: Vec<json::Host<'a>>,
    /// Hosts that are not among these, because they were not heard of for long.
    hosts_left_out: usize,
}

/// One host. The counters (`…_bytes` of disk and network) count since boot.
#[derive(Serialize)]
struct HostInFull<'a> {
    #[serde(flatten)]
    host: json::Host<'a>,
    boot_id: &'a str,
    run_id: &'a str,
    sequence: u64,
    host_sample: &'a HostSample,
    host_info: Info<'a>,
    agent: &'a AgentCost,
    filesystems: Vec<Filesystem<'a>>,
    processes_left_out: u32,
    texts_shortened: u32,
}

#[derive(Serialize)]
struct Info<'a> {
    os: Option<&'a str>,
    kernel: Option<&'a str>,
    architecture: Option<&'a str>,
    cpu_model: Option<&'a str>,
    cores: Option<u32>,
    threads: Option<u32>,
    frequency_mhz: Option<u64>,
    memory_bytes: Option<u64>,
    boot_at: Option<String>,
    agent_version: &'a str,
}

#[derive(Serialize)]
struct Filesystem<'a> {
    mount: &'a str,
    device: Option<&'a str>,
    kind: Option<&'a str>,
    total_bytes: u64,
    used_bytes: u64,
}

fn info<'a>(info: &'a HostInfo, agent_version: &'a str) -> Info<'a> {
    Info {
        os: info.os.as_deref(),
        kernel: info.kernel.as_deref(),
        architecture: info.architecture.as_deref(),
        cpu_model: info.cpu_model.as_deref(),
        cores: info.cores,
        threads: info.threads,
        frequency_mhz: info.frequency_mhz,
        memory_bytes: info.memory_bytes,
        boot_at: info.boot_at_us.map(time_exact),
        agent_version,
    }
}

/// Every host, by name.
pub async fn list(scoped: ScopedFleet) -> Result<Response, Refusal> {
    let answering = scoped.over_fleet(|fleet, groups| {
        let of = |summary: &'_ Arc<Summary>| groups.of(&summary.host).clone();
        let hosts = fleet.hosts.iter().map(|summary| json::Host::of(summary, of(summary))).collect();
        json::answer(StatusCode::OK, &Hosts { hosts, hosts_left_out: fleet.left_out })
    });
    answering.await
}

/// One host in full.
pub async fn one(
    scoped: ScopedFleet,
    Query(query): Query<TimeQuery>,
    Host(host): Host,
) -> Result<Response, Refusal> {
    let when = query.resolve(now_us())?;
    let (moment, resolution) = page::moment_at(&scoped, &host, when.at_us).await?;
    let snapshot = moment.snapshot();
    let filesystems = snapshot.filesystems.iter().map(|filesystem| Filesystem {
        mount: &filesystem.mount,
        device: filesystem.device.as_deref(),
        kind: filesystem.kind.as_deref(),
        total_bytes: filesystem.total_bytes,
        used_bytes: filesystem.used_bytes,
    });
    let in_full = HostInFull {
        host: json::Host::of(&moment.summary, scoped.groups(&moment.summary.host)),
        boot_id: &snapshot.boot_id,
        run_id: &snapshot.run_id,
        sequence: snapshot.sequence,
        host_sample: &snapshot.host,
        host_info: info(&snapshot.host_info, &snapshot.agent_version),
        agent: &snapshot.agent,
        filesystems: filesystems.collect(),
        processes_left_out: snapshot.processes_left_out,
        texts_shortened: snapshot.texts_shortened,
    };
    Ok(json::answer_at(&scoped, resolution, &in_full))
}
