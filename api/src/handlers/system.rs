//! What one host is: system, processor, memory, disks, network, agent.

use askama::Template;
use axum::{
    extract::{Path, RawQuery, State},
    http::HeaderMap,
    response::Response,
};

use super::{
    page::{self, Layout},
    push,
};
use crate::{
    live::now_us,
    refusal::Refusal,
    view::{View, system},
    web::Shared,
};

/// The page of a host's facts.
#[derive(Template)]
#[template(path = "system.html")]
struct SystemPage {
    layout: Layout,
    host: String,
    path: String,
    view: View,
    live_url: String,
}

/// A group of facts: its head, and for each fact what it is called and the field that says it.
type Group = (&'static str, &'static [(&'static str, &'static str)]);

const GROUPS: [Group; 4] = [
    (
        "System",
        &[
            ("Name", "os_host_name"),
            ("Operating system", "os"),
            ("Kernel", "kernel"),
            ("Architecture", "architecture"),
            ("Booted", "boot_at"),
            ("Up for", "uptime"),
        ],
    ),
    (
        "Processor and memory",
        &[
            ("Processor", "cpu_model"),
            ("Cores", "cores"),
            ("Hardware threads", "cpu_threads"),
            ("Frequency", "frequency"),
            ("Load over 1, 5, 15 min", "loads"),
            ("Threads running or waiting", "threads"),
            ("Memory installed", "ram"),
            ("Memory used", "memory_used"),
            ("Memory available", "memory_available"),
            ("Swap used", "swap_used"),
        ],
    ),
    (
        "Disk and network",
        &[
            ("Read from disks", "disk_read"),
            ("Written to disks", "disk_written"),
            ("Received", "network_received"),
            ("Sent", "network_sent"),
        ],
    ),
    (
        "Agent",
        &[
            ("Version", "agent_version"),
            ("Interval", "agent_interval"),
            ("CPU time since it started", "agent_cpu"),
            ("Memory", "agent_memory"),
            ("Last pass took", "agent_pass"),
            ("Snapshots dropped", "agent_dropped"),
            ("Processes left out", "left_out"),
            ("Last sample", "captured_at"),
        ],
    ),
];

impl SystemPage {
    fn groups(&self) -> [Group; 4] {
        GROUPS
    }
}

/// The page.
pub async fn page(State(shared): State<Shared>, Path(host): Path<String>) -> Result<Response, Refusal> {
    let moment = page::moment_of(&shared, &host)?;
    let path = format!("/hosts/{host}");
    page::render(&SystemPage {
        layout: Layout::new(),
        view: system::view(&moment, now_us()),
        live_url: format!("{path}/system/live"),
        host,
        path,
    })
}

/// Its live updates.
pub async fn live(
    State(shared): State<Shared>,
    Path(host): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let name = page::moment_of(&shared, &host)?.summary.host.clone();
    let changed = shared.fleet.watch_host(&name).ok_or_else(|| Refusal::no_such_host(&host))?;
    let fleet = shared.fleet.clone();
    let render = move || fleet.moment(&name).map(|moment| system::view(&moment, now_us()));
    push::stream(&shared, &headers, &query.unwrap_or_default(), changed, Box::new(render))
}
