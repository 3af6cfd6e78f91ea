//! The description of one host: system, processor, memory, disks, network, agent.

use askama::Template;
use axum::{
    http::HeaderMap,
    response::{self, Response},
};
use fleetps_nats::HostName;
use futures_util::{FutureExt, future::ready};

use super::{
    host_head::{self, HostHead},
    page::{self, Layout},
    push::{self, Live},
    settings::{self, Section},
    visit::visit,
};
use crate::{
    authz::Permission,
    extract::{Host, Query},
    live::{Moment, now_us},
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    url::{HostTab, Url},
    view::{
        View,
        host_filter::words,
        system,
        travel::{Links, TimeQuery, When},
    },
};

/// The page of a host's facts.
#[derive(Template)]
#[template(path = "system.html")]
struct SystemPage {
    layout: Layout,
    head: HostHead,
    view: View,
    live_url: Url,
    /// The host's groups, to be changed; absent for a person who may not.
    groups_to_change: Option<String>,
    /// How the host is sampled; absent where that is not known.
    settings: Option<Section>,
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
            ("Uptime", "uptime"),
            ("Seen from inside", "seen_from"),
        ],
    ),
    (
        "Processor and memory",
        &[
            ("Processor", "cpu_model"),
            ("Cores", "cores"),
            ("Threads", "cpu_threads"),
            ("Frequency", "frequency"),
            ("Load over 1, 5, 15 min", "loads"),
            ("Threads running or waiting", "threads"),
            ("Total memory", "ram"),
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
            ("CPU time", "agent_cpu"),
            ("Memory", "agent_memory"),
            ("Last sample took", "agent_pass"),
            ("Not visible to it", "limited_view"),
            ("Snapshots dropped", "agent_dropped"),
            ("Processes skipped", "left_out"),
            ("Texts truncated", "shortened"),
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
pub(crate) async fn page(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<TimeQuery>,
    Host(host): Host,
) -> response::Result<Response> {
    let links = links(&host, query.resolve(now_us())?);
    let live_url = Url::system_live(host.as_str());
    let visited = visit(&scoped, &host, HostTab::System, links.clone()).await?;
    let (head, moment) = visited.moment(&layout)?;
    let view = view(&moment, &links);
    let groups_to_change =
        scoped.permission_of(Permission::ManageHosts, &host).then(|| words(&scoped.groups(&host)));
    let settings = head.is_live().then(|| settings::section(&scoped, &host)).flatten();
    Ok(page::render(&SystemPage { layout, view, live_url, groups_to_change, settings, head })?)
}

fn links(host: &HostName, when: When) -> Links {
    Links { page: Url::host(host.as_str(), HostTab::System), when }
}

fn view(moment: &Moment, links: &Links) -> View {
    let mut view = system::view(moment, now_us());
    view.fields.push(host_head::earlier(moment, links));
    view
}

/// Its live updates.
pub(crate) async fn live(
    scoped: ScopedFleet,
    Query(Live { query, since }): Query<Live<TimeQuery>>,
    Host(host): Host,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let links = links(&host, query.resolve(now_us())?);
    page::moment_of(&scoped, &host)?;
    let changed = scoped.watch_host(&host)?;
    let looking = scoped.clone();
    let render = move || ready(looking.moment(&host).map(|moment| view(&moment, &links))).boxed();
    push::stream(&scoped, &headers, since, changed, Box::new(render))
}
