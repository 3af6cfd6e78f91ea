//! `/api/v1/hosts`: every host; `/api/v1/hosts/{host}`: one in full, now or `at` a moment.

use std::sync::Arc;

use fleetps_nats::{
    model::host::{AGENT, HOST},
    snapshot::{AgentCost, FilesystemSample, HostInfo, HostSample, InterfaceSample},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::{
    json::{self, AtMoment},
    page,
};
use crate::{
    answer::{Answer, Time, shape},
    extract::{Host, Query},
    live::{Summary, now_us},
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    view::travel::TimeQuery,
};

/// Every host that one may see.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Hosts<'a> {
    /// The hosts, by name.
    pub hosts: Vec<json::Host<'a>>,
    /// Hosts that are not among these, because they were not heard of for long.
    pub hosts_left_out: usize,
}

/// One host in full. The counters (`…_bytes` of disk and network) count since boot.
#[derive(Serialize, JsonSchema)]
pub(crate) struct HostInFull<'a> {
    #[serde(flatten)]
    host: json::Host<'a>,
    boot_id: &'a str,
    run_id: &'a str,
    sequence: u64,
    #[schemars(schema_with = "host_sample")]
    host_sample: &'a HostSample,
    host_info: Info<'a>,
    #[schemars(schema_with = "agent_cost")]
    agent: &'a AgentCost,
    filesystems: Vec<Filesystem<'a>>,
    interfaces: Vec<Interface<'a>>,
    processes_left_out: u32,
    texts_shortened: u32,
}

fn host_sample(_: &mut SchemaGenerator) -> Schema {
    json::record(&HOST, &HostSample::default().values())
}

fn agent_cost(_: &mut SchemaGenerator) -> Schema {
    json::record(&AGENT, &AgentCost::default().values())
}

shape!(Hosts<'_>);
shape!(HostInFull<'_>);

/// What the machine is.
#[derive(Serialize, JsonSchema)]
struct Info<'a> {
    os: Option<&'a str>,
    kernel: Option<&'a str>,
    architecture: Option<&'a str>,
    cpu_model: Option<&'a str>,
    cores: Option<u32>,
    threads: Option<u32>,
    frequency_mhz: Option<u64>,
    memory_bytes: Option<u64>,
    boot_at: Option<Time>,
    limited_view: Option<&'a str>,
    seen_from: Option<&'a str>,
    source: Option<&'a str>,
    agent_version: &'a str,
}

/// Sizes are null where it does not answer or cannot be read.
#[derive(Serialize, JsonSchema)]
struct Filesystem<'a> {
    mount: &'a str,
    device: Option<&'a str>,
    kind: Option<&'a str>,
    total_bytes: Option<u64>,
    used_bytes: Option<u64>,
    available_bytes: Option<u64>,
    inodes_total: Option<u64>,
    inodes_used: Option<u64>,
    /// The other places where the same device is mounted, as many as the snapshot has.
    other_mounts: Vec<&'a str>,
    other_mount_count: u32,
    unanswered_since: Option<Time>,
    last_answer: Option<LastAnswer>,
    error: Option<&'a str>,
}

/// What a file system said before it stopped answering.
#[derive(Serialize, JsonSchema)]
struct LastAnswer {
    answered_at: Time,
    total_bytes: Option<u64>,
    used_bytes: Option<u64>,
}

impl<'a> Filesystem<'a> {
    fn of(sample: &'a FilesystemSample) -> Self {
        Self {
            mount: &sample.mount,
            device: sample.device.as_deref(),
            kind: sample.kind.as_deref(),
            total_bytes: sample.total_bytes,
            used_bytes: sample.used_bytes,
            available_bytes: sample.available_bytes,
            inodes_total: sample.inodes_total,
            inodes_used: sample.inodes_used,
            other_mounts: sample.other_mounts().collect(),
            other_mount_count: sample.other_mount_count.unwrap_or_default(),
            unanswered_since: sample.unanswered_since_us.map(Time),
            last_answer: sample.answered_at_us.map(|answered_at_us| LastAnswer {
                answered_at: Time(answered_at_us),
                total_bytes: sample.last_total_bytes,
                used_bytes: sample.last_used_bytes,
            }),
            error: sample.error.as_deref(),
        }
    }
}

/// A network interface; its counters count since boot.
#[derive(Serialize, JsonSchema)]
struct Interface<'a> {
    name: &'a str,
    kind: Option<&'a str>,
    /// Why its bytes are in the host's totals; null where they are not.
    counted_as: Option<&'a str>,
    master: Option<&'a str>,
    received_bytes: Option<u64>,
    sent_bytes: Option<u64>,
    received_packets: Option<u64>,
    sent_packets: Option<u64>,
    received_errors: Option<u64>,
    sent_errors: Option<u64>,
    received_drops: Option<u64>,
    sent_drops: Option<u64>,
}

impl<'a> Interface<'a> {
    fn of(sample: &'a InterfaceSample) -> Self {
        Self {
            name: &sample.name,
            kind: sample.kind.as_deref(),
            counted_as: sample.counted_as.as_deref(),
            master: sample.master.as_deref(),
            received_bytes: sample.received_bytes,
            sent_bytes: sample.sent_bytes,
            received_packets: sample.received_packets,
            sent_packets: sample.sent_packets,
            received_errors: sample.received_errors,
            sent_errors: sample.sent_errors,
            received_drops: sample.received_drops,
            sent_drops: sample.sent_drops,
        }
    }
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
        boot_at: info.boot_at_us.map(Time),
        limited_view: info.limited_view.as_deref(),
        seen_from: info.seen_from.as_deref(),
        source: info.source.as_deref(),
        agent_version,
    }
}

/// Every host, by name.
pub(crate) async fn list(scoped: ScopedFleet) -> Result<Answer<Hosts<'static>>, Refusal> {
    let answering = scoped.over_fleet(|fleet, groups| {
        let of = |summary: &'_ Arc<Summary>| groups.of(&summary.host).clone();
        let hosts = fleet.hosts.iter().map(|summary| json::Host::of(summary, of(summary))).collect();
        Answer::of(&Hosts { hosts, hosts_left_out: fleet.left_out })
    });
    answering.await
}

/// One host in full.
pub(crate) async fn one(
    scoped: ScopedFleet,
    Query(query): Query<TimeQuery>,
    Host(host): Host,
) -> Result<Answer<AtMoment<HostInFull<'static>>>, Refusal> {
    let when = query.resolve(now_us())?;
    let (moment, resolution) = page::moment_at(&scoped, &host, when.at_us).await?;
    let snapshot = moment.snapshot();
    let in_full = HostInFull {
        host: json::Host::of(&moment.summary, scoped.groups(&moment.summary.host)),
        boot_id: &snapshot.boot_id,
        run_id: &snapshot.run_id,
        sequence: snapshot.sequence,
        host_sample: &snapshot.host,
        host_info: info(&snapshot.host_info, &snapshot.agent_version),
        agent: &snapshot.agent,
        filesystems: snapshot.filesystems.iter().map(Filesystem::of).collect(),
        interfaces: snapshot.interfaces.iter().map(Interface::of).collect(),
        processes_left_out: snapshot.processes_left_out,
        texts_shortened: snapshot.texts_shortened,
    };
    Ok(json::answer_at(&scoped, resolution, in_full))
}
