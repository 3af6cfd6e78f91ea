//! The facts of one host: what it is, what its disks and network do, what the agent costs; and the line of facts and
//! figures at the head of every page about it.

use fleetps_nats::{
    Snapshot,
    model::{derived, rate},
};

use super::{View, interfaces, mounts, table::Cell};
use crate::{
    display::{self, MISSING},
    live::{HostState, Moment, Summary},
};

/// Characters of a text in a cell.
const MAX_CELL_CHARACTERS: usize = 120;

/// The fields of the head of every page about a host.
pub(crate) fn head_fields(moment: &Moment, now_us: i64) -> Vec<(&'static str, Cell)> {
    let summary = &moment.summary;
    let up = summary.state == HostState::Up;
    let memory_percent = summary.memory_percent().filter(|_| up);
    let cpu_percent = summary.cpu_percent.filter(|_| up).map(f64::from);
    vec![
        ("state", Cell::field(summary.state.word()).shaded(summary.state.word())),
        ("seen", Cell::since("", summary.last_seen_us, now_us)),
        ("stale", Cell::field(stale(summary.state))),
        ("last", Cell::field(display::clock_to_the_second(summary.last_seen_us))),
        ("facts", Cell::field(facts_line(moment.snapshot()))),
        ("warning", Cell::field(warning(summary, moment.snapshot()))),
        ("cpu", Cell::field(format!("{} %", display::percent(cpu_percent)))),
        ("memory", Cell::field(format!("{} %", display::percent(memory_percent)))),
        ("count", Cell::field(display::count(u64::from(summary.process_count)))),
    ]
}

/// What is said of a host that sends nothing before the time of its last snapshot; empty for one that does.
fn stale(state: HostState) -> &'static str {
    match state {
        HostState::Up => "",
        HostState::Silent => "Silent since",
        HostState::Paused => "Paused since",
        HostState::Down => "Down since",
    }
}

/// What is wrong with how the host reports: whose clock the times on the page are by, where that is not its own, and what
/// its agent does not see.
fn warning(summary: &Summary, snapshot: &Snapshot) -> String {
    let mut warning = summary.warning();
    if summary.clock_off_us().is_some() {
        warning.push_str(": times here are by the server's clock, not the host's");
    }
    let limits = limits(snapshot).filter(|_| snapshot.host_info.hides_processes());
    let parts = [Some(warning).filter(|warning| !warning.is_empty()), limits];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// What the agent does not see: a warning where that is whole processes, else one of the facts.
fn limits(snapshot: &Snapshot) -> Option<String> {
    let limits = snapshot.host_info.limited_view.as_deref().filter(|limits| !limits.is_empty())?;
    Some(display::visible(&format!("the agent {limits}")).into_owned())
}

/// "Ubuntu 24.04 · Linux 6.8 · AMD EPYC, 8 cores · 32.0 GiB · up 41 d"
fn facts_line(snapshot: &Snapshot) -> String {
    let info = &snapshot.host_info;
    let cores = info.threads.or(info.cores).map(|threads| match threads {
        1 => "1 thread".to_owned(),
        threads => format!("{threads} threads"),
    });
    let processor = match (info.cpu_model.as_deref(), cores) {
        (Some(model), Some(cores)) => Some(format!("{model}, {cores}")),
        (Some(model), None) => Some(model.to_owned()),
        (None, cores) => cores,
    };
    let memory = derived::memory_total_bytes(snapshot);
    let facts = [
        info.source.clone(),
        info.os.clone(),
        info.kernel.clone(),
        processor,
        memory.map(|bytes| display::size_long(Some(bytes))),
        snapshot.host.uptime_s.map(|seconds| format!("up {}", duration(seconds))),
        mounts::warning(snapshot),
        limits(snapshot).filter(|_| !info.hides_processes()),
    ];
    let known: Vec<String> = facts.into_iter().flatten().filter(|fact| !fact.is_empty()).collect();
    display::visible(&known.join(" · ")).into_owned()
}

fn duration(seconds: u64) -> String {
    display::duration(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// The System page as of `now_us`.
pub(crate) fn view(moment: &Moment, now_us: i64) -> View {
    let mut fields = head_fields(moment, now_us);
    fields.extend(system_fields(moment.snapshot()));
    fields.extend(load_fields(moment));
    fields.extend(agent_fields(moment));
    View {
        version: moment.summary.version(),
        fields,
        tables: vec![mounts::table(moment.snapshot()), interfaces::table(&moment.pair)],
    }
}

fn text(value: Option<&str>) -> Cell {
    let value = value.filter(|text| !text.is_empty()).unwrap_or(MISSING);
    Cell::hostile("", value, MAX_CELL_CHARACTERS)
}

fn number(value: Option<u32>) -> Cell {
    Cell::field(display::count_or_missing(value.map(u64::from)))
}

fn system_fields(snapshot: &Snapshot) -> Vec<(&'static str, Cell)> {
    let info = &snapshot.host_info;
    let frequency = info.frequency_mhz.map(|mhz| format!("{:.2} GHz", mhz as f64 / 1000.0));
    vec![
        ("os_host_name", text(Some(&snapshot.os_host_name))),
        ("os", text(info.os.as_deref())),
        ("kernel", text(info.kernel.as_deref())),
        ("seen_from", text(info.seen_from.as_deref())),
        ("architecture", text(info.architecture.as_deref())),
        ("cpu_model", text(info.cpu_model.as_deref())),
        ("cores", number(info.cores)),
        ("cpu_threads", number(info.threads)),
        ("frequency", text(frequency.as_deref())),
        ("ram", Cell::field(display::size_long(info.memory_bytes.or(snapshot.host.memory_total_bytes)))),
        ("boot_at", info.boot_at_us.map_or_else(|| Cell::field(MISSING), exact_time)),
        ("uptime", text(snapshot.host.uptime_s.map(duration).as_deref())),
    ]
}

fn exact_time(time_us: i64) -> Cell {
    Cell { time: Some(display::time_exact(time_us)), ..Cell::field(display::time(time_us)) }
}

fn load_fields(moment: &Moment) -> Vec<(&'static str, Cell)> {
    let host = &moment.snapshot().host;
    let used = |used: Option<u64>, total: Option<u64>| match (used, total) {
        (Some(used), Some(total)) => {
            Cell::field(format!("{} of {}", display::size_long(Some(used)), display::size_long(Some(total))))
        }
        _ => Cell::field(MISSING),
    };
    let rate = |value: Option<f64>| match value {
        Some(rate) => Cell::field(format!("{}/s", display::size_long(Some(rate as u64)))),
        None => Cell::field(MISSING),
    };
    let loads = [host.load_1, host.load_5, host.load_15].map(display::load).join(" · ");
    vec![
        ("loads", Cell::field(loads)),
        ("memory_used", used(host.memory_used_bytes, host.memory_total_bytes)),
        ("memory_available", Cell::field(display::size_long(host.memory_available_bytes))),
        ("swap_used", used(host.swap_used_bytes, host.swap_total_bytes)),
        ("threads", number(host.thread_count)),
        ("disk_read", rate(moment.pair.host_rate(|host| host.disk_read_bytes))),
        ("disk_written", rate(moment.pair.host_rate(|host| host.disk_written_bytes))),
        ("network_received", rate(moment.pair.host_rate(|host| host.network_received_bytes))),
        ("network_sent", rate(moment.pair.host_rate(|host| host.network_sent_bytes))),
    ]
}

/// "0.4 % of a core, 74:07 in all": what the agent uses now, and its CPU time since it started.
fn agent_cpu(moment: &Moment) -> String {
    let snapshot = moment.snapshot();
    let all = display::cpu_time(snapshot.agent.cpu_time_ms);
    let of_this_run = |before: &&Snapshot| before.run_id == snapshot.run_id;
    let since_before = moment.pair.previous().filter(of_this_run).and_then(|before| {
        let spent_ms = rate::growth(before.agent.cpu_time_ms, snapshot.agent.cpu_time_ms)?;
        let elapsed_ms = snapshot.monotonic_ms.checked_sub(before.monotonic_ms)?;
        derived::mean_percent_of_core(spent_ms as f64, i64::try_from(elapsed_ms).ok()?)
    });
    match since_before {
        Some(percent) => format!("{} % of a core, {all} in all", display::percent(Some(percent))),
        None => all,
    }
}

fn agent_fields(moment: &Moment) -> Vec<(&'static str, Cell)> {
    let snapshot = moment.snapshot();
    let agent = &snapshot.agent;
    let pass = agent.pass_us.map(|us| format!("{:.1} ms", us as f64 / 1000.0));
    let interval = f64::from(snapshot.interval_ms) / 1000.0;
    vec![
        ("limited_view", text(snapshot.host_info.limited_view.as_deref())),
        ("source", text(snapshot.host_info.source.as_deref())),
        ("agent_version", text(Some(&snapshot.agent_version))),
        ("agent_interval", Cell::field(format!("{interval} s"))),
        ("agent_cpu", Cell::field(agent_cpu(moment))),
        ("agent_memory", Cell::field(display::size_long(agent.resident_bytes))),
        ("agent_pass", text(pass.as_deref())),
        ("agent_dropped", Cell::field(display::count(agent.dropped_snapshots))),
        ("left_out", Cell::field(display::count(u64::from(snapshot.processes_left_out)))),
        ("shortened", Cell::field(display::count(u64::from(snapshot.texts_shortened)))),
        ("captured_at", exact_time(snapshot.captured_at_us)),
    ]
}
