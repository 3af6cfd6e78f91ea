//! What one host is: system, processor, memory, disks, network, agent.

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    http::HeaderMap,
    response::Response,
};
use futures_util::{FutureExt, future::ready};

use super::{
    host_head::{self, HostHead, Tab, Visit, visit},
    nothing,
    page::{self, Layout},
    push,
};
use crate::{
    live::{Moment, now_us},
    refusal::Refusal,
    rules::Action,
    sight::Sight,
    view::{
        View,
        fleet::words,
        system,
        travel::{Links, When},
    },
};

/// The page of a host's facts.
#[derive(Template)]
#[template(path = "system.html")]
struct SystemPage {
    layout: Layout,
    head: HostHead,
    view: View,
    live_url: String,
    /// What the host belongs to, as it may be changed; absent for whoever may not.
    groups_to_change: Option<String>,
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
pub async fn page(
    layout: Layout,
    sight: Sight,
    Path(host): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let when = When::parse(&query.unwrap_or_default(), now_us())?;
    let links = Tab::System.links(&host, when);
    let live_url = format!("{}/live", links.path);
    let (head, moment) = match visit(&sight, &host, Tab::System, links.clone()).await? {
        Visit::Moment(head, moment) => (head, moment),
        Visit::Nothing(head, why) => return nothing::page(layout, head, &why),
        Visit::Elsewhere(response) => return Ok(response),
    };
    let view = view(&moment, &links);
    let name = &moment.summary.host;
    let groups_to_change = sight.may(Action::ManageHosts, name).then(|| words(&sight.groups(name)));
    page::render(&SystemPage { layout, view, live_url, groups_to_change, head })
}

fn view(moment: &Moment, links: &Links) -> View {
    let mut view = system::view(moment, now_us());
    view.fields.push(host_head::earlier(moment, links));
    view
}

/// Its live updates.
pub async fn live(
    sight: Sight,
    Path(host): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let text = query.unwrap_or_default();
    let links = Tab::System.links(&host, When::parse(&text, now_us())?);
    let name = page::moment_of(&sight, &host)?.summary.host.clone();
    let changed = sight.watch_host(&name)?;
    let looking = sight.clone();
    let render = move || ready(looking.moment(&name).map(|moment| view(&moment, &links))).boxed();
    push::stream(&sight, &headers, &text, changed, Box::new(render))
}
